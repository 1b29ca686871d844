package backup

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"farol/internal/connector"
	"farol/internal/db"
	"farol/internal/record"
)

// Compared is what a fresh listing of a container showed beside what is held.
type Compared struct {
	Kind      record.Kind
	Dept      int64
	Container int64 // the catalog's blind id
	Listed    int64 // items that were there at the last whole walk
	Missing   int64 // of these, not held; they were taken now
}

// settle is how much older than the last whole walk an item must be to be
// missed: upstream's clock is not ours, and the newest come by events.
const settle = 24 * time.Hour

// errEnough ends a listing that has shown enough.
var errEnough = errors.New("enough was listed")

// Relist lists some containers of each kind afresh, chosen at random among
// those that were walked, and counts what is not held. What is missing is
// taken at once. A container that cannot be listed is passed over; the error
// tells of it beside the others' figures.
func (e *Engine) Relist(ctx context.Context, containers, items int) ([]Compared, error) {
	env, err := e.env(ctx)
	if err != nil {
		return nil, err
	}
	walked, err := e.walkedAt(ctx)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	by := map[record.Kind][]connector.Source{}
	for key, s := range e.sources {
		if _, ok := walked[key]; ok {
			by[s.Kind] = append(by[s.Kind], s)
		}
	}
	e.mu.Unlock()
	var out []Compared
	var errs []error
	for _, c := range e.d.Connectors {
		srcs := by[c.Kind()]
		rand.Shuffle(len(srcs), func(i, j int) { srcs[i], srcs[j] = srcs[j], srcs[i] })
		for _, src := range srcs[:min(containers, len(srcs))] {
			cmp, err := e.relist(ctx, env, c, src, walked[string(src.Kind)+"/"+src.ID], items)
			if ctx.Err() != nil {
				return out, ctx.Err()
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("list a container of %s afresh: %w", c.Kind(), err))
				continue
			}
			out = append(out, cmp)
		}
	}
	return out, errors.Join(errs...)
}

func (e *Engine) relist(ctx context.Context, env *connector.Env, c connector.Connector, src connector.Source, at time.Time, items int) (Compared, error) {
	defer e.lock(c.Kind(), src.ID)()
	out := Compared{Kind: c.Kind(), Dept: src.Dept, Container: e.d.Catalog.ContainerID(c.Kind(), src.ID)}
	chosen, err := e.d.Settings.Chosen(ctx, e.departments())
	if err != nil {
		return out, err
	}
	err = c.Pull(ctx, env, src, "", func(p connector.Page) error {
		var old []connector.Item
		var refs []record.Ref
		for _, it := range p.Items {
			// What is newer than the walk comes with the next run or event.
			if it.Rec.Time.Before(at.Add(-settle)) && (c.Kind() != record.Approvals || chosen.Includes(it.Rec.Dept, c.Kind())) {
				old = append(old, it)
				refs = append(refs, it.Rec.Ref)
			}
		}
		known, err := e.d.Catalog.Known(ctx, refs)
		if err != nil {
			return err
		}
		var lost []connector.Item
		for i := range old {
			if _, held := known[refs[i]]; !held {
				lost = append(lost, old[i])
			}
		}
		out.Listed += int64(len(old))
		out.Missing += int64(len(lost))
		if len(lost) > 0 {
			if _, err := e.take(ctx, lost, nil, c.Kind(), src.ID, nil, origin{asked: p.Asked}); err != nil {
				return err
			}
		}
		if out.Listed >= int64(items) {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return out, err
}

func (e *Engine) departments() []record.Dept {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.depts
}

// walkedAt is when each container was last walked from beginning to end.
func (e *Engine) walkedAt(ctx context.Context) (map[string]time.Time, error) {
	out := map[string]time.Time{}
	err := e.d.Control.View(ctx, func(tx *db.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT kind, container, at FROM completeness")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var kind, container string
			var at int64
			if err := rows.Scan(&kind, &container, &at); err != nil {
				return err
			}
			out[kind+"/"+container] = time.UnixMilli(at)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("look for the last walks: %w", err)
	}
	return out, nil
}
