package archive

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/kopia/kopia/fs"
	"github.com/kopia/kopia/repo/object"
	"github.com/kopia/kopia/snapshot"

	"farol/internal/record"
)

// roundBytes bounds the plaintext one round of a fold holds in memory.
const roundBytes = 32 << 20

// folding is one round of a fold: some journal files become one point.
type folding struct {
	a       *Archive
	files   []*jfile
	tree    *tree
	moves   *moveWriter
	m       Moves
	state   pointState
	lines   []foldLine
	blobs   map[string][]byte // small blobs of these files by object
	written map[string]bool
	commits []foldedCommit
	cursors map[string]string
	sealed  map[string][]byte
	objects map[string]string // sealed file to object
	links   []string          // blobs that got a place in the tree
	buf     []byte
}

// foldedCommit is one line of a file below /farol/commits.
type foldedCommit struct {
	Seq     uint64            `json:"seq"`
	Time    time.Time         `json:"time"`
	Root    record.Hash       `json:"root"`
	Records int               `json:"records"`
	Note    string            `json:"note,omitempty"`
	Cursors map[string]string `json:"cursors,omitempty"`
	Leaves  []byte            `json:"leaves"` // 32 bytes each
}

// Fold packs the journal into the repository and returns the new point in
// time, or nil when nothing waited. A large journal takes several rounds of
// about 32 MiB, each a point of its own; the last one is returned. Commits go
// on meanwhile. A fold that fails changed nothing and may be repeated.
//
// It returns [ErrFull] when the disk lacks the room, [ErrCorrupt] when what
// was written does not read back, and the catalog's own error when it did not
// take the moves: then the point exists and [Archive.Relocate] tries again.
func (a *Archive) Fold(ctx context.Context) (*Point, error) { return a.FoldAs(ctx, nil) }

// FoldAs is Fold with tags on the point, such as class=nightly. With tags it
// makes a point even when nothing waited.
func (a *Archive) FoldAs(ctx context.Context, tags map[string]string) (*Point, error) {
	a.foldMu.Lock()
	defer a.foldMu.Unlock()
	return a.foldLocked(ctx, tags)
}

func (a *Archive) foldLocked(ctx context.Context, tags map[string]string) (*Point, error) {
	if err := a.writable(); err != nil {
		return nil, fmt.Errorf("fold: %w", err)
	}
	if err := a.relocateLocked(ctx); err != nil {
		return nil, fmt.Errorf("fold: %w", full(err))
	}
	if err := a.spillInline(ctx); err != nil {
		return nil, fmt.Errorf("fold: %w", full(err))
	}
	began := time.Now() // not Options.Now: a duration, also where a test sets the clock
	var point *Point
	defer func() {
		if point != nil {
			a.mu.Lock()
			a.foldTook = time.Since(began)
			a.mu.Unlock()
		}
	}()
	for {
		files, more, err := a.foldable()
		if err != nil {
			return point, fmt.Errorf("fold: %w", full(err))
		}
		if len(files) == 0 && (len(tags) == 0 || point != nil) {
			break
		}
		round := tags
		if more {
			round = nil // the last round carries the tags
		}
		p, err := a.foldRound(ctx, files, round)
		if err != nil {
			return point, fmt.Errorf("fold: %w", full(err))
		}
		point = p
		if err := a.relocateLocked(ctx); err != nil {
			return point, fmt.Errorf("fold: %w", full(err))
		}
		if !more {
			break
		}
	}
	if err := a.removeFolded(); err != nil {
		return point, fmt.Errorf("fold: %w", full(err))
	}
	return point, nil
}

// foldable closes the current journal file and picks the files of one round.
func (a *Archive) foldable() (files []*jfile, more bool, err error) {
	all, err := a.j.closed()
	if err != nil {
		return nil, false, err
	}
	a.mu.Lock()
	applied, limited := a.applied, a.appliedN && a.relocate != nil
	a.mu.Unlock()
	var size int64
	for _, f := range all {
		a.mu.Lock()
		folded, last, plain := f.folded, f.last, f.plain
		a.mu.Unlock()
		if folded {
			continue
		}
		if limited && last > applied {
			break // its rows are not in the catalog yet
		}
		if len(files) > 0 && size+plain > roundBytes {
			return files, true, nil
		}
		files = append(files, f)
		size += plain
	}
	if err := a.room(size); err != nil && len(files) > 0 {
		return nil, false, err
	}
	return files, false, nil
}

// spillInline moves small blobs that wait long for their commit into the
// repository, so that they cannot fill the memory.
func (a *Archive) spillInline(ctx context.Context) error {
	a.mu.Lock()
	old := map[string][]byte{}
	for id, b := range a.inline {
		if a.stale(b.put, 10*time.Minute) {
			old[id] = b.data
		}
	}
	a.mu.Unlock()
	for id, data := range old {
		if _, err := a.writeObject(ctx, data); err != nil {
			return err
		}
		a.mu.Lock()
		a.writing[id]++
		a.dropInline(id)
		a.mu.Unlock()
		a.wait(id)
	}
	return nil
}

func (a *Archive) foldRound(ctx context.Context, files []*jfile, tags map[string]string) (*Point, error) {
	f := &folding{
		a: a, files: files, blobs: map[string][]byte{}, written: map[string]bool{},
		cursors: map[string]string{}, sealed: map[string][]byte{}, objects: map[string]string{}, state: a.pointer,
	}
	a.foldNo++
	f.state.Archive, f.state.Fold = a.ID(), a.foldNo
	if f.state.Org == "" {
		f.state.Org = orgDir(a.opt.Org)
	}
	f.lines = make([]foldLine, 0, a.j.records(files)) // grown step by step they would be copied, and held, twice
	for _, file := range files {
		if err := f.read(ctx, file); err != nil {
			return nil, err
		}
		f.state.Epoch, f.state.File = file.head.epoch, file.head.number
	}
	f.m = Moves{Fold: a.foldNo, After: a.pointer.Seq, Upto: f.state.Seq, path: a.movesPath(a.foldNo)}
	var err error
	if f.moves, err = newMoveWriter(f.m, a.opt.Fault); err != nil {
		return nil, err
	}
	oid, err := f.write(ctx)
	if err != nil {
		f.moves.abort()
		return nil, err
	}
	if err := f.moves.finish(); err != nil {
		return nil, err
	}
	if err := a.opt.Fault("fold.moves"); err != nil {
		return nil, err
	}
	p, err := f.save(ctx, oid, tags)
	if err != nil {
		return nil, err
	}
	f.adopt(p)
	return p, nil
}

// read takes one journal file into memory. It fails when that is not every
// commit that was acknowledged in it: the file goes once its point is there.
func (f *folding) read(ctx context.Context, file *jfile) error {
	before := len(f.commits)
	names := map[string]string{} // one string a container
	_, err := f.a.j.scan(ctx, file, 0, f.a.j.stopOf(file), func(g *group) error {
		if g.sealed != nil {
			f.sealed[g.sealed.Name] = g.sealed.Data
			return nil
		}
		h := &g.head
		c := foldedCommit{h.Seq, h.Time, h.Root, h.Records, h.Note, h.Cursors, make([]byte, 0, 32*h.Records)}
		for i := range g.frames {
			if g.frames[i].typ != frameBlobs {
				continue
			}
			refs, err := parseBlobs(file, &g.frames[i])
			if err != nil {
				return err
			}
			for id, r := range refs {
				f.blobs[id] = g.frames[i].plain[r.at : r.at+r.n]
			}
		}
		err := g.lines(func(line []byte, loc record.Loc) error {
			l, e, err := newFoldLine(line, loc)
			if err != nil {
				return err
			}
			if n, ok := names[l.container]; ok {
				l.container = n
			} else {
				names[l.container] = l.container
			}
			leaf := leafHash(&e.rec, e.hash)
			c.Leaves = append(c.Leaves, leaf[:]...)
			f.lines = append(f.lines, l)
			f.state.Records++
			f.state.Bytes += int64(len(line))
			return nil
		})
		if err != nil {
			return fmt.Errorf("commit %d: %w", h.Seq, err)
		}
		f.commits = append(f.commits, c)
		maps.Copy(f.cursors, h.Cursors)
		f.state.Seq, f.state.Time = h.Seq, h.Time
		return nil
	})
	if err != nil {
		return fmt.Errorf("journal %s: %w", file.name, err)
	}
	f.a.mu.Lock()
	want, bad := file.n, file.bad
	f.a.mu.Unlock()
	if got := len(f.commits) - before; got != want && !bad {
		return fmt.Errorf("journal %s: %d commits can be read, %d were acknowledged: %w", file.name, got, want, ErrCorrupt)
	}
	return nil
}

// stopOf is the tag the next file continues from; frames behind it were taken
// back.
func (j *journal) stopOf(file *jfile) *tag {
	j.mu.Lock()
	defer j.mu.Unlock()
	i := slices.Index(j.files, file)
	if i < 0 || i+1 >= len(j.files) {
		return nil
	}
	return &j.files[i+1].head.prev
}

// write writes segments, blobs and our own files and returns the root.
func (f *folding) write(ctx context.Context) (*snapshot.DirEntry, error) {
	f.tree = newTree(f.a, fs.UTCTimestampFromTime(f.a.now()))
	defer func() { _ = f.tree.wait() }() // also after an error: nothing is written behind our back
	if f.a.point != nil {
		f.tree.root.oid = f.a.point.root
	}
	slices.SortStableFunc(f.lines, byPlace)
	for lines := f.lines; len(lines) > 0; {
		n := run(lines, func(l *foldLine) bool { return l.kind == lines[0].kind && l.container == lines[0].container })
		path := containerPath(f.state.Org, lines[0].kind, lines[0].container)
		if err := f.container(ctx, path, lines[:n]); err != nil {
			return nil, err
		}
		lines = lines[n:]
	}
	if err := f.a.opt.Fault("fold.segments"); err != nil {
		return nil, err
	}
	if err := f.own(ctx); err != nil {
		return nil, err
	}
	if err := f.tree.wait(); err != nil {
		return nil, err
	}
	root, err := f.tree.write(ctx, "", "/", f.tree.root)
	if err != nil {
		return nil, err
	}
	return root, f.a.opt.Fault("fold.tree")
}

func (f *folding) container(ctx context.Context, path []string, lines []foldLine) error {
	for rest := lines; len(rest) > 0; {
		month := rest[0].month()
		n := run(rest, func(l *foldLine) bool { return l.month() == month })
		if err := f.foldMonth(ctx, path, rest[:n]); err != nil {
			return err
		}
		rest = rest[n:]
	}
	for i := range lines {
		if err := f.foldBlobs(ctx, path, &lines[i]); err != nil {
			return err
		}
	}
	return f.tree.close(ctx, path...)
}

// run is the length of the beginning of lines for which same holds.
func run(lines []foldLine, same func(*foldLine) bool) int {
	n := 0
	for n < len(lines) && same(&lines[n]) {
		n++
	}
	return n
}

// own writes what lies below /farol.
func (f *folding) own(ctx context.Context) error {
	d, err := f.tree.dir(ctx, farolDir)
	if err != nil {
		return err
	}
	if e := d.entries[cursorsName]; e != nil {
		old := map[string]string{}
		b, err := f.a.readObject(ctx, e.ObjectID.String())
		if err == nil {
			err = json.Unmarshal(b, &old)
		}
		if err != nil {
			// A cursor that is lost costs work, a fold that stops costs more.
			f.a.addDamage(Damage{What: "cursors", Where: e.ObjectID.String(), Hits: err.Error()})
		}
		maps.Copy(old, f.cursors)
		f.cursors = old
	}
	f.a.mu.Lock()
	f.state.Pending = nil
	for _, m := range f.a.moves {
		f.state.Pending = append(f.state.Pending, m.Fold)
	}
	f.a.mu.Unlock()
	f.state.Pending = append(f.state.Pending, f.m.Fold)
	for name, v := range map[string]any{stateName: f.state, cursorsName: f.cursors} {
		b, err := json.MarshalIndent(v, "", " ")
		if err != nil {
			return err
		}
		if _, err := f.tree.put(ctx, d, name, append(b, '\n')); err != nil {
			return err
		}
	}
	for name, data := range f.sealed {
		id, err := f.tree.put(ctx, d, name, data)
		if err != nil {
			return err
		}
		f.objects[name] = id.String()
	}
	return f.ownCommits(ctx)
}

func commitsPath(first uint64) []string {
	return []string{farolDir, commitsName, fmt.Sprintf("%06d", first/1e6), fmt.Sprintf("%09d", first/1e3)}
}

func (f *folding) ownCommits(ctx context.Context) error {
	if len(f.commits) == 0 {
		return nil
	}
	first, last := f.commits[0].Seq, f.commits[len(f.commits)-1].Seq
	d, err := f.tree.dir(ctx, commitsPath(first)...)
	if err != nil {
		return err
	}
	w := f.a.w.NewObjectWriter(f.a.ctx(ctx), object.WriterOptions{Compressor: compressor, MetadataCompressor: compressor})
	defer w.Close()
	size := int64(0)
	for i := range f.commits {
		b, err := json.Marshal(&f.commits[i])
		if err != nil {
			return err
		}
		size += int64(len(b)) + 1
		if _, err := w.Write(append(b, '\n')); err != nil {
			return fmt.Errorf("write the commits: %w", full(err))
		}
	}
	id, err := w.Result()
	if err != nil {
		return fmt.Errorf("write the commits: %w", full(err))
	}
	f.tree.link(d, fmt.Sprintf("%012d-%012d%s", first, last, segmentExt), id, size, f.tree.now)
	return nil
}

// save makes the point and puts it on disk, then reads everything back.
func (f *folding) save(ctx context.Context, root *snapshot.DirEntry, tags map[string]string) (*Point, error) {
	a := f.a
	now := a.now().UTC()
	state, err := json.Marshal(f.state)
	if err != nil {
		return nil, err
	}
	labels := map[string]string{
		"state": string(state),
		"fold":  strconv.FormatUint(f.state.Fold, 10), "seq": strconv.FormatUint(f.state.Seq, 10),
		"records": strconv.FormatInt(f.state.Records, 10), "blobs": strconv.FormatInt(f.state.Blobs, 10),
		"bytes": strconv.FormatInt(f.state.Bytes, 10), "time": strconv.FormatInt(now.UnixMilli(), 10),
	}
	for k, v := range tags {
		if _, ok := labels[k]; ok {
			return nil, fmt.Errorf("tag the point: %q is a tag of ours", k)
		}
		labels[k] = v
	}
	man := &snapshot.Manifest{
		Source: source, StartTime: f.tree.now, EndTime: fs.UTCTimestampFromTime(now), RootEntry: root, Tags: labels,
		Stats: snapshot.Stats{TotalFileCount: int32(root.DirSummary.TotalFileCount), TotalFileSize: root.DirSummary.TotalFileSize},
	}
	id, err := snapshot.SaveSnapshot(a.ctx(ctx), a.w, man)
	if err == nil {
		err = a.opt.Fault("fold.snapshot")
	}
	if err == nil {
		a.flushMu.Lock()
		err = a.w.Flush(a.ctx(ctx))
		a.flushMu.Unlock()
	}
	if err == nil {
		err = a.opt.Fault("fold.flushed")
	}
	if err == nil {
		err = a.verifyMoves(ctx, f.m)
	}
	if err == nil {
		err = a.opt.Fault("fold.verified")
	}
	if err != nil {
		// The point may be on disk already; the next flush takes it away. Its
		// moves stay until then, in case this process ends before.
		if id != "" {
			err = errors.Join(err, a.deleteManifest(ctx, string(id)))
		}
		return nil, fmt.Errorf("save the point: %w", full(err))
	}
	p := &Point{
		ID: string(id), Time: now, Fold: f.state.Fold, Seq: f.state.Seq,
		Records: f.state.Records, Blobs: f.state.Blobs, Bytes: f.state.Bytes,
		Tags: maps.Clone(tags), root: root.ObjectID.String(),
	}
	return p, nil
}

// adopt makes the saved point the latest.
func (f *folding) adopt(p *Point) {
	a := f.a
	end := a.blobs.log.end()
	a.j.mu.Lock()
	a.mu.Lock()
	a.point, a.pointer = p, f.state
	a.moves = append(a.moves, f.m)
	for _, file := range f.files {
		file.folded, file.put = true, end
	}
	a.j.refs = slices.DeleteFunc(a.j.refs, func(r commitRef) bool { return r.file.folded })
	for id, r := range a.held {
		if r.file.folded {
			delete(a.held, id)
		}
	}
	for name, oid := range f.objects {
		if r := a.sealed[name]; r.file == nil || r.file.folded {
			a.sealed[name] = sealedRef{id: oid}
		}
	}
	a.mu.Unlock()
	a.j.mu.Unlock()
	f.linked()
	a.dropStaleMoves()
}

// dropStaleMoves removes the moves of folds that failed.
func (a *Archive) dropStaleMoves() {
	a.mu.Lock()
	keep := map[string]bool{}
	for _, m := range a.moves {
		keep[filepath.Base(m.path)] = true
	}
	a.mu.Unlock()
	des, _ := os.ReadDir(filepath.Join(a.dir, movesDir))
	for _, de := range des {
		if !keep[de.Name()] {
			_ = os.Remove(filepath.Join(a.dir, movesDir, de.Name())) // tried again at the next fold
		}
	}
}

// foldedCommitment reads the leaves of a folded commit.
func (a *Archive) foldedCommitment(ctx context.Context, seq uint64) (leaves []record.Hash, root record.Hash, err error) {
	fail := func(err error) ([]record.Hash, record.Hash, error) {
		return nil, root, fmt.Errorf("commitment of commit %d: %w", seq, err)
	}
	a.mu.Lock()
	p := a.point
	a.mu.Unlock()
	if p == nil || seq == 0 || seq > p.Seq {
		return fail(ErrNotFound)
	}
	oid, err := a.commitsFile(ctx, p, seq)
	if err != nil {
		return fail(err)
	}
	b, err := a.readObject(ctx, oid)
	if err != nil {
		return fail(err)
	}
	for line := range bytes.Lines(b) {
		// Cheap look before the costly parse of other commits' leaves.
		if !bytes.HasPrefix(line, fmt.Appendf(nil, `{"seq":%d,`, seq)) {
			continue
		}
		var c foldedCommit
		if err := json.Unmarshal(line, &c); err != nil || len(c.Leaves) != 32*c.Records {
			return fail(ErrCorrupt)
		}
		for l := range slices.Chunk(c.Leaves, 32) {
			leaves = append(leaves, record.Hash(l))
		}
		if record.Root(leaves) != c.Root {
			return fail(ErrCorrupt)
		}
		return leaves, c.Root, nil
	}
	return fail(ErrNotFound)
}

// commitsFile finds the file whose first commit is the last one not after seq.
func (a *Archive) commitsFile(ctx context.Context, p *Point, seq uint64) (oid string, err error) {
	dir, err := a.openDir(ctx, p.root, farolDir, commitsName)
	if err != nil {
		return "", err
	}
	// Names are numbers of fixed width: the last name not after the wanted
	// one holds it, or, when it begins too late, the one before.
	limits := []string{fmt.Sprintf("%06d", seq/1e6), fmt.Sprintf("%09d", seq/1e3), fmt.Sprintf("%012d", seq)}
	var find func(dir map[string]*snapshot.DirEntry, level int) (string, error)
	find = func(dir map[string]*snapshot.DirEntry, level int) (string, error) {
		names := sortedNames(dir)
		for i := len(names) - 1; i >= 0; i-- {
			name := names[i]
			e := dir[name]
			if level == 2 {
				if len(name) >= 12 && name[:12] <= limits[2] {
					return e.ObjectID.String(), nil
				}
				continue
			}
			if name > limits[level] {
				continue
			}
			sub, err := a.readDir(ctx, e.ObjectID.String())
			if err != nil {
				return "", err
			}
			if oid, err := find(sub, level+1); err != nil || oid != "" {
				return oid, err
			}
		}
		return "", nil
	}
	oid, err = find(dir, 0)
	if err == nil && oid == "" {
		err = ErrNotFound
	}
	return oid, err
}
