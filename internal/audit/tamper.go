package audit

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Tampering says how files differ from what was signed. It wraps [ErrTampered].
type Tampering struct {
	Head     tlog.Tree // what the log was known to be
	From, To int64     // the first entry that differs lies between these, both included
	Why      string    // one of the words below
}

// The ways in which a log is found changed.
const (
	Gone       = "gone"       // files are missing
	Cut        = "cut"        // entries at the end are missing
	Edited     = "edited"     // an entry is not what was signed
	Forked     = "forked"     // entries are whole, but not those that were signed
	RolledBack = "rolledback" // an older state of the files
)

func (t *Tampering) Error() string {
	if t.From == t.To {
		return fmt.Sprintf("%s (%s): entry %d is the first that differs from the log of %d that was signed", ErrTampered, t.Why, t.From, t.Head.N)
	}
	return fmt.Sprintf("%s (%s): the first entry that differs from the log of %d that was signed lies between %d and %d", ErrTampered, t.Why, t.Head.N, t.From, t.To)
}

func (t *Tampering) Unwrap() error { return ErrTampered }

// crown is the right edge of a growing tree: enough to know its root at each
// size, in a few hundred bytes whatever the size.
type crown struct {
	n     int64
	peaks []peak
	made  []tlog.Hash // by the last add, in the order of hashes.log
}

type peak struct {
	hash tlog.Hash
	n    int64
}

func (c *crown) add(leaf []byte) {
	p := peak{tlog.RecordHash(leaf), 1}
	c.made = append(c.made[:0], p.hash)
	for len(c.peaks) > 0 && c.peaks[len(c.peaks)-1].n == p.n {
		left := c.peaks[len(c.peaks)-1]
		c.peaks = c.peaks[:len(c.peaks)-1]
		p = peak{tlog.NodeHash(left.hash, p.hash), 2 * p.n}
		c.made = append(c.made, p.hash)
	}
	c.peaks = append(c.peaks, p)
	c.n++
}

func (c *crown) root() tlog.Hash {
	if len(c.peaks) == 0 {
		h, _ := tlog.TreeHash(0, nil)
		return h
	}
	h := c.peaks[len(c.peaks)-1].hash
	for i := len(c.peaks) - 2; i >= 0; i-- {
		h = tlog.NodeHash(c.peaks[i].hash, h)
	}
	return h
}

// Inspect reads the files of a log, changing nothing, and says whether and where
// they differ from the checkpoints in heads, which were kept elsewhere, and from
// the one that lies beside them. It returns the number of entries that are as
// they were signed, and a [Tampering] when something differs. A nil verifier
// leaves the signature of the checkpoint unchecked.
func Inspect(dir string, box Box, verify note.Verifier, heads ...tlog.Tree) (int64, error) {
	known := map[int64]tlog.Hash{}
	var newest tlog.Tree
	unsigned := false
	for _, h := range heads {
		if known[h.N] = h.Hash; h.N > newest.N {
			newest = h
		}
	}
	beside, err := readCheckpoint(dir, verify)
	switch {
	case errors.Is(err, os.ErrNotExist) && newest.N == 0:
		return 0, err
	case err != nil: // gone or not ours: what was kept elsewhere decides
		unsigned = true
	case beside.N > newest.N:
		known[beside.N], newest = beside.Hash, beside
	}
	if newest.N == 0 {
		return 0, nil
	}
	f, err := os.Open(filepath.Join(dir, "entries.log"))
	if errors.Is(err, os.ErrNotExist) {
		return 0, &Tampering{Head: newest, Why: Gone}
	} else if err != nil {
		return 0, fmt.Errorf("read audit log: %w", err)
	}
	defer f.Close()
	hashes, err := os.Open(filepath.Join(dir, "hashes.log"))
	if err == nil {
		defer hashes.Close()
	} else if !errors.Is(err, os.ErrNotExist) {
		return 0, fmt.Errorf("read audit hashes: %w", err)
	} else {
		hashes = nil
	}
	w := walker{l: &Log{box: box}, f: f, hashes: hashes, head: newest}
	n, err := w.walk(known)
	if t, ok := errors.AsType[*Tampering](err); ok && t.Why == Cut && beside.N > 0 && beside.N < newest.N && n >= beside.N {
		t.Why = RolledBack
	}
	if err == nil && unsigned {
		err = &Tampering{Head: newest, From: newest.N, To: newest.N, Why: Edited}
	}
	return n, err
}

func readCheckpoint(dir string, verify note.Verifier) (tlog.Tree, error) {
	b, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	if err != nil {
		return tlog.Tree{}, fmt.Errorf("read audit checkpoint: %w", err)
	}
	if verify == nil {
		return parseCheckpoint(string(b))
	}
	return OpenCheckpoint(b, verify)
}

// walker reads entries one after the other.
type walker struct {
	l      *Log
	f      *os.File
	hashes *os.File // nil: missing, they are derived
	head   tlog.Tree
	buf    []byte
	all    bool // compare every hash of hashes.log, too
}

// ErrHashes means that the entries are as they were signed and hashes.log is
// not: it is derived, and made anew when it is taken away.
var ErrHashes = fmt.Errorf("%w: its hashes, which are derived from the entries", ErrTampered)

func (w *walker) walk(known map[int64]tlog.Hash) (int64, error) {
	var c crown
	var good, off int64 // entries below good are as a checkpoint says
	differs := false
	var stored *bufio.Reader
	if w.all && w.hashes != nil {
		stored = bufio.NewReaderSize(io.NewSectionReader(w.hashes, 0, 1<<62), 1<<16)
	}
	for i := int64(0); i < w.head.N; i++ {
		o, end, err := w.entry(i, off)
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return i, &Tampering{Head: w.head, From: i, To: i, Why: Cut}
		case errors.Is(err, ErrTampered):
			return i, &Tampering{Head: w.head, From: i, To: i, Why: Edited}
		case err != nil: // a bad disk is no attack
			return i, fmt.Errorf("read audit entry %d: %w", i, err)
		}
		off = end
		c.add(o.leaf)
		for _, h := range c.made {
			var was tlog.Hash
			if stored == nil || differs {
				break
			}
			_, err := io.ReadFull(stored, was[:])
			differs = err != nil || was != h
		}
		if root, ok := known[c.n]; ok {
			if root == c.root() {
				good = c.n
				continue
			}
			t := w.narrow(known, good, c.n)
			return t.From, t
		}
	}
	if differs {
		return w.head.N, ErrHashes
	}
	return w.head.N, nil
}

// narrow looks in hashes.log for the first leaf that is another one between two
// checkpoints. When the hashes were changed along, the two bounds are all that
// can be known here.
func (w *walker) narrow(known map[int64]tlog.Hash, from, to int64) *Tampering {
	t := &Tampering{Head: tlog.Tree{N: to, Hash: known[to]}, From: from, To: to - 1, Why: Forked}
	if w.hashes == nil {
		return t
	}
	stored := hashFile{w.hashes}
	if root, err := tlog.TreeHash(to, stored); err != nil || root != known[to] {
		return t // these hashes are not those that were signed
	}
	off := int64(0)
	for i := int64(0); i < to; i++ {
		o, end, err := w.entry(i, off)
		if err != nil {
			return t
		}
		off = end
		h, err := stored.ReadHashes([]int64{tlog.StoredHashIndex(0, i)})
		if err != nil {
			return t
		}
		if i >= from && h[0] != tlog.RecordHash(o.leaf) {
			t.From, t.To, t.Why = i, i, Edited
			return t
		}
	}
	return t
}

// entry reads and opens one entry. One that cannot be opened is read again: its
// content may be expiring at this moment, in this process or another.
func (w *walker) entry(seq, off int64) (o opened, end int64, err error) {
	for try := range 2 {
		if try > 0 {
			time.Sleep(200 * time.Millisecond)
		}
		var sealed []byte
		if sealed, err = w.next(off); err != nil {
			return o, 0, err
		}
		if o, err = w.l.open(seq, sealed); err == nil {
			return o, off + 4 + int64(len(sealed)), nil
		}
	}
	return o, 0, err
}

var errLength = fmt.Errorf("%w: an impossible length", ErrTampered)

// next reads the sealed bytes of the entry at off.
func (w *walker) next(off int64) ([]byte, error) {
	var head [4]byte
	if _, err := w.f.ReadAt(head[:], off); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n == 0 || n > maxEntry {
		return nil, errLength
	}
	if cap(w.buf) < int(n) {
		w.buf = make([]byte, n)
	}
	w.buf = w.buf[:n]
	if _, err := w.f.ReadAt(w.buf, off+4); err != nil {
		return nil, err
	}
	return w.buf, nil
}

// maxEntry bounds what is believed of a length.
const maxEntry = 16 << 20

// hashFile reads hashes.log.
type hashFile struct{ f io.ReaderAt }

func (h hashFile) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		if _, err := h.f.ReadAt(out[i][:], x*tlog.HashSize); err != nil {
			return nil, fmt.Errorf("read audit hash %d: %w", x, err)
		}
	}
	return out, nil
}

// CheckHeads compares the files with checkpoints kept elsewhere before anything
// is opened for writing, so that what was changed is found as it was left. It
// reads the hashes only, and takes no time. It returns [ErrTampered].
func CheckHeads(dir string, verify note.Verifier, heads ...tlog.Tree) error {
	var newest tlog.Tree
	for _, h := range heads {
		if h.N > newest.N {
			newest = h
		}
	}
	if newest.N == 0 {
		return nil
	}
	if fi, err := os.Stat(filepath.Join(dir, "entries.log")); err != nil || fi.Size() == 0 {
		return fmt.Errorf("%w: the entries are gone, %d were signed", ErrTampered, newest.N)
	}
	beside, err := readCheckpoint(dir, verify)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrTampered, err)
	}
	if beside.N < newest.N {
		return fmt.Errorf("%w: the checkpoint is of %d entries, one of %d was signed", ErrTampered, beside.N, newest.N)
	}
	f, err := os.Open(filepath.Join(dir, "hashes.log"))
	if err != nil {
		return nil // derived: made anew from the entries and compared then
	}
	defer f.Close()
	return compareHeads(hashFile{f}, beside.N, heads)
}

func compareHeads(r tlog.HashReader, size int64, heads []tlog.Tree) error {
	for _, h := range heads {
		if h.N == 0 {
			continue
		}
		if h.N > size {
			return fmt.Errorf("%w: it has %d entries, %d were signed", ErrTampered, size, h.N)
		}
		root, err := tlog.TreeHash(h.N, r)
		if err != nil {
			continue // the hashes are shorter than they were: they are made anew
		}
		if root != h.Hash {
			return fmt.Errorf("%w at size %d", ErrTampered, h.N)
		}
	}
	return nil
}

// Check compares the open log with what lies on disk now and with checkpoints
// kept elsewhere. It takes no time. It returns [ErrTampered].
func (l *Log) Check(heads ...tlog.Tree) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for name, f := range map[string]*os.File{"entries.log": l.entries, "hashes.log": l.hashes} {
		ours, err := f.Stat()
		if err != nil {
			return fmt.Errorf("look at the audit log: %w", err)
		}
		theirs, err := os.Stat(filepath.Join(l.dir, name))
		if err != nil || !os.SameFile(ours, theirs) {
			return fmt.Errorf("%w: %s is gone or another file", ErrTampered, name)
		}
		if name == "entries.log" && ours.Size() < l.end {
			return fmt.Errorf("%w: %s was cut", ErrTampered, name)
		}
	}
	if l.signed != nil {
		b, err := os.ReadFile(filepath.Join(l.dir, "checkpoint"))
		if err != nil || string(b) != string(l.signed) {
			return fmt.Errorf("%w: the checkpoint is gone or another one", ErrTampered)
		}
	}
	if err := compareHeads(l, l.tree.N, heads); err != nil {
		return err
	}
	return compareHeads(l, l.tree.N, []tlog.Tree{l.tree})
}
