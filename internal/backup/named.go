package backup

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"farol/internal/archive"
	"farol/internal/connector"
	"farol/internal/dingtalk"
	"farol/internal/record"
	"farol/internal/settings"
)

// DingTalk allows twenty calls a second, so reading on every conversation that
// had an event takes as many seconds as there are twenties of them. The
// messages that events name are therefore read by name, many a call over all
// conversations that a reader sees, and made durable first; the conversations
// are read on from their cursors afterwards, which finds what no event told of.
// A call that hangs keeps only what it named waiting (ADR 0012).

const (
	namedCalls = 8                // calls by name at once
	namedTime  = 10 * time.Second // what a call by name may take
	namedTries = 2                // after so many the conversation is read on instead
	shutTime   = time.Minute      // a reader who was refused is not tried before
	fetches    = 16               // parts with attachments that are fetched without keeping their conversation waiting
)

// follower works through hints.
type follower struct {
	e        *Engine
	h        *hints
	g        *errgroup.Group
	lanes    map[record.Kind]chan struct{} // containers of a kind that are followed at once
	calls    chan struct{}
	fetching chan struct{}

	mu   sync.Mutex
	shut map[string]time.Time // readers whom DingTalk refuses, and until when they are left out
}

func (e *Engine) newFollower(g *errgroup.Group, h *hints) *follower {
	f := &follower{e: e, h: h, g: g, lanes: map[record.Kind]chan struct{}{}, calls: make(chan struct{}, namedCalls), fetching: make(chan struct{}, fetches), shut: map[string]time.Time{}}
	for kind := range e.kinds {
		f.lanes[kind] = make(chan struct{}, e.lanes)
	}
	return f
}

// round starts whatever of the waiting can be started.
func (f *follower) round(ctx context.Context, env *connector.Env, chosen *settings.Chosen) {
	// A source that is unknown, or which nobody can read, is left to whoever
	// follows the container and finds out.
	source := func(t *todo) (src connector.Source, ok bool) {
		if _, named := f.e.kinds[t.kind].(connector.Namer); !named || len(t.fresh)+len(t.items) == 0 || t.tries >= namedTries {
			return src, false
		}
		src, ok = f.e.source(t.kind, t.hint.Container)
		src.Via = f.notRefused(src.Via)
		return src, ok && len(src.Via) > 0 && chosen.Includes(src.Dept, t.kind)
	}
	for _, t := range f.h.take(func(t *todo) bool { _, named := source(t); return !named }) {
		f.follow(ctx, env, t)
	}
	for {
		select {
		case f.calls <- struct{}{}:
		default:
			return // whoever ends a call wakes the next round
		}
		p := f.h.pick(f.e.d.Now(), source)
		if len(p.want) == 0 {
			<-f.calls
			return
		}
		f.g.Go(func() error { return f.readNamed(ctx, env, p) })
	}
}

// notRefused are the readers who are not left out.
func (f *follower) notRefused(readers []string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.shut) == 0 {
		return readers
	}
	now := f.e.d.Now()
	maps.DeleteFunc(f.shut, func(_ string, until time.Time) bool { return now.After(until) })
	return slices.DeleteFunc(slices.Clone(readers), func(r string) bool { _, shut := f.shut[r]; return shut })
}

// follow reads what the todo's container has, when a lane of its kind is free.
// The container is busy until then.
func (f *follower) follow(ctx context.Context, env *connector.Env, t *todo) {
	f.g.Go(func() error {
		defer f.h.end(t)
		lane := f.lanes[t.kind]
		select {
		case lane <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		defer func() { <-lane }()
		return f.e.followed(ctx, env, t)
	})
}

// readNamed reads a part in one call. What came is made durable while the next
// call is under way.
func (f *follower) readNamed(ctx context.Context, env *connector.Env, p part) error {
	cctx, cancel := context.WithTimeout(ctx, namedTime)
	page, err := f.e.kinds[p.todos[0].kind].(connector.Namer).PullNamed(cctx, env, p.reader, p.want)
	cancel()
	<-f.calls
	f.h.call()
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		f.e.d.Log.WarnContext(ctx, "messages could not be read by name; this is tried again, then their conversations are read on", "kind", p.todos[0].kind, "err", err)
		now := f.e.d.Now()
		if !errors.Is(err, dingtalk.ErrUnreachable) && !errors.Is(err, dingtalk.ErrThrottled) && !errors.Is(err, context.DeadlineExceeded) {
			f.mu.Lock()
			f.shut[p.reader] = now.Add(shutTime) // at once would not be better; another reader may be
			f.mu.Unlock()
		}
		for _, t := range p.todos {
			t.tries++
			f.h.giveBack(t, now)
		}
		return nil
	}
	came := map[string][]connector.Item{}
	for _, it := range page.Items {
		came[it.Rec.Container] = append(came[it.Rec.Container], it)
	}
	for _, t := range p.todos {
		f.g.Go(func() error { return f.keep(ctx, env, t, came[t.hint.Container], page.Asked) })
	}
	return nil
}

// keep makes durable what was read of one container: first what is ready, then
// what has attachments, for which the container's next messages need not wait.
func (f *follower) keep(ctx context.Context, env *connector.Env, t *todo, items []connector.Item, asked time.Time) error {
	ready, heavy := items, []connector.Item(nil)
	if i := slices.IndexFunc(items, hasFiles); i >= 0 {
		ready, heavy = nil, nil
		for _, it := range items {
			if hasFiles(it) {
				heavy = append(heavy, it)
			} else {
				ready = append(ready, it)
			}
		}
	}
	late := &todo{kind: t.kind, hint: t.hint, items: map[string]bool{}, fresh: map[string]bool{}, whole: t.whole, born: t.born, tries: namedTries}
	for _, it := range heavy {
		late.items[it.Rec.ID] = true
		delete(t.fresh, it.Rec.ID)
		delete(t.items, it.Rec.ID)
	}
	from := origin{t.born, asked}
	kept, err := f.took(ctx, t, ready, from)
	if err != nil {
		f.h.end(t)
		return err
	}
	for _, it := range ready {
		if kept { // else it is read again by whoever follows the container
			delete(t.fresh, it.Rec.ID)
			delete(t.items, it.Rec.ID)
		}
	}
	if len(heavy) > 0 {
		select {
		case f.fetching <- struct{}{}:
		case <-ctx.Done():
			f.h.end(t)
			return ctx.Err()
		}
		f.g.Go(func() error {
			defer func() { <-f.fetching }()
			kept, err := f.took(ctx, t, heavy, from)
			if err == nil && !kept {
				f.h.again(late, f.e.d.Now())
				return nil
			}
			if t.whole {
				f.h.postpone(t, f.e.d.Now())
			}
			return err
		})
	}
	switch {
	case len(t.items) > 0 || len(t.fresh) > 0: // not kept, or not given: deleted since, or not ours to see
		f.follow(ctx, env, t)
		return nil
	case t.whole && len(heavy) == 0:
		f.h.postpone(t, f.e.d.Now())
	}
	f.h.end(t)
	return nil
}

func hasFiles(it connector.Item) bool { return len(it.Attach) > 0 }

// took makes items durable and counts them. What goes wrong with them alone is
// logged and they are not kept.
func (f *follower) took(ctx context.Context, t *todo, items []connector.Item, from origin) (kept bool, err error) {
	if len(items) == 0 {
		return true, nil
	}
	res, err := f.e.take(ctx, items, nil, t.kind, t.hint.Container, nil, from)
	if err == nil {
		err = f.e.counted(ctx, t.kind, t.hint.Container, res)
		f.e.notify()
	}
	if err == nil || ctx.Err() != nil {
		return err == nil, ctx.Err()
	}
	if errors.Is(err, errAfterArchive) || errors.Is(err, archive.ErrCorrupt) {
		return false, err
	}
	f.e.d.Log.WarnContext(ctx, "what an event told of could not be kept; it is read again", "kind", t.kind, "err", err)
	return false, nil
}
