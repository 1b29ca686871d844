package backup

import (
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"farol/internal/connector"
	"farol/internal/record"
	"farol/internal/settings"
)

// DingTalk allows twenty calls a second, so reading on every conversation that
// had an event takes as many seconds as there are twenties of them. When more
// wait than can be read at once, the messages that events name are read by
// name, fifty a call over all conversations, and made durable first; the
// conversations are read on from their cursors afterwards, which finds what no
// event told of. So it is with a conversation that a listing is walking, which
// may take minutes.

const (
	crowd     = 8                // conversations that are read on at once without hurry
	laterWait = 30 * time.Second // what a crowd left is read on after this
)

// rush reads by name what a crowd of events, or those of a conversation that
// is being walked, named, postpones reading on, and returns what has to be followed now.
func (e *Engine) rush(ctx context.Context, env *connector.Env, h *hints, ts []*todo) (left []*todo, err error) {
	e.mu.Lock()
	depts := e.depts
	e.mu.Unlock()
	chosen, err := e.d.Settings.Chosen(ctx, depts)
	if err != nil {
		return ts, err
	}
	byKind := map[record.Kind][]*todo{}
	for _, t := range ts {
		byKind[t.kind] = append(byKind[t.kind], t)
	}
	for kind, ts := range byKind {
		n := 0
		for _, t := range ts {
			if len(t.fresh) > 0 {
				n++
			}
		}
		c, named := e.kinds[kind].(connector.Namer)
		ts = slices.DeleteFunc(ts, func(t *todo) bool {
			if named && len(t.fresh) > 0 && (n > crowd || e.beingRead(kind, t.hint.Container)) {
				return false
			}
			left = append(left, t)
			return true
		})
		if len(ts) == 0 {
			continue
		}
		err := e.rushKind(ctx, env, c, kind, ts, chosen)
		if err != nil && ctx.Err() != nil {
			return nil, err
		}
		if err != nil {
			e.d.Log.WarnContext(ctx, "messages could not be read by name; their conversations are read on", "kind", kind, "err", err)
		}
		for _, t := range ts {
			if t.whole && len(t.fresh) == 0 {
				h.postpone(t, e.d.Now())
				t.whole = false
			}
			if t.whole || len(t.items) > 0 {
				left = append(left, t)
			}
		}
	}
	return left, nil
}

// rushKind takes what it could read off the todos. Each answer is made durable
// while the next is asked for.
func (e *Engine) rushKind(ctx context.Context, env *connector.Env, c connector.Namer, kind record.Kind, ts []*todo, chosen *settings.Chosen) error {
	var want []connector.Named
	by := map[string]*todo{}
	for _, t := range ts {
		src, ok := e.source(kind, t.hint.Container)
		if !ok || len(src.Via) == 0 || !chosen.Includes(src.Dept, kind) {
			continue // whoever follows it finds out
		}
		by[src.ID] = t
		for id := range t.fresh {
			want = append(want, connector.Named{Source: src, ID: id})
		}
		for id := range t.items {
			want = append(want, connector.Named{Source: src, ID: id})
		}
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(16)
	var mu sync.Mutex
	var took []connector.Item
	err := c.PullNamed(ctx, env, want, func(p connector.Page) error {
		parts := map[string][]connector.Item{}
		for _, it := range p.Items {
			parts[it.Rec.Container] = append(parts[it.Rec.Container], it)
		}
		for id, part := range parts {
			g.Go(func() error {
				res, err := e.take(gctx, part, nil, kind, id, nil, origin{born: by[id].born, asked: p.Asked})
				if err != nil {
					return err
				}
				mu.Lock()
				took = append(took, part...)
				mu.Unlock()
				if res.added+res.changed == 0 {
					return nil
				}
				if err := e.grew(gctx, kind, id, res); err != nil {
					return err
				}
				return e.countDay(gctx, kind, res, false)
			})
		}
		return nil
	})
	terr := g.Wait()
	for i := range took {
		delete(by[took[i].Rec.Container].fresh, took[i].Rec.ID)
		delete(by[took[i].Rec.Container].items, took[i].Rec.ID)
	}
	if terr != nil {
		return terr
	}
	e.notify()
	return err
}

// later is what a crowd left to be read on.
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
	h.later = append(h.later, later{now.Add(laterWait), &todo{kind: t.kind, hint: t.hint, whole: true}})
}

// due takes the first postponed todo whose time has come.
func (h *hints) due(now time.Time) *todo {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.later) == 0 || now.Before(h.later[0].due) {
		return nil
	}
	t := h.later[0].todo
	h.later = h.later[1:]
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
		if err := e.followed(ctx, env, t); err != nil {
			return err
		}
	}
}
