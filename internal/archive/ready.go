package archive

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Errors of [Archive.Ready].
var (
	// ErrHalted means that the journal takes nothing: what a failed append left
	// could not be taken back yet. It goes on by itself once that works.
	ErrHalted = errors.New("the journal is halted")
	// ErrReadOnly means that the file system takes nothing any more.
	ErrReadOnly = errors.New("the archive's file system is read-only")
)

// Ready reports why a commit that came now would be refused: [ErrClosed],
// [ErrSuperseded], [ErrMissing], [ErrFull], [ErrReadOnly] or [ErrHalted]. It
// writes nothing.
func (a *Archive) Ready() error {
	if err := a.writable(); err != nil {
		return err
	}
	if err := a.room(0); err != nil {
		return fmt.Errorf("look for room: %w", err)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(a.dir, &st); err != nil {
		return fmt.Errorf("look at the file system: %w", err)
	}
	if st.Flags&unix.ST_RDONLY != 0 {
		return ErrReadOnly
	}
	a.j.mu.Lock()
	defer a.j.mu.Unlock()
	if a.j.doubt != nil {
		return ErrHalted
	}
	return nil
}
