package replica

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Standby is what a node's folder holds of one archive, opened on the node's own
// machine to take over from the appliance. The node may run meanwhile.
type Standby struct {
	Archive string
	dir     string
}

// Standbys lists what a node's folder holds.
func Standbys(nodeDir string) ([]Standby, error) {
	ds, err := os.ReadDir(filepath.Join(nodeDir, "vaults"))
	if err != nil {
		return nil, fmt.Errorf("read the node's folder: %w", err)
	}
	var out []Standby
	for _, d := range ds {
		out = append(out, Standby{d.Name(), filepath.Join(nodeDir, "vaults", d.Name())})
	}
	return out, nil
}

// Hold makes the node refuse whatever would change the vault until Raise or
// Release. It waits for requests that are at it.
func (s Standby) Hold(now time.Time) error {
	return s.change(func(f *fence) error {
		if f.waits(now) {
			return ErrTakingOver
		}
		f.Pending, f.Since = true, now.UTC()
		return nil
	})
}

// KeepHeld renews the hold until stop is called or ctx ends, however long the
// work takes. It ends by itself when the process does.
func (s Standby) KeepHeld(ctx context.Context, log *slog.Logger) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		t := time.NewTicker(pendingLife / 10)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
			}
			if err := s.renew(time.Now()); err != nil {
				log.WarnContext(ctx, "keep the node from taking anything meanwhile", "err", err)
			}
		}
	}()
	return func() { cancel(); <-ended }
}

// renew makes a hold as fresh as if it had just begun. One that is decided or has
// lapsed stays as it is.
func (s Standby) renew(now time.Time) error {
	return s.change(func(f *fence) error {
		if f.waits(now) {
			f.Since = now.UTC()
		}
		return nil
	})
}

// Release gives the take-over up: the appliance goes on shipping.
func (s Standby) Release(now time.Time) error {
	return s.change(func(f *fence) error {
		f.Pending, f.Since = false, now.UTC()
		return nil
	})
}

// Raise makes the take-over final: from now on only an appliance whose archive
// bears epoch may write to the vault. It returns [ErrLapsed] when it took so long
// that the appliance may have gone on.
func (s Standby) Raise(epoch uint32, now time.Time) error {
	return s.change(func(f *fence) error {
		if !f.waits(now) {
			return ErrLapsed
		}
		*f = fence{Epoch: epoch, Since: now.UTC()}
		return nil
	})
}

// change rewrites the fence while no request is at the vault.
func (s Standby) change(do func(*fence) error) error {
	unlock, err := lockVault(s.dir, syscall.LOCK_EX)
	if err != nil {
		return err
	}
	defer unlock()
	f, err := readFence(s.dir)
	if err != nil {
		return err
	}
	if err := do(&f); err != nil {
		return err
	}
	return writeFence(s.dir, f)
}

// Lay puts the vault's files where an archive and its log have them: repository
// files as links where both lie on one disk, so that terabytes cost seconds, the
// journal and the log, which are written on, as copies. What is not written off
// yet is read in the order that keeps it whole: the log, the journal, then the
// files that the journal names. It returns how much was linked and how much
// copied, in bytes.
func (s Standby) Lay(archiveDir, logDir string) (linked, copied int64, err error) {
	for _, part := range []struct {
		from, to string
		link     bool
	}{{"log", logDir, false}, {"journal", filepath.Join(archiveDir, "journal"), false}, {"blobs", filepath.Join(archiveDir, "archive"), true}} {
		l, c, err := layAll(filepath.Join(s.dir, part.from), part.to, part.link)
		linked, copied = linked+l, copied+c
		if err != nil {
			return linked, copied, fmt.Errorf("lay out %s: %w", part.from, err)
		}
	}
	return linked, copied, nil
}

func layAll(from, to string, link bool) (linked, copied int64, err error) {
	ds, err := os.ReadDir(from)
	if err != nil {
		return 0, 0, err
	}
	made := map[string]bool{}
	for _, d := range ds {
		name := d.Name()
		if strings.HasSuffix(name, ".tmp") {
			continue
		}
		if link {
			deep, newest := Deep(name)
			if !newest || !filepath.IsLocal(deep) {
				continue
			}
			name = deep
		}
		path := filepath.Join(to, name)
		if dir := filepath.Dir(path); !made[dir] {
			if err := os.MkdirAll(dir, 0o700); err != nil {
				return linked, copied, err
			}
			made[dir] = true
		}
		fi, err := d.Info()
		if err != nil {
			return linked, copied, err
		}
		if link && !mutable(name) {
			err := os.Link(filepath.Join(from, d.Name()), path)
			if err == nil || errors.Is(err, fs.ErrExist) {
				linked += fi.Size()
				continue
			}
			if !errors.Is(err, syscall.EXDEV) && !errors.Is(err, syscall.EPERM) && !errors.Is(err, syscall.ENOTSUP) && !errors.Is(err, syscall.EMLINK) {
				return linked, copied, err
			}
		}
		if err := layCopy(filepath.Join(from, d.Name()), path, fi); err != nil {
			return linked, copied, full(err)
		}
		copied += fi.Size()
	}
	for dir := range made {
		if err := syncDir(dir); err != nil {
			return linked, copied, err
		}
	}
	return linked, copied, syncDir(to)
}

func layCopy(from, to string, fi os.FileInfo) error {
	r, err := os.Open(from)
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	if err = errors.Join(err, w.Sync(), w.Close()); err != nil {
		return err
	}
	return os.Chtimes(to, fi.ModTime(), fi.ModTime()) // kopia reckons with them
}

// Pick chooses the archive to take over: the only one, or the one whose id begins
// with prefix. It returns [ErrConflict] when that does not tell one alone.
func Pick(all []Standby, prefix string) (Standby, error) {
	all = slices.DeleteFunc(slices.Clone(all), func(s Standby) bool { return !strings.HasPrefix(s.Archive, prefix) })
	switch len(all) {
	case 0:
		return Standby{}, fmt.Errorf("no such archive here: %w", ErrUnknown)
	case 1:
		return all[0], nil
	}
	return Standby{}, fmt.Errorf("%d archives are here: %w", len(all), ErrConflict)
}
