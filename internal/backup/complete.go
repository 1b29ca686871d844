package backup

import (
	"context"
	"fmt"
	"time"

	"farol/internal/db"
	"farol/internal/record"
)

// Completeness compares what a complete walk listed with what is held.
type Completeness struct {
	Kind     record.Kind
	Dept     int64
	Listed   int64
	Archived int64
	At       time.Time // oldest walk behind the figure
}

// walked notes the outcome of one complete walk of a container.
func (e *Engine) walked(ctx context.Context, kind record.Kind, container string, dept int64, r result) error {
	err := e.d.Control.Update(ctx, func(tx *db.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO completeness(kind,container,dept,listed,archived,at) VALUES(?,?,?,?,?,?)
			ON CONFLICT(kind,container) DO UPDATE SET dept=excluded.dept, listed=excluded.listed, archived=excluded.archived, at=excluded.at`,
			string(kind), container, dept, r.listed, r.listed-r.gaps, tx.Now.UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("note completeness: %w", err)
	}
	e.mu.Lock()
	e.whole[string(kind)+"/"+container] = true
	e.mu.Unlock()
	return nil
}

// grew adds what an incremental pull listed to the figure of the last walk.
func (e *Engine) grew(ctx context.Context, kind record.Kind, container string, r result) error {
	if r.added == 0 {
		return nil
	}
	return e.d.Control.Update(ctx, func(tx *db.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE completeness SET listed=listed+?, archived=archived+? WHERE kind=? AND container=?", r.added, r.added-r.gaps, string(kind), container)
		return err
	})
}

// Completeness sums the walks per kind and department. A kind that was never
// walked is absent: unknown is not complete.
func (e *Engine) Completeness(ctx context.Context) ([]Completeness, error) {
	var out []Completeness
	err := e.d.Control.View(ctx, func(tx *db.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT kind, dept, sum(listed), sum(archived), min(at) FROM completeness GROUP BY kind, dept ORDER BY kind, dept")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var c Completeness
			var at int64
			if err := rows.Scan(&c.Kind, &c.Dept, &c.Listed, &c.Archived, &at); err != nil {
				return err
			}
			c.At = time.UnixMilli(at)
			out = append(out, c)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("sum completeness: %w", err)
	}
	return out, nil
}

// Day is what one calendar day in Macau brought, per kind.
type Day struct {
	Day    string // 2006-01-02
	Kind   record.Kind
	Items  int64
	Bytes  int64
	Gaps   int64
	Failed bool
}

func (e *Engine) countDay(ctx context.Context, kind record.Kind, r result, failed bool) error {
	return e.d.Control.Update(ctx, func(tx *db.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO day(day,kind,items,bytes,gaps,failed) VALUES(?,?,?,?,?,?)
			ON CONFLICT(day,kind) DO UPDATE SET items=items+excluded.items, bytes=bytes+excluded.bytes, gaps=gaps+excluded.gaps, failed=excluded.failed`,
			tx.Now.In(record.Macau).Format(time.DateOnly), string(kind), r.added+r.changed, r.bytes, r.gaps, failed)
		return err
	})
}

// Days lists the last n days, oldest first.
func (e *Engine) Days(ctx context.Context, n int) ([]Day, error) {
	var out []Day
	from := e.d.Now().In(record.Macau).AddDate(0, 0, -n+1).Format(time.DateOnly)
	err := e.d.Control.View(ctx, func(tx *db.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT day,kind,items,bytes,gaps,failed FROM day WHERE day>=? ORDER BY day, kind", from)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var d Day
			if err := rows.Scan(&d.Day, &d.Kind, &d.Items, &d.Bytes, &d.Gaps, &d.Failed); err != nil {
				return err
			}
			out = append(out, d)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("list days: %w", err)
	}
	return out, nil
}
