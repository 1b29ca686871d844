package backup

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"farol/internal/archive"
	"farol/internal/connector"
	"farol/internal/dingtalk"
	"farol/internal/record"
	"farol/internal/settings"
)

// eventLoop keeps the event streams open and works through their hints.
func (e *Engine) eventLoop(ctx context.Context) error {
	h := newHints()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return e.keepStreams(ctx, h) })
	g.Go(func() error { return e.work(dingtalk.Urgent(ctx), h) })
	g.Go(func() error { return e.workLater(ctx, h) })
	return g.Wait()
}

// work reads what the hints name. Hints of a burst wait a moment for each
// other; a container that takes long keeps only itself waiting, and a kind that
// takes long only itself.
func (e *Engine) work(ctx context.Context, h *hints) error {
	g, gctx := errgroup.WithContext(ctx) // a few for each container that is busy, at most
	f := e.newFollower(g, h)
	for gctx.Err() == nil {
		select {
		case <-gctx.Done():
			continue
		case <-h.wake:
		}
		select {
		case <-gctx.Done():
			continue
		case <-time.After(200 * time.Millisecond):
		}
		if e.paused(gctx) {
			continue // the next run reads on from the cursors
		}
		env, err := e.env(gctx)
		if err != nil {
			continue
		}
		e.mu.Lock()
		depts := e.depts
		e.mu.Unlock()
		chosen, err := e.d.Settings.Chosen(gctx, depts)
		if err != nil {
			return errors.Join(err, g.Wait())
		}
		f.round(gctx, env, chosen)
	}
	return g.Wait()
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
	return e.counted(ctx, t.kind, src.ID, total)
}

// counted adds what an event brought to the figures of its container and day.
func (e *Engine) counted(ctx context.Context, kind record.Kind, container string, res result) error {
	if res.added+res.changed == 0 {
		return nil
	}
	if err := e.grew(ctx, kind, container, res); err != nil {
		return err
	}
	return e.countDay(ctx, kind, res, false)
}

// followItem reads one item. It does not wait for a listing of the container:
// the committer drops what was read before something newer.
func (e *Engine) followItem(ctx context.Context, env *connector.Env, c connector.Eventer, src connector.Source, id string, chosen *settings.Chosen, born time.Time) (result, error) {
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
	asked := e.d.Now()
	if gone, err := conf.Gone(ctx, env, &rec); err != nil || !gone {
		return err
	}
	return e.bury(ctx, rec, asked)
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
