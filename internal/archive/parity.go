package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"farol/internal/parity"
	"farol/internal/record"
)

// parityDir holds, for each file of the repository, one of the same name that
// mends it. It is made from the repository and never shipped: what is lost of
// it is made anew by the next check.
const parityDir = "parity"

// parityBehind is how many files may wait for their parity before a put waits
// too.
const parityBehind = 8

// parities is the directory of parity files; nil makes and mends nothing. They
// are made one after the other behind the puts: a put waits for the disk while
// holding what others want, and this needs only a processor.
type parities struct {
	dir, root string
	warn      *slog.Logger
	fault     func(op string) error

	mu          sync.Mutex
	moved       *sync.Cond // done went on
	waiting     []parityJob
	asked, done uint64 // jobs, counted since the archive was opened
}

type parityJob struct {
	name string
	size int64
	sum  record.Hash
}

func newParities(dir, root string, warn *slog.Logger, fault func(op string) error) *parities {
	p := &parities{dir: dir, root: root, warn: warn, fault: fault}
	p.moved = sync.NewCond(&p.mu)
	return p
}

var errNoParity = errors.New("there is no parity to heal from")

// strength gives more to what more hangs from: an index or format file that
// is lost keeps everything from opening.
func strength(name string) parity.Strength {
	switch {
	case putClass(name) != 1:
		return parity.Whole
	case strings.HasPrefix(name, "q"):
		return parity.Tree
	}
	return parity.Bulk
}

// make has the parity of a file made that was just put. It is not flushed to
// disk and may fail: the file itself is safe, and a check makes up for it.
func (p *parities) make(name string, size int64, sum record.Hash) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.asked-p.done >= parityBehind {
		p.moved.Wait()
	}
	p.waiting = append(p.waiting, parityJob{name, size, sum})
	if p.asked++; p.asked-p.done == 1 { // nobody is at it
		go p.work()
	}
}

// work makes what waits, in its order, and ends when there is nothing more.
func (p *parities) work() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.waiting) > 0 {
		j := p.waiting[0]
		p.waiting = p.waiting[1:]
		p.mu.Unlock()
		if err := p.write(j.name, j.size, j.sum); err != nil && !p.gone(j.name) {
			p.warn.Warn("archive parity", "file", j.name, "err", err)
		}
		p.mu.Lock()
		p.done++
		p.moved.Broadcast()
	}
}

// gone reports whether a file was deleted before its turn came.
func (p *parities) gone(name string) bool {
	_, err := os.Lstat(filepath.Join(p.root, name))
	return errors.Is(err, fs.ErrNotExist)
}

// wait returns when the parity of every file that was put before is made.
func (p *parities) wait() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for asked := p.asked; p.done < asked; {
		p.moved.Wait()
	}
}

func (p *parities) write(name string, size int64, sum record.Hash) error {
	in, err := os.Open(filepath.Join(p.root, name))
	if err != nil {
		return err
	}
	defer in.Close()
	path := filepath.Join(p.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	out, err := os.OpenFile(path+".tmp", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = p.fault("parity.write")
	if err == nil {
		err = parity.Make(in, size, sum, strength(name), out)
	}
	err = errors.Join(err, out.Close())
	if err == nil {
		err = p.fault("parity.rename")
	}
	if err == nil {
		err = os.Rename(path+".tmp", path)
	}
	if err != nil {
		_ = os.Remove(path + ".tmp")
	}
	return err
}

func (p *parities) remove(name string) {
	if p != nil {
		_ = os.Remove(filepath.Join(p.dir, name)) // what stays is swept by a check
	}
}

// mend returns a file as it was, from what is left of it and its parity.
func (p *parities) mend(name string, want putInfo) ([]byte, error) {
	if p == nil {
		return nil, errNoParity
	}
	p.wait()
	par, err := os.Open(filepath.Join(p.dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNoParity
	}
	if err != nil {
		return nil, fmt.Errorf("mend %s: %w", name, err)
	}
	defer par.Close()
	fi, err := par.Stat()
	if err != nil {
		return nil, fmt.Errorf("mend %s: %w", name, err)
	}
	var in io.ReaderAt
	if f, err := os.Open(filepath.Join(p.root, name)); err == nil {
		defer f.Close()
		in = f
	}
	var out bytes.Buffer
	out.Grow(int(want.size))
	if _, err := parity.Mend(in, par, fi.Size(), &out); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if int64(out.Len()) != want.size || record.HashOf(out.Bytes()) != want.sum {
		return nil, fmt.Errorf("mend %s: its parity is of another version: %w", name, parity.ErrParity)
	}
	return out.Bytes(), nil
}

// check sees to the parity of a file that is good, and reports whether it had
// to be made anew. Quick, it looks at the length only.
func (p *parities) check(name string, want putInfo, full bool) (made bool) {
	if p == nil {
		return false
	}
	if p.wait(); p.good(name, want, full) {
		return false
	}
	p.make(name, want.size, want.sum)
	p.wait()
	return true
}

func (p *parities) good(name string, want putInfo, full bool) bool {
	f, err := os.Open(filepath.Join(p.dir, name))
	if err != nil {
		return false
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil || fi.Size() != strength(name).Length(want.size) {
		return false
	}
	return !full || parity.Check(f, fi.Size(), want.sum) == nil
}

// sweep removes parity files whose file is gone.
func (p *parities) sweep(live map[string]putInfo) error {
	if p == nil {
		return nil
	}
	err := filepath.WalkDir(p.dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		name := strings.TrimPrefix(path, p.dir+"/")
		if _, ok := live[name]; ok {
			return nil
		}
		if _, err := os.Stat(filepath.Join(p.root, name)); err == nil {
			return nil // put since the list was made
		}
		return os.Remove(path)
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
