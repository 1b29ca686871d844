package replica

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// target is a store of named files at a storage place. Names are relative,
// with slashes. What put has returned is durable as far as the place can tell.
type target interface {
	// check returns ErrGone when this is not, or no longer, the place it was.
	check(ctx context.Context) error
	// put writes a file whole or not at all; a reader never sees part of it.
	put(ctx context.Context, name string, b []byte, mtime time.Time) error
	// get reads a whole file with its time, or returns ErrUnknown.
	get(ctx context.Context, name string) ([]byte, time.Time, error)
	// list calls fn for every whole file below prefix.
	list(ctx context.Context, prefix string, fn func(name string, size int64) error) error
	remove(ctx context.Context, name string) error
	space() (free, size int64) // 0 where nobody says
	close() error
}

// Errors of storage places.
var (
	ErrGone    = errors.New("the storage place is not there: its disk is not mounted, or another one is")
	ErrForeign = errors.New("the storage place holds something else already")
	ErrRetired = errors.New("the storage place was retired")
	ErrDamaged = errors.New("what was read back differs from what was written")
	ErrLogin   = errors.New("the storage place does not accept the name or the secret")
	ErrHostKey = errors.New("another server answers: its host key is not the one that was given")
	ErrKey     = errors.New("a key or certificate cannot be read")
	ErrGate    = errors.New("what lets the bytes leave Macau is incomplete or has lapsed")
	ErrPlain   = errors.New("without TLS only a server on this machine is spoken to")
)

const tempSuffix = ".part"

// dirTarget is a folder of a second disk or of a mounted NAS. It holds the
// folder open: when the mount goes away under it, writes fail or reach the old
// disk, but never fill the empty folder that is left.
type dirTarget struct {
	path string
	root *os.Root
	was  os.FileInfo
}

func openDir(dir string) (*dirTarget, error) {
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open the folder: %w", ErrGone)
	} else if err != nil {
		return nil, fmt.Errorf("open the folder: %w", err)
	}
	was, err := root.Stat(".")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the folder: %w", err), root.Close())
	}
	return &dirTarget{dir, root, was}, nil
}

// device tells disks apart.
func device(fi os.FileInfo) uint64 {
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Dev)
	}
	return 0
}

func (d *dirTarget) check(context.Context) error {
	now, err := os.Stat(d.path)
	if err != nil || !os.SameFile(now, d.was) || device(now) != device(d.was) {
		return ErrGone
	}
	return nil
}

// mounted reports whether the folder lies on another disk than its parent.
func (d *dirTarget) mounted() bool {
	up, err := os.Stat(filepath.Dir(d.path))
	return err == nil && device(up) != device(d.was)
}

func (d *dirTarget) put(ctx context.Context, name string, b []byte, mtime time.Time) error {
	if err := d.check(ctx); err != nil {
		return err
	}
	dir := path.Dir(name)
	if err := d.mkdir(dir); err != nil {
		return full(err)
	}
	tmp := name + tempSuffix
	f, err := d.root.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return full(err)
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = d.root.Chtimes(tmp, mtime, mtime)
	}
	if err == nil {
		err = d.root.Rename(tmp, name)
	}
	if err != nil {
		return errors.Join(full(err), d.root.Remove(tmp))
	}
	return d.sync(dir)
}

// mkdir makes a folder and puts each new name on disk.
func (d *dirTarget) mkdir(dir string) error {
	if dir == "." {
		return nil
	}
	err := d.root.Mkdir(dir, 0o700)
	switch {
	case err == nil:
		return d.sync(path.Dir(dir))
	case errors.Is(err, fs.ErrExist):
		return nil
	case errors.Is(err, fs.ErrNotExist):
		if err := d.mkdir(path.Dir(dir)); err != nil {
			return err
		}
		return d.mkdir(dir)
	}
	return err
}

func (d *dirTarget) sync(dir string) error {
	f, err := d.root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (d *dirTarget) get(ctx context.Context, name string) ([]byte, time.Time, error) {
	if err := d.check(ctx); err != nil {
		return nil, time.Time{}, err
	}
	f, err := d.root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, time.Time{}, fmt.Errorf("%s: %w", name, ErrUnknown)
	} else if err != nil {
		return nil, time.Time{}, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, time.Time{}, err
	}
	b, err := io.ReadAll(f)
	return b, fi.ModTime(), err
}

func (d *dirTarget) list(ctx context.Context, prefix string, fn func(string, int64) error) error {
	if err := d.check(ctx); err != nil {
		return err
	}
	start := strings.TrimSuffix(prefix, "/")
	if start == "" {
		start = "."
	}
	err := fs.WalkDir(d.root.FS(), start, func(name string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if e.IsDir() || strings.HasSuffix(name, tempSuffix) {
			return ctx.Err()
		}
		fi, err := e.Info()
		if err != nil {
			return err
		}
		return fn(name, fi.Size())
	})
	return err
}

func (d *dirTarget) remove(ctx context.Context, name string) error {
	if err := d.check(ctx); err != nil {
		return err
	}
	err := d.root.Remove(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (d *dirTarget) space() (free, size int64) {
	var st syscall.Statfs_t
	if syscall.Statfs(d.path, &st) != nil {
		return 0, 0
	}
	return int64(st.Bavail) * st.Bsize, int64(st.Blocks) * st.Bsize
}

func (d *dirTarget) close() error { return d.root.Close() }
