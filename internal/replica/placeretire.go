package replica

import (
	"context"
	"errors"
	"fmt"
)

// Retire ends the use of a place. Before, it must hold everything, unless it
// is gone for ever; erase removes the copy as well, with progress, and leaves
// the marker for last. What is locked cannot be erased: [ErrLocked].
func (p *Place) Retire(ctx context.Context, erase bool, progress func(done, total int64)) error {
	if erase && p.cfg.Lock.Days > 0 {
		return fmt.Errorf("erase the retired place: %w", ErrLocked)
	}
	p.work.Lock()
	defer p.work.Unlock()
	if err := p.open(ctx); err != nil && !errors.Is(err, ErrRetired) {
		return fmt.Errorf("retire the place: %w", err)
	}
	defer p.shut()
	m, err := readMark(ctx, p.t)
	if err == nil {
		m.Retired = p.now().UTC()
		err = writeMark(ctx, p.t, m)
	}
	if err != nil {
		return fmt.Errorf("retire the place: %w", err)
	}
	p.set(func(s *PlaceStatus) { s.State, s.Err = "retired", nil })
	if !erase {
		return nil
	}
	var names []string
	err = p.t.list(ctx, "", func(name string, _ int64) error {
		if name != markName {
			names = append(names, name)
		}
		return nil
	})
	for i, name := range names {
		if err == nil {
			err = p.t.remove(ctx, name)
		}
		if err == nil && progress != nil {
			progress(int64(i+1), int64(len(names)))
		}
	}
	if err == nil {
		err = p.t.remove(ctx, markName)
	}
	if err != nil {
		return fmt.Errorf("erase the retired place: %w", err)
	}
	return nil
}
