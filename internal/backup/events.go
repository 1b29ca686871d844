package backup

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"farol/internal/archive"
	"farol/internal/connector"
	"farol/internal/dingtalk"
	"farol/internal/record"
	"farol/internal/settings"
)

// hints gathers what events make worth reading. Many events of one container
// become one reading.
type hints struct {
	mu   sync.Mutex
	todo map[string]*todo
	seen map[string]bool // event ids, for duplicates

	later []later // read on when their time has come
	wake  chan struct{}
}

func (t *todo) key() string { return string(t.kind) + "/" + t.hint.Container }

type todo struct {
	kind  record.Kind
	hint  connector.Hint  // Container
	items map[string]bool // captured already, changed since
	fresh map[string]bool // new: reading on finds them too
	whole bool            // read on from the cursor
	born  time.Time
}

func (h *hints) add(kind record.Kind, hint connector.Hint, ev dingtalk.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if ev.ID != "" {
		if h.seen[ev.ID] {
			return
		}
		if len(h.seen) > 50000 {
			clear(h.seen)
		}
		h.seen[ev.ID] = true
	}
	key := string(kind) + "/" + hint.Container
	t := h.todo[key]
	if t == nil {
		t = &todo{kind: kind, hint: hint, items: map[string]bool{}, fresh: map[string]bool{}, born: ev.Born}
		h.todo[key] = t
	}
	switch {
	case hint.Item == "":
		t.whole = true
	case hint.Fresh:
		t.whole, t.fresh[hint.Item] = true, true
	default:
		t.items[hint.Item] = true
	}
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

func (h *hints) take() []*todo {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []*todo
	for k, t := range h.todo {
		out = append(out, t)
		delete(h.todo, k)
	}
	return out
}

// eventLoop keeps the event streams open and works through their hints.
func (e *Engine) eventLoop(ctx context.Context) error {
	h := &hints{todo: map[string]*todo{}, seen: map[string]bool{}, wake: make(chan struct{}, 1)}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return e.keepStreams(ctx, h) })
	g.Go(func() error { return e.work(ctx, h) })
	g.Go(func() error { return e.workLater(ctx, h) })
	return g.Wait()
}

// keepStreams opens the app's stream, and personal streams for so many members
// that every known conversation is heard by one; it looks again when a run has
// ended, because members and conversations may have changed.
func (e *Engine) keepStreams(ctx context.Context, h *hints) error {
	open := map[string]context.CancelFunc{}
	defer func() {
		for _, cancel := range open {
			cancel()
		}
	}()
	for {
		if client := e.d.Client(); client != nil && !e.paused(ctx) {
			want := map[string]bool{"": true}
			for _, p := range e.listeners() {
				want[p] = true
			}
			for p := range want {
				if open[p] == nil {
					sctx, cancel := context.WithCancel(ctx)
					open[p] = cancel
					go e.listen(sctx, client, p, h) // ends with ctx
				}
			}
			for p, cancel := range open {
				if !want[p] {
					cancel()
					delete(open, p)
				}
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-e.wake:
		case <-time.After(time.Minute):
		}
	}
}

// poke makes the stream keeper look again now.
func (e *Engine) poke() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// Poke tells the engine that the tenant's binding or a consent changed.
func (e *Engine) Poke() { e.poke() }

func (e *Engine) listen(ctx context.Context, client *dingtalk.Client, person string, h *hints) {
	handle := func(ev dingtalk.Event) error {
		for kind, c := range e.kinds {
			if ec, ok := c.(connector.Eventer); ok {
				if hint, ok := ec.Hint(ev); ok {
					h.add(kind, hint, ev)
				}
			}
		}
		return nil
	}
	connected := func(up bool) {
		e.mu.Lock()
		if up {
			e.streams++
			e.missed = true // nothing is replayed: what happened unheard must be listed
		} else {
			e.streams--
		}
		e.mu.Unlock()
	}
	var err error
	if person == "" {
		e.subscribe(ctx, client)
		err = client.Stream(ctx, handle, connected)
	} else {
		err = client.PersonalStream(ctx, person, handle, connected)
	}
	if err != nil && ctx.Err() == nil {
		e.d.Log.WarnContext(ctx, "an event stream is closed until a person acts", "err", err)
	}
}

// subscribe asks for storage events, which do not come unasked.
func (e *Engine) subscribe(ctx context.Context, client *dingtalk.Client) {
	operator := e.setting(ctx, settings.Operator, "")
	corp := e.setting(ctx, settings.CorpID, "")
	if operator == "" || corp == "" {
		return
	}
	if err := client.SubscribeStorage(ctx, operator, corp); err != nil {
		e.d.Log.WarnContext(ctx, "no storage events: changes of files are found by the nightly listing", "err", err)
	}
}

// listeners chooses members so that each conversation is heard at least once.
func (e *Engine) listeners() []string {
	left := map[string][]string{} // conversation → its readers
	for _, s := range e.conversations() {
		if len(s.Via) > 0 {
			left[s.ID] = s.Via
		}
	}
	var out []string
	for len(left) > 0 {
		count := map[string]int{}
		for _, via := range left {
			for _, p := range via {
				count[p]++
			}
		}
		best := ""
		for p, n := range count {
			if best == "" || n > count[best] || n == count[best] && p < best {
				best = p
			}
		}
		out = append(out, best)
		for id, via := range left {
			for _, p := range via {
				if p == best {
					delete(left, id)
					break
				}
			}
		}
	}
	return out
}

// work reads what the hints name. Hints of a burst wait a moment for each
// other.
func (e *Engine) work(ctx context.Context, h *hints) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-h.wake:
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
		if e.paused(ctx) {
			continue // the next run reads on from the cursors
		}
		env, err := e.env(ctx)
		if err != nil {
			continue
		}
		ts, err := e.rush(ctx, env, h, h.take())
		if err != nil && ctx.Err() == nil {
			return err
		}
		g, gctx := errgroup.WithContext(ctx)
		g.SetLimit(e.lanes)
		for _, t := range ts {
			g.Go(func() error { return e.followed(gctx, env, t) })
		}
		if err := g.Wait(); err != nil && ctx.Err() == nil {
			return err
		}
	}
}

// followed follows a todo; what goes wrong with it alone is logged.
func (e *Engine) followed(ctx context.Context, env *connector.Env, t *todo) error {
	err := e.follow(ctx, env, t)
	if err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, errAfterArchive) || errors.Is(err, archive.ErrCorrupt) {
		return err
	}
	e.d.Log.WarnContext(ctx, "an event could not be followed; the next listing will find it", "kind", t.kind, "err", err)
	return nil
}

// follow reads what one container's hints name.
func (e *Engine) follow(ctx context.Context, env *connector.Env, t *todo) error {
	c := e.kinds[t.kind]
	src, ok := e.source(t.kind, t.hint.Container)
	if !ok || t.kind == record.Chat && len(src.Via) == 0 || t.kind == record.Files && len(src.Via) == 0 {
		var found []connector.Source
		err := c.Sources(ctx, env, func(s connector.Source) error {
			found = append(found, connector.Source{Container: s.Container, Via: s.Via})
			e.remember([]connector.Source{s})
			return e.describe(ctx, t.kind, s)
		})
		if err != nil && len(found) == 0 {
			return err
		}
		e.listed(ctx, t.kind, found, err == nil)
		if src, ok = e.source(t.kind, t.hint.Container); !ok {
			return nil // not ours to see
		}
		e.poke()
	}
	e.mu.Lock()
	depts := e.depts
	e.mu.Unlock()
	chosen, err := e.d.Settings.Chosen(ctx, depts)
	if err != nil {
		return err
	}
	if t.kind != record.Approvals && t.kind != record.Contacts && !chosen.Includes(src.Dept, t.kind) {
		return nil
	}
	var total result
	defer e.notify()
	for id := range t.items {
		res, err := e.followItem(ctx, env, c.(connector.Eventer), src, id, chosen, t.born)
		if err != nil {
			return err
		}
		total.add(res)
	}
	if t.whole {
		res, err := e.readOn(ctx, env, c, src, t.born)
		if err != nil {
			return err
		}
		total.add(res)
	}
	if total.added+total.changed == 0 {
		return nil
	}
	if err := e.grew(ctx, t.kind, src.ID, total); err != nil {
		return err
	}
	return e.countDay(ctx, t.kind, total, false)
}

func (e *Engine) followItem(ctx context.Context, env *connector.Env, c connector.Eventer, src connector.Source, id string, chosen *settings.Chosen, born time.Time) (result, error) {
	defer e.lock(src.Kind, src.ID)()
	asked := e.d.Now()
	it, err := c.PullItem(ctx, env, src, id)
	if connector.IsGone(err) {
		return result{}, e.buryKnown(ctx, env, c, record.Ref{Kind: src.Kind, Container: src.ID, ID: id})
	}
	if err != nil {
		return result{}, err
	}
	if !chosen.Includes(it.Rec.Dept, src.Kind) {
		return result{}, nil
	}
	return e.take(ctx, []connector.Item{it}, nil, src.Kind, src.ID, nil, origin{born, asked})
}

// buryKnown writes the tombstone of an item that an event says is gone, when
// DingTalk confirms it.
func (e *Engine) buryKnown(ctx context.Context, env *connector.Env, c connector.Eventer, ref record.Ref) error {
	conf, ok := c.(connector.Confirmer)
	if !ok {
		return nil
	}
	hit, err := e.d.Catalog.ByRef(ctx, everything, ref)
	if err != nil {
		return nil // never held
	}
	rec, err := e.read(ctx, hit.ID, hit.Loc)
	if err != nil || rec.Deleted {
		return err
	}
	if gone, err := conf.Gone(ctx, env, &rec); err != nil || !gone {
		return err
	}
	return e.bury(ctx, rec)
}

// readOn reads a container on from its cursor.
func (e *Engine) readOn(ctx context.Context, env *connector.Env, c connector.Connector, src connector.Source, born time.Time) (result, error) {
	kind := c.Kind()
	defer e.lock(kind, src.ID)()
	var total result
	err := c.Pull(ctx, env, src, e.d.Archive.Cursor(cursorKey(kind, src.ID)), func(p connector.Page) error {
		res, err := e.take(ctx, p.Items, p.Lost, kind, src.ID, func(result) (map[string]string, error) {
			if p.Cursor == "" || p.Cursor == e.d.Archive.Cursor(cursorKey(kind, src.ID)) {
				return nil, nil
			}
			return map[string]string{cursorKey(kind, src.ID): p.Cursor}, nil
		}, origin{born, p.Asked})
		total.add(res)
		return err
	})
	return total, err
}
