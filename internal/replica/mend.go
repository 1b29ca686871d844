package replica

import (
	"context"
	"errors"
	"fmt"

	"farol/internal/archive"
	"farol/internal/record"
)

// mend sends what the node says is damaged or gone, as far as this archive has it.
func (s *Sender) mend(ctx context.Context, a *archive.Archive, names []string) error {
	wanted := map[string]*archive.PutEntry{}
	for _, name := range names {
		if !s.unmended[name] {
			wanted[name] = nil
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	for e, err := range a.PutLog(0) {
		if err != nil {
			return fmt.Errorf("read the put log: %w", err)
		}
		if _, ok := wanted[flat(e.Name)]; ok {
			wanted[flat(e.Name)] = &e
		}
	}
	healed := 0
	for name, e := range wanted {
		switch ok, err := s.mendOne(ctx, a, e); {
		case err != nil:
			return err
		case ok:
			healed++
		default:
			s.unmended[name] = true // asked once a process is enough
		}
	}
	if healed > 0 {
		s.logger.WarnContext(ctx, "the node's disk had damaged files or lost them: they were sent again", "files", healed)
		if s.healed != nil {
			s.healed(ctx, healed)
		}
	}
	return nil
}

func (s *Sender) mendOne(ctx context.Context, a *archive.Archive, e *archive.PutEntry) (bool, error) {
	if e == nil || e.Deleted {
		return false, nil // of another history, or compacted away: it is in none of ours now
	}
	b, err := a.ReadBlobFile(e.Name)
	if errors.Is(err, archive.ErrNotFound) {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("read a blob: %w", err)
	}
	if !mutable(e.Name) && record.HashOf(b) != e.SHA256 {
		return false, nil // ours is damaged, too: verifying finds it
	}
	err = s.sendBlob(ctx, putAt{a.Epoch(), e.Pos}, *e, b, nil)
	if errors.Is(err, ErrConflict) {
		return false, nil // it came under another hash
	}
	return err == nil, err
}

// OnHealed sets what is done when files were sent again that the node's disk had
// damaged or lost. Call it before Run.
func (s *Sender) OnHealed(fn func(ctx context.Context, files int)) { s.healed = fn }
