package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"

	"farol/internal/db"
	"farol/internal/record"
)

// Hit is one record version as the catalog knows it.
type Hit struct {
	ID        int64
	Kind      record.Kind
	Container int64 // catalog id of the container
	Dept      int64
	Class     record.Class
	Author    int64
	Time      time.Time
	State     int
	Seq       uint64 // commit
	Index     int    // leaf in the commit
	Until     uint64 // commit that replaced it, 0 = current
	Bytes     int64
	Loc       record.Loc
	Ver       int64 // short name of the version, see [Ver]
}

const hitColumns = "r.id,r.kind,r.container,r.dept,r.class,r.author,r.ms,r.state,r.seq,r.idx,r.until,r.bytes,r.seg,r.off,r.len,r.ver"

func (c *Catalog) scanHits(ctx context.Context, tx *db.Tx, rows *sql.Rows) ([]Hit, error) {
	defer rows.Close()
	var out []Hit
	var segs []int64
	for rows.Next() {
		var h Hit
		var kind int
		var ms, seg int64
		if err := rows.Scan(&h.ID, &kind, &h.Container, &h.Dept, &h.Class, &h.Author, &ms, &h.State, &h.Seq, &h.Index, &h.Until, &h.Bytes, &seg, &h.Loc.Off, &h.Loc.Len, &h.Ver); err != nil {
			return nil, err
		}
		h.Kind, h.Time = kindName[kind], time.UnixMilli(ms).UTC()
		out = append(out, h)
		segs = append(segs, seg)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, err
	}
	names := map[int64]string{} // not the shared cache: a fold may rename under it
	for i := range out {
		name, ok := names[segs[i]]
		if !ok {
			if err := tx.QueryRowContext(ctx, "SELECT name FROM seg WHERE id=?", segs[i]).Scan(&name); err != nil {
				return nil, fmt.Errorf("segment %d: %w", segs[i], err)
			}
			names[segs[i]] = name
		}
		out[i].Loc.Seg = name
	}
	return out, nil
}

// PageQuery asks for the items of a container.
type PageQuery struct {
	Container int64
	AsOf      uint64 // commit, 0 = now
	Before    int64  // items with a smaller id (older), newest first; 0 = from the newest
	After     int64  // when set: items with a larger id, oldest first
	Limit     int
	Describes bool // only the rows that describe a container
}

// Page returns the items of a container inside the scope, newest first (oldest
// first when After is set).
func (c *Catalog) Page(ctx context.Context, s record.Scope, q PageQuery) ([]Hit, error) {
	cond, args := c.scope(s)
	t, targs := asOf(q.AsOf)
	sqlText := "SELECT " + hitColumns + " FROM rec r WHERE r.container=? AND " + cond + " AND " + t
	args = append(append([]any{q.Container}, args...), targs...)
	if q.Describes {
		sqlText += " AND (r.state & 4)<>0"
	} else {
		sqlText += " AND (r.state & 4)=0"
	}
	switch {
	case q.After != 0:
		sqlText += " AND r.id>? ORDER BY r.id LIMIT ?"
		args = append(args, q.After, q.Limit)
	case q.Before != 0:
		sqlText += " AND r.id<? ORDER BY r.id DESC LIMIT ?"
		args = append(args, q.Before, q.Limit)
	default:
		sqlText += " ORDER BY r.id DESC LIMIT ?"
		args = append(args, q.Limit)
	}
	hs, err := c.hits(ctx, sqlText, args)
	return settle(hs, q.AsOf), err
}

func (c *Catalog) hits(ctx context.Context, sqlText string, args []any) ([]Hit, error) {
	var out []Hit
	err := c.db.View(ctx, func(tx *db.Tx) error {
		rows, err := tx.QueryContext(ctx, sqlText, args...)
		if err != nil {
			return err
		}
		out, err = c.scanHits(ctx, tx, rows)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("query catalog: %w", err)
	}
	return out, nil
}

// since restricts to versions that were there at a commit, replaced or not; 0
// is now.
func since(seq uint64) string {
	if seq == 0 {
		return ""
	}
	return " AND r.seq<=" + strconv.FormatUint(seq, 10)
}

// Get returns one record version inside the scope that was there at a commit
// (0 = now), or [ErrNotFound]: the answer is the same whether it does not
// exist, did not exist yet or may not be seen.
func (c *Catalog) Get(ctx context.Context, s record.Scope, id int64, seq uint64) (Hit, error) {
	cond, args := c.scope(s)
	hs, err := c.hits(ctx, "SELECT "+hitColumns+" FROM rec r WHERE r.id=? AND "+cond+since(seq), append([]any{id}, args...))
	if err != nil {
		return Hit{}, err
	}
	if len(hs) == 0 {
		return Hit{}, ErrNotFound
	}
	return settle(hs, seq)[0], nil
}

// Where is the address of a row as it is now: a fold may have moved it.
func (c *Catalog) Where(ctx context.Context, id int64) (record.Loc, error) {
	var l record.Loc
	err := c.viewRow(ctx, "SELECT s.name, r.off, r.len FROM rec r JOIN seg s ON s.id=r.seg WHERE r.id=?", []any{id}, &l.Seg, &l.Off, &l.Len)
	return l, err
}

// Newest is where the newest item lies.
func (c *Catalog) Newest(ctx context.Context) (record.Loc, error) {
	var id int64
	if err := c.viewRow(ctx, "SELECT id FROM rec ORDER BY id DESC LIMIT 1", nil, &id); err != nil {
		return record.Loc{}, err
	}
	return c.Where(ctx, id)
}

// Versions returns every version that the record of id had at a commit (0 =
// now), oldest first.
func (c *Catalog) Versions(ctx context.Context, s record.Scope, id int64, seq uint64) ([]Hit, error) {
	cond, args := c.scope(s)
	hs, err := c.hits(ctx, "SELECT "+hitColumns+" FROM rec r WHERE r.item=(SELECT item FROM rec WHERE id=?) AND "+cond+since(seq)+" ORDER BY r.seq, r.idx", append([]any{id}, args...))
	return settle(hs, seq), err
}

// ByRef returns the current version of an upstream item inside the scope.
func (c *Catalog) ByRef(ctx context.Context, s record.Scope, ref record.Ref) (Hit, error) {
	cond, args := c.scope(s)
	item := c.blind.name("item", string(ref.Kind), ref.Container, ref.ID)
	hs, err := c.hits(ctx, "SELECT "+hitColumns+" FROM rec r WHERE r.item=? AND r.until=0 AND "+cond, append([]any{item}, args...))
	if err != nil {
		return Hit{}, err
	}
	if len(hs) == 0 {
		return Hit{}, ErrNotFound
	}
	return hs[0], nil
}

// Select walks the items of a scope in container order, oldest first, for an
// export: at most batch rows a call of fn.
func (c *Catalog) Select(ctx context.Context, s record.Scope, seq uint64, from, to time.Time, batch int, fn func([]Hit) error) error {
	cond, cargs := c.scope(s)
	t, targs := asOf(seq)
	var cont, id int64 = -1 << 62, -1 << 62
	for {
		args := append(append([]any{cont, cont, id}, cargs...), targs...)
		sqlText := "SELECT " + hitColumns + " FROM rec r WHERE (r.container>? OR (r.container=? AND r.id>?)) AND " + cond + " AND " + t
		if !from.IsZero() {
			sqlText += " AND (r.ms>=? OR (r.state & 4)<>0)"
			args = append(args, from.UnixMilli())
		}
		if !to.IsZero() {
			sqlText += " AND (r.ms<? OR (r.state & 4)<>0)"
			args = append(args, to.UnixMilli())
		}
		hs, err := c.hits(ctx, sqlText+" ORDER BY r.container, r.id LIMIT ?", append(args, batch))
		if err != nil || len(hs) == 0 {
			return err
		}
		if err := fn(settle(hs, seq)); err != nil {
			return err
		}
		cont, id = hs[len(hs)-1].Container, hs[len(hs)-1].ID
	}
}

// Highest is the highest class among the items that [Catalog.Select] would
// walk; [ErrNotFound] when there are none.
func (c *Catalog) Highest(ctx context.Context, s record.Scope, seq uint64, from, to time.Time) (record.Class, error) {
	cond, args := c.scope(s)
	t, targs := asOf(seq)
	args = append(args, targs...)
	sqlText := "SELECT max(r.class) FROM rec r WHERE " + cond + " AND " + t
	if !from.IsZero() {
		sqlText += " AND (r.ms>=? OR (r.state & 4)<>0)"
		args = append(args, from.UnixMilli())
	}
	if !to.IsZero() {
		sqlText += " AND (r.ms<? OR (r.state & 4)<>0)"
		args = append(args, to.UnixMilli())
	}
	var class sql.NullInt64
	err := c.db.View(ctx, func(tx *db.Tx) error { return tx.QueryRowContext(ctx, sqlText, args...).Scan(&class) })
	if err != nil {
		return 0, fmt.Errorf("find the highest class: %w", err)
	}
	if !class.Valid {
		return 0, ErrNotFound
	}
	return record.Class(class.Int64), nil
}

// Count is a number of items and bytes.
type Count struct {
	Kind    record.Kind
	Dept    int64
	Items   int64 // current items, without the rows that describe containers
	Bytes   int64 // of all versions
	Deleted int64
}

// Counts sums the whole catalog per kind and department. It shows no content
// and needs no scope.
func (c *Catalog) Counts(ctx context.Context) ([]Count, error) {
	var out []Count
	err := c.db.View(ctx, func(tx *db.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT kind, dept, sum(until=0 AND (state & 4)=0), sum(bytes), sum(until=0 AND (state & 5)=1) FROM rec GROUP BY kind, dept")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var n Count
			var kind int
			if err := rows.Scan(&kind, &n.Dept, &n.Items, &n.Bytes, &n.Deleted); err != nil {
				return err
			}
			n.Kind = kindName[kind]
			out = append(out, n)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("count records: %w", err)
	}
	return out, nil
}

func (c *Catalog) viewRow(ctx context.Context, q string, args []any, dest ...any) error {
	err := c.db.View(ctx, func(tx *db.Tx) error { return tx.QueryRowContext(ctx, q, args...).Scan(dest...) })
	if err != nil {
		return fmt.Errorf("query catalog: %w", err)
	}
	return nil
}
