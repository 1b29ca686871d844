package archive

import (
	"crypto/cipher"
	"errors"
	"fmt"
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
	fault func(op string) error

	mu     sync.Mutex
	number uint64 // last file number given in this epoch, never given again
	files  []*jfile
	cur    *jwriter
	last   tag      // of the last frame written or kept
	doubt  *jwriter // bytes behind file.size may be on disk and could not be taken back
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
	needs  []need
}

// need is up to where the put log must be held before the bytes of a journal
// file up to end may be: they name blobs that were put before.
type need struct{ end, put int64 }

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

// records counts what the commits in files hold.
func (j *journal) records(files []*jfile) (n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, r := range j.refs {
		if slices.Contains(files, r.file) {
			n += r.n
		}
	}
	return n
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
	if err := j.fault("journal.create"); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(j.path(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	j.number++ // whatever follows: its name is taken
	err = j.fault("journal.created")
	if err == nil {
		err = syncDir(j.dir)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(j.path(name)))
	}
	file := &jfile{name: name, head: h, aead: aead}
	j.cur = &jwriter{f: f, file: file, head: h.bytes()}
	j.last = h.chain()
	j.files = append(j.files, file)
	return j.cur, nil
}

// closed closes the current file and lists all there are: none of them is ever
// appended to again. Both happen under one lock, or a commit in between would
// begin a file that a fold took for complete.
func (j *journal) closed() ([]*jfile, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.rollLocked(); err != nil {
		return nil, err
	}
	return slices.Clone(j.files), nil
}

// roll closes the current file, so that the next commit begins a new one.
func (j *journal) roll() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.rollLocked()
}

func (j *journal) rollLocked() error {
	if err := j.settle(); err != nil {
		return err
	}
	if j.cur == nil {
		return nil
	}
	w := j.cur
	j.cur = nil
	if w.file.size == 0 { // nothing was ever acknowledged in it
		return j.drop(w)
	}
	return w.f.Close()
}

// settle takes back what an append left whose undoing failed as well, as on a
// disk that was remounted read-only. Until that works nothing is appended or
// folded; then the archive goes on by itself.
func (j *journal) settle() error {
	w := j.doubt
	if w == nil {
		return nil
	}
	if err := j.takeBack(w); err != nil {
		return fmt.Errorf("take back an append that failed: %w", full(err))
	}
	j.doubt = nil
	return w.f.Close()
}

// takeBack cuts a file to what was acknowledged, and removes one in which that
// is nothing.
func (j *journal) takeBack(w *jwriter) error {
	if err := j.fault("journal.undo"); err != nil {
		return err
	}
	if w.file.size == 0 {
		if err := os.Remove(j.path(w.file.name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return syncDir(j.dir)
	}
	if err := w.f.Truncate(w.file.size); err != nil {
		return err
	}
	return w.f.Sync()
}

// drop forgets a file in which nothing was acknowledged.
func (j *journal) drop(w *jwriter) error {
	j.files = slices.DeleteFunc(j.files, func(f *jfile) bool { return f == w.file })
	j.last = w.file.head.prev
	w.file.size = 0
	if err := j.takeBack(w); err != nil {
		j.doubt = w
		return err
	}
	return w.f.Close()
}

// close gives up what could not be taken back: the next open cuts it.
func (j *journal) close() error {
	err := j.roll()
	if j.doubt != nil {
		err = errors.Join(err, j.doubt.f.Close())
	}
	return err
}
