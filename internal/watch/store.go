package watch

import (
	"context"
	"fmt"
	"time"

	"farol/internal/db"
	"farol/internal/record"
)

// usualDays is how long the usual looks back.
const usualDays = 63

// flush writes the counts that changed. The day they belong to is w.day.
func (w *Watch) flush(ctx context.Context) error {
	if len(w.dirty) == 0 {
		return nil
	}
	err := w.d.Control.Update(ctx, func(tx *db.Tx) error {
		for p := range w.dirty {
			t := w.today[p]
			if _, err := tx.ExecContext(ctx, `INSERT INTO watch_day(day,kind,container,dept,deleted,changed,noise,notes,seq_deleted,seq_changed,seq_noise) VALUES(?,?,?,?,?,?,?,?,?,?,?)
				ON CONFLICT(day,kind,container) DO UPDATE SET dept=excluded.dept, deleted=excluded.deleted, changed=excluded.changed, noise=excluded.noise, notes=excluded.notes,
				seq_deleted=excluded.seq_deleted, seq_changed=excluded.seq_changed, seq_noise=excluded.seq_noise`,
				w.day, string(p.kind), p.container, t.Dept, t.Deleted, t.Changed, t.Noise, t.Notes, int64(t.SeqDeleted), int64(t.SeqChanged), int64(t.SeqNoise)); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, "DELETE FROM watch_day WHERE day<?", midnight(w.d.Now()).AddDate(0, 0, -usualDays).Format(time.DateOnly))
		return err
	})
	if err != nil {
		return fmt.Errorf("keep the day's counts: %w", err)
	}
	clear(w.dirty)
	return nil
}

func (w *Watch) load(ctx context.Context, day string) (map[place]*tally, error) {
	out := map[place]*tally{}
	err := w.d.Control.View(ctx, func(tx *db.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT kind,container,dept,deleted,changed,noise,notes,ok_deleted,ok_changed,ok_noise,ok_notes,seq_deleted,seq_changed,seq_noise
			FROM watch_day WHERE day=?`, day)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var t tally
			var sd, sc, sn int64
			if err := rows.Scan(&t.Kind, &t.Container, &t.Dept, &t.Deleted, &t.Changed, &t.Noise, &t.Notes, &t.ok[0], &t.ok[1], &t.ok[2], &t.ok[3], &sd, &sc, &sn); err != nil {
				return err
			}
			t.SeqDeleted, t.SeqChanged, t.SeqNoise = uint64(sd), uint64(sc), uint64(sn)
			out[place{t.Kind, t.Container}] = &t
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("read the day's counts: %w", err)
	}
	return out, nil
}

// usual is the second busiest day of a container before a day.
func (w *Watch) usual(ctx context.Context, p place, day string) (u [2]int64, err error) {
	err = w.d.Control.View(ctx, func(tx *db.Tx) error {
		for i, col := range []string{"deleted", "changed"} {
			if err := tx.QueryRowContext(ctx, "SELECT coalesce((SELECT "+col+" FROM watch_day WHERE kind=? AND container=? AND day<? ORDER BY 1 DESC LIMIT 1 OFFSET 1), 0)",
				string(p.kind), p.container, day).Scan(&u[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return u, fmt.Errorf("look up what is usual: %w", err)
	}
	return u, nil
}

// looked notes that a person has looked at what a cause tells of today: it is
// not judged again, what comes after is.
func (w *Watch) looked(ctx context.Context, tx *db.Tx, cause Cause, kind record.Kind) error {
	cols, ok := map[Cause]string{
		Deletion: "ok_deleted=deleted, seq_deleted=0", Change: "ok_changed=changed, seq_changed=0", Ransom: "ok_noise=noise, ok_notes=notes, seq_noise=0",
	}[cause]
	if !ok {
		return nil
	}
	_, err := tx.ExecContext(ctx, "UPDATE watch_day SET "+cols+" WHERE day=? AND kind=?", w.day, string(kind))
	return err
}

type mark struct {
	Listing
	scope string
	seq   uint64
	first time.Time
}

func (w *Watch) marks(ctx context.Context) (map[record.Kind]mark, error) {
	out := map[record.Kind]mark{}
	err := w.d.Control.View(ctx, func(tx *db.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT kind,listed,held,scope,seq,first FROM watch_mark")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var k record.Kind
			var m mark
			var seq, first int64
			if err := rows.Scan(&k, &m.Listed, &m.Held, &m.scope, &seq, &first); err != nil {
				return err
			}
			m.seq, m.first = uint64(seq), time.UnixMilli(first)
			out[k] = m
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("read the last listings: %w", err)
	}
	return out, nil
}

func (w *Watch) mark(ctx context.Context, r Report) error {
	err := w.d.Control.Update(ctx, func(tx *db.Tx) error {
		for k, l := range r.Kinds {
			if _, err := tx.ExecContext(ctx, `INSERT INTO watch_mark(kind,listed,held,scope,seq,at,first) VALUES(?,?,?,?,?,?,?)
				ON CONFLICT(kind) DO UPDATE SET listed=excluded.listed, held=excluded.held, scope=excluded.scope, seq=excluded.seq, at=excluded.at`,
				string(k), l.Listed, l.Held, r.Scope, int64(w.d.Archive.LastSeq()), w.d.Now().UnixMilli(), w.d.Now().UnixMilli()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("keep the listing: %w", err)
	}
	return nil
}
