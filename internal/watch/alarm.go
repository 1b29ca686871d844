package watch

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"farol/internal/archive"
	"farol/internal/audit"
	"farol/internal/db"
	"farol/internal/record"
)

// Alarm is something unusual with what a person needs to judge it.
type Alarm struct {
	ID        int64
	Cause     Cause
	Kind      record.Kind   // "" when of no one kind
	Witness   audit.Witness // whose word it is, "" = what this appliance found itself
	Opened    time.Time
	Updated   time.Time
	Began     time.Time
	BeganSeq  uint64 // first commit that belongs to it, 0 = none
	GoodSeq   uint64 // last commit before it began
	Point     string // latest restore point up to GoodSeq, "" = none was folded yet
	PointSeq  uint64
	PointTime time.Time
	Places    []Place
	Closed    time.Time // zero while open
	By        string    // who acknowledged it
	Note      string
}

// Place is where an alarm was seen, on one day.
type Place struct {
	Dept      int64
	Container int64 // the catalog's blind id, 0 = the department as a whole
	Day       string
	Seen      int64
	Usual     int64
	Held      int64
}

// Seen, Usual and Held sum the places.
func (a *Alarm) Sums() (seen, usual, held int64) {
	for _, p := range a.Places {
		seen, usual, held = seen+p.Seen, usual+p.Usual, held+p.Held
	}
	return seen, usual, held
}

// Counts are how many containers and departments the alarm is about.
func (a *Alarm) Counts() (containers, depts int) {
	cs, ds := map[int64]bool{}, map[int64]bool{}
	for _, p := range a.Places {
		if p.Container != 0 {
			cs[p.Container] = true
		}
		if p.Dept != 0 {
			ds[p.Dept] = true
		}
	}
	return len(cs), len(ds)
}

// Errors of [Watch.Acknowledge]: nothing was changed.
var (
	ErrNote = errors.New("an acknowledgement needs a note")
	ErrGone = errors.New("no open alarm has this number")
)

// raise opens or updates the alarms that findings belong to, one for each
// cause, kind and witness. The alarm and its entry are written together or not at all.
func (w *Watch) raise(ctx context.Context, found []Finding) error {
	var points []archive.Point
	var err error
	if slices.ContainsFunc(found, func(f Finding) bool { return f.Cause != Breakglass }) { // that one is not about data, and its day may be one without an archive
		if points, err = w.d.Archive.Points(ctx); err != nil {
			// Of an archive that is destroyed above all there must be an alarm.
			w.d.Log.WarnContext(ctx, "an alarm names no good point: the archive does not tell its points", "err", err)
		}
	}
	type key struct {
		cause   Cause
		kind    record.Kind
		witness audit.Witness
	}
	groups := map[key][]Finding{}
	var order []key
	for _, f := range found {
		k := key{f.Cause, f.Kind, f.Witness}
		if groups[k] == nil {
			order = append(order, k)
		}
		groups[k] = append(groups[k], f)
	}
	err = w.d.Control.Update(ctx, func(tx *db.Tx) error {
		for _, k := range order {
			if err := w.put(ctx, tx, groups[k], points); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("open an alarm: %w", err)
	}
	return nil
}

// put writes one group of findings as an alarm.
func (w *Watch) put(ctx context.Context, tx *db.Tx, fs []Finding, points []archive.Point) error {
	var seq uint64
	for _, f := range fs {
		seq = first(seq, f.Seq)
	}
	var id int64
	err := tx.QueryRowContext(ctx, "UPDATE alarm SET updated=? WHERE cause=? AND kind=? AND witness=? AND closed=0 RETURNING id", w.d.Now().UnixMilli(), string(fs[0].Cause), string(fs[0].Kind), string(fs[0].Witness)).Scan(&id)
	isNew := errors.Is(err, sql.ErrNoRows)
	if err != nil && !isNew {
		return err
	}
	if isNew {
		if id, err = w.open(ctx, tx, fs[0], seq, points); err != nil {
			return err
		}
	}
	a := Alarm{ID: id, Cause: fs[0].Cause, Kind: fs[0].Kind, Witness: fs[0].Witness, BeganSeq: seq}
	for _, f := range fs {
		p := Place{f.Dept, f.Container, midnight(w.d.Now()).Format(time.DateOnly), f.Seen, f.Usual, f.Held}
		a.Places = append(a.Places, p)
		if _, err := tx.ExecContext(ctx, `INSERT INTO alarm_place(alarm,dept,container,day,seen,usual,held) VALUES(?,?,?,?,?,?,?)
			ON CONFLICT(alarm,dept,container,day) DO UPDATE SET seen=excluded.seen, usual=excluded.usual, held=excluded.held`,
			id, p.Dept, p.Container, p.Day, p.Seen, p.Usual, p.Held); err != nil {
			return err
		}
	}
	if !isNew {
		return nil
	}
	seen, usual, held := a.Sums()
	containers, depts := a.Counts()
	n := func(v int64) string { return strconv.FormatInt(v, 10) }
	w.d.Log.WarnContext(ctx, "an alarm is open", "alarm", id, "cause", a.Cause, "kind", a.Kind, "witness", a.Witness, "seen", seen, "usual", usual, "containers", containers)
	_, err = w.d.Audit.Append(ctx, audit.Event{Actor: "system", Operation: "alarm.open", Object: "alarm/" + n(id), Outcome: "ok",
		Detail: map[string]string{"witness": string(a.Witness), "cause": string(a.Cause), "kind": string(a.Kind), "seen": n(seen), "usual": n(usual), "held": n(held),
			"containers": strconv.Itoa(containers), "departments": strconv.Itoa(depts), "began_seq": strconv.FormatUint(seq, 10)}})
	return err
}

// open inserts an alarm with the last good point before seq. Without a commit
// of its own the alarm is about what is held now, and the newest point counts.
func (w *Watch) open(ctx context.Context, tx *db.Tx, f Finding, seq uint64, points []archive.Point) (id int64, err error) {
	good := w.d.Archive.LastSeq()
	if seq > 0 {
		good = seq - 1
	}
	var pt archive.Point
	for _, p := range points {
		if p.Seq <= good && p.Seq >= pt.Seq {
			pt = p
		}
	}
	now := w.d.Now().UnixMilli()
	var at int64
	if pt.ID != "" {
		at = pt.Time.UnixMilli()
	}
	err = tx.QueryRowContext(ctx, "INSERT INTO alarm(cause,kind,witness,opened,updated,began,began_seq,good_seq,point,point_seq,point_time) VALUES(?,?,?,?,?,?,?,?,?,?,?) RETURNING id",
		string(f.Cause), string(f.Kind), string(f.Witness), now, now, now, int64(seq), int64(good), pt.ID, int64(pt.Seq), at).Scan(&id)
	return id, err
}

// Open reports whether an alarm waits for a person, with all that was committed
// before. Without an answer it counts as open.
func (w *Watch) Open(ctx context.Context) (bool, error) {
	if err := w.Judge(ctx); err != nil {
		return true, err
	}
	var n int
	err := w.d.Control.View(ctx, func(tx *db.Tx) error {
		return tx.QueryRowContext(ctx, "SELECT count(*) FROM alarm WHERE closed=0").Scan(&n)
	})
	if err != nil {
		return true, fmt.Errorf("look for open alarms: %w", err)
	}
	return n > 0, nil
}

// Standing counts the open alarms of each cause and kind, as they were last
// judged. It shows no place.
func (w *Watch) Standing(ctx context.Context) (map[Cause]map[record.Kind]int64, error) {
	out := map[Cause]map[record.Kind]int64{}
	err := w.d.Control.View(ctx, func(tx *db.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT cause, kind, count(*) FROM alarm WHERE closed=0 GROUP BY cause, kind")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var c Cause
			var k record.Kind
			var n int64
			if err := rows.Scan(&c, &k, &n); err != nil {
				return err
			}
			if out[c] == nil {
				out[c] = map[record.Kind]int64{}
			}
			out[c][k] = n
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("count open alarms: %w", err)
	}
	return out, nil
}

// told reports whether a person has acknowledged an alarm of that cause about
// that department which was opened after a time.
func (w *Watch) told(ctx context.Context, cause Cause, dept int64, after time.Time) (bool, error) {
	var n int
	err := w.d.Control.View(ctx, func(tx *db.Tx) error {
		return tx.QueryRowContext(ctx, "SELECT count(*) FROM alarm a JOIN alarm_place p ON p.alarm=a.id WHERE a.cause=? AND p.dept=? AND a.closed>0 AND a.opened>=?",
			string(cause), dept, after.UnixMilli()).Scan(&n)
	})
	if err != nil {
		return false, fmt.Errorf("look for earlier alarms: %w", err)
	}
	return n > 0, nil
}

// Alarms lists the newest n alarms, open ones first.
func (w *Watch) Alarms(ctx context.Context, n int) ([]Alarm, error) {
	return w.list(ctx, "ORDER BY closed>0, id DESC LIMIT ?", n)
}

// Alarm returns one alarm, or [ErrGone].
func (w *Watch) Alarm(ctx context.Context, id int64) (Alarm, error) {
	as, err := w.list(ctx, "WHERE id=?", id)
	if err == nil && len(as) == 0 {
		err = ErrGone
	}
	if err != nil {
		return Alarm{}, err
	}
	return as[0], nil
}

func aad(id int64) []byte { return []byte("farol alarm note " + strconv.FormatInt(id, 10)) }

func (w *Watch) list(ctx context.Context, rest string, args ...any) ([]Alarm, error) {
	var out []Alarm
	err := w.d.Control.View(ctx, func(tx *db.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT id,cause,kind,witness,opened,updated,began,began_seq,good_seq,point,point_seq,point_time,closed,closed_by,note FROM alarm "+rest, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var a Alarm
			var opened, updated, began, beganSeq, goodSeq, pointSeq, pointTime, closed int64
			var note []byte
			if err := rows.Scan(&a.ID, &a.Cause, &a.Kind, &a.Witness, &opened, &updated, &began, &beganSeq, &goodSeq, &a.Point, &pointSeq, &pointTime, &closed, &a.By, &note); err != nil {
				return err
			}
			a.Opened, a.Updated, a.Began = time.UnixMilli(opened), time.UnixMilli(updated), time.UnixMilli(began)
			a.BeganSeq, a.GoodSeq, a.PointSeq = uint64(beganSeq), uint64(goodSeq), uint64(pointSeq)
			if pointTime > 0 {
				a.PointTime = time.UnixMilli(pointTime)
			}
			if closed > 0 {
				a.Closed = time.UnixMilli(closed)
				plain, err := w.d.Box.Open(note, aad(a.ID))
				if err != nil {
					return fmt.Errorf("open the note of alarm %d: %w", a.ID, err)
				}
				a.Note = string(plain)
			}
			out = append(out, a)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return err
		}
		for i := range out {
			if out[i].Places, err = places(ctx, tx, out[i].ID); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list alarms: %w", err)
	}
	return out, nil
}

func places(ctx context.Context, tx *db.Tx, id int64) ([]Place, error) {
	rows, err := tx.QueryContext(ctx, "SELECT dept,container,day,seen,usual,held FROM alarm_place WHERE alarm=? ORDER BY day, seen DESC, dept, container", id)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []Place
	for rows.Next() {
		var p Place
		if err := rows.Scan(&p.Dept, &p.Container, &p.Day, &p.Seen, &p.Usual, &p.Held); err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, rows.Err()
}

// Acknowledge closes an alarm. who carries the person and the session for the
// entry, which holds the note's hash and not its words. It returns [ErrNote]
// without a note and [ErrGone] when the alarm is not open.
func (w *Watch) Acknowledge(ctx context.Context, id int64, who audit.Event, note string) error {
	if note = strings.TrimSpace(note); note == "" {
		return ErrNote
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.turn(ctx); err != nil {
		return err
	}
	if err := w.flush(ctx); err != nil {
		return err
	}
	err := w.d.Control.Update(ctx, func(tx *db.Tx) error {
		var cause Cause
		var kind record.Kind
		err := tx.QueryRowContext(ctx, "UPDATE alarm SET closed=?, closed_by=?, note=? WHERE id=? AND closed=0 RETURNING cause, kind",
			w.d.Now().UnixMilli(), who.Actor, w.d.Box.Seal([]byte(note), aad(id)), id).Scan(&cause, &kind)
		if errors.Is(err, sql.ErrNoRows) {
			return ErrGone
		} else if err != nil {
			return err
		}
		if err := w.looked(ctx, tx, cause, kind); err != nil {
			return err
		}
		who.Operation, who.Object, who.Outcome = "alarm.acknowledge", "alarm/"+strconv.FormatInt(id, 10), "ok"
		who.Hash = record.HashOf([]byte(note)).String()
		who.Detail = map[string]string{"cause": string(cause), "kind": string(kind)}
		_, err = w.d.Audit.Append(ctx, who)
		return err
	})
	if err != nil {
		return fmt.Errorf("acknowledge alarm %d: %w", id, err)
	}
	w.today = nil // the counts are read again, less what was looked at
	return nil
}
