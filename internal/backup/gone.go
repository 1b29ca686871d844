package backup

import (
	"context"
	"errors"
	"fmt"
	"time"

	"farol/internal/archive"
	"farol/internal/audit"
	"farol/internal/connector"
	"farol/internal/record"
	"farol/internal/watch"
)

// tombstones marks what a complete walk no longer listed, after asking
// DingTalk about each.
func (e *Engine) tombstones(ctx context.Context, env *connector.Env, conf connector.Confirmer, kind record.Kind, container string, seen map[int64]bool) error {
	hits, err := e.d.Catalog.Unseen(ctx, e.d.Catalog.ContainerID(kind, container), seen)
	if err != nil {
		return err
	}
	for _, h := range hits {
		rec, err := e.read(ctx, h.ID, h.Loc)
		if err != nil {
			return fmt.Errorf("read a record that is no longer listed: %w", err)
		}
		asked := e.d.Now()
		gone, err := conf.Gone(ctx, env, &rec)
		if err != nil {
			return err
		}
		if !gone {
			continue
		}
		if err := e.bury(ctx, rec, asked); err != nil {
			return err
		}
	}
	return nil
}

// read opens a record, looking its address up again when a fold has moved it.
func (e *Engine) read(ctx context.Context, id int64, loc record.Loc) (record.Record, error) {
	rec, err := e.d.Archive.Read(ctx, loc)
	if !errors.Is(err, archive.ErrNotFound) {
		return rec, err
	}
	if loc, err = e.d.Catalog.Where(ctx, id); err != nil {
		return rec, err
	}
	return e.d.Archive.Read(ctx, loc)
}

// bury commits the tombstone of a record that upstream, asked at this time, no
// longer has: its last state stays readable.
func (e *Engine) bury(ctx context.Context, rec record.Record, asked time.Time) error {
	rec.Deleted = true
	if err := e.auditFor(ctx, audit.Event{Operation: "source.delete.seen", Object: rec.Kind.Object(), Hash: rec.Hash().String(), Outcome: "ok"}); err != nil {
		return err
	}
	return e.submit(ctx, &work{recs: []record.Record{rec}, missing: []bool{false}, facts: []watch.Fact{e.fact(&rec, true, 0)}, origin: origin{asked: asked}})
}
