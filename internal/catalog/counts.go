package catalog

import (
	"context"
	"fmt"
	"time"

	"farol/internal/db"
	"farol/internal/record"
)

// Live counts the items of a container that upstream still shows. It shows no
// content and needs no scope.
func (c *Catalog) Live(ctx context.Context, container int64) (n int64, err error) {
	err = c.viewRow(ctx, "SELECT count(*) FROM rec WHERE container=? AND until=0 AND (state & 5)=0", []any{container}, &n)
	return n, err
}

// Written calls fn with how many messages each department wrote on each day in
// Macau since from.
func (c *Catalog) Written(ctx context.Context, from time.Time, fn func(dept int64, day string, n int64)) error {
	err := c.db.View(ctx, func(tx *db.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT dept, date(ms/1000 + 8*3600, 'unixepoch'), count(*) FROM rec
			WHERE id>=? AND kind=? AND ms>=? AND until=0 AND (state & 4)=0 GROUP BY 1, 2`, second(from)*4, kindNumber[record.Chat], from.UnixMilli())
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var dept, n int64
			var day string
			if err := rows.Scan(&dept, &day, &n); err != nil {
				return err
			}
			fn(dept, day, n)
		}
		return rows.Err()
	})
	if err != nil {
		return fmt.Errorf("count messages a day: %w", err)
	}
	return nil
}

// Every returns the next versions in the order of containers and time, newer
// and older versions alike, behind a container and a row. It is for reading
// everything back, which has no reader and needs no scope.
func (c *Catalog) Every(ctx context.Context, container, id int64, limit int) ([]Hit, error) {
	return c.hits(ctx, "SELECT "+hitColumns+" FROM rec r WHERE (r.container, r.id) > (?, ?) ORDER BY r.container, r.id LIMIT ?", []any{container, id, limit})
}

// Ver64 is the short name of the version that a row holds.
func (c *Catalog) Ver64(ctx context.Context, id int64) (v int64, err error) {
	err = c.viewRow(ctx, "SELECT ver FROM rec WHERE id=?", []any{id}, &v)
	return v, err
}
