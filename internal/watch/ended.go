package watch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"farol/internal/record"
)

// Report is what a run that ended well has listed.
type Report struct {
	Whole bool                    // a full run from beginning to end, not resumed
	Scope string                  // hash of the chosen scope
	Kinds map[record.Kind]Listing // kinds that did not fail
}

// Ended judges what can only be judged over a whole run: completeness and
// silence. It also keeps the day's counts.
func (w *Watch) Ended(ctx context.Context, r Report) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	errs := []error{w.turn(ctx), w.flush(ctx)}
	found, since, err := w.shrunk(ctx, r)
	errs = append(errs, err)
	if !since.IsZero() && w.heard != w.day { // whole days count: once a day is enough
		quiet, err := w.silent(ctx, since)
		errs = append(errs, err)
		if err == nil {
			w.heard = w.day
		}
		found = append(found, quiet...)
	}
	if len(found) > 0 {
		errs = append(errs, w.raise(ctx, found))
	}
	return errors.Join(errs...)
}

func (w *Watch) silent(ctx context.Context, since time.Time) ([]Finding, error) {
	var rates []Rate
	now := w.d.Now()
	if err := w.d.Catalog.Written(ctx, midnight(now).AddDate(0, 0, -120), func(dept int64, day string, n int64) {
		rates = append(rates, Rate{dept, day, n})
	}); err != nil {
		return nil, fmt.Errorf("count messages a day: %w", err)
	}
	var out []Finding
	for _, q := range w.d.Limits.Silent(now, since, rates) {
		known, err := w.told(ctx, Silence, q.Dept, q.Since)
		if err != nil {
			return nil, err
		}
		if !known {
			out = append(out, Finding{Cause: Silence, Kind: record.Chat, Dept: q.Dept, Usual: q.Usual})
		}
	}
	return out, nil
}

// shrunk compares a whole listing with the one before and keeps it. since is
// when the watch began.
func (w *Watch) shrunk(ctx context.Context, r Report) (out []Finding, since time.Time, err error) {
	marks, err := w.marks(ctx)
	if err != nil {
		return nil, since, err
	}
	for _, m := range marks {
		if since.IsZero() || m.first.Before(since) {
			since = m.first
		}
	}
	if !r.Whole {
		return nil, since, nil
	}
	for _, k := range slices.Sorted(maps.Keys(r.Kinds)) {
		is := r.Kinds[k]
		was, known := marks[k]
		if known && was.scope == r.Scope {
			if short, yes := w.d.Limits.Shrunk(was.Listing, is); yes {
				out = append(out, Finding{Cause: Shrink, Kind: k, Seen: short, Held: was.Listed, Seq: was.seq + 1})
			}
		}
	}
	return out, since, w.mark(ctx, r)
}
