package auth

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"farol/internal/db"
)

// Account is an account as the page of accounts shows it.
type Account struct {
	User
	By       string // who made it, "" = with the set-up code
	Created  time.Time
	Last     time.Time // last login, zero = never
	Disabled bool
	Enrol    bool // what was reset is not replaced yet
	NoFactor bool // its second factor was reset, not only its password
	Sessions int
}

// Active reports whether the account can sign in.
func (a *Account) Active() bool { return !a.Disabled && !a.Enrol }

// Errors of managing accounts: nothing was changed.
var (
	ErrSelf  = errors.New("nobody manages his own account")
	ErrFixed = errors.New("a break-glass account keeps its role, its password and its codes")
)

// Act is who manages an account and under which rules. May refuses what this
// person may not do to that account; Entry is written with the act, or nothing
// is done. Both run inside the transaction.
type Act struct {
	By     User
	Keeper func(role string) bool // whether a role can manage accounts
	May    func(Account) error
	Entry  func(Account) error
}

const allAccounts = `SELECT a.id,a.name,a.shown,a.role,a.breakglass,a.created_by,a.created,a.last,a.disabled,a.enrol,length(a.totp)=0,
	(SELECT count(*) FROM session s WHERE s.account=a.id AND s.seen>? AND s.created>?),
	(SELECT count(*) FROM recovery_code r WHERE r.account=a.id AND r.used=0) FROM account a `

func (a *Accounts) accounts(ctx context.Context, tx *db.Tx, rest string, args ...any) ([]Account, error) {
	now := a.now()
	rows, err := tx.QueryContext(ctx, allAccounts+rest, append([]any{now.Add(-Idle).UnixMilli(), now.Add(-Absolute).UnixMilli()}, args...)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []Account
	for rows.Next() {
		var x Account
		var created, last int64
		if err := rows.Scan(&x.ID, &x.Name, &x.Shown, &x.Role, &x.Breakglass, &x.By, &created, &last, &x.Disabled, &x.Enrol, &x.NoFactor, &x.Sessions, &x.Codes); err != nil {
			return nil, err
		}
		x.Created = time.UnixMilli(created)
		if last > 0 {
			x.Last = time.UnixMilli(last)
		}
		out = append(out, x)
	}
	return out, rows.Err()
}

// All lists every account, also those that are disabled.
func (a *Accounts) All(ctx context.Context) (out []Account, err error) {
	err = a.db.View(ctx, func(tx *db.Tx) error {
		out, err = a.accounts(ctx, tx, "ORDER BY a.disabled, a.id")
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list accounts: %w", err)
	}
	return out, nil
}

// Account returns one account, or [ErrUnknown].
func (a *Accounts) Account(ctx context.Context, id int64) (x Account, err error) {
	err = a.db.View(ctx, func(tx *db.Tx) error {
		x, err = a.one(ctx, tx, id)
		return err
	})
	return x, err
}

func (a *Accounts) one(ctx context.Context, tx *db.Tx, id int64) (Account, error) {
	list, err := a.accounts(ctx, tx, "WHERE a.id=?", id)
	if err != nil {
		return Account{}, fmt.Errorf("read account: %w", err)
	}
	if len(list) == 0 {
		return Account{}, ErrUnknown
	}
	return list[0], nil
}

// manage runs one act on an account. leaves says that the account can manage
// accounts no more after it: the last one that can must not go.
func (a *Accounts) manage(ctx context.Context, id int64, act Act, leaves bool, do func(*db.Tx, Account) error) error {
	return a.db.Update(ctx, func(tx *db.Tx) error {
		x, err := a.one(ctx, tx, id)
		if err != nil {
			return err
		}
		if x.ID == act.By.ID {
			return ErrSelf
		}
		if err := act.May(x); err != nil {
			return err
		}
		if leaves && x.Active() && act.Keeper(x.Role) {
			if err := a.keepOne(ctx, tx, x.ID, act.Keeper); err != nil {
				return err
			}
		}
		if err := do(tx, x); err != nil {
			return err
		}
		return act.Entry(x)
	})
}

// keepOne returns [ErrLast] when no other account could manage accounts. One in
// an envelope counts while it has codes: it is there for that day.
func (a *Accounts) keepOne(ctx context.Context, tx *db.Tx, but int64, keeper func(string) bool) error {
	list, err := a.accounts(ctx, tx, "WHERE a.id!=?", but)
	if err != nil {
		return err
	}
	for _, x := range list {
		if x.Active() && keeper(x.Role) && (!x.Breakglass || x.Codes > 0) {
			return nil
		}
	}
	return ErrLast
}

func endSessions(ctx context.Context, tx *db.Tx, account int64) error {
	_, err := tx.ExecContext(ctx, "DELETE FROM session WHERE account=?", account)
	return err
}

// SetRole gives an account another role and ends its sessions.
func (a *Accounts) SetRole(ctx context.Context, id int64, role string, act Act) error {
	err := a.manage(ctx, id, act, !act.Keeper(role), func(tx *db.Tx, x Account) error {
		if x.Breakglass {
			return ErrFixed
		}
		if _, err := tx.ExecContext(ctx, "UPDATE account SET role=? WHERE id=?", role, id); err != nil {
			return err
		}
		return endSessions(ctx, tx, id)
	})
	if err != nil {
		return fmt.Errorf("change a role: %w", err)
	}
	return nil
}

// Disable keeps an account from signing in, ends its sessions and removes its
// link to a person elsewhere.
func (a *Accounts) Disable(ctx context.Context, id int64, act Act) error {
	err := a.manage(ctx, id, act, true, func(tx *db.Tx, x Account) error {
		if _, err := tx.ExecContext(ctx, "UPDATE account SET disabled=1 WHERE id=?", id); err != nil {
			return err
		}
		for _, q := range []string{"DELETE FROM device WHERE account=?", "DELETE FROM link WHERE account=?"} {
			if _, err := tx.ExecContext(ctx, q, id); err != nil {
				return err
			}
		}
		return endSessions(ctx, tx, id)
	})
	if err != nil {
		return fmt.Errorf("disable an account: %w", err)
	}
	return nil
}

// Enable lets a disabled account sign in again, with what it had.
func (a *Accounts) Enable(ctx context.Context, id int64, act Act) error {
	err := a.manage(ctx, id, act, false, func(tx *db.Tx, x Account) error {
		_, err := tx.ExecContext(ctx, "UPDATE account SET disabled=0 WHERE id=?", id)
		return err
	})
	if err != nil {
		return fmt.Errorf("enable an account: %w", err)
	}
	return nil
}

// EndSessions signs an account out everywhere.
func (a *Accounts) EndSessions(ctx context.Context, id int64, act Act) error {
	err := a.manage(ctx, id, act, false, func(tx *db.Tx, x Account) error { return endSessions(ctx, tx, id) })
	if err != nil {
		return fmt.Errorf("end the sessions of an account: %w", err)
	}
	return nil
}

// Lost is what a person lost and gets anew through a link.
type Lost string

// What can be lost.
const (
	LostFactor   Lost = "factor"   // the old password is asked
	LostPassword Lost = "password" // the second factor is asked
	LostBoth     Lost = "both"     // the link is all that is asked
)

// Known reports whether l is one of the three.
func (l Lost) Known() bool { return l == LostFactor || l == LostPassword || l == LostBoth }

// Errors of [Accounts.Reset]: nothing was changed.
var (
	ErrLost     = errors.New("what was lost must be factor, password or both")
	ErrNoFactor = errors.New("the second factor was reset already, there is none to ask")
)

// Reset takes away what was lost; all sessions stop at once, and the account
// signs in again only after the link was used. Unless both are lost, what is
// left is asked there, so that the link alone opens nothing. A lost factor
// takes its recovery codes, passkeys and the link to DingTalk along. It returns
// [ErrNoFactor] when only the password is lost of an account that has none.
func (a *Accounts) Reset(ctx context.Context, id int64, lost Lost, act Act) (token string, in Invitation, err error) {
	gone := []string{"UPDATE account SET enrol=1 WHERE id=?", "DELETE FROM device WHERE account=?", "DELETE FROM invitation WHERE account=?"}
	if !lost.Known() {
		return "", in, ErrLost
	}
	if lost != LostPassword {
		gone = append(gone, "UPDATE account SET totp=x'' WHERE id=?", "DELETE FROM recovery_code WHERE account=?", "DELETE FROM passkey WHERE account=?", "DELETE FROM link WHERE account=?")
	}
	err = a.manage(ctx, id, act, true, func(tx *db.Tx, x Account) error {
		if x.Breakglass {
			return ErrFixed
		}
		if lost == LostPassword && x.NoFactor {
			return ErrNoFactor
		}
		for _, q := range gone {
			if _, err := tx.ExecContext(ctx, q, id); err != nil {
				return err
			}
		}
		if err := endSessions(ctx, tx, id); err != nil {
			return err
		}
		in = Invitation{Account: id, NewPassword: lost != LostFactor, KeepFactor: lost == LostPassword, Name: x.Name, Shown: x.Shown, Role: x.Role, By: act.By.Name}
		token, err = a.link(ctx, tx, &in)
		return err
	})
	if err != nil {
		return "", in, fmt.Errorf("reset what was lost: %w", err)
	}
	return token, in, nil
}

// liveHash is the password of an account that can sign in.
func (a *Accounts) liveHash(ctx context.Context, id int64) (hash string, err error) {
	err = a.db.View(ctx, func(tx *db.Tx) error {
		return tx.QueryRowContext(ctx, "SELECT password FROM account WHERE id=? AND disabled=0 AND enrol=0", id).Scan(&hash)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return "", ErrSession
	}
	return hash, err
}
