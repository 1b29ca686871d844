package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"farol/internal/db"
	"farol/internal/record"
)

// Run is one reading with its sums.
type Run struct {
	ID      int64         `json:"id"`
	What    string        `json:"what"`
	State   string        `json:"state"`
	By      string        `json:"by"`
	Started time.Time     `json:"started"`
	Ended   time.Time     `json:"ended"` // of the last stretch; zero while the first is under way
	Took    time.Duration `json:"took"`  // at work, over all stretches
	Records int64         `json:"records"`
	Files   int64         `json:"files"`
	Bytes   int64         `json:"bytes"`
	Bad     int64         `json:"bad"`    // differences that were not healed
	Healed  int64         `json:"healed"` // files of the archive mended, or replaced by a copy
	Listed  int64         `json:"listed"`
	Missing int64         `json:"missing"`

	cursor cursor
}

// Part is what a run read of one department and kind.
type Part struct {
	Kind    record.Kind `json:"kind"`
	Dept    int64       `json:"dept"`
	Records int64       `json:"records"`
	Files   int64       `json:"files"`
	Bytes   int64       `json:"bytes"`
	Bad     int64       `json:"bad"`
	Root    string      `json:"root"`
	At      time.Time   `json:"at"` // when its run ended
	RunID   int64       `json:"run"`
}

// cursor is where an unfinished run goes on.
type cursor struct {
	File      string  `json:"file"`      // last file compared
	FilesDone bool    `json:"filesDone"` // all are
	Container int64   `json:"container"` // of the last version read
	Row       int64   `json:"row"`
	Rows      int64   `json:"rows"` // versions read
	Parts     []*part `json:"parts"`
}

// part is a Part that is not finished.
type part struct {
	Kind                       record.Kind
	Dept                       int64
	Records, Files, Bytes, Bad int64
	Tree                       record.Stack
}

func (c *cursor) part(kind record.Kind, dept int64) *part {
	for _, p := range c.Parts {
		if p.Kind == kind && p.Dept == dept {
			return p
		}
	}
	p := &part{Kind: kind, Dept: dept}
	c.Parts = append(c.Parts, p)
	return p
}

func (v *Verifier) begin(ctx context.Context, what, by string) (Run, error) {
	r := Run{What: what, State: Running, By: by, Started: v.d.Now()}
	err := v.d.Control.Update(ctx, func(tx *db.Tx) error {
		// A reading that was never finished is not gone on with beside a new one.
		if _, err := tx.ExecContext(ctx, "UPDATE verify_run SET state=? WHERE what=? AND state IN (?,?)", Failed, what, Running, Waiting); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, "INSERT INTO verify_run(what,state,by,started) VALUES(?,?,?,?) RETURNING id", what, Running, by, r.Started.UnixMilli()).Scan(&r.ID)
	})
	if err != nil {
		return r, fmt.Errorf("note a verification: %w", err)
	}
	return r, nil
}

// save keeps a run as it stands. A finished one has its parts written with it.
func (v *Verifier) save(ctx context.Context, r *Run) error {
	b, err := json.Marshal(r.cursor)
	if err != nil {
		return err
	}
	if r.State == Done || r.State == Failed {
		b = nil
	}
	err = v.d.Control.Update(ctx, func(tx *db.Tx) error {
		if _, err := tx.ExecContext(ctx, "UPDATE verify_run SET state=?, ended=?, took=?, records=?, files=?, bytes=?, bad=?, healed=?, listed=?, missing=?, cursor=? WHERE id=?",
			r.State, r.Ended.UnixMilli(), r.Took.Milliseconds(), r.Records, r.Files, r.Bytes, r.Bad, r.Healed, r.Listed, r.Missing, string(b), r.ID); err != nil {
			return err
		}
		if r.State != Done {
			return nil
		}
		for _, p := range r.cursor.Parts {
			if _, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO verify_part(run,kind,dept,records,files,bytes,bad,root) VALUES(?,?,?,?,?,?,?,?)",
				r.ID, string(p.Kind), p.Dept, p.Records, p.Files, p.Bytes, p.Bad, p.Tree.Root().String()); err != nil {
				return err
			}
		}
		return v.forget(ctx, tx)
	})
	if err != nil {
		return fmt.Errorf("keep a verification: %w", err)
	}
	return nil
}

// keepRuns is how many runs of each sort stay.
const keepRuns = 60

func (v *Verifier) forget(ctx context.Context, tx *db.Tx) error {
	for _, what := range []string{Sample, All} {
		old := "SELECT id FROM verify_run WHERE what=? ORDER BY id DESC LIMIT -1 OFFSET ?"
		if _, err := tx.ExecContext(ctx, "DELETE FROM verify_part WHERE run IN ("+old+")", what, keepRuns); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM verify_run WHERE id IN ("+old+")", what, keepRuns); err != nil {
			return err
		}
	}
	return nil
}

// Runs lists the newest n runs, newest first.
func (v *Verifier) Runs(ctx context.Context, n int) ([]Run, error) {
	return v.runs(ctx, "ORDER BY id DESC LIMIT ?", n)
}

// Last is the newest finished run of a sort; ok is false when there is none.
func (v *Verifier) Last(ctx context.Context, what string) (r Run, ok bool, err error) {
	rs, err := v.runs(ctx, "WHERE what=? AND state=? ORDER BY id DESC LIMIT 1", what, Done)
	if err != nil || len(rs) == 0 {
		return r, false, err
	}
	return rs[0], true, nil
}

func (v *Verifier) runs(ctx context.Context, rest string, args ...any) ([]Run, error) {
	var out []Run
	err := v.d.Control.View(ctx, func(tx *db.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT id,what,state,by,started,ended,took,records,files,bytes,bad,healed,listed,missing,cursor FROM verify_run "+rest, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var r Run
			var started, ended, took int64
			var cur string
			if err := rows.Scan(&r.ID, &r.What, &r.State, &r.By, &started, &ended, &took, &r.Records, &r.Files, &r.Bytes, &r.Bad, &r.Healed, &r.Listed, &r.Missing, &cur); err != nil {
				return err
			}
			r.Started, r.Took = time.UnixMilli(started), time.Duration(took)*time.Millisecond
			if ended > 0 {
				r.Ended = time.UnixMilli(ended)
			}
			if cur != "" {
				if err := json.Unmarshal([]byte(cur), &r.cursor); err != nil {
					return errors.Join(errors.New("where a verification stood cannot be read"), err)
				}
			}
			out = append(out, r)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("list verifications: %w", err)
	}
	return out, nil
}

// Parts are the parts of a run, by kind and department.
func (v *Verifier) Parts(ctx context.Context, run int64) ([]Part, error) {
	var out []Part
	err := v.d.Control.View(ctx, func(tx *db.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT p.kind,p.dept,p.records,p.files,p.bytes,p.bad,p.root,r.ended,r.id FROM verify_part p JOIN verify_run r ON r.id=p.run WHERE r.id=? ORDER BY p.dept,p.kind", run)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var p Part
			var at int64
			if err := rows.Scan(&p.Kind, &p.Dept, &p.Records, &p.Files, &p.Bytes, &p.Bad, &p.Root, &at, &p.RunID); err != nil {
				return err
			}
			p.At = time.UnixMilli(at)
			out = append(out, p)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("list the parts of a verification: %w", err)
	}
	return out, nil
}
