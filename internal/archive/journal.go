package archive

import (
	"context"
	"crypto/cipher"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"farol/internal/record"
)

// journal is the set of journal files. mu guards the list and the writer;
// scanning reads files without it, because written bytes never change.
type journal struct {
	dir   string
	key   []byte
	codec *codec
	id    [16]byte
	epoch uint32

	mu     sync.Mutex
	number uint64 // last file number given in this epoch, never given again
	files  []*jfile
	cur    *jwriter
	last   tag // of the last frame written or kept
	refs   []commitRef
}

// jfile is one file. Its counters are written with both journal.mu and
// Archive.mu held, so either is enough to read them; the rest never changes.
type jfile struct {
	name   string
	head   fileHeader
	aead   cipher.AEAD
	size   int64 // bytes up to the end of the last whole commit
	plain  int64 // plaintext bytes in it
	n      int   // commits
	first  uint64
	last   uint64
	time   time.Time // of its last commit
	folded bool
	put    int64 // position of the put log when its fold was on disk
	bad    bool  // part of it cannot be read
}

type jwriter struct {
	f     *os.File
	file  *jfile
	index uint32
	head  []byte // file header not yet on disk
}

// commitRef finds an unfolded commit.
type commitRef struct {
	seq  uint64
	file *jfile
	off  int64
	n    int
}

// commitHead is the first line of a commit frame.
type commitHead struct {
	Seq     uint64            `json:"seq"`
	Time    time.Time         `json:"time"`
	Root    record.Hash       `json:"root"`
	Records int               `json:"records"`
	Frames  int               `json:"frames"` // of this commit that come before
	Cursors map[string]string `json:"cursors,omitempty"`
	Note    string            `json:"note,omitempty"`
}

// group is what one acknowledged append of one commit (or sealed file) holds.
type group struct {
	file   *jfile
	off    int64
	end    int64
	tag    tag
	frames []frame // the last one ends it
	head   commitHead
	sealed *sealedFile
}

// lines calls fn for every record line of the group.
func (g *group) lines(fn func(line []byte, loc record.Loc) error) error {
	for i := range g.frames {
		f := &g.frames[i]
		body, base := f.plain, int64(0)
		switch f.typ {
		case frameRecords:
		case frameCommit:
			base = int64(headLen(f.plain))
			body = f.plain[base:]
		default:
			continue
		}
		seg := journalSeg(g.file.name, f.off)
		err := eachLine(body, base, func(line []byte, off int64) error {
			return fn(line, record.Loc{Seg: seg, Off: off, Len: int64(len(line))})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func headLen(plain []byte) int {
	for i, c := range plain {
		if c == '\n' {
			return i + 1
		}
	}
	return len(plain)
}

// journalSeg names a frame as a segment; parseJournalSeg is its inverse.
func journalSeg(name string, off int64) string {
	return "j" + strings.TrimSuffix(name, ".fj") + "@" + strconv.FormatInt(off, 10)
}

func parseJournalSeg(seg string) (name string, off int64, ok bool) {
	rest, ok := strings.CutPrefix(seg, "j")
	if !ok {
		return "", 0, false
	}
	name, at, ok := strings.Cut(rest, "@")
	if !ok {
		return "", 0, false
	}
	off, err := strconv.ParseInt(at, 10, 64)
	return name + ".fj", off, err == nil && off >= 0
}

func (j *journal) path(name string) string { return filepath.Join(j.dir, name) }

// find returns the file named name.
func (j *journal) find(name string) *jfile {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, f := range j.files {
		if f.name == name {
			return f
		}
	}
	return nil
}

// list returns the files in order.
func (j *journal) list() []*jfile {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.files)
}

// readAt reads and opens the frame at off of the file.
func (j *journal) readAt(f *jfile, off int64) (frame, error) {
	r, err := os.Open(j.path(f.name))
	if err != nil {
		return frame{}, err
	}
	defer r.Close()
	fi, err := r.Stat()
	if err != nil {
		return frame{}, err
	}
	var prev *tag
	if off == fileHeaderLen {
		t := f.head.chain()
		prev = &t
	}
	fr, err := j.codec.readFrame(r, fi.Size(), off, f.aead, prev)
	if err != nil {
		return fr, fmt.Errorf("journal %s at %d: %w: %w", f.name, off, ErrCorrupt, err)
	}
	return fr, nil
}

// scanEnd says how a scan of a file ended.
type scanEnd struct {
	whole int64 // end of the last whole group
	tag   tag   // tag there
	size  int64
	bad   int64 // first unreadable place, -1 when there is none
	more  bool  // authentic frames lie behind bad: it is damage, not a torn tail
	found bool  // stop was met
}

// scan reads the file from off (0: the beginning) and calls fn for each whole
// group in order. It passes over damage where authentic frames follow. When
// stop is given it ends behind the frame with that tag.
func (j *journal) scan(ctx context.Context, file *jfile, off int64, stop *tag, fn func(*group) error) (end scanEnd, err error) {
	r, err := os.Open(j.path(file.name))
	if err != nil {
		return end, err
	}
	defer r.Close()
	fi, err := r.Stat()
	if err != nil {
		return end, err
	}
	end = scanEnd{size: fi.Size(), bad: -1, whole: fileHeaderLen, tag: file.head.chain()}
	var prev *tag
	if off <= fileHeaderLen {
		off = fileHeaderLen
		prev = &end.tag
	}
	if stop != nil && *stop == end.tag {
		end.found = true
		return end, nil
	}
	var g *group
	for {
		if err := ctx.Err(); err != nil {
			return end, err
		}
		f, err := j.codec.readFrame(r, end.size, off, file.aead, prev)
		if err == io.EOF {
			if g != nil && end.bad < 0 {
				end.bad = g.off // a group without its end
			}
			return end, nil
		}
		if errors.Is(err, errShort) || errors.Is(err, errFrame) {
			if end.bad < 0 {
				end.bad = off
				if g != nil {
					end.bad = g.off
				}
			}
			g = nil
			next := j.codec.findFrame(r, end.size, off+1, file.aead)
			if next < 0 {
				return end, nil
			}
			end.more = true
			off, prev = next, nil
			continue
		}
		if err != nil {
			return end, err
		}
		prev, off = &f.tag, f.end
		if g == nil || g.frames[0].seq != f.seq {
			g = &group{file: file, off: f.off}
		}
		g.frames = append(g.frames, f)
		if f.typ == frameCommit || f.typ == frameSealed {
			g.end, g.tag = f.end, f.tag
			if perr := g.parse(); perr != nil {
				if end.bad < 0 { // its first frames were lost
					end.bad = g.off
				}
				end.more = true
			} else {
				end.whole, end.tag = g.end, g.tag
				if err := fn(g); err != nil {
					return end, err
				}
			}
			g = nil
		}
		if stop != nil && f.tag == *stop {
			end.found = true
			return end, nil
		}
	}
}

func (g *group) parse() error {
	last := g.frames[len(g.frames)-1]
	if last.typ == frameSealed {
		s, err := parseSealed(last.plain)
		g.sealed = s
		return err
	}
	if err := json.Unmarshal(last.plain[:headLen(last.plain)], &g.head); err != nil {
		return errFrame
	}
	if g.head.Frames != len(g.frames)-1 || g.head.Seq != last.seq {
		return errFrame
	}
	return nil
}

// begin returns the writer, opening a new file when there is none or the
// current one is full.
func (j *journal) begin(next uint64) (*jwriter, error) {
	const (
		fileSize  = 16 << 20
		filePlain = 32 << 20 // a fold takes whole files into memory
	)
	if j.cur != nil && j.cur.file.size < fileSize && j.cur.file.plain < filePlain {
		return j.cur, nil
	}
	if err := j.rollLocked(); err != nil {
		return nil, err
	}
	h := fileHeader{archive: j.id, epoch: j.epoch, number: j.number + 1, salt: newSalt(), prev: j.last, next: next}
	aead, err := h.seal(j.key)
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf(journalPattern, h.epoch, h.number)
	f, err := os.OpenFile(j.path(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syncDir(j.dir); err != nil {
		f.Close()
		return nil, err
	}
	j.number++
	file := &jfile{name: name, head: h, aead: aead}
	j.cur = &jwriter{f: f, file: file, head: h.bytes()}
	j.last = h.chain()
	j.files = append(j.files, file)
	return j.cur, nil
}

// roll closes the current file, so that the next commit begins a new one.
func (j *journal) roll() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.rollLocked()
}

func (j *journal) rollLocked() error {
	if j.cur == nil {
		return nil
	}
	w := j.cur
	j.cur = nil
	if w.file.size == 0 { // nothing was ever acknowledged in it
		j.drop(w)
		return nil
	}
	return w.f.Close()
}

// drop forgets a file in which nothing was acknowledged.
func (j *journal) drop(w *jwriter) {
	w.f.Close()
	_ = os.Remove(j.path(w.file.name))
	j.files = slices.DeleteFunc(j.files, func(f *jfile) bool { return f == w.file })
	j.last = w.file.head.prev
}

func (j *journal) close() error { return j.roll() }

// openJournal lists and scans the journal: it cuts a torn tail, notes damage,
// and takes in every commit that no snapshot covers.
func (a *Archive) openJournal(ctx context.Context, key []byte, epoch uint32) error {
	// The files a point covers may all be gone: numbers go on behind them.
	j := &journal{dir: filepath.Join(a.dir, journalDir), key: key, codec: a.codec, id: a.id, epoch: max(epoch, a.pointer.Epoch)}
	if a.pointer.Epoch == j.epoch {
		j.number = a.pointer.File
	}
	a.j = j
	des, err := os.ReadDir(j.dir)
	if err != nil {
		return err
	}
	for _, de := range des {
		if filepath.Ext(de.Name()) != ".fj" {
			continue
		}
		if err := a.listFile(ctx, de.Name()); err != nil {
			return fmt.Errorf("journal %s: %w", de.Name(), err)
		}
	}
	slices.SortFunc(j.files, func(x, y *jfile) int { return x.head.compare(y.head.epoch, y.head.number) })
	for _, f := range j.files {
		switch {
		case f.head.epoch > j.epoch:
			j.epoch, j.number = f.head.epoch, f.head.number
		case f.head.epoch == j.epoch:
			j.number = max(j.number, f.head.number)
		}
	}
	for i, f := range j.files {
		f.folded = f.head.compare(a.pointer.Epoch, a.pointer.File) <= 0
		var stop *tag
		if i+1 < len(j.files) {
			stop = &j.files[i+1].head.prev
		}
		if f.folded {
			if err := a.noteFolded(f); err != nil {
				return err
			}
			if stop == nil { // the next file must chain to it
				end, err := j.scan(ctx, f, 0, nil, func(*group) error { return nil })
				if err != nil {
					return err
				}
				j.last = end.tag
			}
			continue
		}
		if err := a.takeFile(ctx, f, stop); err != nil {
			return fmt.Errorf("journal %s: %w", f.name, err)
		}
	}
	return nil
}

func (h *fileHeader) compare(epoch uint32, number uint64) int {
	if h.epoch != epoch {
		return int(int64(h.epoch) - int64(epoch))
	}
	switch {
	case h.number < number:
		return -1
	case h.number > number:
		return 1
	}
	return 0
}

// listFile reads a file's header. A file without a whole header never held an
// acknowledged commit.
func (a *Archive) listFile(ctx context.Context, name string) error {
	path := a.j.path(name)
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	b := make([]byte, fileHeaderLen)
	n, err := io.ReadFull(f, b)
	fi, serr := f.Stat()
	f.Close()
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return err
	}
	if serr != nil {
		return serr
	}
	h, err := parseFileHeader(b[:n])
	if err == nil && h.archive != a.id {
		return fmt.Errorf("it belongs to another archive: %w", ErrForeign)
	}
	if err != nil && fi.Size() > fileHeaderLen && a.healJournal(ctx, name) {
		return a.listFile(ctx, name)
	}
	if err != nil {
		d := Damage{What: "journal file without a header", Where: name, Lost: fi.Size() > fileHeaderLen}
		if fi.Size() > fileHeaderLen {
			a.addDamage(d)
		}
		return a.setAside(path)
	}
	aead, err := h.seal(a.j.key)
	if err != nil {
		return err
	}
	a.j.files = append(a.j.files, &jfile{name: name, head: h, aead: aead, size: fi.Size(), time: fi.ModTime()})
	return nil
}

// takeFile scans an unfolded file and takes its commits in. stop is the tag
// the next file continues from, nil for the last file.
func (a *Archive) takeFile(ctx context.Context, f *jfile, stop *tag) error {
	take := func() (scanEnd, error) {
		f.first, f.last, f.n, f.plain = 0, 0, 0, 0
		a.j.refs = slices.DeleteFunc(a.j.refs, func(r commitRef) bool { return r.file == f })
		return a.j.scan(ctx, f, 0, stop, a.takeGroup)
	}
	end, err := take()
	if err != nil {
		return err
	}
	whole := end.bad < 0 && (stop == nil || end.found)
	if !whole && (end.more || stop != nil || a.complete(f, end)) {
		// Not a plain torn tail: the off-site copy may hold the true bytes.
		if a.healJournal(ctx, f.name) {
			if end, err = take(); err != nil {
				return err
			}
			whole = end.bad < 0 && (stop == nil || end.found)
		}
	}
	switch {
	case whole:
	case stop == nil && !end.more:
		if err := a.cutTail(f, end); err != nil {
			return err
		}
	default:
		f.bad = true
		at := end.bad
		if at < 0 {
			at = end.size
		}
		a.addDamage(Damage{What: "journal frames", Where: f.name, Offset: at, Lost: true})
	}
	f.size = end.whole
	if stop == nil {
		a.j.last = end.tag
	}
	return nil
}

// complete reports whether the unreadable frame is all there: then it may be
// damage to an acknowledged commit rather than a write that was cut short.
func (a *Archive) complete(f *jfile, end scanEnd) bool {
	r, err := os.Open(a.j.path(f.name))
	if err != nil {
		return false
	}
	defer r.Close()
	var head [frameHeadLen]byte
	if _, err := r.ReadAt(head[:], end.bad); err != nil {
		return false
	}
	n, err := frameLen(head[:])
	return err == nil && end.bad+frameHeadLen+n <= end.size
}

// cutTail cuts an unacknowledged tail. Its bytes are kept aside: a flipped bit
// in the very last frame looks the same.
func (a *Archive) cutTail(f *jfile, end scanEnd) error {
	path := a.j.path(f.name)
	b, err := readRange(path, end.whole, end.size-end.whole)
	if err != nil {
		return err
	}
	if err := writeFile(filepath.Join(a.dir, quarantineDir, fmt.Sprintf("%s.tail-%d", f.name, end.whole)), b); err != nil {
		return err
	}
	w, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer w.Close()
	if err := w.Truncate(end.whole); err != nil {
		return err
	}
	a.addDamage(Damage{What: "torn journal tail cut", Where: f.name, Offset: end.whole, Lost: a.complete(f, end)})
	return w.Sync()
}

func readRange(path string, off, n int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, n)
	_, err = f.ReadAt(b, off)
	return b, err
}

// takeGroup takes a scanned commit into memory.
func (a *Archive) takeGroup(g *group) error {
	if g.sealed != nil {
		a.sealed[g.sealed.Name] = sealedRef{file: g.file, off: g.frames[0].off}
		return nil
	}
	h := &g.head
	a.j.refs = append(a.j.refs, commitRef{h.Seq, g.file, g.off, h.Records})
	a.noteCommit(g.file, h.Seq, h.Time, g.plainSize())
	if h.Seq > a.lastSeq {
		a.lastSeq, a.lastTime = h.Seq, h.Time
	}
	for k, v := range h.Cursors {
		a.cursors[k] = v
	}
	for i := range g.frames {
		if g.frames[i].typ == frameBlobs {
			refs, err := parseBlobs(g.file, &g.frames[i])
			if err != nil {
				return err
			}
			for id, ref := range refs {
				a.held[id] = ref
			}
		}
	}
	return nil
}

func (g *group) plainSize() (n int64) {
	for i := range g.frames {
		n += int64(len(g.frames[i].plain))
	}
	return n
}

func (a *Archive) noteCommit(f *jfile, seq uint64, t time.Time, plain int64) {
	if f.first == 0 {
		f.first = seq
	}
	f.last, f.time = seq, t
	f.n++
	f.plain += plain
}

// noteFolded needs nothing but the length of a file that a snapshot covers.
func (a *Archive) noteFolded(f *jfile) error {
	fi, err := os.Stat(a.j.path(f.name))
	if err != nil {
		return err
	}
	f.size, f.put = fi.Size(), a.blobs.log.end()
	return nil
}

// setAside moves a file to quarantine.
func (a *Archive) setAside(path string) error {
	to := filepath.Join(a.dir, quarantineDir, fmt.Sprintf("%s.%d", filepath.Base(path), time.Now().UnixNano()))
	if err := os.Rename(path, to); err != nil {
		return err
	}
	return errors.Join(syncDir(filepath.Dir(path)), syncDir(filepath.Dir(to)))
}
