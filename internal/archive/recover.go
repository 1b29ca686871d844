package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// openJournal lists and scans the journal: it cuts a torn tail, notes damage,
// and takes in every commit that no snapshot covers.
func (a *Archive) openJournal(ctx context.Context, key []byte, epoch uint32) error {
	// The files a point covers may all be gone: numbers go on behind them.
	j := &journal{dir: filepath.Join(a.dir, journalDir), key: key, codec: a.codec, id: a.id, epoch: max(epoch, a.pointer.Epoch), fault: a.opt.Fault}
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
	if err != nil && fi.Size() > fileHeaderLen && a.healJournal(ctx, name, 0) {
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
	a.j.files = append(a.j.files, &jfile{name: name, head: h, aead: aead, size: fi.Size(), time: fi.ModTime(),
		needs: []need{{fi.Size(), a.blobs.log.shown()}}}) // what it names is not known here: everything
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
	if !whole {
		bad := end.bad
		if bad < 0 {
			bad = end.size
		}
		// Even a tail that looks torn may be damage to an acknowledged commit.
		if a.healJournal(ctx, f.name, bad) {
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
	f.size, f.put = fi.Size(), a.blobs.log.shown()
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
