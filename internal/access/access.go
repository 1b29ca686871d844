// Package access keeps what each account was given beyond its role: grants
// for chosen departments, until a time, who gave them and who looked at them
// since.
//
// It promises that nobody gives himself anything, that a grant never exceeds
// the preset of its role, and that what ended stays on record.
package access

import (
	"context"
	"encoding/json"
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
	ErrSelf     = errors.New("nobody gives himself rights")
	ErrBeyond   = errors.New("the grant exceeds the preset of the role")
	ErrDepts    = errors.New("a grant names at least one department")
	ErrEnd      = errors.New("the end is missing, past or too far off")
	ErrNotFound = errors.New("no such grant")
	ErrAccount  = errors.New("no such account")
)

// Given is a grant as it was given to somebody.
type Given struct {
	ID         int64
	Account    string
	Grant      policy.Grant
	By         string
	Approval   string // the request that others agreed to, "" when nobody else could
	At         time.Time
	Ended      time.Time // zero: not ended by a person
	EndedBy    string
	Reviewed   time.Time // zero: not yet
	ReviewedBy string
}

// Live reports whether the grant counts.
func (g *Given) Live(now time.Time) bool {
	return g.Ended.IsZero() && (g.Grant.Until.IsZero() || now.Before(g.Grant.Until))
}

// Quarter is the length of time after which a grant wants to be looked at
// again.
const Quarter = 91 * 24 * time.Hour

// Due reports whether the grant counts and nobody looked at it for a quarter.
func (g *Given) Due(now time.Time) bool {
	last := g.At
	if g.Reviewed.After(last) {
		last = g.Reviewed
	}
	return g.Live(now) && now.Sub(last) >= Quarter
}

// Book is the set of grants. It is safe for concurrent use.
type Book struct{ db *db.DB }

// New returns the grants of a control database.
func New(d *db.DB) *Book { return &Book{d} }

// Check compares a grant with the preset of a role.
func Check(role string, g policy.Grant, now time.Time) error {
	r, ok := policy.RoleOf(role)
	if !ok || r.Template == nil {
		return ErrBeyond
	}
	t := r.Template
	switch {
	case g.All || len(g.Depts) == 0:
		return ErrDepts
	case len(g.Kinds) == 0 || !within(g.Kinds, t.Kinds), len(g.Actions) == 0 || !within(g.Actions, t.Actions), len(g.Purposes) == 0 || !within(g.Purposes, t.Purposes),
		g.Class > t.Class, g.Realms&^t.Realms != 0, g.Private && !t.Private, g.Custody:
		return ErrBeyond
	case r.Longest > 0 && (g.Until.IsZero() || g.Until.Sub(now) > r.Longest), !g.Until.IsZero() && !now.Before(g.Until):
		return ErrEnd
	}
	return nil
}

func within[T comparable](some, all []T) bool {
	return !slices.ContainsFunc(some, func(x T) bool { return !slices.Contains(all, x) })
}

// Give enters a grant. by is the account that gives it, approval the request
// that others agreed to. It returns [ErrSelf], [ErrAccount] or an error of
// [Check].
func (b *Book) Give(ctx context.Context, account string, g policy.Grant, by, approval string) error {
	if strings.EqualFold(account, by) {
		return ErrSelf
	}
	text, err := json.Marshal(g)
	if err != nil {
		return fmt.Errorf("write a grant: %w", err)
	}
	err = b.db.Update(ctx, func(tx *db.Tx) error {
		var id int64
		var role string
		if err := tx.QueryRowContext(ctx, "SELECT id, role FROM account WHERE name=? AND disabled=0", account).Scan(&id, &role); err != nil {
			return errors.Join(ErrAccount, err)
		}
		if err := Check(role, g, tx.Now); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO access(account, given, by, approval, at) VALUES(?,?,?,?,?)", id, string(text), by, approval, tx.Now.UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("give a grant: %w", err)
	}
	return nil
}

// End ends a grant now. It returns [ErrNotFound] when it is none or has ended.
func (b *Book) End(ctx context.Context, id int64, by string) error {
	return b.mark(ctx, "end a grant", "UPDATE access SET ended=?, ended_by=? WHERE id=? AND ended=0", id, by)
}

// Review notes that by looked at a grant and leaves it. Nobody reviews his own.
func (b *Book) Review(ctx context.Context, id int64, by string) error {
	return b.mark(ctx, "review a grant", "UPDATE access SET reviewed=?, reviewed_by=? WHERE id=? AND ended=0", id, by)
}

func (b *Book) mark(ctx context.Context, doing, stmt string, id int64, by string) error {
	err := b.db.Update(ctx, func(tx *db.Tx) error {
		var own bool
		if err := tx.QueryRowContext(ctx, "SELECT a.name=? COLLATE NOCASE FROM access x JOIN account a ON a.id=x.account WHERE x.id=?", by, id).Scan(&own); err != nil {
			return errors.Join(ErrNotFound, err)
		}
		if own {
			return ErrSelf
		}
		res, err := tx.ExecContext(ctx, stmt, tx.Now.UnixMilli(), by, id)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(ErrNotFound, err)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}

// Of is every grant that counts for an account: those of its role and those it
// was given. A grant that exceeds the role the account has today does not
// count.
func (b *Book) Of(ctx context.Context, account int64, role string, now time.Time) ([]policy.Grant, error) {
	out := slices.Clone(policy.GrantsOf(role))
	list, err := b.list(ctx, "WHERE x.account=? AND x.ended=0", account)
	if err != nil {
		return nil, err
	}
	for i := range list {
		if g := list[i].Grant; list[i].Live(now) && fits(role, g) {
			out = append(out, g)
		}
	}
	return out, nil
}

// Approvers lists the accounts that may decide on what others ask for; the one
// in the envelope does not: nobody sits at it.
func (b *Book) Approvers(ctx context.Context, now time.Time) (names []string, err error) {
	type account struct{ name, role string }
	var all []account
	err = b.db.View(ctx, func(tx *db.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT name, role FROM account WHERE disabled=0 AND breakglass=0 ORDER BY id")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var a account
			if err := rows.Scan(&a.name, &a.role); err != nil {
				return err
			}
			all = append(all, a)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("list who may decide: %w", err)
	}
	for _, a := range all {
		if policy.May(policy.Subject{Grants: policy.GrantsOf(a.role)}, policy.Approve, now) { // never given beside the role
			names = append(names, a.name)
		}
	}
	return names, nil
}

// fits is Check for a grant that was given already: its end counts by itself.
func fits(role string, g policy.Grant) bool {
	g.Until = time.Time{}
	err := Check(role, g, time.Time{})
	return err == nil || errors.Is(err, ErrEnd)
}

// List returns every grant, also those that ended, newest first.
func (b *Book) List(ctx context.Context) ([]Given, error) { return b.list(ctx, "") }

func (b *Book) list(ctx context.Context, where string, args ...any) (out []Given, err error) {
	err = b.db.View(ctx, func(tx *db.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT x.id, a.name, x.given, x.by, x.approval, x.at, x.ended, x.ended_by, x.reviewed, x.reviewed_by FROM access x JOIN account a ON a.id=x.account "+where+" ORDER BY x.at DESC, x.id DESC", args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var g Given
			var text string
			var at, ended, reviewed int64
			if err := rows.Scan(&g.ID, &g.Account, &text, &g.By, &g.Approval, &at, &ended, &g.EndedBy, &reviewed, &g.ReviewedBy); err != nil {
				return err
			}
			if err := json.Unmarshal([]byte(text), &g.Grant); err != nil {
				return fmt.Errorf("grant %d: %w", g.ID, err)
			}
			g.At, g.Ended, g.Reviewed = when(at), when(ended), when(reviewed)
			out = append(out, g)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("list grants: %w", err)
	}
	return out, nil
}

func when(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// Preset fills in the template of a role for departments: what the page
// offers. ok is false for a role that is given nothing more.
func Preset(role string, depts []int64, realms record.Realms, until time.Time) (g policy.Grant, ok bool) {
	r, _ := policy.RoleOf(role)
	if r.Template == nil {
		return g, false
	}
	g = *r.Template
	g.Depts, g.Realms, g.Until = depts, g.Realms&realms, until
	return g, true
}
