package archive

import (
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// openFiles keeps the pack files that were read last open: to open one takes a
// third as long as to read a small attachment out of it, and what is restored
// lies in a few of them, side by side.
//
// A file that was deleted or replaced meanwhile, by whomever, is not read on:
// its number of names has changed then. What this process replaces it drops
// itself, since a file system over a network keeps a name for what is open.
type openFiles struct {
	mu     sync.Mutex
	recent []*openFile // the one that was asked for last is the last
}

const manyOpen = 16

type openFile struct {
	*os.File
	path  string
	fd    int
	names uint64 // links to it when it was opened
	users int
	gone  bool // out of the list: its last user closes it
}

// pack tells files that are worth it: large, written once.
func pack(rel string) bool { return strings.HasPrefix(rel, "p") || strings.HasPrefix(rel, "q") }

// get opens path, or finds it open. The caller gives it back to put.
func (o *openFiles) get(path string) (*openFile, error) {
	if f := o.find(path); f != nil {
		if n, err := links(f.fd); err == nil && n == f.names && n > 0 {
			return f, nil
		}
		o.drop(path)
		if err := o.put(f); err != nil {
			return nil, err
		}
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	f := &openFile{File: file, path: path, fd: int(file.Fd()), users: 1}
	if f.names, err = links(f.fd); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return f, o.keep(f)
}

func links(fd int) (uint64, error) {
	var st syscall.Stat_t
	err := syscall.Fstat(fd, &st)
	return uint64(st.Nlink), err // 32 bits on arm64
}

// find takes an open file, as the one that was asked for last.
func (o *openFiles) find(path string) *openFile {
	o.mu.Lock()
	defer o.mu.Unlock()
	i := slices.IndexFunc(o.recent, func(f *openFile) bool { return f.path == path })
	if i < 0 {
		return nil
	}
	f := o.recent[i]
	o.recent = append(slices.Delete(o.recent, i, i+1), f)
	f.users++
	return f
}

// keep takes a file into the list. Two that opened it at once keep both: the
// older leaves when the list is full.
func (o *openFiles) keep(f *openFile) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.recent = append(o.recent, f)
	if len(o.recent) <= manyOpen {
		return nil
	}
	old := o.recent[0]
	o.recent = slices.Delete(o.recent, 0, 1)
	return old.leave()
}

// put gives a file back.
func (o *openFiles) put(f *openFile) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	f.users--
	if f.gone && f.users == 0 {
		return f.Close()
	}
	return nil
}

// drop forgets a file that is about to change.
func (o *openFiles) drop(path string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.recent = slices.DeleteFunc(o.recent, func(f *openFile) bool {
		if f.path == path {
			_ = f.leave() // it was only read
		}
		return f.path == path
	})
}

// close forgets all.
func (o *openFiles) close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	var errs []error
	for _, f := range o.recent {
		errs = append(errs, f.leave())
	}
	o.recent = nil
	return errors.Join(errs...)
}

// leave marks a file that is no longer in the list. The list's lock is held.
func (f *openFile) leave() error {
	f.gone = true
	if f.users == 0 {
		return f.Close()
	}
	return nil
}
