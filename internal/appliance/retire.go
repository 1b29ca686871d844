package appliance

import (
	"context"
	"errors"
	"slices"
	"time"

	"farol/internal/i18n"
	"farol/internal/replica"
)

// RetirePlace ends the use of a place. Unless forced, another copy must hold
// everything: moving is adding the new one, waiting, and retiring the old one.
func (a *Appliance) RetirePlace(ctx context.Context, by, id string, erase, force bool) error {
	if p := a.place(id); p != nil && erase && p.Config().Lock.Days > 0 {
		return &i18n.Error{ID: "place.locked", Err: replica.ErrLocked}
	}
	p, err := a.beginRetire(id, force)
	if err != nil {
		return err
	}
	err = a.retirePlace(ctx, by, p, erase, force)
	a.end(p, err)
	return err
}

// beginRetire takes the place out of what counts as a copy, in one step with
// the look at the others: two that are retired at the same time must not stand
// in for each other, and one that is refused must not stop the other.
func (a *Appliance) beginRetire(id string, force bool) (*placeRun, error) {
	s := a.currentSender()
	return a.begin(id, "retire", func(p *placeRun) error {
		if force || s != nil && s.Status().Connected ||
			slices.ContainsFunc(a.places, func(q *placeRun) bool { return q != p && q.stands() && q.Status().State == "current" }) {
			return nil
		}
		return &i18n.Error{ID: "place.only"}
	})
}

func (a *Appliance) retirePlace(ctx context.Context, by string, p *placeRun, erase, force bool) error {
	if !force {
		if err := a.proveAnother(ctx); err != nil {
			return err
		}
	}
	cfg := p.Config()
	if err := a.placeEntry(ctx, by, "replication.policy.change", cfg, "ok", "retire"); err != nil {
		return err
	}
	a.halt(p)
	err := p.Retire(ctx, erase, a.progress(p))
	if err != nil && !force {
		a.mu.Lock()
		p.stop = nil
		a.runPlace(p)
		a.mu.Unlock()
		return errors.Join(err, a.placeEntry(ctx, by, "replication.policy.change", cfg, "failed", "retire"))
	}
	cfg.Retired, cfg.Ended, cfg.Erased = true, time.Now().UTC(), erase && err == nil
	cfg.Secret = "" // nobody needs it any more
	if err := a.keepPlace(ctx, cfg); err != nil {
		return err
	}
	a.mu.Lock()
	a.places = slices.DeleteFunc(a.places, func(x *placeRun) bool { return x == p })
	a.mu.Unlock()
	return nil
}

// proveAnother brings another copy up to what the archive holds now: only then
// may one go.
func (a *Appliance) proveAnother(ctx context.Context) error {
	a.mu.Lock()
	places := slices.DeleteFunc(slices.Clone(a.places), func(p *placeRun) bool { return !p.stands() })
	a.mu.Unlock()
	var errs []error
	for _, p := range places {
		err := p.Sync(ctx, a.archive, a.audit)
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	err := a.caughtUp(ctx)
	if err == nil {
		return nil
	}
	return &i18n.Error{ID: "place.only", Err: errors.Join(append(errs, err)...)}
}
