package catalog

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
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

// where is the scope as SQL over rec r. Every query has it.
func where(s record.Scope, containerIDs []int64) (string, []any) {
	var sb strings.Builder
	var args []any
	if s.Nothing() {
		return "0", nil
	}
	in := func(col string, n int, v func(i int) any) {
		if sb.Len() > 0 {
			sb.WriteString(" AND ")
		}
		sb.WriteString(col + " IN (" + strings.TrimSuffix(strings.Repeat("?,", n), ",") + ")")
		for i := range n {
			args = append(args, v(i))
		}
	}
	in("r.kind", len(s.Kinds), func(i int) any { return kindNumber[s.Kinds[i]] })
	if !s.All {
		in("r.dept", len(s.Depts), func(i int) any { return s.Depts[i] })
	}
	sb.WriteString(" AND r.class <= ?")
	args = append(args, int(s.Class))
	if !s.Private {
		sb.WriteString(" AND (r.state & 8) = 0")
	}
	if len(s.Containers) > 0 {
		in("r.container", len(containerIDs), func(i int) any { return containerIDs[i] })
	}
	return sb.String(), args
}

func (c *Catalog) scope(s record.Scope) (string, []any) {
	var ids []int64
	for _, name := range s.Containers {
		for _, k := range s.Kinds {
			ids = append(ids, c.ContainerID(k, name))
		}
	}
	return where(s, ids)
}

// ContainerID is the catalog's id of an upstream container.
func (c *Catalog) ContainerID(k record.Kind, id string) int64 {
	return c.blind.name("container", string(k), id)
}

// asOf restricts to what a commit saw; 0 is now.
func asOf(seq uint64) (string, []any) {
	if seq == 0 {
		return "r.until=0", nil
	}
	return "r.seq<=? AND (r.until=0 OR r.until>?)", []any{int64(seq), int64(seq)}
}

// settle gives hits the look they had at a commit: what replaced them later had
// not happened yet.
func settle(hs []Hit, seq uint64) []Hit {
	for i := range hs {
		if seq > 0 && hs[i].Until > seq {
			hs[i].Until = 0
		}
	}
	return hs
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

// Known tells the engine what the catalog already holds of an item.
type Known struct {
	Ver   int64
	State int
	Ref   record.Ref
	Loc   record.Loc
	ID    int64
}

// Ver is the short version name under which [Known.Ver] compares.
func Ver(h record.Hash) int64 { return ver64(h) }

// Known looks up the current versions of items; absent ones are missing from
// the answer. It is for the engine, which has no reader and needs no scope.
func (c *Catalog) Known(ctx context.Context, refs []record.Ref) (map[record.Ref]Known, error) {
	out := make(map[record.Ref]Known, len(refs))
	var err error
	switch len(refs) {
	case 0:
	case 1: // what most listings show when nothing happened
		err = c.knownOne(ctx, refs[0], out)
	default:
		err = c.knownMany(ctx, refs, out)
	}
	if err != nil {
		return nil, fmt.Errorf("look up known items: %w", err)
	}
	return out, nil
}

func (c *Catalog) knownOne(ctx context.Context, ref record.Ref, out map[record.Ref]Known) error {
	k := Known{Ref: ref}
	err := c.one.QueryRowContext(ctx, c.blind.name("item", string(ref.Kind), ref.Container, ref.ID)).Scan(&k.ID, &k.Ver, &k.State)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err == nil {
		out[ref] = k
	}
	return err
}

func (c *Catalog) knownMany(ctx context.Context, refs []record.Ref, out map[record.Ref]Known) error {
	by := make(map[int64]record.Ref, len(refs))
	list := []byte{'['}
	for _, ref := range refs {
		item := c.blind.name("item", string(ref.Kind), ref.Container, ref.ID)
		by[item] = ref
		list = append(strconv.AppendInt(list, item, 10), ',')
	}
	list[len(list)-1] = ']'
	return c.db.View(ctx, func(tx *db.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT item, id, ver, state FROM rec WHERE item IN (SELECT value FROM json_each(?)) AND until=0", string(list))
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var item int64
			var k Known
			if err := rows.Scan(&item, &k.ID, &k.Ver, &k.State); err != nil {
				return err
			}
			k.Ref = by[item]
			out[k.Ref] = k
		}
		return rows.Err()
	})
}

// ContainerInfo is a container with its counts.
type ContainerInfo struct {
	record.Container
	CatalogID int64
	Gone      bool
	Items     int64
	Bytes     int64
	Last      time.Time
	Deleted   int64
	Then      *Hit // its description at the commit asked for, when another one has replaced it
}

// Containers lists the containers of a scope as of a commit with what each
// holds, newest activity first.
func (c *Catalog) Containers(ctx context.Context, s record.Scope, seq uint64) ([]ContainerInfo, error) {
	cond, args := c.scope(s)
	t, targs := asOf(seq)
	var out []ContainerInfo
	err := c.db.View(ctx, func(tx *db.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT r.container, sum((r.state & 4)=0), sum(r.bytes), max(CASE WHEN (r.state & 4)=0 THEN r.ms ELSE 0 END), sum((r.state & 1)<>0 AND (r.state & 4)=0)
			FROM rec r WHERE `+cond+" AND "+t+" GROUP BY r.container ORDER BY 4 DESC", append(args, targs...)...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var i ContainerInfo
			var last int64
			if err := rows.Scan(&i.CatalogID, &i.Items, &i.Bytes, &last, &i.Deleted); err != nil {
				return err
			}
			if last > 0 {
				i.Last = time.UnixMilli(last).UTC()
			}
			out = append(out, i)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return err
		}
		was, err := c.described(ctx, tx, s, seq, 0)
		if err != nil {
			return err
		}
		for n := range out {
			if err := c.fillContainer(ctx, tx, &out[n], was); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	return out, nil
}

// described finds the descriptions of containers that held at a commit and
// have been replaced since: the table of containers knows only the last.
func (c *Catalog) described(ctx context.Context, tx *db.Tx, s record.Scope, seq uint64, container int64) (map[int64]Hit, error) {
	if seq == 0 {
		return nil, nil
	}
	cond, args := c.scope(s)
	q := "SELECT " + hitColumns + " FROM rec r WHERE (r.state & 4)<>0 AND r.seq<=? AND r.until>? AND r.kind IN (?,?,?) AND " + cond
	args = append([]any{int64(seq), int64(seq), kindNumber[record.Chat], kindNumber[record.Files], kindNumber[record.Approvals]}, args...)
	if container != 0 {
		q += " AND r.container=?"
		args = append(args, container)
	}
	rows, err := tx.QueryContext(ctx, q+" ORDER BY r.seq, r.ms, r.idx", args...)
	if err != nil {
		return nil, err
	}
	hs, err := c.scanHits(ctx, tx, rows)
	out := make(map[int64]Hit, len(hs))
	for _, h := range settle(hs, seq) {
		out[h.Container] = h
	}
	return out, err
}

func (c *Catalog) fillContainer(ctx context.Context, tx *db.Tx, i *ContainerInfo, was map[int64]Hit) error {
	var sealed []byte
	if err := tx.QueryRowContext(ctx, "SELECT gone, sealed FROM container WHERE id=?", i.CatalogID).Scan(&i.Gone, &sealed); err != nil {
		return err
	}
	if h, ok := was[i.CatalogID]; ok {
		i.Then, i.Gone = &h, h.State&Tombstone != 0
	}
	return c.openJSON(sealed, &i.Container, "container", binary.BigEndian.AppendUint64(nil, uint64(i.CatalogID)))
}

// Container returns one container when the scope held anything of it at a
// commit (0 = now).
func (c *Catalog) Container(ctx context.Context, s record.Scope, id int64, seq uint64) (ContainerInfo, error) {
	cond, args := c.scope(s)
	t, targs := asOf(seq)
	args = append(args, targs...)
	i := ContainerInfo{CatalogID: id}
	err := c.db.View(ctx, func(tx *db.Tx) error {
		var last sql.NullInt64
		var bytes sql.NullInt64
		var items, deleted sql.NullInt64
		err := tx.QueryRowContext(ctx, `SELECT sum((r.state & 4)=0), sum(r.bytes), max(r.ms), sum((r.state & 1)<>0) FROM rec r WHERE r.container=? AND `+cond+" AND "+t, append([]any{id}, args...)...).
			Scan(&items, &bytes, &last, &deleted)
		if err != nil {
			return err
		}
		if !last.Valid {
			return ErrNotFound
		}
		i.Items, i.Bytes, i.Deleted, i.Last = items.Int64, bytes.Int64, deleted.Int64, time.UnixMilli(last.Int64).UTC()
		was, err := c.described(ctx, tx, s, seq, id)
		if err != nil {
			return err
		}
		return c.fillContainer(ctx, tx, &i, was)
	})
	return i, err
}

// Depts lists every department with its name.
func (c *Catalog) Depts(ctx context.Context) ([]record.Dept, error) {
	var out []record.Dept
	err := c.db.View(ctx, func(tx *db.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT id, parent, sealed FROM dept ORDER BY id")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var d record.Dept
			var sealed []byte
			if err := rows.Scan(&d.ID, &d.Parent, &sealed); err != nil {
				return err
			}
			if err := c.openJSON(sealed, &d.Name, "dept", strconv.AppendInt(nil, d.ID, 10)); err != nil {
				return err
			}
			out = append(out, d)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("list departments: %w", err)
	}
	return out, nil
}

// PersonName opens the name of a person by catalog id, "" when unknown.
func (c *Catalog) PersonName(ctx context.Context, id int64) (string, error) {
	c.mu.Lock()
	name, ok := c.names[id]
	c.mu.Unlock()
	if ok || id == 0 {
		return name, nil
	}
	var p Person
	err := c.db.View(ctx, func(tx *db.Tx) error {
		var sealed []byte
		err := tx.QueryRowContext(ctx, "SELECT sealed FROM person WHERE id=?", id).Scan(&sealed)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		} else if err != nil {
			return err
		}
		return c.openJSON(sealed, &p, "person", binary.BigEndian.AppendUint64(nil, uint64(id)))
	})
	if err != nil {
		return "", fmt.Errorf("open a person's name: %w", err)
	}
	c.mu.Lock()
	if len(c.names) > 50000 {
		clear(c.names)
	}
	c.names[id] = p.Name
	c.mu.Unlock()
	return p.Name, nil
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
