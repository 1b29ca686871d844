package appliance

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"farol/internal/archive"
	"farol/internal/i18n"
)

// ErrInUse means that another process works on the same folders. Nothing was
// read, made or changed.
var ErrInUse = errors.New("another farol works on these folders")

// lockState takes the state folder for this process before anything in it is
// read: opening the audit log cuts what looks like a torn entry, which would
// be an entry that the other process is just writing. The kernel frees the
// lock when the process ends, however it ends, so a file that is left over says
// nothing; its words are there for people.
func (a *Appliance) lockState() error {
	f, err := os.OpenFile(filepath.Join(a.cfg.StateDir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("lock the state folder: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		holder := whoHolds(f)
		err = errors.Join(err, f.Close())
		if errors.Is(err, unix.EWOULDBLOCK) {
			return &i18n.Error{ID: "start.inuse", Args: []any{"dir", a.cfg.StateDir, "who", holder}, Err: ErrInUse}
		}
		return fmt.Errorf("lock the state folder: %w", err)
	}
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt(fmt.Appendf(nil, "process %d\n", os.Getpid()), 0)
	}
	a.lock = f
	return nil
}

// unlockState gives the folder free at once: closing alone would leave it taken
// while a child process is between its fork and its exec.
func (a *Appliance) unlockState() error {
	if a.lock == nil {
		return nil
	}
	f := a.lock
	a.lock = nil
	return errors.Join(unix.Flock(int(f.Fd()), unix.LOCK_UN), f.Close())
}

// whoHolds reads the words of the lock's holder.
func whoHolds(f *os.File) string {
	b := make([]byte, 100)
	n, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) || n == 0 {
		return "?"
	}
	return strings.TrimSpace(string(b[:n]))
}

// locked puts a lock of the archive's into the same words as ours.
func (a *Appliance) locked(err error) error {
	if !errors.Is(err, archive.ErrLocked) {
		return err
	}
	return &i18n.Error{ID: "start.inuse", Args: []any{"dir", a.cfg.ArchiveDir, "who", "?"}, Err: errors.Join(ErrInUse, err)}
}
