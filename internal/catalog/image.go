package catalog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"farol/internal/db"
	"farol/internal/record"
)

// ErrBehind means that an older catalog cannot be brought forward: addresses
// remain that lead nowhere. It must be rebuilt.
var ErrBehind = errors.New("the catalog holds addresses that the archive gave up")

// Image writes the whole file as it stands at one moment, while commits go on.
func (c *Catalog) Image(ctx context.Context, w io.Writer) error {
	err := c.db.View(ctx, func(tx *db.Tx) error { return tx.Image(ctx, w) })
	if err != nil {
		return fmt.Errorf("image of the catalog: %w", err)
	}
	return nil
}

// Fold is the number of the last fold whose moves the catalog has.
func (c *Catalog) Fold(ctx context.Context) (uint64, error) {
	v, err := c.Meta(ctx, "fold")
	if err != nil || v == "" {
		return 0, err
	}
	return strconv.ParseUint(v, 10, 64)
}

// unsettled is the number of the last segment that the catalog knew before it was
// brought forward; it is there until that came to its end.
const unsettled = "unsettled"

// Unsettled begins to bring the catalog forward: until [Catalog.Settle] a segment
// that it comes to know counts as not known, because only some of its records
// may have been taken in.
func (c *Catalog) Unsettled(ctx context.Context) error {
	err := c.db.Update(ctx, func(tx *db.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO meta SELECT ?, coalesce(max(id), 0) FROM seg WHERE true ON CONFLICT(name) DO NOTHING", unsettled)
		return err
	})
	if err != nil {
		return fmt.Errorf("begin to bring the catalog forward: %w", err)
	}
	return nil
}

// Segments names what the catalog holds addresses in, and knows whole.
func (c *Catalog) Segments(ctx context.Context) (map[string]bool, error) {
	out := map[string]bool{}
	err := c.db.View(ctx, func(tx *db.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT name FROM seg WHERE id<=coalesce((SELECT CAST(value AS INTEGER) FROM meta WHERE name=?), id)", unsettled)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var name string
			if err := rows.Scan(&name); err != nil {
				return err
			}
			out[name] = true
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("list the catalog's segments: %w", err)
	}
	return out, nil
}

// Place is where a record lies now.
type Place struct {
	Ref   record.Ref
	Seq   uint64
	Index int
	Loc   record.Loc
}

// Settle gives rows the addresses that folds the catalog never heard of gave
// them, and takes every fold up to the given one, which ends with commit seq,
// for known. It returns [ErrBehind], and
// changes nothing, when a row's segment is not live afterwards.
func (c *Catalog) Settle(ctx context.Context, fold, seq uint64, places []Place, live func(seg string) bool) error {
	err := c.db.Update(ctx, func(tx *db.Tx) error {
		w := &writer{c: c, tx: tx, segs: map[string]int64{}}
		move, err := tx.PrepareContext(ctx, "UPDATE rec SET seg=?, off=?, len=? WHERE item=? AND seq=? AND idx=?")
		if err != nil {
			return err
		}
		defer move.Close()
		for _, p := range places {
			seg, err := w.seg(ctx, p.Loc.Seg)
			if err != nil {
				return err
			}
			if _, err := move.ExecContext(ctx, seg, p.Loc.Off, p.Loc.Len, c.ItemID(string(p.Ref.Kind), p.Ref.Container, p.Ref.ID), p.Seq, p.Index); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM seg WHERE NOT EXISTS(SELECT 1 FROM rec WHERE rec.seg=seg.id)"); err != nil {
			return err
		}
		rows, err := tx.QueryContext(ctx, "SELECT name FROM seg")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var name string
			if err := rows.Scan(&name); err != nil {
				return err
			}
			if !live(name) {
				return ErrBehind
			}
		}
		if err := rows.Err(); err != nil {
			return err
		}
		done, err := applied(ctx, tx)
		if err != nil {
			return err
		}
		if seq > done { // the last commits may hold no record
			if err := setMeta(ctx, tx, "applied", strconv.FormatUint(seq, 10)); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM meta WHERE name=?", unsettled); err != nil {
			return err
		}
		return setMeta(ctx, tx, "fold", strconv.FormatUint(fold, 10))
	})
	c.mu.Lock()
	clear(c.segs)
	c.mu.Unlock()
	if err != nil {
		return fmt.Errorf("settle the catalog on fold %d: %w", fold, err)
	}
	return nil
}
