package catalog

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"farol/internal/db"
	"farol/internal/record"
)

// ErrNotOwn means that a question about somebody's own was asked with a scope
// that is not limited to one person.
var ErrNotOwn = errors.New("the scope is not one person's own")

// OwnQuery asks for what a person wrote himself.
type OwnQuery struct {
	Kind     record.Kind // "" = every kind
	From, To time.Time   // item time, zero = open
	Before   int64       // ids below, 0 = from the newest
	Limit    int
}

// Own returns the current items of the person that the scope is limited to,
// newest first. It costs what it returns, however much others wrote.
func (c *Catalog) Own(ctx context.Context, s record.Scope, q OwnQuery) ([]Hit, error) {
	each, err := ownParts(s)
	if err != nil {
		return nil, err
	}
	before := q.Before
	if before == 0 {
		before = 1 << 62
	}
	if !q.To.IsZero() { // as in Search: the slots of a full second spill over
		before = min(before, (q.To.Unix()-slotEpoch+3600)*4)
	}
	var out []Hit
	for _, o := range each {
		cond, args := c.scope(o)
		add := func(text string, v any) { cond, args = cond+" AND "+text, append(args, v) }
		if q.Kind != "" {
			add("r.kind=?", kindNumber[q.Kind])
		}
		if !q.From.IsZero() {
			add("r.ms>=?", q.From.UnixMilli())
		}
		if !q.To.IsZero() {
			add("r.ms<?", q.To.UnixMilli())
		}
		for _, author := range c.authors(o) { // a walk of the index each, so that nothing is sorted
			hs, err := c.hits(ctx, "SELECT "+hitColumns+" FROM rec r INDEXED BY rec_author WHERE r.author=? AND r.id<? AND r.until=0 AND "+cond+" ORDER BY r.id DESC LIMIT ?",
				append(append([]any{author, before}, args...), q.Limit))
			if err != nil {
				return nil, err
			}
			out = append(out, hs...)
		}
	}
	slices.SortFunc(out, func(a, b Hit) int { return cmp.Compare(b.ID, a.ID) })
	return out[:min(len(out), q.Limit)], nil
}

// ownParts are the alternatives of a scope, each limited to one person.
func ownParts(s record.Scope) ([]record.Scope, error) {
	var out []record.Scope
	var err error
	s.Each(func(o *record.Scope) {
		if !o.Own {
			err = ErrNotOwn
		}
		if !o.Nothing() {
			out = append(out, *o)
		}
	})
	return out, err
}

// Tally is how many items of a kind a person wrote in a year, Macau time.
type Tally struct {
	Kind  record.Kind
	Year  int
	Items int64
}

// Tallies counts what [Catalog.Own] would list.
func (c *Catalog) Tallies(ctx context.Context, s record.Scope) ([]Tally, error) {
	each, err := ownParts(s)
	if err != nil {
		return nil, err
	}
	var out []Tally
	for _, o := range each {
		if out, err = c.tally(ctx, o, out); err != nil {
			return nil, fmt.Errorf("count what a person wrote: %w", err)
		}
	}
	return out, nil
}

func (c *Catalog) tally(ctx context.Context, o record.Scope, out []Tally) ([]Tally, error) {
	cond, args := c.scope(o)
	err := c.db.View(ctx, func(tx *db.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT r.kind, strftime('%Y', r.ms/1000 + 8*3600, 'unixepoch'), count(*) FROM rec r INDEXED BY rec_author WHERE "+cond+" AND r.until=0 GROUP BY 1, 2 ORDER BY 1, 2 DESC", args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var kind int
			var year string
			var t Tally
			if err := rows.Scan(&kind, &year, &t.Items); err != nil {
				return err
			}
			t.Kind = kindName[kind]
			if t.Year, err = strconv.Atoi(year); err != nil {
				return err
			}
			out = append(out, t)
		}
		return rows.Err()
	})
	return out, err
}

// Holder is what holds an item, without counting what else it holds. It shows
// no content and needs no scope.
func (c *Catalog) Holder(ctx context.Context, id int64) (record.Container, error) {
	i := ContainerInfo{CatalogID: id}
	err := c.db.View(ctx, func(tx *db.Tx) error { return c.fillContainer(ctx, tx, &i, nil) })
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	return i.Container, err
}

// EachNamed calls fn with the current record of one name in every container of
// a kind, as "@members" of each conversation, some hundred at a time. It is for
// finding out who somebody is, which has no reader and needs no scope.
func (c *Catalog) EachNamed(ctx context.Context, kind record.Kind, name string, fn func([]Hit) error) error {
	const batch = 500
	var last int64 = -1
	for {
		var ids, items []int64
		err := c.db.View(ctx, func(tx *db.Tx) error {
			rows, err := tx.QueryContext(ctx, "SELECT id, sealed FROM container WHERE kind=? AND id>? ORDER BY id LIMIT ?", kindNumber[kind], last, batch)
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				var id int64
				var sealed []byte
				var cont record.Container
				if err := rows.Scan(&id, &sealed); err != nil {
					return err
				}
				if err := c.openJSON(sealed, &cont, "container", containerKey(id)); err != nil {
					return err
				}
				ids, items = append(ids, id), append(items, c.blind.name("item", string(kind), cont.ID, name))
			}
			return rows.Err()
		})
		if err != nil {
			return fmt.Errorf("list containers: %w", err)
		}
		if len(ids) == 0 {
			return nil
		}
		last = ids[len(ids)-1]
		var hits []Hit
		for _, item := range items {
			hs, err := c.hits(ctx, "SELECT "+hitColumns+" FROM rec r WHERE r.item=? AND r.until=0", []any{item})
			if err != nil {
				return err
			}
			hits = append(hits, hs...)
		}
		if err := fn(hits); err != nil {
			return err
		}
	}
}
