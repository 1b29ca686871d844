package audit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"farol/internal/db"
)

// A question of several conditions is driven by the rarest; the others are
// looked at in the rows that one gives. How rare is counted up to manyRows.
const manyRows = 5_000

// lookRows bounds how many rows of the rarest condition one look passes over,
// so that two common things that rarely meet cost part of a second and not a
// minute: the caller is told from where to go on.
var lookRows = 50_000 // a test makes it small

// condition is one of the things asked for.
type condition struct {
	from  string // table and index that hold it
	drive string // what is asked there, of seq and its own columns
	also  string // the same, asked of a row of entry
	args  []any
}

// conditions are in the order in which they are usually rare.
func (x *lookup) conditions(f Filter) (out []condition) {
	if f.Object != "" {
		out = append(out, condition{"entry_ref", "ref=?", "EXISTS(SELECT 1 FROM entry_ref WHERE ref=? AND seq=e.seq)", []any{x.blind("object", f.Object)}})
	}
	if f.Outcome == "ok" {
		out = append(out, condition{"", "", "e.outcome=0", nil})
	} else if f.Outcome != "" {
		out = append(out, condition{"entry INDEXED BY entry_outcome", "outcome=? AND outcome<>0", "e.outcome=?", []any{x.outcome(f.Outcome)}})
	}
	if f.Purpose != "" {
		out = append(out, condition{"entry INDEXED BY entry_purpose", "purpose=? AND purpose<>0", "e.purpose=?", []any{x.purpose(f.Purpose)}})
	}
	actor, op := x.blind("actor", f.Actor), x.blind("op", f.Operation)
	switch {
	case f.Actor != "" && f.Operation != "":
		out = append(out, condition{"entry INDEXED BY entry_both", "actor=? AND op=?", "e.actor=? AND e.op=?", []any{actor, op}})
	case f.Actor != "":
		out = append(out, condition{"entry INDEXED BY entry_actor", "actor=?", "e.actor=?", []any{actor}})
	case f.Operation != "":
		out = append(out, condition{"entry INDEXED BY entry_op", "op=?", "e.op=?", []any{op}})
	}
	return out
}

// find returns the numbers of entries below before that may match, newest
// first, at most n, and the number to go on from when the look was bounded
// before that many were found.
func (x *lookup) find(ctx context.Context, f Filter, before int64, n int) (seqs []int64, rest int64, err error) {
	err = x.db.View(ctx, func(tx *db.Tx) error {
		var from int64
		if !f.From.IsZero() {
			if from, err = firstAt(ctx, tx, f.From.UnixMilli()); err != nil {
				return err
			}
		}
		if !f.To.IsZero() {
			to, err := firstAt(ctx, tx, f.To.UnixMilli())
			if err != nil {
				return err
			}
			before = min(before, to)
		}
		drive, others, err := x.rarest(ctx, tx, x.conditions(f), from, before)
		if err != nil {
			return err
		}
		if len(others) > 0 {
			at, ok, err := skip(ctx, tx, drive, from, before)
			if err != nil {
				return err
			}
			if ok {
				from, rest = at+1, at+1
			}
		}
		seqs, err = pick(ctx, tx, drive, others, from, before, n)
		return err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("look up audit entries: %w", err)
	}
	return seqs, rest, nil
}

var allEntries = condition{from: "entry", drive: "1"}

// rarest chooses what drives.
func (x *lookup) rarest(ctx context.Context, tx *db.Tx, all []condition, from, before int64) (drive condition, others []condition, err error) {
	best, least := -1, manyRows+1
	for i, c := range all {
		if c.from == "" {
			continue
		}
		n := 0
		if len(all) > 1 {
			q := "SELECT count(*) FROM (SELECT 1 FROM " + c.from + " WHERE " + c.drive + " AND seq>=? AND seq<? LIMIT ?)"
			if err := tx.QueryRowContext(ctx, q, append(append([]any{}, c.args...), from, before, manyRows)...).Scan(&n); err != nil {
				return drive, nil, err
			}
		}
		if n < least {
			best, least = i, n
		}
	}
	if best < 0 {
		return allEntries, all, nil
	}
	for i, c := range all {
		if i != best {
			others = append(others, c)
		}
	}
	return all[best], others, nil
}

// skip finds the row of the driving condition at which a look ends.
func skip(ctx context.Context, tx *db.Tx, drive condition, from, before int64) (seq int64, ok bool, err error) {
	q := "SELECT seq FROM " + drive.from + " WHERE " + drive.drive + " AND seq>=? AND seq<? ORDER BY seq DESC LIMIT 1 OFFSET ?"
	err = tx.QueryRowContext(ctx, q, append(append([]any{}, drive.args...), from, before, lookRows)...).Scan(&seq)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, false, nil
	}
	return seq, err == nil, err
}

// pick reads the numbers.
func pick(ctx context.Context, tx *db.Tx, drive condition, others []condition, from, before int64, n int) (seqs []int64, err error) {
	q := "SELECT seq FROM " + drive.from + " WHERE " + drive.drive + " AND seq>=? AND seq<? ORDER BY seq DESC"
	args := append(append([]any{}, drive.args...), from, before)
	if len(others) > 0 {
		var where []string
		for _, c := range others {
			where, args = append(where, c.also), append(args, c.args...)
		}
		q = "SELECT d.seq FROM (" + q + ") d CROSS JOIN entry e ON e.seq=d.seq WHERE " + strings.Join(where, " AND ") + " ORDER BY d.seq DESC"
	}
	rows, err := tx.QueryContext(ctx, q+" LIMIT ?", append(args, n)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var s int64
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		seqs = append(seqs, s)
	}
	return seqs, rows.Err()
}

// firstAt is the first entry at or after a time, found by halving: times never
// go back.
func firstAt(ctx context.Context, tx *db.Tx, ms int64) (int64, error) {
	var lo, hi int64
	if err := tx.QueryRowContext(ctx, "SELECT coalesce(max(seq), -1) + 1 FROM entry").Scan(&hi); err != nil {
		return 0, err
	}
	for lo < hi {
		mid := (lo + hi) / 2
		var at int64
		if err := tx.QueryRowContext(ctx, "SELECT ms FROM entry WHERE seq=?", mid).Scan(&at); err != nil {
			return 0, err
		}
		if at < ms {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, nil
}

// Between returns the numbers of the entries of a period: from first up to and
// without end.
func (l *Log) Between(from, to time.Time) (first, end int64, err error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	ctx := context.Background()
	if err := l.catchUp(ctx); err != nil {
		return 0, 0, err
	}
	err = l.lookup.db.View(ctx, func(tx *db.Tx) error {
		if first, err = firstAt(ctx, tx, from.UnixMilli()); err != nil {
			return err
		}
		end, err = firstAt(ctx, tx, to.UnixMilli())
		return err
	})
	if err != nil {
		return 0, 0, fmt.Errorf("look up a period of the audit log: %w", err)
	}
	return first, end, nil
}
