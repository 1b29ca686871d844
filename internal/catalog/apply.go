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
