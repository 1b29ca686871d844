package backup

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"farol/internal/archive"
	"farol/internal/audit"
	"farol/internal/catalog"
	"farol/internal/connector"
	"farol/internal/record"
)

// Repair brings the audit log and the catalog forward to the last commit of
// the archive. It returns archive.ErrRebuild when the catalog is too far
// behind; then [Engine.Rebuild] makes it anew.
func (e *Engine) Repair(ctx context.Context) error {
	if err := e.findWitnessed(); err != nil {
		return err
	}
	if err := e.loadKnown(ctx); err != nil {
		return err
	}
	if err := e.loadSources(ctx); err != nil {
		return err
	}
	e.d.Archive.SetRelocate(e.relocate)
	if err := e.bringForward(ctx); err != nil {
		return err
	}
	applied, err := e.d.Catalog.Applied(ctx)
	if err != nil {
		return err
	}
	if applied > e.d.Archive.LastSeq() {
		return fmt.Errorf("the catalog knows commit %d, the archive ends at %d: %w", applied, e.d.Archive.LastSeq(), archive.ErrRebuild)
	}
	late := forward{e: e}
	take := func(c *archive.Commit) error {
		if err := e.witness(ctx, c); err != nil {
			return err
		}
		if c.Seq <= applied {
			return nil
		}
		return late.take(ctx, c)
	}
	// whichever view is further behind decides where to begin
	from := min(applied, e.witnessed)
	err = e.d.Archive.Replay(ctx, from, take)
	if errors.Is(err, archive.ErrRebuild) && from < applied {
		err = e.d.Archive.Replay(ctx, applied, take) // only the log's bookkeeping is older than the journal; nothing is owed
	}
	if err == nil {
		err = late.flush(ctx)
	}
	if err != nil {
		return fmt.Errorf("bring the catalog forward: %w", err)
	}
	e.d.Archive.Applied(e.d.Archive.LastSeq())
	return e.d.Archive.Relocate(ctx)
}

// findWitnessed looks in the audit log for the last commit it binds.
func (e *Engine) findWitnessed() error {
	es, _, err := e.d.Audit.List(audit.Filter{Operation: audit.OperationCommit}, 0, 1)
	if err != nil || len(es) == 0 {
		return err
	}
	e.witnessed, err = strconv.ParseUint(strings.TrimPrefix(es[0].Object, "commit/"), 10, 64)
	return err
}

var everything = record.Scope{All: true, Kinds: record.Kinds, Class: record.Secret, Realms: record.AllRealms, Private: true}

// loadKnown fills the directory, the departments and the conversations from
// what the archive holds, so that a restart needs no listing first.
func (e *Engine) loadKnown(ctx context.Context) error {
	if err := e.loadDepts(ctx); err != nil {
		return err
	}
	infos, err := e.d.Catalog.Holders(ctx)
	if err != nil {
		return err
	}
	for _, i := range infos {
		if i.Kind == record.Contacts {
			if err := e.learn(ctx, i.CatalogID); err != nil {
				return err
			}
			continue
		}
		e.remember([]connector.Source{{Container: i.Container}})
	}
	return nil
}

func (e *Engine) learn(ctx context.Context, container int64) error {
	l, ok := e.kinds[record.Contacts].(connector.Learner)
	if !ok {
		return nil
	}
	for before := int64(0); ; {
		hits, err := e.d.Catalog.Page(ctx, everything, catalog.PageQuery{Container: container, Before: before, Limit: 1000})
		if err != nil || len(hits) == 0 {
			return err
		}
		locs := make([]record.Loc, len(hits))
		for i, h := range hits {
			locs[i] = h.Loc
		}
		err = e.d.Archive.ReadMany(ctx, locs, func(_ int, r record.Record) error { l.Learn(&r, e.people); return nil })
		if errors.Is(err, archive.ErrCorrupt) { // names come back with the next listing; without a start nothing does
			e.d.Log.ErrorContext(ctx, "some contacts cannot be read", "err", err)
		} else if err != nil {
			return fmt.Errorf("read contacts: %w", err)
		}
		before = hits[len(hits)-1].ID
	}
}

func (e *Engine) relocate(ctx context.Context, m archive.Moves) error {
	var failed error
	err := e.d.Catalog.Relocate(ctx, m.Fold, func(yield func(catalog.Move) bool) {
		for mv, err := range m.All() {
			if err != nil {
				failed = err
				return
			}
			if !yield(catalog.Move{From: mv.From, To: mv.To}) {
				return
			}
		}
	})
	return errors.Join(err, failed)
}
