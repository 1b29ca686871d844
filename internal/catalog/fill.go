package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"math/bits"
	"slices"

	"farol/internal/db"
)

// How many rows one statement takes. A statement a row spent more time in
// reaching SQLite than in it. OR FAIL, as a statement of many rows that could
// be undone by itself makes FTS5 write out what it gathered, each time; for
// the same reason words go last, in one statement a batch.
const (
	recRows = 32
	ftsRows = 16_000 // two parameters each of the 32,766 that SQLite takes
)

// Add takes rows of commits in any order; about 10,000 at a time is best, more
// than 16,000 cost more each.
func (b *Rebuild) Add(ctx context.Context, rows []Row) error {
	for i := range rows {
		b.c.Index(&rows[i])
	}
	// FTS5 flushes its buffer when a row id goes backwards.
	slices.SortStableFunc(rows, func(a, b Row) int { return a.Time.Compare(b.Time) })
	err := b.c.db.Update(ctx, func(tx *db.Tx) error {
		w := &writer{c: b.c, tx: tx}
		rec := filler{tx: tx, into: "rec(" + recColumns + ")", width: recWidth, rows: recRows}
		fts := filler{tx: tx, into: "fts(rowid,x)", width: 2, rows: ftsRows}
		defer rec.close()
		defer fts.close()
		for i := range rows {
			r := &rows[i]
			kind, ok := kindNumber[r.Ref.Kind]
			if !ok {
				return fmt.Errorf("kind %q has no number", r.Ref.Kind)
			}
			b.container(kind, r)
			b.person(r)
			if r.OfDept != nil {
				if err := w.dept(ctx, r.OfDept); err != nil {
					return err
				}
			}
			id := b.slots.take(w.slot(r.Time))
			w.took(r.Time, id)
			if err := rec.add(ctx, r.values(id, kind, b.seg(r.Loc.Seg))...); err != nil {
				return err
			}
			if r.blind.doc == "" {
				continue
			}
			if err := fts.add(ctx, id, r.blind.doc); err != nil {
				return err
			}
		}
		if err := rec.flush(ctx); err != nil {
			return err
		}
		return fts.flush(ctx)
	})
	if err != nil {
		return fmt.Errorf("rebuild catalog: %w", err)
	}
	return nil
}

func (b *Rebuild) seg(name string) int64 {
	id, ok := b.segs[name]
	if !ok {
		id = int64(len(b.segs)) + 1
		b.segs[name] = id
	}
	return id
}

// filler inserts so many rows at a time.
type filler struct {
	tx    *db.Tx
	into  string
	width int
	rows  int
	full  *sql.Stmt
	args  []any
}

func (f *filler) add(ctx context.Context, args ...any) (err error) {
	if f.args = append(f.args, args...); len(f.args) < f.rows*f.width {
		return nil
	}
	if f.full == nil {
		if f.full, err = f.tx.PrepareContext(ctx, f.query(f.rows)); err != nil {
			return err
		}
	}
	_, err = f.full.ExecContext(ctx, f.args...)
	f.args = f.args[:0]
	return err
}

func (f *filler) query(n int) string {
	return "INSERT OR FAIL INTO " + f.into + " VALUES" + places(n, f.width)
}

// flush inserts what is left.
func (f *filler) flush(ctx context.Context) error {
	if len(f.args) == 0 {
		return nil
	}
	_, err := f.tx.ExecContext(ctx, f.query(len(f.args)/f.width), f.args...)
	f.args = f.args[:0]
	return err
}

func (f *filler) close() {
	if f.full != nil {
		f.full.Close()
	}
}

// slots are the row ids in use, a bit each, in pages of 17 minutes: the nights
// take no room. Ten years are some 50 MB where people keep office hours, and
// 160 MB where no quarter of an hour is without a message.
type slots map[int64]*[64]uint64

// take returns the first free id from id on, and takes it.
func (s slots) take(id int64) int64 {
	for {
		page := s[id>>12]
		if page == nil {
			page = new([64]uint64)
			s[id>>12] = page
		}
		word := &page[id>>6&63]
		if n := bits.TrailingZeros64(^(*word | (1<<(id&63) - 1))); n < 64 {
			*word |= 1 << n
			return id&^63 + int64(n)
		}
		id = id&^63 + 64
	}
}
