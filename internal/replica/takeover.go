package replica

import (
	"context"
	"encoding/json"
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

// Laid is what [Standby.Lay] did, in bytes.
type Laid struct {
	Linked, Copied int64
	Versions       map[string][]string // of the files that kopia overwrites, the newest first
	Epoch          uint32              // the highest that an appliance of the archive bears
}

// Lay puts the vault's files where an archive and its log have them, as they are or,
// with a time, as they were then: repository files as links where both lie on one
// disk, so that terabytes cost seconds, the journal and the log, which are written
// on, as copies. What is not written off yet is read in the order that keeps it
// whole: the log, the journal, then the files that the journal names. Of the files
// that kopia overwrites all versions lie beside the log. allowed tells names of the
// repository from those that somebody made up.
func (s Standby) Lay(archiveDir, logDir string, at time.Time, allowed func(string) bool) (l Laid, err error) {
	m, err := s.moment(at)
	if err != nil {
		return l, err
	}
	if l.Epoch, err = s.epochs(); err != nil {
		return l, err
	}
	if err := l.log(s, m, logDir); err != nil {
		return l, fmt.Errorf("lay out the log: %w", err)
	}
	if err := l.journal(s, m, filepath.Join(archiveDir, "journal")); err != nil {
		return l, fmt.Errorf("lay out the journal: %w", err)
	}
	if err := l.blobs(s, m, filepath.Join(archiveDir, "archive"), filepath.Join(logDir, "versions"), allowed); err != nil {
		return l, fmt.Errorf("lay out the blobs: %w", err)
	}
	return l, nil
}

// epochs is the highest epoch that an appliance of the archive bears.
func (s Standby) epochs() (uint32, error) {
	b, err := os.ReadFile(filepath.Join(s.dir, "vault.json"))
	var a about
	if err == nil {
		err = json.Unmarshal(b, &a)
	}
	if err != nil {
		return 0, fmt.Errorf("read the vault's record: %w", err)
	}
	f, err := readFence(s.dir)
	return a.epochs(f.Epoch), err
}

func (l *Laid) log(s Standby, m Moment, to string) error {
	folder, bytes, witness := m.Log()
	from := filepath.Join(s.dir, folder)
	ds, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	for _, d := range ds {
		n := int64(-1)
		if d.Name() == "entries.log" {
			n = bytes
		}
		if strings.HasSuffix(d.Name(), ".tmp") || d.Name() == "checkpoint" && !m.Now() {
			continue
		}
		if err := l.copy(filepath.Join(from, d.Name()), filepath.Join(to, d.Name()), n); err != nil {
			return err
		}
	}
	if witness != nil {
		return replaceFile(filepath.Join(to, "checkpoint"), witness)
	}
	return syncDir(to)
}

func (l *Laid) journal(s Standby, m Moment, to string) error {
	from := filepath.Join(s.dir, "journal")
	ds, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	for _, d := range ds {
		fi, err := d.Info()
		if err != nil {
			return err
		}
		n := m.Journal(d.Name(), fi.Size())
		if n == 0 || strings.HasSuffix(d.Name(), ".tmp") {
			continue
		}
		if err := l.copy(filepath.Join(from, d.Name()), filepath.Join(to, d.Name()), n); err != nil {
			return err
		}
	}
	return syncDir(to)
}

func (l *Laid) blobs(s Standby, m Moment, to, old string, allowed func(string) bool) error {
	from := filepath.Join(s.dir, "blobs")
	ds, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	listed := map[string]int64{}
	for _, d := range ds {
		if !strings.HasSuffix(d.Name(), ".tmp") {
			listed[d.Name()] = 0
		}
	}
	files, versions := m.Versions(listed)
	made := map[string]bool{}
	mkdir := func(dir string) error {
		if made[dir] {
			return nil
		}
		made[dir] = true
		return os.MkdirAll(dir, 0o700)
	}
	if err := errors.Join(mkdir(to), mkdir(old)); err != nil {
		return err
	}
	for name, flat := range files {
		if !allowed(name) {
			continue
		}
		path := filepath.Join(to, name)
		if err := mkdir(filepath.Dir(path)); err != nil {
			return err
		}
		if err := l.link(filepath.Join(from, flat), path); err != nil {
			return err
		}
	}
	l.Versions = map[string][]string{}
	for name, flats := range versions {
		for _, flat := range flats {
			path := filepath.Join(old, flat)
			if err := l.copy(filepath.Join(from, flat), path, -1); err != nil {
				return err
			}
			l.Versions[name] = append(l.Versions[name], path)
		}
	}
	for dir := range made {
		if err := syncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

func (l *Laid) link(from, to string) error {
	err := os.Link(from, to)
	if errors.Is(err, syscall.EXDEV) || errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOTSUP) || errors.Is(err, syscall.EMLINK) {
		return l.copy(from, to, -1)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	fi, err := os.Stat(to)
	if err != nil {
		return err
	}
	l.Linked += fi.Size()
	return nil
}

// copy copies n bytes of a file, -1 for all.
func (l *Laid) copy(from, to string, n int64) error {
	fi, err := os.Stat(from)
	if err != nil {
		return err
	}
	if n < 0 {
		n = fi.Size()
	}
	if err := layCopy(from, to, fi, n); err != nil {
		return full(err)
	}
	l.Copied += n
	return nil
}

func layCopy(from, to string, fi os.FileInfo, n int64) error {
	r, err := os.Open(from)
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, io.LimitReader(r, n))
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
