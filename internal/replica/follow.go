package replica

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"farol/internal/archive"
	"farol/internal/audit"
)

// An appliance that was set back to an older copy of itself goes on from there. Its
// next journal file would follow a place inside one that the node holds more of, and
// a recovery would end at that place. Both sides notice: the appliance because the
// node holds more than it has, the node because the file does not follow its last.

// Of a journal file's head, in the clear (archive, frame.go).
const (
	journalMagic = "FAROLJ1\n"
	journalHead  = 80
	journalTag   = 16
)

// follows returns [ErrConflict] when a new journal file does not begin where the
// last one of its epoch that is held ends. The caller holds the lock.
func (v *vault) follows(name string, b []byte) error {
	if len(b) < journalHead || !bytes.HasPrefix(b, []byte(journalMagic)) {
		return nil // no file that anybody would read
	}
	epoch, number, prev := binary.BigEndian.Uint32(b[24:]), binary.BigEndian.Uint64(b[28:]), b[52:52+journalTag]
	last, at := "", uint64(0)
	for have, size := range v.journal {
		var e uint32
		var n uint64
		if _, err := fmt.Sscanf(have, "%d-%d.fj", &e, &n); err == nil && e == epoch && n < number && n >= at && size > journalHead {
			last, at = have, n
		}
	}
	if last == "" {
		return nil
	}
	tag, err := readPart(filepath.Join(v.dir, "journal", last), v.journal[last]-journalTag, journalTag)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	if !bytes.Equal(tag, prev) {
		return fmt.Errorf("%s does not follow the end of %s: %w", name, last, ErrConflict)
	}
	return nil
}

// setBack returns an error when the node holds more of a journal file than this
// archive has of it, of those it wrote itself, before anything is sent. The node is shown the log, so that it
// refuses it and its people hear of it too.
func (s *Sender) setBack(ctx context.Context, a *archive.Archive, l *audit.Log, st *State) error {
	for _, f := range a.JournalFiles() {
		var epoch uint32
		if _, err := fmt.Sscanf(f.Name, "%d-", &epoch); err != nil || epoch != a.Epoch() {
			continue // taken over at a recovery, perhaps as of an earlier time, or without a tail that was noise
		}
		if st.Journal[f.Name] > f.Size {
			err := fmt.Errorf("the node holds %d bytes of the journal's %s, here are %d: this appliance was set back: %w", st.Journal[f.Name], f.Name, f.Size, ErrConflict)
			if lerr := s.sameLog(ctx, l, st); errors.Is(lerr, ErrRolledBack) {
				err = errors.Join(lerr, err)
			}
			return err
		}
	}
	return nil
}
