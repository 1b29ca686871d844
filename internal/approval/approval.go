// Package approval keeps what one person asks for and others have to decide
// first.
//
// It promises that nobody decides on what he asked for himself, that nobody
// decides twice, that what is carried out is exactly what was agreed to, once,
// and before it expires.
package approval

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"farol/internal/db"
)

// Errors of this package.
var (
	ErrNotFound = errors.New("no such request")
	ErrOwn      = errors.New("nobody decides on what he asked for himself")
	ErrTwice    = errors.New("decided by this person already")
	ErrClosed   = errors.New("the request is no longer open")
	ErrReason   = errors.New("a request needs a reason of 5 to 1000 characters")
	ErrWaiting  = errors.New("the request is not agreed to")
	ErrOther    = errors.New("this is not what was agreed to")
)

// What is asked for.
type What string

// The things that others have to agree to.
const (
	Export  What = "export"
	Restore What = "restore"
	Grant   What = "grant"

	// deeds: forms of the console, carried out as they were filled in
	Role      What = "role"      // of an account
	Reset     What = "reset"     // of a second factor
	Invite    What = "invite"    // of somebody who could agree himself
	Connect   What = "connect"   // to an organisation of DingTalk
	Scope     What = "scope"     // of the backup
	Retention What = "retention" // of points in time
	Unhold    What = "unhold"    // of a point that was held
	Place     What = "place"     // for a further copy: added or retired
	Circles   What = "circles"   // closed ones: which departments belong to them
	Rotate    What = "rotate"    // of the root key: the former shares open nothing after it
)

// Deed reports whether the payload is a form of the console.
func (w What) Deed() bool { return w != Export && w != Restore && w != Grant }

// State of a request.
type State string

// The states. A request ends as one of the last four.
const (
	Waiting   State = "waiting"
	Agreed    State = "agreed"
	Used      State = "used"
	Refused   State = "refused"
	Expired   State = "expired"
	Withdrawn State = "withdrawn"
)

// How long others have to decide, and how long what they agreed to may wait.
const (
	Deciding = 7 * 24 * time.Hour
	Waits    = 24 * time.Hour
)

// Box seals what people wrote.
type Box interface {
	Seal(plain, aad []byte) []byte
	Open(sealed, aad []byte) ([]byte, error)
}

// Request is what somebody asks for.
type Request struct {
	ID        string
	What      What
	By        string // account name
	Purpose   string
	Need      int // how many others have to agree
	Reason    string
	Shown     string // what those who decide read of it
	Payload   []byte // what will be carried out; only its asker's code reads it
	Asked     time.Time
	Expires   time.Time
	Closed    time.Time
	State     State
	Decisions []Decision // oldest first
}

// Decision is one person's word.
type Decision struct {
	By   string
	Yes  bool
	At   time.Time
	Note string
}

// Left is how many have still to agree.
func (r *Request) Left() int {
	n := r.Need
	for _, d := range r.Decisions {
		if d.Yes {
			n--
		}
	}
	return max(n, 0)
}

// Book is the set of requests. It is safe for concurrent use.
type Book struct {
	db  *db.DB
	box Box
}

// New returns the requests of a control database.
func New(d *db.DB, box Box) *Book { return &Book{d, box} }

func (b *Book) seal(id, field, text string) []byte {
	return b.box.Seal([]byte(text), []byte("farol approval "+id+" "+field))
}

func (b *Book) open(id, field string, sealed []byte) ([]byte, error) {
	return b.box.Open(sealed, []byte("farol approval "+id+" "+field))
}

// Check reports [ErrReason] when nobody could decide on the request for want of
// a reason.
func (r *Request) Check() error {
	if n := len([]rune(strings.TrimSpace(r.Reason))); n < 5 || n > 1000 {
		return ErrReason
	}
	return nil
}

// Ask enters a request of r.By for r.Need others to decide; ID, times, state
// and decisions are the book's. It returns [ErrReason].
func (b *Book) Ask(ctx context.Context, r Request) (Request, error) {
	if err := r.Check(); err != nil {
		return r, err
	}
	r.Reason = strings.TrimSpace(r.Reason)
	r.ID, r.Need = strings.ToLower(rand.Text()[:12]), max(r.Need, 1)
	err := b.db.Update(ctx, func(tx *db.Tx) error {
		if err := b.sweep(ctx, tx); err != nil {
			return err
		}
		r.Asked, r.Expires = tx.Now, tx.Now.Add(Deciding)
		_, err := tx.ExecContext(ctx, "INSERT INTO approval(id, what, by, purpose, need, asked, expires, reason, shown, payload) VALUES(?,?,?,?,?,?,?,?,?,?)",
			r.ID, r.What, r.By, r.Purpose, r.Need, r.Asked.UnixMilli(), r.Expires.UnixMilli(), b.seal(r.ID, "reason", r.Reason), b.seal(r.ID, "shown", r.Shown), b.seal(r.ID, "payload", string(r.Payload)))
		return err
	})
	if err != nil {
		return r, fmt.Errorf("enter a request: %w", err)
	}
	r.State = Waiting
	return r, nil
}

// Decide enters one person's word. It returns [ErrOwn], [ErrTwice],
// [ErrClosed] or [ErrNotFound].
func (b *Book) Decide(ctx context.Context, id, who string, yes bool, note string) (Request, error) {
	var r Request
	err := b.db.Update(ctx, func(tx *db.Tx) error {
		var err error
		if r, err = b.get(ctx, tx, id); err != nil {
			return err
		}
		if strings.EqualFold(r.By, who) {
			return ErrOwn
		}
		for _, d := range r.Decisions {
			if strings.EqualFold(d.By, who) {
				return ErrTwice
			}
		}
		if r.State != Waiting {
			return ErrClosed
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO approval_decision(approval, by, yes, at, note) VALUES(?,?,?,?,?)", id, who, yes, tx.Now.UnixMilli(), b.seal(id, "note "+strings.ToLower(who), note)); err != nil {
			return err
		}
		switch {
		case !yes:
			err = b.close(ctx, tx, id, Refused)
		case r.Left() == 1:
			_, err = tx.ExecContext(ctx, "UPDATE approval SET expires=? WHERE id=?", tx.Now.Add(Waits).UnixMilli(), id)
		}
		if err != nil {
			return err
		}
		r, err = b.get(ctx, tx, id)
		return err
	})
	if err != nil {
		return r, fmt.Errorf("decide on a request: %w", err)
	}
	return r, nil
}

// Use takes what was agreed to, once: who asked carries out exactly the
// payload that the others saw. need is how many have to agree today: what a
// selection holds may have grown since it was asked for. It returns
// [ErrWaiting], [ErrClosed], [ErrOther] or [ErrNotFound].
func (b *Book) Use(ctx context.Context, id, who string, what What, need int, payload []byte) error {
	err := b.db.Update(ctx, func(tx *db.Tx) error {
		r, err := b.get(ctx, tx, id)
		if err != nil {
			return err
		}
		have, want := sha256.Sum256(payload), sha256.Sum256(r.Payload)
		switch {
		case !strings.EqualFold(r.By, who) || r.What != what:
			return ErrOther
		case r.State == Waiting:
			return ErrWaiting
		case r.State != Agreed:
			return ErrClosed
		case r.Need < need || subtle.ConstantTimeCompare(have[:], want[:]) != 1:
			return ErrOther
		}
		return b.close(ctx, tx, id, Used)
	})
	if err != nil {
		return fmt.Errorf("use what was agreed to: %w", err)
	}
	return nil
}

// Withdraw takes a request back; only who asked may.
func (b *Book) Withdraw(ctx context.Context, id, who string) error {
	err := b.db.Update(ctx, func(tx *db.Tx) error {
		r, err := b.get(ctx, tx, id)
		switch {
		case err != nil:
			return err
		case !strings.EqualFold(r.By, who):
			return ErrNotFound
		case r.State != Waiting && r.State != Agreed:
			return ErrClosed
		}
		return b.close(ctx, tx, id, Withdrawn)
	})
	if err != nil {
		return fmt.Errorf("withdraw a request: %w", err)
	}
	return nil
}

// close ends a request. Its payload goes: a form may hold a secret.
func (b *Book) close(ctx context.Context, tx *db.Tx, id string, as State) error {
	_, err := tx.ExecContext(ctx, "UPDATE approval SET closed=?, at=?, payload=? WHERE id=?", as, tx.Now.UnixMilli(), b.seal(id, "payload", ""), id)
	return err
}

// sweep closes what expired.
func (b *Book) sweep(ctx context.Context, tx *db.Tx) error {
	rows, err := tx.QueryContext(ctx, "SELECT id FROM approval WHERE closed='' AND expires<=?", tx.Now.UnixMilli())
	if err != nil {
		return err
	}
	defer rows.Close()
	var ids []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return err
		}
		ids = append(ids, id)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	for _, id := range ids {
		if err := b.close(ctx, tx, id, Expired); err != nil {
			return err
		}
	}
	return nil
}

// Get returns one request.
func (b *Book) Get(ctx context.Context, id string) (r Request, err error) {
	err = b.db.View(ctx, func(tx *db.Tx) error { r, err = b.get(ctx, tx, id); return err })
	if err != nil {
		return r, fmt.Errorf("read a request: %w", err)
	}
	return r, nil
}

// List returns up to limit requests, newest first.
func (b *Book) List(ctx context.Context, limit int) (out []Request, err error) {
	return b.list(ctx, "", limit)
}

// Pending returns the requests that wait or are agreed to, newest first: what
// every page asks for, however many have ended.
func (b *Book) Pending(ctx context.Context) (out []Request, err error) {
	return b.list(ctx, "WHERE closed='' AND expires>?", 100)
}

func (b *Book) list(ctx context.Context, where string, limit int) (out []Request, err error) {
	err = b.db.View(ctx, func(tx *db.Tx) error {
		args := []any{limit}
		if where != "" {
			args = []any{tx.Now.UnixMilli(), limit}
		}
		rows, err := tx.QueryContext(ctx, "SELECT id FROM approval "+where+" ORDER BY asked DESC, id LIMIT ?", args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		var ids []string
		for rows.Next() {
			var id string
			if err := rows.Scan(&id); err != nil {
				return err
			}
			ids = append(ids, id)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return err
		}
		for _, id := range ids {
			r, err := b.get(ctx, tx, id)
			if err != nil {
				return err
			}
			out = append(out, r)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list requests: %w", err)
	}
	return out, nil
}

func (b *Book) get(ctx context.Context, tx *db.Tx, id string) (Request, error) {
	r := Request{ID: id}
	var asked, expires, at int64
	var closed string
	var reason, shown, payload []byte
	err := tx.QueryRowContext(ctx, "SELECT what, by, purpose, need, asked, expires, closed, at, reason, shown, payload FROM approval WHERE id=?", id).
		Scan(&r.What, &r.By, &r.Purpose, &r.Need, &asked, &expires, &closed, &at, &reason, &shown, &payload)
	if errors.Is(err, sql.ErrNoRows) {
		return r, ErrNotFound
	} else if err != nil {
		return r, err
	}
	text, err := b.open(id, "reason", reason)
	var what []byte
	if err == nil {
		what, err = b.open(id, "shown", shown)
	}
	if err == nil {
		r.Payload, err = b.open(id, "payload", payload)
	}
	if err != nil {
		return r, fmt.Errorf("unseal a request: %w", err)
	}
	r.Reason, r.Shown, r.Asked, r.Expires = string(text), string(what), time.UnixMilli(asked).UTC(), time.UnixMilli(expires).UTC()
	if at > 0 {
		r.Closed = time.UnixMilli(at).UTC()
	}
	if r.Decisions, err = b.decisions(ctx, tx, id); err != nil {
		return r, err
	}
	switch {
	case closed != "":
		r.State = State(closed)
	case !tx.Now.Before(r.Expires):
		r.State = Expired
	case r.Left() == 0:
		r.State = Agreed
	default:
		r.State = Waiting
	}
	return r, nil
}

func (b *Book) decisions(ctx context.Context, tx *db.Tx, id string) (out []Decision, err error) {
	rows, err := tx.QueryContext(ctx, "SELECT by, yes, at, note FROM approval_decision WHERE approval=? ORDER BY at, by", id)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var d Decision
		var at int64
		var note []byte
		if err := rows.Scan(&d.By, &d.Yes, &at, &note); err != nil {
			return nil, err
		}
		text, err := b.open(id, "note "+strings.ToLower(d.By), note)
		if err != nil {
			return nil, fmt.Errorf("unseal a decision: %w", err)
		}
		d.At, d.Note = time.UnixMilli(at).UTC(), string(text)
		out = append(out, d)
	}
	return out, rows.Err()
}
