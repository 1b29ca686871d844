package catalog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"

	"farol/internal/db"
	"farol/internal/record"
)

// Rebuild makes an empty catalog from an archive walk. It comes out as the one
// that applied the commits one by one, although records come container by
// container: where the later commit decides, Rebuild remembers which it was.
// What many rows share (containers, people, segments) it keeps in memory and
// writes once. It is not safe for concurrent use, except [Catalog.Index].
type Rebuild struct {
	c       *Catalog
	people  map[int64]named
	holders map[int64]*holder
	segs    map[string]int64
	slots   slots
}

// order is a row's place among all rows as commits bring them.
type order struct {
	seq uint64
	ms  int64
	idx int
}

func orderOf(r *Row) order { return order{r.Seq, r.Time.UnixMilli(), r.Index} }

func (o order) compare(p order) int {
	return cmp.Or(cmp.Compare(o.seq, p.seq), cmp.Compare(o.ms, p.ms), cmp.Compare(o.idx, p.idx))
}

func (o order) before(p order) bool { return o.compare(p) < 0 }

// named is a person and when the name was given last.
type named struct {
	at order
	Person
}

// holder is a container while rows come in: its last description, or without
// one the earliest of its rows, which stands in for it.
type holder struct {
	described bool
	at        order
	cont      record.Container
	gone      bool
	kind      int
}

// What a catalog needs only to be asked, as the migrations leave it.
var secondary = []string{
	"CREATE INDEX rec_container ON rec(container, id)",
	"CREATE INDEX rec_item ON rec(item, until, ver, state)",
	"CREATE INDEX rec_seg       ON rec(seg, off)",
	"CREATE INDEX rec_author ON rec(author)",
}

// Rebuild begins. Until [Rebuild.Finish] the file counts as stale: what a
// crash leaves of it is thrown away at the next start.
func (c *Catalog) Rebuild(ctx context.Context) (*Rebuild, error) {
	err := c.db.Update(ctx, func(tx *db.Tx) error {
		var n int
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM (SELECT 1 FROM rec LIMIT 1)").Scan(&n); err != nil {
			return err
		}
		if n > 0 {
			return errors.New("it is not empty")
		}
		if err := setMeta(ctx, tx, "tokens", "rebuilding"); err != nil {
			return err
		}
		for _, q := range []string{"DROP INDEX IF EXISTS rec_container", "DROP INDEX IF EXISTS rec_item", "DROP INDEX IF EXISTS rec_seg", "DROP INDEX IF EXISTS rec_author", "DELETE FROM seg",
			"INSERT INTO fts(fts, rank) VALUES('automerge', 0)", "INSERT INTO fts(fts, rank) VALUES('hashsize', 33554432)"} {
			if _, err := tx.ExecContext(ctx, q); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("rebuild catalog: %w", err)
	}
	return &Rebuild{c, map[int64]named{}, map[int64]*holder{}, map[string]int64{}, slots{}}, nil
}

// person notes a name: of several the latest stays.
func (b *Rebuild) person(r *Row) {
	if r.Author.Key == "" {
		return
	}
	at := orderOf(r)
	if was, known := b.people[r.blind.author]; known {
		if r.Author.Name == "" || was.Name != "" && at.before(was.at) {
			return
		}
	}
	b.people[r.blind.author] = named{at, r.Author}
}

// container notes what a row says about its container.
func (b *Rebuild) container(kind int, r *Row) {
	id := r.blind.container
	h, at := b.holders[id], orderOf(r)
	switch {
	case h == nil:
		h = &holder{kind: kind}
		b.holders[id] = h
	case r.Container != nil && h.described && at.before(h.at), r.Container == nil && (h.described || h.at.before(at)):
		return
	}
	h.at, h.gone, h.described = at, r.Gone, r.Container != nil
	if r.Container != nil {
		h.cont = *r.Container
	} else {
		h.cont = record.Container{Kind: r.Ref.Kind, ID: r.Ref.Container, Dept: r.Dept, Private: r.State&Private != 0}
	}
}

// Finish writes containers, people and segments, works out which version
// replaced which, makes the indexes and marks every commit up to seq and every
// fold applied.
func (b *Rebuild) Finish(ctx context.Context, seq, fold uint64) error {
	err := b.c.db.Update(ctx, func(tx *db.Tx) error {
		for _, q := range secondary {
			if _, err := tx.ExecContext(ctx, q); err != nil {
				return err
			}
		}
		for id, h := range b.holders {
			if err := b.c.putContainer(ctx, tx, id, h.kind, &h.cont, h.gone); err != nil {
				return err
			}
			if !h.described || !ownsRecords(h.cont.Kind) {
				continue
			}
			if _, err := tx.ExecContext(ctx, "UPDATE rec SET dept=?1 WHERE container=?2 AND dept<>?1 AND (seq, ms, idx) < (?3, ?4, ?5)", h.cont.Dept, id, h.at.seq, h.at.ms, h.at.idx); err != nil {
				return err
			}
		}
		if err := b.writePeople(ctx, tx); err != nil {
			return err
		}
		for name, id := range b.segs {
			if _, err := tx.ExecContext(ctx, "INSERT INTO seg(id, name) VALUES(?,?)", id, name); err != nil {
				return err
			}
		}
		for _, q := range []string{
			`UPDATE rec SET until = coalesce((SELECT n.seq FROM rec n WHERE n.item=rec.item AND (n.seq, n.ms, n.idx) > (rec.seq, rec.ms, rec.idx) ORDER BY n.seq, n.ms, n.idx LIMIT 1), 0)
				WHERE item IN (SELECT item FROM rec GROUP BY item HAVING count(*)>1)`,
			"INSERT INTO fts(fts, rank) VALUES('automerge', 4)", "INSERT INTO fts(fts, rank) VALUES('hashsize', 1048576)", "INSERT INTO fts(fts) VALUES('optimize')",
		} {
			if _, err := tx.ExecContext(ctx, q); err != nil {
				return err
			}
		}
		for name, n := range map[string]uint64{"applied": seq, "fold": fold} {
			if n == 0 {
				continue
			}
			if err := setMeta(ctx, tx, name, strconv.FormatUint(n, 10)); err != nil {
				return err
			}
		}
		return setMeta(ctx, tx, "tokens", b.c.canary())
	})
	b.c.mu.Lock()
	clear(b.c.free)
	clear(b.c.segs)
	clear(b.c.names)
	b.c.mu.Unlock()
	if err != nil {
		return fmt.Errorf("finish the catalog's rebuild: %w", err)
	}
	return nil
}

func (b *Rebuild) writePeople(ctx context.Context, tx *db.Tx) error {
	into := filler{tx: tx, into: "person(id,key,sealed)", width: 3, rows: 100}
	defer into.close()
	for id, p := range b.people {
		sealed, err := b.c.sealJSON(p.Person, "person", personKey(id))
		if err != nil {
			return err
		}
		if err := into.add(ctx, id, personKey(id), sealed); err != nil {
			return err
		}
	}
	return into.flush(ctx)
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

// PersonID is the catalog's blind name of a person's upstream key.
func (c *Catalog) PersonID(key string) int64 { return c.blind.name("person", key) }

// ItemID is the catalog's blind name of an upstream item.
func (c *Catalog) ItemID(kind, container, id string) int64 {
	return c.blind.name("item", kind, container, id)
}
