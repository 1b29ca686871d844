package catalog

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"strconv"
	"strings"
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
	supersede  *sql.Stmt
	containers map[int64]bool
	segs       map[string]int64
	people     map[int64]string // names seen in this transaction
}

func newWriter(ctx context.Context, c *Catalog, tx *db.Tx) (*writer, error) {
	w := &writer{c: c, tx: tx, containers: map[int64]bool{}, segs: map[string]int64{}, people: map[int64]string{}}
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
	w.insert = prep("INSERT OR IGNORE INTO rec(" + recColumns + ") VALUES" + places(1, recWidth))
	w.supersede = prep(`UPDATE rec SET until=? WHERE item=? AND until=0`)
	return w, err
}

func (w *writer) close() {
	for _, s := range w.stmts {
		s.Close()
	}
}

const (
	recColumns = "id,container,dept,kind,class,author,ms,item,ver,state,seq,idx,until,bytes,seg,off,len"
	recWidth   = 17
)

// values are recColumns of a row.
func (r *Row) values(id int64, kind int, seg int64) []any {
	return []any{id, r.blind.container, r.Dept, kind, int(r.Class), r.blind.author, r.Time.UnixMilli(), r.blind.item, ver64(r.Ver), r.State,
		r.Seq, r.Index, r.blind.until, r.Bytes, seg, r.Loc.Off, r.Loc.Len}
}

// places are the question marks for n rows of so many columns.
func places(n, width int) string {
	row := "(?" + strings.Repeat(",?", width-1) + ")"
	return row + strings.Repeat(","+row, n-1)
}

func ver64(h record.Hash) int64 { return int64(binary.BigEndian.Uint64(h[:8]) >> 1) }

// insertRow gives a row the first free slot of its time.
func (w *writer) insertRow(ctx context.Context, r *Row) error {
	seg, err := w.seg(ctx, r.Loc.Seg)
	if err != nil {
		return err
	}
	id, step := w.slot(r.Time), int64(1)
	for tries := 0; ; tries++ {
		res, err := w.insert.ExecContext(ctx, r.values(id, kindNumber[r.Ref.Kind], seg)...)
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
	r.blind.id = id
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

func (w *writer) person(ctx context.Context, r *Row) error {
	p, id := r.Author, r.blind.author
	if p.Key == "" {
		return nil
	}
	if seen, ok := w.people[id]; ok && (p.Name == "" || p.Name == seen) {
		return nil
	}
	w.people[id] = p.Name
	var sealed []byte
	err := w.tx.QueryRowContext(ctx, "SELECT sealed FROM person WHERE id=?", id).Scan(&sealed)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	var was Person
	if err == nil {
		if err := w.c.openJSON(sealed, &was, "person", personKey(id)); err != nil {
			return err
		}
	}
	if was.Key != "" && (p.Name == "" || p.Name == was.Name) {
		return nil
	}
	return w.c.putPerson(ctx, w.tx, id, p)
}

func personKey(id int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(id)) }

func (c *Catalog) putPerson(ctx context.Context, tx *db.Tx, id int64, p Person) error {
	sealed, err := c.sealJSON(p, "person", personKey(id))
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO person(id,key,sealed) VALUES(?,?,?)
		ON CONFLICT(id) DO UPDATE SET sealed=excluded.sealed`, id, personKey(id), sealed); err != nil {
		return err
	}
	c.mu.Lock()
	delete(c.names, id)
	c.mu.Unlock()
	return nil
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
