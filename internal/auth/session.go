package auth

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"farol/internal/db"
)

// How long a session lives, and how long a fresh code counts.
const (
	Idle     = 30 * time.Minute
	Absolute = 12 * time.Hour
	Fresh    = 5 * time.Minute
)

// Session is a signed-in browser.
type Session struct {
	User    User
	ID      string // short blind name for the audit log
	Created time.Time
	Seen    time.Time
	StepUp  time.Time // when a fresh code was last given, zero: never
	Purpose string    // declared reason for reading content
	Source  string
	Agent   string
}

// FreshAt reports whether the step-up still counts.
func (s *Session) FreshAt(now time.Time) bool {
	return !s.StepUp.IsZero() && now.Sub(s.StepUp) < Fresh
}

func shortID(token string) string { return hex.EncodeToString(tokenHash(token)[:4]) }

// Session finds the session of a cookie and notes that it was seen. It returns
// [ErrSession] when there is none or it has ended.
func (a *Accounts) Session(ctx context.Context, token string) (Session, error) {
	return a.find(ctx, token, true)
}

// Peek is Session for what a page does by itself, as asking for its state
// every half minute: it does not keep an idle session alive.
func (a *Accounts) Peek(ctx context.Context, token string) (Session, error) {
	return a.find(ctx, token, false)
}

func (a *Accounts) find(ctx context.Context, token string, seenNow bool) (Session, error) {
	var s Session
	if token == "" {
		return s, ErrSession
	}
	var created, seen, step int64
	err := a.db.View(ctx, func(tx *db.Tx) error {
		return tx.QueryRowContext(ctx, `SELECT a.id,a.name,a.shown,a.role,a.lang,a.theme,a.breakglass,(SELECT count(*) FROM recovery_code r WHERE r.account=a.id AND r.used=0),s.created,s.seen,s.stepup,s.purpose,s.source,s.agent
			FROM session s JOIN account a ON a.id=s.account WHERE s.hash=? AND a.disabled=0 AND a.enrol=0`, tokenHash(token)).
			Scan(&s.User.ID, &s.User.Name, &s.User.Shown, &s.User.Role, &s.User.Lang, &s.User.Theme, &s.User.Breakglass, &s.User.Codes, &created, &seen, &step, &s.Purpose, &s.Source, &s.Agent)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return s, ErrSession
	} else if err != nil {
		return s, fmt.Errorf("find session: %w", err)
	}
	now := a.now()
	s.ID, s.Created, s.Seen = shortID(token), time.UnixMilli(created), time.UnixMilli(seen)
	if step > 0 {
		s.StepUp = time.UnixMilli(step)
	}
	// One from the future was opened under a wrong clock: nobody knows its age.
	future := s.Seen.Sub(now) > Idle || s.Created.Sub(now) > Idle
	if now.Sub(s.Seen) > Idle || now.Sub(s.Created) > Absolute || future {
		return s, errors.Join(ErrSession, a.Logout(ctx, token))
	}
	if seenNow && now.Sub(s.Seen) > time.Minute {
		err = a.db.Update(ctx, func(tx *db.Tx) error {
			_, err := tx.ExecContext(ctx, "UPDATE session SET seen=? WHERE hash=?", now.UnixMilli(), tokenHash(token))
			return err
		})
	}
	return s, err
}

// Stepped is a session after a fresh code.
type Stepped struct {
	Token    string // new: the old one no longer works
	Recovery bool   // a recovery code was used
}

// StepUp takes a fresh code and gives the session a new token. The code is
// spent. It returns [ErrCode], with [ErrBegun] when the waits begin, or [*Slow].
func (a *Accounts) StepUp(ctx context.Context, token, code string) (Stepped, error) {
	s, err := a.Session(ctx, token)
	if err != nil {
		return Stepped{}, err
	}
	out := Stepped{Token: rand.Text() + rand.Text()}
	out.Recovery, err = a.confirm(ctx, s.User, code, step(ctx, token, out.Token))
	if err != nil {
		return Stepped{}, fmt.Errorf("step up: %w", err)
	}
	return out, nil
}

// step gives a session a new token and notes that it is fresh.
func step(ctx context.Context, token, fresh string) func(*db.Tx) error {
	return func(tx *db.Tx) error {
		res, err := tx.ExecContext(ctx, "UPDATE session SET hash=?, stepup=?, seen=? WHERE hash=?", tokenHash(fresh), tx.Now.UnixMilli(), tx.Now.UnixMilli(), tokenHash(token))
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, ErrSession)
		}
		return nil
	}
}

// confirm spends a fresh code of a person who is signed in and does what the
// code was given for, both or neither.
func (a *Accounts) confirm(ctx context.Context, u User, code string, do func(*db.Tx) error) (recovery bool, err error) {
	l := insideLane(u.Name)
	began, err := a.charge(ctx, l)
	if err != nil {
		return false, err
	}
	err = a.db.Update(ctx, func(tx *db.Tx) error {
		c, err := a.lookUp(ctx, tx, "id=?", u.ID)
		if err != nil {
			return err
		}
		p, right, err := a.prove(ctx, tx, c, code)
		if err != nil {
			return err
		}
		if !right || !c.known {
			return ErrCode
		}
		recovery = p.code != ""
		if err := a.spend(ctx, tx, u.ID, p); err != nil {
			return err
		}
		if err := refund(ctx, tx, []lane{l}); err != nil {
			return err
		}
		return do(tx)
	})
	if errors.Is(err, ErrCode) {
		return false, wrong(ErrCode, began)
	}
	return recovery, err
}

// SetPurpose keeps the declared reason with the session.
func (a *Accounts) SetPurpose(ctx context.Context, token, purpose string) error {
	return a.db.Update(ctx, func(tx *db.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE session SET purpose=? WHERE hash=?", purpose, tokenHash(token))
		return err
	})
}

// Logout ends a session.
func (a *Accounts) Logout(ctx context.Context, token string) error {
	return a.db.Update(ctx, func(tx *db.Tx) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM session WHERE hash=?", tokenHash(token))
		return err
	})
}
