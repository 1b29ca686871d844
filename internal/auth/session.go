package auth

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/text/unicode/norm"

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

// Login checks name, password and code, all three in every case, and opens a
// session. The token goes into the cookie; only its hash is stored. It returns
// [ErrLogin] for every wrong answer and [*Slow] when guesses come too fast.
func (a *Accounts) Login(ctx context.Context, name, password, code, source, agent string) (token string, s Session, err error) {
	name = strings.TrimSpace(norm.NFKC.String(name))
	key := strings.ToLower(name) + "\x00" + source
	if err := a.throttle(ctx, key); err != nil {
		return "", s, err
	}
	var u User
	var hash string
	var sealed []byte
	var last int64
	err = a.db.View(ctx, func(tx *db.Tx) error {
		return tx.QueryRowContext(ctx, "SELECT id,name,shown,role,lang,theme,password,totp,step FROM account WHERE name=? AND disabled=0", name).
			Scan(&u.ID, &u.Name, &u.Shown, &u.Role, &u.Lang, &u.Theme, &hash, &sealed, &last)
	})
	known := err == nil
	if errors.Is(err, sql.ErrNoRows) {
		hash = a.dummy
	} else if err != nil {
		return "", s, fmt.Errorf("log in: %w", err)
	}
	passOK, err := a.compare(password, hash)
	if err != nil {
		return "", s, err
	}
	secret := "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
	if known {
		b, err := a.box.Open(sealed, totpAAD(u.Name))
		if err != nil {
			return "", s, fmt.Errorf("log in: %w", err)
		}
		secret = string(b)
	}
	step, codeOK := matchCode(secret, code, a.now())
	last = spent(last, a.now())
	if !known || !passOK || !codeOK || step <= last {
		return "", s, errors.Join(a.failed(ctx, key), ErrLogin)
	}
	return a.open(ctx, u, step, key, source, agent)
}

func (a *Accounts) open(ctx context.Context, u User, step int64, key, source, agent string) (string, Session, error) {
	token := rand.Text() + rand.Text()
	now := a.now()
	err := a.db.Update(ctx, func(tx *db.Tx) error {
		// the code is spent in the same transaction that opens the session
		res, err := tx.ExecContext(ctx, "UPDATE account SET step=? WHERE id=? AND (step<? OR step>?)", step, u.ID, step, stepAt(now)+1)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, ErrLogin)
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM attempt WHERE key=?", key); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "INSERT INTO session(hash,account,source,agent,created,seen,stepup) VALUES(?,?,?,?,?,?,?)",
			tokenHash(token), u.ID, source, agent, now.UnixMilli(), now.UnixMilli(), now.UnixMilli())
		return err
	})
	if err != nil {
		return "", Session{}, err
	}
	return token, Session{User: u, ID: shortID(token), Created: now, Seen: now, StepUp: now, Source: source, Agent: agent}, nil
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
		return tx.QueryRowContext(ctx, `SELECT a.id,a.name,a.shown,a.role,a.lang,a.theme,s.created,s.seen,s.stepup,s.purpose,s.source,s.agent
			FROM session s JOIN account a ON a.id=s.account WHERE s.hash=? AND a.disabled=0`, tokenHash(token)).
			Scan(&s.User.ID, &s.User.Name, &s.User.Shown, &s.User.Role, &s.User.Lang, &s.User.Theme, &created, &seen, &step, &s.Purpose, &s.Source, &s.Agent)
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

// StepUp takes a fresh code and gives the session a new token. The code is
// spent. It returns [ErrCode] or [*Slow].
func (a *Accounts) StepUp(ctx context.Context, token, code string) (string, error) {
	s, err := a.Session(ctx, token)
	if err != nil {
		return "", err
	}
	key := "stepup\x00" + s.User.Name
	if err := a.throttle(ctx, key); err != nil {
		return "", err
	}
	fresh := rand.Text() + rand.Text()
	good := false
	err = a.db.Update(ctx, func(tx *db.Tx) error {
		var sealed []byte
		var last int64
		if err := tx.QueryRowContext(ctx, "SELECT totp, step FROM account WHERE id=?", s.User.ID).Scan(&sealed, &last); err != nil {
			return err
		}
		secret, err := a.box.Open(sealed, totpAAD(s.User.Name))
		if err != nil {
			return err
		}
		step, ok := matchCode(string(secret), code, a.now())
		if !ok || step <= spent(last, a.now()) {
			return nil
		}
		good = true
		if _, err := tx.ExecContext(ctx, "UPDATE account SET step=? WHERE id=?", step, s.User.ID); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "UPDATE session SET hash=?, stepup=?, seen=? WHERE hash=?", tokenHash(fresh), tx.Now.UnixMilli(), tx.Now.UnixMilli(), tokenHash(token))
		return err
	})
	if err != nil {
		return "", fmt.Errorf("step up: %w", err)
	}
	if !good {
		return "", errors.Join(a.failed(ctx, key), ErrCode)
	}
	return fresh, nil
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

// After this many wrong answers in a row the waits begin, and double to a cap:
// slowing down, never a lock-out.
const (
	freeTries = 5
	maxWait   = 15 * time.Minute
)

func (a *Accounts) throttle(ctx context.Context, key string) error {
	var n int
	var last int64
	err := a.db.View(ctx, func(tx *db.Tx) error {
		return tx.QueryRowContext(ctx, "SELECT failures, last FROM attempt WHERE key=?", key).Scan(&n, &last)
	})
	if errors.Is(err, sql.ErrNoRows) || err == nil && n < freeTries {
		return nil
	} else if err != nil {
		return fmt.Errorf("check attempts: %w", err)
	}
	wait := min(time.Second<<min(n-freeTries+1, 12), maxWait)
	if left := wait - a.now().Sub(time.UnixMilli(last)); left > 0 && left <= 2*wait { // beyond: it was written under a wrong clock
		return &Slow{left}
	}
	return nil
}

func (a *Accounts) failed(ctx context.Context, key string) error {
	return a.db.Update(ctx, func(tx *db.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO attempt(key,failures,last) VALUES(?,1,?)
			ON CONFLICT(key) DO UPDATE SET failures=failures+1, last=excluded.last`, key, tx.Now.UnixMilli())
		return err
	})
}
