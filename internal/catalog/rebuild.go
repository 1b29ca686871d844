package catalog

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"farol/internal/db"
)

// Rebuild adds rows of an archive walk, in any order of commits. After the
// last call [Catalog.Finish] must follow.
func (c *Catalog) Rebuild(ctx context.Context, rows []Row) error {
	slices.SortStableFunc(rows, func(a, b Row) int { return a.Time.Compare(b.Time) })
	err := c.db.Update(ctx, func(tx *db.Tx) error {
		w, err := newWriter(ctx, c, tx)
		if err != nil {
			return err
		}
		defer w.close()
		w.rebuild = true
		for i := range rows {
			doc := ""
			if rows[i].Text != "" {
				doc = c.blind.document(rows[i].Text)
			}
			if err := w.row(ctx, rows[i].Seq, &rows[i], doc); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("rebuild catalog: %w", err)
	}
	return nil
}

// Finish works out which version replaced which and what is private, and marks
// every commit up to seq applied.
func (c *Catalog) Finish(ctx context.Context, seq uint64) error {
	err := c.db.Update(ctx, func(tx *db.Tx) error {
		for _, q := range []string{
			`UPDATE rec SET until = coalesce((SELECT n.seq FROM rec n WHERE n.item=rec.item AND (n.seq>rec.seq OR (n.seq=rec.seq AND n.idx>rec.idx)) ORDER BY n.seq, n.idx LIMIT 1), 0)
				WHERE item IN (SELECT item FROM rec GROUP BY item HAVING count(*)>1)`,
			`UPDATE rec SET state = state | 8, class = max(class, 2) WHERE container IN (SELECT id FROM container WHERE private=1)`,
			`INSERT INTO fts(fts) VALUES('optimize')`,
		} {
			if _, err := tx.ExecContext(ctx, q); err != nil {
				return err
			}
		}
		return setMeta(ctx, tx, "applied", strconv.FormatUint(seq, 10))
	})
	if err != nil {
		return fmt.Errorf("finish the catalog's rebuild: %w", err)
	}
	return nil
}

// Unseen lists the current items of a container whose upstream ids are not in
// seen, for finding what a complete walk no longer lists. Tombstones and rows
// that describe the container are left out.
func (c *Catalog) Unseen(ctx context.Context, container int64, seen map[int64]bool) ([]Hit, error) {
	var ids []int64
	err := c.db.View(ctx, func(tx *db.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT id, item FROM rec WHERE container=? AND until=0 AND (state & 5)=0", container)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id, item int64
			if err := rows.Scan(&id, &item); err != nil {
				return err
			}
			if !seen[item] {
				ids = append(ids, id)
			}
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("find unlisted items: %w", err)
	}
	var out []Hit
	for _, id := range ids {
		hs, err := c.hits(ctx, "SELECT "+hitColumns+" FROM rec r WHERE r.id=?", []any{id})
		if err != nil {
			return nil, err
		}
		out = append(out, hs...)
	}
	return out, nil
}

// ItemID is the catalog's blind name of an upstream item.
func (c *Catalog) ItemID(kind, container, id string) int64 {
	return c.blind.name("item", kind, container, id)
}
