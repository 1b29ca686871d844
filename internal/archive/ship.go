package archive

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// JournalFile is a journal file as a sender sees it.
type JournalFile struct {
	Name string
	Size int64     // bytes that are on disk and acknowledged
	Time time.Time // of the last commit in it
}

// Position says how far a sender has come: everything before it is safe
// off-site.
type Position struct {
	File   string // last journal file the node has bytes of
	Off    int64  // how many
	PutLog int64  // position in the put log
}

type shippedState struct {
	pos Position
	set bool
}

// JournalFiles lists the journal files in the order in which they were
// written.
func (a *Archive) JournalFiles() []JournalFile {
	a.j.mu.Lock()
	defer a.j.mu.Unlock()
	var out []JournalFile
	for _, f := range a.j.files {
		if f.size > 0 {
			out = append(out, JournalFile{f.name, f.size, f.time})
		}
	}
	return out
}

// Sendable is how many bytes of a journal file may be copied elsewhere once the
// put log is held there up to put: what follows names blobs put later.
func (a *Archive) Sendable(name string, put int64) int64 {
	f := a.j.find(name)
	if f == nil {
		return 0
	}
	a.j.mu.Lock()
	defer a.j.mu.Unlock()
	var from int64
	for _, n := range f.needs {
		if n.put > put {
			return min(from, f.size)
		}
		from = n.end
	}
	return f.size
}

// ReadJournal returns up to n acknowledged bytes of a journal file from off.
// It returns [ErrNotFound] for a file that is gone and io.EOF at its end.
func (a *Archive) ReadJournal(name string, off int64, n int) ([]byte, error) {
	f := a.j.find(name)
	if f == nil {
		return nil, fmt.Errorf("read journal %s: %w", name, ErrNotFound)
	}
	a.j.mu.Lock()
	size := f.size
	a.j.mu.Unlock()
	if off >= size {
		return nil, io.EOF
	}
	b, err := readRange(a.j.path(name), off, min(int64(n), size-off))
	if errors.Is(err, fs.ErrNotExist) {
		err = ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read journal %s: %w", name, err)
	}
	return b, nil
}

// ReadBlobFile returns a file of the repository by its name in the put log.
// It returns [ErrNotFound] when it was deleted since; the log says so later.
func (a *Archive) ReadBlobFile(name string) ([]byte, error) {
	if !filepath.IsLocal(name) || strings.Contains(name, "\\") {
		return nil, fmt.Errorf("read repository file: %q is not a name of one", name)
	}
	b, err := os.ReadFile(filepath.Join(a.blobs.root, name))
	if errors.Is(err, fs.ErrNotExist) {
		err = ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read repository file %s: %w", name, err)
	}
	return b, nil
}

// Shipped says what is safe off-site, so that folded journal files may go. A
// position never goes back.
func (a *Archive) Shipped(pos Position) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := &a.shipped
	if !s.set {
		s.pos, s.set = pos, true
		return
	}
	if pos.File > s.pos.File || pos.File == s.pos.File && pos.Off > s.pos.Off {
		s.pos.File, s.pos.Off = pos.File, pos.Off
	}
	s.pos.PutLog = max(s.pos.PutLog, pos.PutLog)
}
