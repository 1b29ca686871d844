package auth

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/text/unicode/norm"

	"farol/internal/db"
)

// Try is what somebody gives to sign in.
type Try struct {
	Name, Password string
	Code           string // of the authenticator, or a recovery code
	Reason         string // needed for a break-glass account
	Source, Agent  string
	Passkey        Response // in place of the code; alone, without name and password, when the device has checked its owner
	First          string   // a ticket of [Accounts.First], in place of name and password
	Device         string   // of a browser that signed in before, "" = a new one
}

// Opened is a session that was opened.
type Opened struct {
	Token    string // for the cookie; only its hash is stored
	Device   string // for the cookie of a browser that is new to the account, else ""
	Session  Session
	Recovery bool // a recovery code was used
	Passkey  bool // a passkey was used
}

func cleanName(name string) string { return strings.TrimSpace(norm.NFKC.String(name)) }

// Login checks name, password and code, all three in every case, and opens a
// session. It returns [ErrLogin] for every wrong answer, with [ErrBegun] when
// the waits begin, [*Slow] when guesses come too fast, and [ErrReason] when
// everything is right but a break-glass account says no reason; its code is
// not spent then.
func (a *Accounts) Login(ctx context.Context, t Try) (Opened, error) {
	if t.First != "" {
		return a.linkedLogin(ctx, t)
	}
	if t.Passkey.Ticket != "" {
		return a.passkeyLogin(ctx, t)
	}
	name := cleanName(t.Name)
	lanes, err := a.lanesOf(ctx, name, t)
	if err != nil {
		return Opened{}, err
	}
	began, err := a.charge(ctx, lanes...)
	if err != nil {
		return Opened{}, err
	}
	var c account
	var p proof
	var right bool
	err = a.db.View(ctx, func(tx *db.Tx) error {
		if c, err = a.lookUp(ctx, tx, "name=?", name); err != nil {
			return err
		}
		p, right, err = a.prove(ctx, tx, c, t.Code)
		return err
	})
	if err != nil {
		return Opened{}, fmt.Errorf("log in: %w", err)
	}
	passed, err := a.compare(ctx, t.Source, t.Password, c.hash)
	if err != nil { // nothing was compared
		return Opened{}, errors.Join(err, a.uncharge(ctx, lanes))
	}
	if !c.known || !passed || !right {
		return Opened{}, wrong(ErrLogin, began)
	}
	reason := strings.TrimSpace(t.Reason)
	if c.Breakglass && reason == "" {
		return Opened{}, errors.Join(ErrReason, a.uncharge(ctx, lanes))
	}
	o, err := a.open(ctx, c, p, lanes, t, reason)
	if errors.Is(err, ErrCode) { // somebody was quicker with the same code
		return Opened{}, wrong(ErrLogin, began)
	}
	if err != nil {
		return Opened{}, fmt.Errorf("log in: %w", err)
	}
	return o, nil
}

func wrong(err error, began bool) error {
	if began {
		return errors.Join(err, ErrBegun)
	}
	return err
}

// open spends the code and opens the session in one transaction. What was
// checked must still be so: the account may have been disabled meanwhile.
func (a *Accounts) open(ctx context.Context, c account, p proof, lanes []lane, t Try, reason string) (Opened, error) {
	now := a.now()
	o := Opened{Token: rand.Text() + rand.Text(), Recovery: p.code != "", Passkey: p.passkey != 0}
	err := a.db.Update(ctx, func(tx *db.Tx) error {
		if err := a.spend(ctx, tx, c.ID, p); err != nil {
			return err
		}
		res, err := tx.ExecContext(ctx, "UPDATE account SET last=? WHERE id=? AND disabled=0 AND enrol=0 AND password=?", now.UnixMilli(), c.ID, c.hash)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, ErrCode)
		}
		if err := refund(ctx, tx, lanes); err != nil {
			return err
		}
		device, known := t.Device, 0
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM device WHERE hash=? AND account=?", tokenHash(device), c.ID).Scan(&known); err != nil {
			return err
		}
		if known == 0 { // never a token that a browser brings of itself
			device = rand.Text() + rand.Text()
			o.Device = device
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO device(hash,account,seen) VALUES(?,?,?) ON CONFLICT(hash,account) DO UPDATE SET seen=excluded.seen", tokenHash(device), c.ID, now.UnixMilli()); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM device WHERE seen<?", now.Add(-DeviceLife).UnixMilli()); err != nil {
			return err
		}
		if c.Breakglass {
			if _, err := tx.ExecContext(ctx, "INSERT INTO breakglass_use(account,at,source,reason) VALUES(?,?,?,?)", c.ID, now.UnixMilli(), t.Source, a.box.Seal([]byte(reason), reasonAAD)); err != nil {
				return err
			}
		}
		_, err = tx.ExecContext(ctx, "INSERT INTO session(hash,account,source,agent,created,seen,stepup) VALUES(?,?,?,?,?,?,?)",
			tokenHash(o.Token), c.ID, t.Source, t.Agent, now.UnixMilli(), now.UnixMilli(), now.UnixMilli())
		return err
	})
	o.Session = Session{User: c.User, ID: shortID(o.Token), Created: now, Seen: now, StepUp: now, Source: t.Source, Agent: t.Agent}
	return o, err
}

// DeviceLife is how long a browser is remembered after its last login.
const DeviceLife = 365 * 24 * time.Hour
