package backup

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"farol/internal/archive"
	"farol/internal/db"
	"farol/internal/record"
)

// Run is a finished or running run as the history shows it.
type Run struct {
	ID      int64
	What    string
	State   string
	Started time.Time
	Ended   time.Time // zero while running
	By      string
	Kinds   []KindProgress
}

func (e *Engine) newRun(ctx context.Context, what, by string) (int64, error) {
	var id int64
	err := e.d.Control.Update(ctx, func(tx *db.Tx) error {
		return tx.QueryRowContext(ctx, "INSERT INTO run(what,state,started,by,detail) VALUES(?,?,?,?,'[]') RETURNING id", what, Running, tx.Now.UnixMilli(), by).Scan(&id)
	})
	if err != nil {
		return 0, fmt.Errorf("note a run: %w", err)
	}
	return id, nil
}

func (e *Engine) endRun(ctx context.Context, id int64, state string, kinds []KindProgress) error {
	b, err := json.Marshal(kinds)
	if err != nil {
		return err
	}
	return e.d.Control.Update(ctx, func(tx *db.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE run SET state=?, ended=?, detail=? WHERE id=?", state, tx.Now.UnixMilli(), b, id)
		return err
	})
}

func (e *Engine) unfinished(ctx context.Context) (id int64, mode Mode, by string, err error) {
	err = e.d.Control.View(ctx, func(tx *db.Tx) error {
		err := tx.QueryRowContext(ctx, "SELECT id, what, by FROM run WHERE state=? AND what IN ('full','incremental') ORDER BY id DESC LIMIT 1", Running).Scan(&id, &mode, &by)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	return id, mode, by, err
}

// Runs lists the newest n runs, newest first.
func (e *Engine) Runs(ctx context.Context, n int) ([]Run, error) {
	var out []Run
	err := e.d.Control.View(ctx, func(tx *db.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT id,what,state,started,ended,by,detail FROM run ORDER BY id DESC LIMIT ?", n)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var r Run
			var started, ended int64
			var detail []byte
			if err := rows.Scan(&r.ID, &r.What, &r.State, &started, &ended, &r.By, &detail); err != nil {
				return err
			}
			r.Started = time.UnixMilli(started)
			if ended > 0 {
				r.Ended = time.UnixMilli(ended)
			}
			if err := json.Unmarshal(detail, &r.Kinds); err != nil {
				return err
			}
			out = append(out, r)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("list runs: %w", err)
	}
	return out, nil
}

// Tally is how many runs of a kind ended in one way.
type Tally struct {
	What, State string
	N           int64
}

// Tallies counts the runs of the history that have ended.
func (e *Engine) Tallies(ctx context.Context) ([]Tally, error) {
	var out []Tally
	err := e.d.Control.View(ctx, func(tx *db.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT what, state, count(*) FROM run WHERE ended>0 GROUP BY what, state")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var t Tally
			if err := rows.Scan(&t.What, &t.State, &t.N); err != nil {
				return err
			}
			out = append(out, t)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("count runs: %w", err)
	}
	return out, nil
}

// Progress is the run under way, for the page and its event stream.
type Progress struct {
	Running bool
	ID      int64
	Mode    Mode
	By      string
	Started time.Time
	Kinds   []KindProgress
	Part    float64       // 0 to 1, an estimate
	Rate    float64       // items a second since the start
	Left    time.Duration // -1 unknown
}

// Progress tells how far the run under way has come.
func (e *Engine) Progress() Progress {
	e.mu.Lock()
	defer e.mu.Unlock()
	r := e.run
	if r == nil {
		return Progress{Left: -1}
	}
	p := Progress{Running: true, ID: r.id, Mode: r.mode, By: r.by, Started: r.started, Left: -1}
	var sum, n float64
	var listed int64
	for _, c := range e.d.Connectors {
		k := *r.kinds[c.Kind()]
		p.Kinds = append(p.Kinds, k)
		listed += k.Listed
		n++
		switch {
		case k.State == Done || k.State == Failed:
			sum++
		case k.Containers > 0 && k.State == Running:
			sum += min((float64(k.Finished)+k.Part)/float64(k.Containers), 1)
		}
	}
	p.Part = sum / n
	if took := e.d.Now().Sub(r.started); took > 0 {
		p.Rate = float64(listed) / took.Seconds()
		if p.Part > 0.02 {
			p.Left = time.Duration(float64(took) * (1 - p.Part) / p.Part).Round(time.Second)
		}
	}
	return p
}

// LastGood is when each kind was last backed up without a failure since the
// process started.
func (e *Engine) LastGood() map[record.Kind]time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := make(map[record.Kind]time.Time, len(e.lastOK))
	for k, t := range e.lastOK {
		out[k] = t
	}
	return out
}

func isStorage(err error) bool {
	return errors.Is(err, archive.ErrFull) || errors.Is(err, archive.ErrMissing) || errors.Is(err, archive.ErrCorrupt)
}
