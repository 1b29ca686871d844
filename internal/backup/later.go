package backup

import (
	"context"
	"slices"
	"time"
)

const (
	crowd     = 8                // more conversations than this wait longer to be read on
	soonWait  = 2 * time.Second  // few are read on after this
	laterWait = 30 * time.Second // a crowd is read on after this
)

// later is what reading by name left to be read on.
type later struct {
	due  time.Time
	todo *todo
}

// postpone keeps a container to be read on without hurry, once.
func (h *hints) postpone(t *todo, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if slices.ContainsFunc(h.later, func(l later) bool { return l.todo.key() == t.key() }) {
		return
	}
	wait := soonWait
	if len(h.later) >= crowd {
		wait = laterWait
	}
	h.later = append(h.later, later{now.Add(wait), &todo{kind: t.kind, hint: t.hint, whole: true}})
}

// due takes a postponed todo whose time has come.
func (h *hints) due(now time.Time) *todo {
	h.mu.Lock()
	defer h.mu.Unlock()
	i := slices.IndexFunc(h.later, func(l later) bool { return !now.Before(l.due) })
	if i < 0 {
		return nil
	}
	t := h.later[i].todo
	h.later = slices.Delete(h.later, i, i+1)
	return t
}

// workLater reads on, one conversation after another, what was postponed.
func (e *Engine) workLater(ctx context.Context, h *hints) error {
	for {
		t := h.due(e.d.Now())
		if t == nil {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(time.Second):
			}
			continue
		}
		env, err := e.env(ctx)
		if err != nil || e.paused(ctx) {
			continue // the next run reads on from the cursors
		}
		if e.beingRead(t.kind, t.hint.Container) { // a listing may walk it for minutes
			h.postpone(t, e.d.Now())
			continue
		}
		if err := e.followed(ctx, env, t); err != nil {
			return err
		}
	}
}
