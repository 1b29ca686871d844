package watch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"farol/internal/record"
)

const (
	flushEvery = 10 * time.Second // bounds what of the day's counts a crash can lose
	judgeEvery = time.Second      // a flood of changes is judged so often at most
)

// Run judges what commits did and keeps the day's counts until ctx ends.
// Counting what a container holds takes long where it holds much, and no commit
// waits for that.
func (w *Watch) Run(ctx context.Context) error {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			w.keep(context.WithoutCancel(ctx))
			return ctx.Err()
		case <-tick.C:
			w.keep(ctx)
		case <-w.soon:
		}
		if err := w.Judge(ctx); err != nil && ctx.Err() == nil {
			w.d.Log.ErrorContext(ctx, "the day was not judged; this is tried again", "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(judgeEvery):
		}
	}
}

func (w *Watch) keep(ctx context.Context) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.flush(ctx); err != nil {
		w.d.Log.WarnContext(ctx, "the day's counts were not kept", "err", err)
	}
}

// Judge opens and updates the alarms that follow from what was counted. When it
// fails the next call judges all of it again.
func (w *Watch) Judge(ctx context.Context) error {
	w.judging.Lock()
	defer w.judging.Unlock()
	for range 3 { // what is committed all the while is left to the next call
		if more, err := w.judge(ctx); err != nil || !more {
			return err
		}
	}
	return nil
}

// judge judges once what is pending, and reports whether there is more.
func (w *Watch) judge(ctx context.Context) (more bool, err error) {
	w.mu.Lock()
	if !w.pending {
		w.mu.Unlock()
		return false, nil
	}
	w.pending = false
	err = w.turn(ctx)
	day, ask := w.day, w.unknown()
	w.mu.Unlock()
	if err == nil {
		err = w.lookUp(ctx, day, ask)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	defer func() { w.pending = w.pending || err != nil }()
	if err != nil {
		return false, err
	}
	if w.day != day || w.today == nil { // another day, or a person has looked: from the beginning
		w.pending = true
		return true, nil
	}
	for i := range ask {
		q := &ask[i]
		if t := w.today[q.place]; t != nil {
			t.usual, t.held, t.heldOf, t.heldAt = q.usual, q.held, q.of, w.d.Now()
		}
	}
	found := w.d.Limits.Judge(w.activity())
	if len(found) > 0 {
		err = errors.Join(w.flush(ctx), w.raise(ctx, found))
	}
	return w.pending, err
}

// question is what has to be looked up of a place before it is judged.
type question struct {
	place
	usual   *[2]int64
	deleted int64 // counted when it was asked
	of      int64
	held    int64
}

// near calls fn for the places that are not far below every floor.
func (w *Watch) near(fn func(p place, t *tally, a Activity)) {
	l := w.d.Limits
	many := map[int64]int64{}      // deletions a department
	odd := map[record.Kind]int64{} // files with signs a kind
	for p, t := range w.today {
		many[t.Dept] += t.Deleted - t.ok[0]
		odd[p.kind] += t.Noise - t.ok[2] + t.Notes - t.ok[3]
	}
	for p, t := range w.today {
		a := t.Activity
		a.Deleted, a.Changed, a.Noise, a.Notes = t.Deleted-t.ok[0], t.Changed-t.ok[1], t.Noise-t.ok[2], t.Notes-t.ok[3]
		if a.Deleted < l.Deletions && a.Changed < l.Changes && (a.Noise+a.Notes == 0 || odd[p.kind] < min(l.NoiseFiles, l.NotedFiles+1, l.Notes)) && many[t.Dept] < l.DeptDeletions {
			continue
		}
		fn(p, t, a)
	}
}

// unknown is what has to be looked up: what never was, and what has grown by a
// quarter or is an hour old.
func (w *Watch) unknown() (ask []question) {
	now := w.d.Now()
	w.near(func(p place, t *tally, _ Activity) {
		of := t.Deleted + t.Changed
		if t.heldAt.IsZero() || of*4 >= t.heldOf*5 && of > t.heldOf || now.Sub(t.heldAt).Abs() > time.Hour {
			ask = append(ask, question{place: p, usual: t.usual, deleted: t.Deleted, of: of})
		}
	})
	return ask
}

// lookUp asks the catalog and the counts of other days. Nothing waits for it.
func (w *Watch) lookUp(ctx context.Context, day string, ask []question) error {
	for i := range ask {
		q := &ask[i]
		if q.usual == nil {
			u, err := w.usual(ctx, q.place, day)
			if err != nil {
				return err
			}
			q.usual = &u
		}
		live, err := w.d.Catalog.Live(ctx, q.container)
		if err != nil {
			return fmt.Errorf("count a container's items: %w", err)
		}
		q.held = live + q.deleted
	}
	return nil
}

// activity is the day as [Limits.Judge] takes it. A place that came near a
// floor while others were looked up is judged the next time.
func (w *Watch) activity() (out []Activity) {
	w.near(func(_ place, t *tally, a Activity) {
		if t.heldAt.IsZero() {
			w.pending = true
			return
		}
		a.Held, a.UsualDeleted, a.UsualChanged = t.held, t.usual[0], t.usual[1]
		out = append(out, a)
	})
	return out
}
