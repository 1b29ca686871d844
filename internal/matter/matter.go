// Package matter keeps the registered reasons for which content is opened: a
// case, a request by the person concerned, a handover, a drill.
//
// It promises that each has a purpose, a legal basis, somebody who opened it
// and an end, and that its number is never given twice: the audit log names it.
package matter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"farol/internal/db"
	"farol/internal/policy"
	"farol/internal/record"
)

// Errors of this package.
var (
	ErrNotFound = errors.New("no such matter, or it has ended")
	ErrTitle    = errors.New("a matter needs a name of 5 to 200 characters")
	ErrBasis    = errors.New("a matter needs a legal basis that serves its purpose")
)

// Term is how long a matter stays open unless it is closed.
const Term = 90 * 24 * time.Hour

// Bases are the legal bases that may be chosen for a purpose, by their id in
// operations.yaml, the usual one first.
var Bases = map[policy.Purpose][]string{
	policy.Investigation: {"mo_pdpa_8", "mo_pdpa_6", "mo_pdpa_7", "cn_pipl_13"},
	policy.Dispute:       {"mo_pdpa_6", "mo_cc_361", "mo_pdpa_7", "cn_pipl_13", "hk_pd_sl12"},
	policy.Handover:      {"mo_pdpa_6", "mo_pdpa_5", "cn_pipl_13"},
	policy.Request:       {"mo_pdpa_11", "mo_pdpa_12", "cn_pipl_45", "cn_pipl_46", "cn_pipl_47"},
	policy.Recovery:      {"mo_pdpa_15", "mo_pdpa_5", "cn_ndsr_9"},
	policy.Verification:  {"mo_pdpa_15", "mo_pdpa_16", "cn_pipl_51"},
}

// Matter is one registered reason.
type Matter struct {
	ID       int64
	Number   string
	Purpose  policy.Purpose
	Basis    string
	Title    string
	By       string
	Opened   time.Time
	Until    time.Time
	Closed   time.Time // zero: not closed by a person
	ClosedBy string
}

// Open reports whether content may be opened for it.
func (m *Matter) Open(now time.Time) bool { return m.Closed.IsZero() && now.Before(m.Until) }

// Box seals what a matter is called.
type Box interface {
	Seal(plain, aad []byte) []byte
	Open(sealed, aad []byte) ([]byte, error)
}

// Register is the set of matters. It is safe for concurrent use.
type Register struct {
	db  *db.DB
	box Box
}

// New returns the matters of a control database.
func New(d *db.DB, box Box) *Register { return &Register{d, box} }

func aad(number string) []byte { return []byte("farol matter " + number) }

// Enter registers a matter. It returns [ErrTitle] or [ErrBasis].
func (r *Register) Enter(ctx context.Context, p policy.Purpose, basis, title, by string) (Matter, error) {
	title = strings.TrimSpace(title)
	if n := len([]rune(title)); n < 5 || n > 200 {
		return Matter{}, ErrTitle
	}
	if !slices.Contains(Bases[p], basis) {
		return Matter{}, ErrBasis
	}
	m := Matter{Purpose: p, Basis: basis, Title: title, By: by}
	err := r.db.Update(ctx, func(tx *db.Tx) error {
		year := tx.Now.In(record.Macau).Format("2006-")
		var n int
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM matter WHERE number LIKE ?", year+"%").Scan(&n); err != nil {
			return err
		}
		m.Number, m.Opened, m.Until = fmt.Sprintf("%s%03d", year, n+1), tx.Now.UTC(), tx.Now.Add(Term).UTC()
		return tx.QueryRowContext(ctx, "INSERT INTO matter(number, purpose, basis, title, by, opened, until) VALUES(?,?,?,?,?,?,?) RETURNING id",
			m.Number, p, basis, r.box.Seal([]byte(title), aad(m.Number)), by, m.Opened.UnixMilli(), m.Until.UnixMilli()).Scan(&m.ID)
	})
	if err != nil {
		return Matter{}, fmt.Errorf("register a matter: %w", err)
	}
	return m, nil
}

// Get returns the matter of a number.
func (r *Register) Get(ctx context.Context, number string) (Matter, error) {
	list, err := r.list(ctx, "WHERE number=?", number)
	if err != nil {
		return Matter{}, err
	}
	if len(list) == 0 {
		return Matter{}, ErrNotFound
	}
	return list[0], nil
}

// List returns every matter, newest first.
func (r *Register) List(ctx context.Context) ([]Matter, error) { return r.list(ctx, "") }

func (r *Register) list(ctx context.Context, where string, args ...any) (out []Matter, err error) {
	err = r.db.View(ctx, func(tx *db.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT id, number, purpose, basis, title, by, opened, until, closed, closed_by FROM matter "+where+" ORDER BY id DESC", args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var m Matter
			var title []byte
			var opened, until, closed int64
			if err := rows.Scan(&m.ID, &m.Number, &m.Purpose, &m.Basis, &title, &m.By, &opened, &until, &closed, &m.ClosedBy); err != nil {
				return err
			}
			plain, err := r.box.Open(title, aad(m.Number))
			if err != nil {
				return fmt.Errorf("unseal matter %s: %w", m.Number, err)
			}
			m.Title, m.Opened, m.Until = string(plain), time.UnixMilli(opened).UTC(), time.UnixMilli(until).UTC()
			if closed > 0 {
				m.Closed = time.UnixMilli(closed).UTC()
			}
			out = append(out, m)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("list matters: %w", err)
	}
	return out, nil
}

// Close ends a matter: content is opened for it no more. It returns
// [ErrNotFound] when there is none that is open.
func (r *Register) Close(ctx context.Context, number, by string) error {
	err := r.db.Update(ctx, func(tx *db.Tx) error {
		res, err := tx.ExecContext(ctx, "UPDATE matter SET closed=?, closed_by=? WHERE number=? AND closed=0", tx.Now.UnixMilli(), by, number)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(ErrNotFound, err)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("close a matter: %w", err)
	}
	return nil
}

// For returns the open matter of a number when it serves a purpose, else
// [ErrNotFound].
func (r *Register) For(ctx context.Context, number string, p policy.Purpose, now time.Time) (Matter, error) {
	m, err := r.Get(ctx, number)
	if err == nil && (m.Purpose != p || !m.Open(now)) {
		err = ErrNotFound
	}
	return m, err
}
