package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// manyAtOnce is how many findings of one look are noted: whoever destroys an
// archive destroys all of it, and a few are enough to call a person.
const manyAtOnce = 20

// Look compares the files on disk with what the archive knows of them: whether they
// are there, how long they are, and, where something changed them since the last
// look, what they hold. The change is told by the inode, whose time nobody sets by
// an ordinary call. What is missing, cut or overwritten becomes damage at once, not
// when a reader meets it or the night's reading back does; it heals when it is read.
// A look costs one system call a file.
func (a *Archive) Look(ctx context.Context) (hurt int, err error) {
	a.lookMu.Lock()
	defer a.lookMu.Unlock()
	began := a.now()
	since := a.looked
	if since.IsZero() {
		since = began
	}
	if err := a.guard(); err != nil {
		if errors.Is(err, ErrMissing) {
			a.addDamage(Damage{What: "the archive's marker is gone", Where: markerName, Lost: true})
			return 1, nil
		}
		return 0, err
	}
	var suspect []string
	for name, want := range a.blobs.log.snapshot() {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		if what, err := a.differs(name, want, since); err != nil {
			return 0, fmt.Errorf("look at the archive's files: %w", err)
		} else if what != "" {
			suspect = append(suspect, name)
		}
	}
	journal := a.j.list()
	quiet := true
	for _, f := range journal {
		if what, err := a.journalDiffers(ctx, f, since); err != nil {
			return 0, fmt.Errorf("look at the journal: %w", err)
		} else if what != "" {
			quiet = false
		}
	}
	a.looked = began
	if len(suspect) == 0 && quiet {
		return 0, nil
	}
	// Maintenance and a fold take files away too: once more, without them.
	a.foldMu.Lock()
	defer a.foldMu.Unlock()
	for _, name := range suspect {
		want, ok := a.blobs.log.get(name)
		if !ok {
			continue
		}
		what, err := a.differs(name, want, since)
		if err != nil {
			return hurt, fmt.Errorf("look at the archive's files: %w", err)
		}
		if what == "" {
			continue
		}
		if hurt++; hurt <= manyAtOnce {
			a.addDamage(Damage{What: what, Where: name, Lost: true})
		}
	}
	for _, f := range a.j.list() {
		what, err := a.journalDiffers(ctx, f, since)
		if err != nil {
			return hurt, fmt.Errorf("look at the journal: %w", err)
		}
		if what == "" {
			continue
		}
		if hurt++; hurt <= manyAtOnce {
			a.addDamage(Damage{What: what, Where: f.name, Lost: true})
		}
	}
	if hurt > manyAtOnce {
		a.opt.Log.Error("more of the archive's files are damaged than are named", "files", hurt)
	}
	return hurt, nil
}

// differs says in which way a file of the repository is not what was put.
func (a *Archive) differs(name string, want putInfo, since time.Time) (string, error) {
	path := filepath.Join(a.blobs.root, name)
	fi, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "blob missing", nil
	case err != nil:
		return "", err
	case fi.Size() != want.size && !mutable(name):
		return "blob of wrong length", nil
	case !changedSince(fi, since) || !changedSince(fi, want.time.Add(5*time.Second)) && fi.Size() == want.size:
		return "", nil
	}
	sum, err := hashFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "blob missing", nil
	}
	if err != nil || sum == want.sum || a.blobs.log.announced(name, sum) {
		return "", err
	}
	return differs, nil
}

// journalDiffers says it of a journal file. What is in its list was acknowledged up
// to the size that stands there.
func (a *Archive) journalDiffers(ctx context.Context, f *jfile, since time.Time) (string, error) {
	a.mu.Lock()
	size, bad := f.size, f.bad
	a.mu.Unlock()
	if bad || size == 0 {
		return "", nil
	}
	fi, err := os.Stat(a.j.path(f.name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "journal file missing", nil
	case err != nil:
		return "", err
	case fi.Size() < size:
		return "journal file of wrong length", nil
	case !changedSince(fi, since):
		return "", nil
	}
	end, err := a.j.scan(ctx, f, 0, nil, func(*group) error { return nil })
	if errors.Is(err, fs.ErrNotExist) {
		return "journal file missing", nil
	}
	if err != nil || end.bad < 0 || end.bad >= size {
		return "", err
	}
	return "journal frames", nil
}

// changedSince reports whether a file's inode changed after t, or may have: its time
// is as coarse as the kernel's tick.
func changedSince(fi fs.FileInfo, t time.Time) bool {
	st, ok := fi.Sys().(*syscall.Stat_t)
	return !ok || time.Unix(st.Ctim.Unix()).After(t.Add(-2*time.Second))
}
