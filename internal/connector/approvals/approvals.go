// Package approvals captures OA approvals with their attachments. Permissions:
// Workflow.Form.Read, Workflow.Instance.Read, and Workflow.Instance.Write for
// attachments. DingTalk lists instances by creation time only, 120 days at a
// time, no further back than 365 days; approvals cannot be written back.
//
// The cursor is the end of the last window in epoch milliseconds; instances
// still running are read again in every pull.
package approvals

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"farol/internal/connector"
	"farol/internal/dingtalk"
	"farol/internal/record"
)

// Approvals is the connector.
type Approvals struct{}

// New returns the connector.
func New() Approvals { return Approvals{} }

// Kind is approvals.
func (Approvals) Kind() record.Kind { return record.Approvals }

type form struct {
	Code string `json:"processCode"`
	Name string `json:"name"`
}

var (
	epoch    = time.Date(2010, 1, 1, 0, 0, 0, 0, time.UTC)
	errShape = errors.New("the item has an unknown shape")
)

// Sources lists the forms.
func (Approvals) Sources(ctx context.Context, env *connector.Env, found func(connector.Source) error) error {
	raws, err := env.Client.Forms(ctx)
	if err != nil {
		return fmt.Errorf("list approval forms: %w", err)
	}
	for _, raw := range raws {
		var f form
		if err := json.Unmarshal(raw, &f); err != nil || f.Code == "" {
			return fmt.Errorf("read an approval form: %w", errShape)
		}
		err := found(connector.Source{Container: record.Container{Kind: record.Approvals, ID: f.Code, Title: f.Name, Dept: 1},
			Describe: []record.Record{{Ref: record.Ref{Kind: record.Approvals, Container: f.Code, ID: "@"}, Time: epoch, Dept: 1, Raw: raw}}})
		if err != nil {
			return err
		}
	}
	return nil
}

const (
	window = 119 * 24 * time.Hour // DingTalk allows 120 days
	wall   = 364 * 24 * time.Hour // and 365 days back
)

// Pull lists the ids of each window and reads every instance.
func (Approvals) Pull(ctx context.Context, env *connector.Env, src connector.Source, cursor string, emit func(connector.Page) error) error {
	now := env.Now().UTC()
	from := now.Add(-wall)
	if ms, err := strconv.ParseInt(cursor, 10, 64); err == nil {
		// ids of the last hour again: creation time and listing may disagree a little
		from = later(from, time.UnixMilli(ms).Add(-time.Hour))
		if err := running(ctx, env, src, now, from, emit); err != nil {
			return err
		}
	}
	for from.Before(now) {
		to := from.Add(window)
		if to.After(now) {
			to = now
		}
		ids, err := env.Client.Instances(ctx, src.ID, from, to, nil)
		if err != nil {
			return fmt.Errorf("list approvals: %w", err)
		}
		for len(ids) > 0 {
			n := min(len(ids), 20)
			page, err := instances(ctx, env, src, ids[:n])
			if err != nil {
				return err
			}
			if ids = ids[n:]; len(ids) == 0 {
				page.Cursor = strconv.FormatInt(to.UnixMilli(), 10)
			}
			if err := emit(page); err != nil {
				return err
			}
		}
		from = to
	}
	return emit(connector.Page{Cursor: strconv.FormatInt(now.UnixMilli(), 10), Walked: true})
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// running reads the instances again that were under way before from: the
// filter by creation time does not show that they were decided.
func running(ctx context.Context, env *connector.Env, src connector.Source, now, until time.Time, emit func(connector.Page) error) error {
	for from := now.Add(-wall); from.Before(until); from = from.Add(window) {
		to := from.Add(window)
		if to.After(until) {
			to = until
		}
		ids, err := env.Client.Instances(ctx, src.ID, from, to, []string{"RUNNING"})
		if err != nil {
			return fmt.Errorf("list running approvals: %w", err)
		}
		for len(ids) > 0 {
			n := min(len(ids), 20)
			page, err := instances(ctx, env, src, ids[:n])
			if err != nil {
				return err
			}
			if err := emit(page); err != nil {
				return err
			}
			ids = ids[n:]
		}
	}
	return nil
}

func instances(ctx context.Context, env *connector.Env, src connector.Source, ids []string) (connector.Page, error) {
	var page connector.Page
	items, errs := make([]connector.Item, len(ids)), make([]error, len(ids))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(4) // the client's rate limit decides the pace
	for i, id := range ids {
		g.Go(func() error {
			items[i], errs[i] = read(gctx, env, src, id)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return page, err
	}
	for i, err := range errs {
		switch {
		case err == nil:
			page.Items = append(page.Items, items[i])
		case errors.Is(err, dingtalk.ErrNotFound), errors.Is(err, dingtalk.ErrRefused), errors.Is(err, errShape):
			page.Lost = append(page.Lost, connector.Lost{ID: ids[i], Err: err})
		default:
			return page, err
		}
	}
	return page, nil
}
