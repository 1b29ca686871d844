package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"

	"farol/internal/db"
	"farol/internal/record"
)

// Move says that a fold carried a record elsewhere.
type Move struct{ From, To record.Loc }

// Relocate applies the moves of one fold in one transaction, once. Folds are
// numbered upwards.
func (c *Catalog) Relocate(ctx context.Context, fold uint64, moves func(yield func(Move) bool)) error {
	err := c.db.Update(ctx, func(tx *db.Tx) error {
		var was string
		err := tx.QueryRowContext(ctx, "SELECT value FROM meta WHERE name='fold'").Scan(&was)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if n, err := strconv.ParseUint(was, 10, 64); err == nil && n >= fold {
			return nil
		}
		w := &writer{c: c, tx: tx, segs: map[string]int64{}}
		move, err := tx.PrepareContext(ctx, "UPDATE rec SET seg=?, off=?, len=? WHERE seg=? AND off=?")
		if err != nil {
			return err
		}
		defer move.Close()
		for m := range moves {
			from, err := w.seg(ctx, m.From.Seg)
			if err != nil {
				return err
			}
			to, err := w.seg(ctx, m.To.Seg)
			if err != nil {
				return err
			}
			if _, err := move.ExecContext(ctx, to, m.To.Off, m.To.Len, from, m.From.Off); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM seg WHERE NOT EXISTS(SELECT 1 FROM rec WHERE rec.seg=seg.id)"); err != nil {
			return err
		}
		return setMeta(ctx, tx, "fold", strconv.FormatUint(fold, 10))
	})
	c.mu.Lock()
	clear(c.segs)
	c.mu.Unlock()
	if err != nil {
		return fmt.Errorf("relocate fold %d: %w", fold, err)
	}
	return nil
}
