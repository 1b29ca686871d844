package catalog

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"farol/internal/db"
	"farol/internal/record"
)

// Bits of a row's state.
const (
	Tombstone  = 1 << iota // upstream no longer shows the item
	Incomplete             // an attachment could not be fetched yet
	Describes              // the row describes its container, dept or person
	Private                // of a 1:1 conversation
	Finance                // of a closed circle, record.Finance; record.Personnel is the next bit
)

// Row is one record of a commit as the catalog takes it.
type Row struct {
	Ref       record.Ref
	Ver       record.Hash // SHA-256 of what was received
	Time      time.Time
	Author    Person
	Class     record.Class
	State     int
	Bytes     int64
	Seq       uint64 // commit; [Catalog.Apply] sets it
	Index     int    // leaf in the commit
	Loc       record.Loc
	Text      string            // what search finds, in plaintext; only blind tokens are kept
	Dept      int64             // owning department
	Container *record.Container // set on rows that describe one
	OfDept    *record.Dept      // set on rows that describe a department
	Gone      bool              // the described thing is gone upstream

	blind blindRow // worked out by Index
}

// blindRow is what the file holds in place of names and words.
type blindRow struct {
	item, container, author int64 // author 0: nobody
	doc                     string
	id                      int64  // row, once it has one
	until                   uint64 // commit of the same batch that replaces it, 0 none
}

// Person is an upstream person key and the name seen with it.
type Person struct{ Key, Name string }

// Index works out beforehand what the file holds in place of a row's names and
// words, so that many goroutines can share that work; Text is empty afterwards.
// [Catalog.Apply], [Catalog.ApplyAll] and [Rebuild.Add] do it for rows that did
// not go through it.
func (c *Catalog) Index(r *Row) {
	if r.blind.item != 0 {
		return
	}
	kind := string(r.Ref.Kind)
	r.blind.container = c.blind.name("container", kind, r.Ref.Container)
	r.blind.item = c.blind.name("item", kind, r.Ref.Container, r.Ref.ID)
	if r.Author.Key != "" {
		r.blind.author = c.blind.name("person", r.Author.Key)
	}
	if r.Text != "" {
		r.blind.doc, r.Text = c.blind.document(r.Text), ""
	}
}

// Apply adds the rows of commit seq in one transaction and marks it applied.
// Applying a commit again does nothing.
func (c *Catalog) Apply(ctx context.Context, seq uint64, rows []Row) error {
	for i := range rows {
		rows[i].Seq = seq
	}
	return c.ApplyAll(ctx, seq, rows)
}

// ApplyAll adds the rows of many commits, each with its Seq, in one transaction
// and marks every commit up to seq applied. It comes out as if they had been
// applied one by one; 20,000 rows at a time are a good measure.
func (c *Catalog) ApplyAll(ctx context.Context, seq uint64, rows []Row) error {
	for i := range rows {
		c.Index(&rows[i])
	}
	err := c.db.Update(ctx, func(tx *db.Tx) error {
		done, err := applied(ctx, tx)
		if err != nil || seq <= done {
			return err
		}
		w, err := newWriter(ctx, c, tx)
		if err != nil {
			return err
		}
		defer w.close()
		late := make([]*Row, 0, len(rows))
		for i := range rows {
			if rows[i].Seq > done {
				late = append(late, &rows[i])
			}
		}
		if err := w.add(ctx, late); err != nil {
			return err
		}
		return setMeta(ctx, tx, "applied", strconv.FormatUint(seq, 10))
	})
	if err != nil {
		c.mu.Lock()
		clear(c.free) // hints from a transaction that did not happen
		clear(c.segs)
		clear(c.names)
		c.mu.Unlock()
		return fmt.Errorf("apply commit %d: %w", seq, err)
	}
	return nil
}

// add takes rows in as if each had come alone, in the order of commits.
//
// Words go last and in order of their rows: a statement that could be undone by
// itself makes FTS5 write out what it gathered, and so does a row id that goes
// backwards. One by one between the other statements they took three
// quarters of the time.
func (w *writer) add(ctx context.Context, rows []*Row) error {
	slices.SortFunc(rows, func(a, b *Row) int { return orderOf(a).compare(orderOf(b)) })
	first := w.link(rows)
	for _, r := range first { // in the order of the index that finds them
		if _, err := w.supersede.ExecContext(ctx, r.Seq, r.blind.item); err != nil {
			return err
		}
	}
	for _, r := range rows {
		if err := w.around(ctx, r); err != nil {
			return err
		}
	}
	slices.SortStableFunc(rows, func(a, b *Row) int { return a.Time.Compare(b.Time) })
	fts := filler{tx: w.tx, into: "fts(rowid,x)", width: 2, rows: min(ftsRows, max(len(rows), 1))}
	defer fts.close()
	for _, r := range rows {
		if err := w.insertRow(ctx, r); err != nil {
			return err
		}
	}
	slices.SortFunc(rows, func(a, b *Row) int { return cmp.Compare(a.blind.id, b.blind.id) })
	for _, r := range rows {
		if r.blind.doc == "" {
			continue
		}
		if err := fts.add(ctx, r.blind.id, r.blind.doc); err != nil {
			return err
		}
	}
	return fts.flush(ctx)
}

// link works out what rows of one batch do to each other: a later version ends
// an earlier one, and a description of a container owns what came before it. It
// returns the first row of every item, sorted by item. Rows are in the order of
// commits.
func (w *writer) link(rows []*Row) []*Row {
	first := make(map[int64]*Row, len(rows))
	owners := map[int64]int64{}
	for _, r := range slices.Backward(rows) {
		r.blind.until = 0
		if next := first[r.blind.item]; next != nil {
			r.blind.until = next.Seq
		}
		first[r.blind.item] = r
		owner, later := owners[r.blind.container]
		if r.Container != nil && !later && ownsRecords(r.Ref.Kind) {
			owners[r.blind.container] = r.Container.Dept
		}
		if later {
			r.Dept = owner
		}
	}
	return slices.SortedFunc(maps.Values(first), func(a, b *Row) int { return cmp.Compare(a.blind.item, b.blind.item) })
}

// around takes in what a row says of the things it belongs to.
func (w *writer) around(ctx context.Context, r *Row) error {
	kind, ok := kindNumber[r.Ref.Kind]
	if !ok {
		return fmt.Errorf("kind %q has no number", r.Ref.Kind)
	}
	if err := w.container(ctx, r.blind.container, kind, r); err != nil {
		return err
	}
	if r.OfDept != nil {
		if err := w.dept(ctx, r.OfDept); err != nil {
			return err
		}
	}
	return w.person(ctx, r)
}

func applied(ctx context.Context, tx *db.Tx) (uint64, error) {
	var v string
	err := tx.QueryRowContext(ctx, "SELECT value FROM meta WHERE name='applied'").Scan(&v)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	} else if err != nil {
		return 0, err
	}
	return strconv.ParseUint(v, 10, 64)
}
