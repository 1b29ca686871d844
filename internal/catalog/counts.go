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

// Rows counts the versions held.
func (c *Catalog) Rows(ctx context.Context) (n int64, err error) {
	err = c.viewRow(ctx, "SELECT count(*) FROM rec", nil, &n)
	return n, err
}

// Sampled returns up to n versions of a kind and department, taken at random:
// those that follow random places in the order of time.
func (c *Catalog) Sampled(ctx context.Context, kind record.Kind, dept int64, places []int64) ([]Hit, error) {
	var out []Hit
	seen := map[int64]bool{}
	for _, at := range places {
		hs, err := c.hits(ctx, "SELECT "+hitColumns+" FROM rec r WHERE r.id>=? AND r.kind=? AND r.dept=? ORDER BY r.id LIMIT 1", []any{at, kindNumber[kind], dept})
		if err != nil {
			return nil, err
		}
		for _, h := range hs {
			if !seen[h.ID] {
				seen[h.ID] = true
				out = append(out, h)
			}
		}
	}
	return out, nil
}

// Span is the first and the last row of a kind and department, 0 and 0 when it
// has none.
func (c *Catalog) Span(ctx context.Context, kind record.Kind, dept int64) (first, last int64, err error) {
	err = c.viewRow(ctx, "SELECT coalesce(min(id),0), coalesce(max(id),0) FROM rec WHERE kind=? AND dept=?", []any{kindNumber[kind], dept}, &first, &last)
	return first, last, err
}
