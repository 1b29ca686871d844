package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"farol/internal/db"
)

// Errors of links.
var (
	ErrUnlinked = errors.New("no account is linked to this person")
	ErrLinked   = errors.New("another account is linked to this person")
	ErrFirst    = errors.New("the first factor is no longer good")
)

// Link is the person elsewhere who may stand in for an account's password. He
// never stands in for its second factor.
type Link struct {
	Person string // as the caller put it; sealed at rest
	Since  time.Time
}

// personKey stands for a person in the table: what it is made of is not kept.
func personKey(key string) string {
	h := sha256.Sum256([]byte("farol person " + key))
	return hex.EncodeToString(h[:])
}

// personAAD binds who is linked to the account.
func personAAD(account int64) []byte { return fmt.Appendf(nil, "farol linked person %d", account) }

// SetLink links an account to a person, who is told from others by key. An
// earlier link of the account is replaced. It returns [ErrFixed] for a
// break-glass account and [ErrLinked]. entry is written with it or nothing is
// done.
func (a *Accounts) SetLink(ctx context.Context, u User, key, person string, entry func() error) error {
	err := a.db.Update(ctx, func(tx *db.Tx) error {
		x, err := a.one(ctx, tx, u.ID)
		if err != nil {
			return err
		}
		if x.Breakglass {
			return ErrFixed
		}
		if !x.Active() {
			return ErrUnknown
		}
		var other int64
		err = tx.QueryRowContext(ctx, "SELECT account FROM link WHERE person=? AND account<>?", personKey(key), u.ID).Scan(&other)
		if err == nil {
			return ErrLinked
		} else if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		_, err = tx.ExecContext(ctx, "INSERT INTO link(account,person,sealed,created) VALUES(?,?,?,?) ON CONFLICT(account) DO UPDATE SET person=excluded.person, sealed=excluded.sealed, created=excluded.created",
			u.ID, personKey(key), a.box.Seal([]byte(person), personAAD(u.ID)), tx.Now.UnixMilli())
		if err != nil {
			return err
		}
		return entry()
	})
	if err != nil {
		return fmt.Errorf("link an account: %w", err)
	}
	return nil
}

// Unlink removes the link of an account, or returns [ErrUnlinked]. entry is
// written with it or nothing is done.
func (a *Accounts) Unlink(ctx context.Context, id int64, entry func() error) error {
	err := a.db.Update(ctx, func(tx *db.Tx) error {
		res, err := tx.ExecContext(ctx, "DELETE FROM link WHERE account=?", id)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, ErrUnlinked)
		}
		return entry()
	})
	if err != nil {
		return fmt.Errorf("unlink an account: %w", err)
	}
	return nil
}

// LinkOf is the link of an account; ok is false without one.
func (a *Accounts) LinkOf(ctx context.Context, id int64) (l Link, ok bool, err error) {
	var sealed []byte
	var created int64
	err = a.db.View(ctx, func(tx *db.Tx) error {
		return tx.QueryRowContext(ctx, "SELECT sealed, created FROM link WHERE account=?", id).Scan(&sealed, &created)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return l, false, nil
	}
	if err == nil {
		var b []byte
		b, err = a.box.Open(sealed, personAAD(id))
		l = Link{string(b), time.UnixMilli(created)}
	}
	if err != nil {
		return Link{}, false, fmt.Errorf("read a link: %w", err)
	}
	return l, true, nil
}

// first is an account whose first factor was given elsewhere.
type first struct {
	account int64
	person  string
	until   time.Time
}

// FirstLife is how long the second factor may take.
const FirstLife = 5 * time.Minute

type firsts struct {
	mu   sync.Mutex // guards below
	open map[string]first
}

func (f *firsts) put(now time.Time, x first) string {
	ticket := rand.Text() + rand.Text()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.open == nil {
		f.open = map[string]first{}
	}
	for k, y := range f.open {
		if now.After(y.until) || len(f.open) >= maxRites { // any one goes: its owner begins again
			delete(f.open, k)
		}
	}
	f.open[ticket] = x
	return ticket
}

func (f *firsts) get(now time.Time, ticket string) (first, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	x, ok := f.open[ticket]
	return x, ok && !now.After(x.until)
}

func (f *firsts) drop(ticket string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.open, ticket)
}

// First takes a person who has proven elsewhere who he is for the first factor
// of the account linked to him. It opens nothing: the ticket goes into
// [Try.First] beside a code. It returns [ErrUnlinked], also for an account that
// may not sign in.
func (a *Accounts) First(ctx context.Context, key string) (ticket string, err error) {
	x := first{person: personKey(key), until: a.now().Add(FirstLife)}
	err = a.db.View(ctx, func(tx *db.Tx) error {
		return tx.QueryRowContext(ctx, "SELECT l.account FROM link l JOIN account a ON a.id=l.account WHERE l.person=? AND a.disabled=0 AND a.enrol=0 AND a.breakglass=0", x.person).Scan(&x.account)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return "", ErrUnlinked
	} else if err != nil {
		return "", fmt.Errorf("look for a link: %w", err)
	}
	return a.firsts.put(a.now(), x), nil
}

// FirstOf is the account that a ticket is for, 0 when it is no longer good.
func (a *Accounts) FirstOf(ticket string) int64 {
	x, ok := a.firsts.get(a.now(), ticket)
	if !ok {
		return 0
	}
	return x.account
}

// linkedLogin opens a session for who gave the first factor elsewhere: his code
// or passkey is asked, and slowed down, exactly as after a password. It returns
// [ErrFirst] when he has to begin again.
func (a *Accounts) linkedLogin(ctx context.Context, t Try) (Opened, error) {
	x, ok := a.firsts.get(a.now(), t.First)
	if !ok {
		return Opened{}, ErrFirst
	}
	var c account
	linked := 0
	err := a.db.View(ctx, func(tx *db.Tx) (err error) {
		if c, err = a.lookUp(ctx, tx, "id=?", x.account); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, "SELECT count(*) FROM link WHERE account=? AND person=?", x.account, x.person).Scan(&linked)
	})
	if err != nil {
		return Opened{}, fmt.Errorf("log in: %w", err)
	}
	if !c.known || c.Breakglass || linked == 0 { // unlinked or disabled since
		a.firsts.drop(t.First)
		return Opened{}, ErrFirst
	}
	lanes, err := a.lanesOf(ctx, c.Name, t)
	if err != nil {
		return Opened{}, err
	}
	began, err := a.charge(ctx, lanes...)
	if err != nil {
		return Opened{}, err
	}
	p, right, err := a.second(ctx, c, t)
	if err != nil {
		return Opened{}, fmt.Errorf("log in: %w", err)
	}
	if !right {
		return Opened{}, wrong(ErrLogin, began)
	}
	o, err := a.open(ctx, c, p, lanes, t, "")
	if errors.Is(err, ErrCode) {
		return Opened{}, wrong(ErrLogin, began)
	}
	if err != nil {
		return Opened{}, fmt.Errorf("log in: %w", err)
	}
	a.firsts.drop(t.First)
	return o, nil
}

// second checks a code, or a passkey in its place.
func (a *Accounts) second(ctx context.Context, c account, t Try) (p proof, right bool, err error) {
	if t.Passkey.Ticket != "" {
		got, err := a.check(ctx, t.Passkey)
		if errors.Is(err, ErrPasskey) {
			return p, false, nil
		}
		return got.proof, err == nil && got.account == c.ID, err
	}
	err = a.db.View(ctx, func(tx *db.Tx) error {
		p, right, err = a.prove(ctx, tx, c, t.Code)
		return err
	})
	return p, right, err
}
