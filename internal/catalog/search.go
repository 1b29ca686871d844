package catalog

import (
	"context"
	"strings"
	"time"

	"farol/internal/record"
)

// Query is a search.
type Query struct {
	Expr      Expr
	From, To  time.Time // item time, zero = open
	Kind      record.Kind
	Dept      []int64 // already expanded; empty = the scope's
	Container int64
	Author    int64
	AsOf      uint64
	Before    int64 // keyset: ids below, 0 = from the newest
	Limit     int
}

// SearchTimeout bounds one question to the index.
const SearchTimeout = 2 * time.Second

// Search proposes records, newest first, of every version. The caller opens
// each, verifies it with [Expr.Find] and asks again with Before when too few
// remain. The scope is in the SQL.
func (c *Catalog) Search(ctx context.Context, s record.Scope, q Query) ([]Hit, error) {
	ctx, cancel := context.WithTimeout(ctx, SearchTimeout)
	defer cancel()
	cond, args := c.filter(s, &q)
	mine, margs := c.mine(s)
	sqlText := "SELECT " + hitColumns + " FROM fts f CROSS JOIN rec r ON r.id=f.rowid WHERE f.fts MATCH ? AND f.rowid<?" + mine + " AND " + cond + " ORDER BY f.rowid DESC LIMIT ?"
	before := q.Before
	if before == 0 {
		before = 1 << 62
	}
	if !q.To.IsZero() {
		// one slack hour: a full second spills its rows into later slots
		before = min(before, (q.To.Unix()-slotEpoch+3600)*4)
	}
	all := append(append([]any{q.Expr.match(c.blind), before}, margs...), args...)
	hs, err := c.hits(ctx, sqlText, append(all, q.Limit))
	return settle(hs, q.AsOf), err
}

// mine drops what others wrote before its row is looked up: somebody's own is
// a small part of what holds a common word.
func (c *Catalog) mine(s record.Scope) (string, []any) {
	each, err := ownParts(s)
	if err != nil || len(each) == 0 {
		return "", nil
	}
	var args []any
	for _, o := range each {
		for _, id := range c.authors(o) {
			args = append(args, id)
		}
	}
	return " AND +f.rowid IN (SELECT id FROM rec INDEXED BY rec_author WHERE author IN (" + strings.TrimSuffix(strings.Repeat("?,", len(args)), ",") + "))", args
}

// CountUpTo counts proposals up to max: exact for single terms, an upper bound
// for phrases.
func (c *Catalog) CountUpTo(ctx context.Context, s record.Scope, q Query, max int) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, SearchTimeout)
	defer cancel()
	cond, args := c.filter(s, &q)
	all := append([]any{q.Expr.match(c.blind)}, args...)
	var n int
	err := c.viewRow(ctx, "SELECT count(*) FROM (SELECT 1 FROM fts f CROSS JOIN rec r ON r.id=f.rowid WHERE f.fts MATCH ? AND "+cond+" LIMIT ?)", append(all, max), &n)
	return n, err
}

func (c *Catalog) filter(s record.Scope, q *Query) (string, []any) {
	if len(q.Dept) > 0 {
		s = s.Each(func(o *record.Scope) {
			if o.All {
				o.All, o.Depts = false, q.Dept
			} else {
				o.Depts = intersect(o.Depts, q.Dept)
			}
		})
	}
	cond, args := c.scope(s)
	add := func(text string, v any) {
		cond += " AND " + text
		args = append(args, v)
	}
	if !q.From.IsZero() {
		add("r.ms>=?", q.From.UnixMilli())
	}
	if !q.To.IsZero() {
		add("r.ms<?", q.To.UnixMilli())
	}
	if q.Kind != "" {
		add("r.kind=?", kindNumber[q.Kind])
	}
	if q.Container != 0 {
		add("r.container=?", q.Container)
	}
	if q.Author != 0 {
		add("r.author=?", q.Author)
	}
	if q.AsOf != 0 {
		add("r.seq<=?", int64(q.AsOf))
	}
	return cond, args
}

func intersect(a, b []int64) []int64 {
	in := make(map[int64]bool, len(b))
	for _, x := range b {
		in[x] = true
	}
	var out []int64
	for _, x := range a {
		if in[x] {
			out = append(out, x)
		}
	}
	return out
}
