package auth

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"farol/internal/db"
)

// Envelope is what is printed for a break-glass account. It is nowhere else.
type Envelope struct {
	User     User
	Password string
	Codes    []string
}

var reasonAAD = []byte("farol breakglass reason")

// NewBreakglass makes the account for the day on which nobody else can sign in.
// It has no authenticator: each login takes one of its codes and a reason. Its
// name is not to be guessed, so that nobody can slow it down. Older ones are
// disabled: one envelope counts. entry is written with it or nothing is done.
func (a *Accounts) NewBreakglass(ctx context.Context, by User, role, shown string, entry func(User) error) (Envelope, error) {
	t := rand.Text()
	e := Envelope{User: User{Name: "emergency-" + strings.ToLower(rand.Text()[:8]), Shown: shown, Role: role, Breakglass: true}, Password: t[:5] + "-" + t[5:10] + "-" + t[10:15] + "-" + t[15:20] + "-" + t[20:25]}
	hash, err := a.createHash(ctx, e.Password)
	if err != nil {
		return Envelope{}, err
	}
	unused, err := NewSecret(e.User.Name) // the column holds one; no code of it counts
	if err != nil {
		return Envelope{}, err
	}
	err = a.db.Update(ctx, func(tx *db.Tx) error {
		for _, q := range []string{"DELETE FROM session WHERE account IN (SELECT id FROM account WHERE breakglass=1)", "UPDATE account SET disabled=1 WHERE breakglass=1"} {
			if _, err := tx.ExecContext(ctx, q); err != nil {
				return err
			}
		}
		if e.User.ID, err = a.insert(ctx, tx, e.User, hash, unused.Text, 0, by.Name); err != nil {
			return err
		}
		if e.Codes, err = newCodes(ctx, tx, e.User.ID); err != nil {
			return err
		}
		return entry(e.User)
	})
	if err != nil {
		return Envelope{}, fmt.Errorf("make a break-glass account: %w", err)
	}
	return e, nil
}

// Use is one login of a break-glass account.
type Use struct {
	Name, Source, Reason string
	At                   time.Time
}

// Uses lists the logins of break-glass accounts since a time, the newest first.
func (a *Accounts) Uses(ctx context.Context, since time.Time) ([]Use, error) {
	var out []Use
	err := a.db.View(ctx, func(tx *db.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT a.name,u.source,u.reason,u.at FROM breakglass_use u JOIN account a ON a.id=u.account WHERE u.at>=? ORDER BY u.id DESC", since.UnixMilli())
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var u Use
			var sealed []byte
			var at int64
			if err := rows.Scan(&u.Name, &u.Source, &sealed, &at); err != nil {
				return err
			}
			reason, err := a.box.Open(sealed, reasonAAD)
			if err != nil {
				return fmt.Errorf("open a reason: %w", err)
			}
			u.Reason, u.At = string(reason), time.UnixMilli(at)
			out = append(out, u)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("list break-glass logins: %w", err)
	}
	return out, nil
}
