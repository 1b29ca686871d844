package backup

import (
	"context"
	"errors"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"farol/internal/connector"
	"farol/internal/dingtalk"
	"farol/internal/record"
)

// fatal errors end the whole run; any other ends one kind or one container.
func fatal(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, errAfterArchive) || isStorage(err)
}

func (e *Engine) runKind(ctx context.Context, r *run, env *connector.Env, c connector.Connector, groups *feed) error {
	err := e.kindInto(ctx, r, env, c, groups)
	if err != nil && fatal(ctx, err) {
		return err
	}
	if err != nil {
		e.d.Log.WarnContext(ctx, "a kind could not be backed up whole", "kind", c.Kind(), "err", err)
	}
	var total result
	e.mu.Lock()
	k := r.kinds[c.Kind()]
	if err != nil {
		k.State, k.Problem = Failed, Problem(err)
		k.Scopes, k.API = dingtalk.Missing(err)
	} else {
		k.State = Done
		e.lastOK[c.Kind()] = e.d.Now()
	}
	total = result{added: k.Added, changed: k.Changed, gaps: k.Gaps, bytes: k.Bytes}
	e.mu.Unlock()
	e.notify()
	return e.countDay(ctx, c.Kind(), total, err != nil)
}

// lanesFor is how many containers of a kind are read at the same time. They
// wait for DingTalk most of the time, so there are more than cores; each holds
// a page and its attachments in memory, so there are not many more.
func lanesFor(cores int) int { return min(max(2*cores, 2), 16) }

// kindInto reads every container as soon as the listing finds it.
func (e *Engine) kindInto(ctx context.Context, r *run, env *connector.Env, c connector.Connector, groups *feed) error {
	if groups != nil {
		defer groups.end()
	}
	kind := c.Kind()
	e.update(r, kind, func(k *KindProgress) { k.State = Listing })
	e.mu.Lock()
	depts := slices.Clone(e.depts)
	e.mu.Unlock()
	chosen, err := e.d.Settings.Chosen(ctx, depts)
	if err != nil {
		return err
	}
	perItem := kind == record.Approvals || kind == record.Contacts // a form or the organisation is of no department
	keep := func(it *connector.Item) bool {
		return kind != record.Approvals || chosen.Includes(it.Rec.Dept, kind)
	}
	g, gctx := errgroup.WithContext(ctx)
	lane := make(chan struct{}, e.lanes)
	var mu sync.Mutex
	var errs []error
	var found []connector.Source
	listErr := c.Sources(gctx, env, func(src connector.Source) error {
		found = append(found, connector.Source{Container: src.Container, Via: src.Via})
		e.remember([]connector.Source{src})
		if groups != nil {
			groups.add(src)
		}
		if !perItem && !chosen.Includes(src.Dept, kind) {
			return nil
		}
		if err := e.describe(gctx, kind, src); err != nil {
			return err
		}
		e.update(r, kind, func(k *KindProgress) { k.Containers++ })
		g.Go(func() error {
			select {
			case lane <- struct{}{}:
			case <-gctx.Done():
				return gctx.Err()
			}
			defer func() { <-lane }()
			err := e.pull(gctx, r, env, c, src, keep)
			if err != nil && fatal(gctx, err) {
				return err
			}
			if err != nil { // one container's failure must not lose the others
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			}
			e.update(r, kind, func(k *KindProgress) { k.Finished++ })
			return nil
		})
		return nil
	})
	if groups != nil {
		groups.end()
	}
	e.listed(gctx, kind, found, listErr == nil)
	e.update(r, kind, func(k *KindProgress) { k.State = Running })
	if err := g.Wait(); err != nil {
		return err
	}
	return errors.Join(append(errs, listErr)...)
}

// describe commits the rows that describe a container.
func (e *Engine) describe(ctx context.Context, kind record.Kind, src connector.Source) error {
	var items []connector.Item
	for _, rec := range src.Describe {
		items = append(items, connector.Item{Rec: rec})
	}
	_, err := e.take(ctx, items, nil, kind, src.ID, nil, origin{})
	return err
}

func (e *Engine) update(r *run, kind record.Kind, fn func(*KindProgress)) {
	e.mu.Lock()
	if k := r.kinds[kind]; k != nil {
		fn(k)
	}
	e.mu.Unlock()
	e.notify()
}
