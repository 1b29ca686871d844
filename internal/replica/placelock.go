package replica

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"farol/internal/record"
)

// Lock is what keeps a bucket's objects from being deleted or changed by
// whoever holds the access key: the bucket's object lock.
type Lock struct {
	Days   int  `json:"days,omitempty"`   // 0: none
	Strict bool `json:"strict,omitempty"` // COMPLIANCE: nobody lifts it, ever; else GOVERNANCE
}

// Errors of locks.
var (
	ErrNoLock = errors.New("the bucket has no object lock: it is switched on when a bucket is made")
	ErrLock   = errors.New("an object's lock cannot be read or extended")
	ErrLocked = errors.New("what lies there is locked until a date that has not come")
)

func (l Lock) span() time.Duration { return time.Duration(l.Days) * 24 * time.Hour }

// locker is a target whose files can be locked.
type locker interface {
	// lockable returns ErrNoLock where the place locks nothing.
	lockable(ctx context.Context) error
	// locked is until when a file's newest version is locked; zero: it is not.
	locked(ctx context.Context, name string) (time.Time, error)
	// extend sets a later date on the newest version.
	extend(ctx context.Context, name string, until time.Time) error
	// purge removes up to most versions, older than before, of files below prefix
	// that were removed. What is locked for longer stays, which is no error.
	purge(ctx context.Context, prefix string, before time.Time, most int) (n int, err error)
}

// checkLock refuses a lock that the place would not keep.
func checkLock(ctx context.Context, t target, l Lock) error {
	if l == (Lock{}) {
		return nil
	}
	s, ok := t.(locker)
	if !ok || l.Days < 1 || l.Days > record.MostLockDays {
		return fmt.Errorf("lock for %d days: %w", l.Days, ErrNoLock)
	}
	return s.lockable(ctx)
}

// lockRound is how many locks are asked for or extended in one pass: a place
// with many files must still take new ones meanwhile.
const lockRound = 500

// relock extends the locks of what is still needed once half of the days are
// over, so that they never lapse. A lock is never made shorter. What a restart
// forgot is asked of the place, a part at a time.
func (p *Place) relock(ctx context.Context) error {
	s, ok := p.t.(locker)
	if !ok || p.cfg.Lock.Days == 0 {
		return nil
	}
	now := p.now()
	least, until := now.Add(p.cfg.Lock.span()/2), now.Add(p.cfg.Lock.span())
	n := 0
	for name, have := range p.locks {
		if have.After(least) {
			continue
		}
		if n++; n > lockRound {
			p.Wake()
			return nil
		}
		if have.IsZero() {
			var err error
			if have, err = s.locked(ctx, name); err != nil {
				return fmt.Errorf("%s: %w: %w", name, ErrLock, err)
			}
		}
		if !have.After(least) && until.After(have) {
			if err := s.extend(ctx, name, until); err != nil {
				return fmt.Errorf("%s: %w: %w", name, ErrLock, err)
			}
			have = until
		}
		p.locks[name] = have
	}
	return nil
}

// sweep removes, once a day, the versions of journal parts that were given up
// when their lock has ended. Until then giving up only hides them: a recovery
// does not meet them, and their bytes stay.
func (p *Place) sweep(ctx context.Context) {
	s, ok := p.t.(locker)
	if !ok || p.cfg.Lock.Days == 0 || p.now().Sub(p.swept) < 24*time.Hour {
		return
	}
	n, err := s.purge(ctx, "journal/", p.now().Add(-p.cfg.Lock.span()), lockRound)
	switch {
	case err != nil: // no harm: they stay a day longer
		p.log.WarnContext(ctx, "folded journal parts stay at a storage place", "place", p.cfg.ID, "err", err)
	case n >= lockRound:
		p.Wake()
		return
	}
	p.swept = p.now()
}

// LockReport is what a sample of the files at a place said of their locks.
type LockReport struct {
	Asked int       `json:"asked,omitempty"`
	Open  int       `json:"open,omitempty"` // not locked, though the place is to be
	First time.Time `json:"first,omitzero"` // the earliest end of a lock
	Last  time.Time `json:"last,omitzero"`
}

const lockSample = 40

// lockReport asks the place, not the memory, about files spread over all that
// is to stay.
func (p *Place) lockReport(ctx context.Context) (r LockReport, err error) {
	s, ok := p.t.(locker)
	if !ok || p.cfg.Lock.Days == 0 {
		return r, nil
	}
	if err := p.look(ctx); err != nil {
		return r, err
	}
	names := slices.Sorted(maps.Keys(p.locks))
	for i := range min(lockSample, len(names)) {
		until, err := s.locked(ctx, names[i*len(names)/min(lockSample, len(names))])
		if err != nil {
			return r, fmt.Errorf("%w: %w", ErrLock, err)
		}
		r.Asked++
		if !until.After(p.now()) {
			r.Open++
			continue
		}
		if r.First.IsZero() || until.Before(r.First) {
			r.First = until
		}
		if until.After(r.Last) {
			r.Last = until
		}
	}
	return r, nil
}
