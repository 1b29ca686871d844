package archive

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"time"

	"farol/internal/record"
)

// Batch is what one commit binds together.
type Batch struct {
	Records []record.Record
	Cursors map[string]string // the ones that changed
	Note    string            // kept with the commit; no content, no names
}

// pending is a commit or sealed file on its way into the journal.
type pending struct {
	batch  Batch
	hashes []record.Hash
	leaves []record.Hash
	root   record.Hash
	sealed *sealedFile
	ready  *prepared
	away   bool // names a blob that lies in the repository

	done   bool
	commit *Commit
	err    error
}

// Commit puts the batch on disk and returns its number and addresses. It may
// be called from many goroutines: all that wait share one fsync. Blobs of the
// records come from [Archive.PutBlob] before.
//
// It returns [ErrFull], [ErrMissing], [ErrTooLarge] (more than [MaxBatch]) or
// [ErrNotFound] (a blob the archive does not hold); then nothing of the batch
// is kept. After any other error the batch may or may not be there: commit it
// again, equal records are one version.
func (a *Archive) Commit(ctx context.Context, b Batch) (*Commit, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("commit: %w", err)
	}
	p := &pending{batch: b, hashes: make([]record.Hash, len(b.Records)), leaves: make([]record.Hash, len(b.Records))}
	var size int64
	direct := false
	for i := range b.Records {
		r := &b.Records[i]
		size += int64(len(r.Raw))
		if y := r.Time.UTC().Year(); y < 0 || y > 9999 {
			return nil, fmt.Errorf("commit: record %d has a time outside the years 0 to 9999", i)
		}
		for _, blob := range r.Blobs {
			d, away, err := a.blobHeld(ctx, blob)
			if err != nil {
				return nil, fmt.Errorf("commit: blob of record %d: %w", i, err)
			}
			direct, p.away = direct || d, p.away || away
		}
	}
	if size > MaxBatch {
		return nil, fmt.Errorf("commit of %d bytes: %w", size, ErrTooLarge)
	}
	if err := a.room(size); err != nil {
		return nil, fmt.Errorf("commit: %w", err)
	}
	a.prepare(p)
	p.root = record.Root(p.leaves)
	if direct {
		// The frame may name an object only after kopia has it on disk.
		if err := a.flush(ctx); err != nil {
			return nil, fmt.Errorf("commit: %w", err)
		}
	}
	if err := a.submit(p); err != nil {
		return nil, fmt.Errorf("commit: %w", err)
	}
	return p.commit, nil
}

// submit queues p; the first that gets the journal writes for all that wait.
func (a *Archive) submit(p *pending) error {
	a.queue.Lock()
	a.queue.list = append(a.queue.list, p)
	a.queue.Unlock()

	a.j.mu.Lock()
	defer a.j.mu.Unlock()
	if p.done {
		return p.err
	}
	a.queue.Lock()
	list := a.queue.list
	a.queue.list = nil
	a.queue.Unlock()
	// One write holds a bounded number of bytes; the next round takes the rest.
	for len(list) > 0 {
		n, size := 0, 0
		for n < len(list) && (n == 0 || size < 8<<20) {
			for i := range list[n].batch.Records {
				size += len(list[n].batch.Records[i].Raw)
			}
			n++
		}
		a.write(list[:n])
		list = list[n:]
	}
	return p.err
}

// write appends the group of commits with one fsync. a.j.mu is held.
func (a *Archive) write(list []*pending) {
	err := a.append(list)
	for _, p := range list {
		p.done = true
		if err != nil {
			p.err, p.commit = err, nil
		}
	}
}

func (a *Archive) append(list []*pending) error {
	a.mu.Lock()
	seq, last := a.lastSeq, a.lastTime
	a.mu.Unlock()
	if err := a.writable(); err != nil {
		return err
	}
	j := a.j
	if err := j.settle(); err != nil {
		return err
	}
	w, err := j.begin(seq + 1)
	if err != nil {
		return fmt.Errorf("begin a journal file: %w", full(err))
	}
	g := groupWriter{a: a, w: w, index: w.index, prev: j.last, base: w.file.size}
	if w.head != nil {
		g.buf = append(g.buf, w.head...)
		g.base = 0
	}
	for _, p := range list {
		t := a.now().UTC().Truncate(time.Millisecond)
		if t.Before(last) {
			t = last // a commit is never older than the one before
		}
		if p.sealed == nil {
			seq++
			last = t
		}
		g.add(p, seq, t)
	}
	if err := a.persist(w, g.base, g.buf); err != nil {
		return a.undo(w, err)
	}
	w.head, w.index, j.last = nil, g.index, g.prev
	w.file.size = g.base + int64(len(g.buf))
	if slices.ContainsFunc(list, func(p *pending) bool { return p.away }) {
		n := need{w.file.size, a.blobs.log.shown()}
		if k := len(w.file.needs); k > 0 && w.file.needs[k-1].put == n.put {
			w.file.needs = w.file.needs[:k-1]
		}
		w.file.needs = append(w.file.needs, n)
	}
	a.mu.Lock()
	a.lastSeq, a.lastTime = seq, last
	maps.Copy(a.held, g.held)
	for _, p := range list {
		if p.sealed != nil {
			a.sealed[p.sealed.Name] = sealedRef{file: w.file, off: p.sealed.off}
			continue
		}
		a.noteCommit(w.file, p.commit.Seq, p.commit.Time, g.plain[p])
		for k, v := range p.batch.Cursors {
			a.cursors[k] = v
		}
	}
	for id := range g.held {
		a.dropInline(id)
	}
	a.mu.Unlock()
	j.refs = append(j.refs, g.refs...)
	if a.opt.OnAppend != nil {
		a.opt.OnAppend(w.file.name, g.base, g.buf)
	}
	return nil
}

// persist writes b at off and puts it on disk.
func (a *Archive) persist(w *jwriter, off int64, b []byte) error {
	if err := a.opt.Fault("journal.write"); err != nil {
		return err
	}
	if _, err := w.f.WriteAt(b, off); err != nil {
		return err
	}
	if err := a.opt.Fault("journal.written"); err != nil {
		return err
	}
	if err := a.opt.Fault("journal.sync"); err != nil {
		return err
	}
	if err := w.f.Sync(); err != nil {
		return err
	}
	return a.opt.Fault("journal.done")
}

// undo takes a failed append back, so that a later commit cannot be mistaken
// for it; the next one begins a new file. When even that fails the archive
// takes no more until it works.
func (a *Archive) undo(w *jwriter, cause error) error {
	cause = fmt.Errorf("write the journal: %w", full(cause))
	a.j.cur = nil
	var err error
	if w.head != nil {
		err = a.j.drop(w)
	} else if err = a.j.takeBack(w); err != nil {
		a.j.doubt = w
	} else {
		err = w.f.Close()
	}
	if err != nil {
		return fmt.Errorf("the journal is in doubt: %w", errors.Join(cause, full(err)))
	}
	return cause
}

// groupWriter builds the bytes of one append.
type groupWriter struct {
	a     *Archive
	w     *jwriter
	base  int64
	buf   []byte
	index uint32
	prev  tag
	refs  []commitRef
	held  map[string]blobRef
	plain map[*pending]int64
}

func (g *groupWriter) frame(p *pending, typ byte, seq uint64, plain []byte) (off int64) {
	return g.packed(p, typ, seq, g.a.codec.pack(plain))
}

func (g *groupWriter) packed(p *pending, typ byte, seq uint64, body packed) (off int64) {
	off = g.base + int64(len(g.buf))
	g.buf, g.prev = g.a.codec.appendFrame(g.buf, g.w.file.aead, typ, g.index, seq, g.prev, body)
	g.index++
	if g.plain == nil {
		g.plain = map[*pending]int64{}
	}
	g.plain[p] += int64(body.plain)
	return off
}

func (g *groupWriter) add(p *pending, seq uint64, t time.Time) {
	if p.sealed != nil {
		p.sealed.off = g.frame(p, frameSealed, seq, p.sealed.bytes())
		return
	}
	start := g.base + int64(len(g.buf))
	c := &Commit{
		Seq: seq, Time: t, Note: p.batch.Note, Root: p.root, Leaves: p.leaves,
		Records: p.batch.Records, Cursors: p.batch.Cursors, Locs: make([]record.Loc, len(p.batch.Records)),
	}
	frames := g.addBlobs(p, seq)
	if p.ready != nil && p.ready.seq == seq {
		g.buf = slices.Grow(g.buf, p.ready.size()+4096)
		for i := range p.ready.parts {
			part := &p.ready.parts[i]
			seg := journalSeg(g.w.file.name, g.packed(p, frameRecords, seq, part.packed))
			part.done()
			for i, loc := range part.locs {
				c.Locs[part.first+i] = record.Loc{Seg: seg, Off: loc.Off, Len: loc.Len}
			}
			frames++
		}
		g.end(p, c, seq, t, frames, start, nil)
		p.commit = c
		return
	}
	// Lines fill frames of about 1 MiB; what is left when the last line is
	// written goes behind the head of the commit frame.
	var lines []byte
	first := 0 // first record in lines
	place := func(seg string, base int64, upto int) {
		for i := first; i < upto; i++ {
			c.Locs[i].Seg = seg
			c.Locs[i].Off += base
		}
		first = upto
	}
	for i := range p.batch.Records {
		off := len(lines)
		lines = appendLine(lines, &p.batch.Records[i], p.hashes[i], seq, i)
		c.Locs[i] = record.Loc{Off: int64(off), Len: int64(len(lines) - off)}
		if len(lines) >= chunkLen {
			at := g.frame(p, frameRecords, seq, lines)
			place(journalSeg(g.w.file.name, at), 0, i+1)
			lines = lines[:0]
			frames++
		}
	}
	at, base := g.end(p, c, seq, t, frames, start, lines)
	place(journalSeg(g.w.file.name, at), base, len(p.batch.Records))
	p.commit = c
}

// end writes the commit frame: its head and the lines that are left.
func (g *groupWriter) end(p *pending, c *Commit, seq uint64, t time.Time, frames int, start int64, lines []byte) (at, base int64) {
	head, _ := json.Marshal(commitHead{seq, t, p.root, len(p.batch.Records), frames, p.batch.Cursors, p.batch.Note})
	head = append(head, '\n')
	at = g.frame(p, frameCommit, seq, append(head, lines...))
	g.refs = append(g.refs, commitRef{seq, g.w.file, start, len(p.batch.Records)})
	return at, int64(len(head))
}

// addBlobs writes the small blobs of p that no earlier frame holds.
func (g *groupWriter) addBlobs(p *pending, seq uint64) (frames int) {
	var plain []byte
	flush := func() {
		if len(plain) == 0 {
			return
		}
		at := g.frame(p, frameBlobs, seq, plain)
		frames++
		refs, _ := parseBlobs(g.w.file, &frame{off: at, plain: plain}) // just built
		if g.held == nil {
			g.held = map[string]blobRef{}
		}
		maps.Copy(g.held, refs)
		plain = nil
	}
	seen := map[string]bool{}
	for i := range p.batch.Records {
		for _, b := range p.batch.Records[i].Blobs {
			if b.Object == "" || seen[b.Object] {
				continue
			}
			seen[b.Object] = true
			g.a.mu.Lock()
			in := g.a.inline[b.Object]
			_, held := g.a.held[b.Object]
			g.a.mu.Unlock()
			if _, now := g.held[b.Object]; in == nil || held || now {
				continue
			}
			plain = appendBlob(plain, b.Object, in.data)
			if len(plain) >= chunkLen {
				flush()
			}
		}
	}
	flush()
	return frames
}

// sealedFile is one named file that travels sealed, such as a copy of
// control.db.
type sealedFile struct {
	Name string
	Data []byte
	off  int64
}

type sealedRef struct {
	file *jfile // nil: in the tree
	off  int64
	id   string // object
}

var sealedName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,99}$`)

func (s *sealedFile) bytes() []byte { return append([]byte(s.Name+"\n"), s.Data...) }

func parseSealed(plain []byte) (*sealedFile, error) {
	name, data, ok := bytes.Cut(plain, []byte("\n"))
	if !ok || !sealedName.Match(name) {
		return nil, errFrame
	}
	return &sealedFile{Name: string(name), Data: data}, nil
}

// PutSealed keeps data under name: in the journal at once, so that it ships,
// and as /farol/<name> in the next point in time. The latest one counts. name
// is lower-case letters, digits, dot, dash and underscore. It returns
// [ErrFull], [ErrMissing] or [ErrTooLarge] (more than [MaxBatch]).
func (a *Archive) PutSealed(ctx context.Context, name string, data []byte) error {
	if !sealedName.MatchString(name) || name == stateName || name == cursorsName || name == commitsName {
		return fmt.Errorf("put sealed file: %q is not a name for one", name)
	}
	if len(data) > MaxBatch {
		return fmt.Errorf("put sealed file of %d bytes: %w", len(data), ErrTooLarge)
	}
	if err := a.room(int64(len(data))); err != nil {
		return fmt.Errorf("put sealed file: %w", err)
	}
	if err := a.submit(&pending{sealed: &sealedFile{Name: name, Data: data}}); err != nil {
		return fmt.Errorf("put sealed file: %w", err)
	}
	return nil
}

// LatestSealed returns what PutSealed kept last under name, or [ErrNotFound].
func (a *Archive) LatestSealed(ctx context.Context, name string) ([]byte, error) {
	a.mu.Lock()
	ref, ok := a.sealed[name]
	a.mu.Unlock()
	if !ok {
		return nil, fmt.Errorf("sealed file: %w", ErrNotFound)
	}
	if ref.file == nil {
		return a.readObject(ctx, ref.id)
	}
	f, err := a.j.readAt(ref.file, ref.off)
	if errors.Is(err, os.ErrNotExist) { // folded meanwhile
		a.mu.Lock()
		again := a.sealed[name]
		a.mu.Unlock()
		if again.file == nil {
			return a.readObject(ctx, again.id)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("sealed file: %w", err)
	}
	s, err := parseSealed(f.plain)
	if err != nil {
		return nil, fmt.Errorf("sealed file: %w: %w", ErrCorrupt, err)
	}
	return s.Data, nil
}
