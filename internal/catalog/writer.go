package catalog

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"time"

	"farol/internal/db"
	"farol/internal/record"
)

// writer holds the prepared statements and look-ups of one transaction.
type writer struct {
	c          *Catalog
	tx         *db.Tx
	stmts      []*sql.Stmt
	insert     *sql.Stmt
	fts        *sql.Stmt
	supersede  *sql.Stmt
	containers map[int64]bool
	segs       map[string]int64
	people     map[string]seenPerson
	rebuild    *Rebuild // commits come out of order; nil otherwise
}

type seenPerson struct {
	id   int64
	name string
}

func newWriter(ctx context.Context, c *Catalog, tx *db.Tx) (*writer, error) {
	w := &writer{c: c, tx: tx, containers: map[int64]bool{}, segs: map[string]int64{}, people: map[string]seenPerson{}}
	var err error
	prep := func(q string) *sql.Stmt {
		if err != nil {
			return nil
		}
		var s *sql.Stmt
		if s, err = tx.PrepareContext(ctx, q); err == nil {
			w.stmts = append(w.stmts, s)
		}
		return s
	}
	w.insert = prep(`INSERT OR IGNORE INTO rec(id,container,dept,kind,class,author,ms,item,ver,state,seq,idx,bytes,seg,off,len) VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`)
	w.fts = prep(`INSERT INTO fts(rowid,x) VALUES(?,?)`)
	w.supersede = prep(`UPDATE rec SET until=? WHERE item=? AND until=0`)
	return w, err
}

func (w *writer) close() {
	for _, s := range w.stmts {
		s.Close()
	}
}

func ver64(h record.Hash) int64 { return int64(binary.BigEndian.Uint64(h[:8]) >> 1) }

func (w *writer) row(ctx context.Context, seq uint64, r *Row, doc string) error {
	kind, ok := kindNumber[r.Ref.Kind]
	if !ok {
		return fmt.Errorf("kind %q has no number", r.Ref.Kind)
	}
	cont := w.c.blind.name("container", string(r.Ref.Kind), r.Ref.Container)
	if err := w.container(ctx, cont, kind, r); err != nil {
		return err
	}
	if r.OfDept != nil {
		if err := w.dept(ctx, r.OfDept); err != nil {
			return err
		}
	}
	author, err := w.person(ctx, r)
	if err != nil {
		return err
	}
	seg, err := w.seg(ctx, r.Loc.Seg)
	if err != nil {
		return err
	}
	item := w.c.blind.name("item", string(r.Ref.Kind), r.Ref.Container, r.Ref.ID)
	if w.rebuild == nil {
		if _, err := w.supersede.ExecContext(ctx, seq, item); err != nil {
			return err
		}
	}
	id, step := w.slot(r.Time), int64(1)
	for tries := 0; ; tries++ {
		res, err := w.insert.ExecContext(ctx, id, cont, r.Dept, kind, int(r.Class), author, r.Time.UnixMilli(), item, ver64(r.Ver), r.State,
			seq, r.Index, r.Bytes, seg, r.Loc.Off, r.Loc.Len)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil {
			return err
		} else if n == 1 {
			break
		}
		// Taken. Where thousands of rows share a few seconds, as after a mass
		// import, the next free slot may be far.
		id += step
		if tries > 8 {
			step *= 2
		}
	}
	w.took(r.Time, id)
	if doc != "" {
		if _, err := w.fts.ExecContext(ctx, id, doc); err != nil {
			return err
		}
	}
	return nil
}

// slotEpoch keeps row ids positive and small.
var slotEpoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Unix()

func second(t time.Time) int64 { return max(t.Unix()-slotEpoch, 1) }

// slot is where the row of a time may go, if it is free.
func (w *writer) slot(t time.Time) int64 {
	sec := second(t)
	w.c.mu.Lock()
	defer w.c.mu.Unlock()
	if id, ok := w.c.free[sec]; ok {
		return id
	}
	return sec * 4
}

// took notes which slot a row of that time has got.
func (w *writer) took(t time.Time, id int64) {
	w.c.mu.Lock()
	defer w.c.mu.Unlock()
	if len(w.c.free) > 1<<14 {
		clear(w.c.free)
	}
	w.c.free[second(t)] = id + 1
}

func (w *writer) container(ctx context.Context, id int64, kind int, r *Row) error {
	if w.rebuild != nil {
		w.rebuild.container(id, kind, r)
		return nil
	}
	if r.Container == nil {
		if w.containers[id] {
			return nil
		}
		w.containers[id] = true
		var one int
		err := w.tx.QueryRowContext(ctx, "SELECT 1 FROM container WHERE id=?", id).Scan(&one)
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		r.Container = &record.Container{Kind: r.Ref.Kind, ID: r.Ref.Container, Dept: r.Dept, Private: r.State&Private != 0}
	}
	if err := w.c.putContainer(ctx, w.tx, id, kind, r.Container, r.Gone); err != nil {
		return err
	}
	w.containers[id] = true
	if !ownsRecords(r.Ref.Kind) {
		return nil
	}
	_, err := w.tx.ExecContext(ctx, "UPDATE rec SET dept=? WHERE container=? AND dept<>?", r.Container.Dept, id, r.Container.Dept)
	return err
}

// ownsRecords tells whether a container of the kind, a group or a space,
// decides who owns what it holds.
func ownsRecords(k record.Kind) bool { return k == record.Chat || k == record.Files }

func (c *Catalog) putContainer(ctx context.Context, tx *db.Tx, id int64, kind int, cont *record.Container, gone bool) error {
	key := binary.BigEndian.AppendUint64(nil, uint64(id))
	sealed, err := c.sealJSON(cont, "container", key)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO container(id,key,kind,dept,private,gone,sealed) VALUES(?,?,?,?,?,?,?)
		ON CONFLICT(id) DO UPDATE SET dept=excluded.dept, private=excluded.private, gone=excluded.gone, sealed=excluded.sealed`,
		id, key, kind, cont.Dept, cont.Private, gone, sealed)
	return err
}

func (w *writer) dept(ctx context.Context, d *record.Dept) error {
	key := strconv.AppendInt(nil, d.ID, 10)
	sealed, err := w.c.sealJSON(d.Name, "dept", key)
	if err != nil {
		return err
	}
	_, err = w.tx.ExecContext(ctx, `INSERT INTO dept(id,parent,sealed) VALUES(?,?,?)
		ON CONFLICT(id) DO UPDATE SET parent=excluded.parent, sealed=excluded.sealed`, d.ID, d.Parent, sealed)
	return err
}

func (w *writer) person(ctx context.Context, r *Row) (int64, error) {
	p := r.Author
	if p.Key == "" {
		return 0, nil
	}
	seen, ok := w.people[p.Key]
	if !ok {
		seen.id = w.c.blind.name("person", p.Key)
	} else if w.rebuild == nil && (p.Name == "" || p.Name == seen.name) {
		return seen.id, nil
	}
	id := seen.id
	w.people[p.Key] = seenPerson{id, p.Name}
	if w.rebuild != nil && !w.rebuild.person(id, p, orderOf(r)) {
		return id, nil
	}
	key := binary.BigEndian.AppendUint64(nil, uint64(id))
	var sealed []byte
	err := w.tx.QueryRowContext(ctx, "SELECT sealed FROM person WHERE id=?", id).Scan(&sealed)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, err
	}
	var was Person
	if err == nil {
		if err := w.c.openJSON(sealed, &was, "person", key); err != nil {
			return 0, err
		}
	}
	if was.Key == "" || (p.Name != "" && p.Name != was.Name) {
		if sealed, err = w.c.sealJSON(p, "person", key); err != nil {
			return 0, err
		}
		if _, err := w.tx.ExecContext(ctx, `INSERT INTO person(id,key,sealed) VALUES(?,?,?)
			ON CONFLICT(id) DO UPDATE SET sealed=excluded.sealed`, id, key, sealed); err != nil {
			return 0, err
		}
		w.c.mu.Lock()
		delete(w.c.names, id)
		w.c.mu.Unlock()
	}
	return id, nil
}

func (w *writer) seg(ctx context.Context, name string) (int64, error) {
	if id, ok := w.segs[name]; ok {
		return id, nil
	}
	var id int64
	err := w.tx.QueryRowContext(ctx, "SELECT id FROM seg WHERE name=?", name).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		err = w.tx.QueryRowContext(ctx, "INSERT INTO seg(name) VALUES(?) RETURNING id", name).Scan(&id)
	}
	if err != nil {
		return 0, err
	}
	w.segs[name] = id
	return id, nil
}
