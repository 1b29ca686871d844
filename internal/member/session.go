package member

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"farol/internal/db"
)

// How long a member's session lives.
const (
	Idle     = 15 * time.Minute
	Absolute = 2 * time.Hour
)

// Session is a browser in which a member is signed in.
type Session struct {
	Person
	ID string // short blind name for the audit log
}

func tokenHash(token string) []byte {
	h := sha256.Sum256([]byte("farol member " + token))
	return h[:]
}

func shortID(token string) string { return hex.EncodeToString(tokenHash(token)[:4]) }

// Open signs a member in. The token is for the cookie; only its hash is kept.
func (m *Members) Open(ctx context.Context, p Person) (token string, s Session, err error) {
	b, err := json.Marshal(p)
	if err != nil {
		return "", s, err
	}
	token = rand.Text() + rand.Text()
	hash, now := tokenHash(token), m.d.Now()
	err = m.d.Control.Update(ctx, func(tx *db.Tx) error {
		if _, err := tx.ExecContext(ctx, "DELETE FROM member_session WHERE created<?", now.Add(-Absolute).UnixMilli()); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO member_session(hash,person,created,seen) VALUES(?,?,?,?)", hash, m.d.Box.Seal(b, hash), now.UnixMilli(), now.UnixMilli())
		return err
	})
	if err != nil {
		return "", s, fmt.Errorf("sign a member in: %w", err)
	}
	return token, Session{p, shortID(token)}, nil
}

// Session finds the session of a cookie and notes that it was seen. It returns
// [ErrSession] when there is none or it has ended, and [ErrLeft], once, with
// whose it was when the contacts no longer know him.
func (m *Members) Session(ctx context.Context, token string) (Session, error) {
	s := Session{ID: shortID(token)}
	if token == "" {
		return s, ErrSession
	}
	hash, now := tokenHash(token), m.d.Now()
	var sealed []byte
	var created, seen int64
	err := m.d.Control.View(ctx, func(tx *db.Tx) error {
		return tx.QueryRowContext(ctx, "SELECT person,created,seen FROM member_session WHERE hash=?", hash).Scan(&sealed, &created, &seen)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return s, ErrSession
	} else if err != nil {
		return s, fmt.Errorf("find a member's session: %w", err)
	}
	b, err := m.d.Box.Open(sealed, hash)
	if err == nil {
		err = json.Unmarshal(b, &s.Person)
	}
	if err != nil {
		return s, fmt.Errorf("open a member's session: %w", err)
	}
	idle, age := now.Sub(time.UnixMilli(seen)), now.Sub(time.UnixMilli(created))
	if idle > Idle || age > Absolute || idle < -Idle || age < -Idle { // from the future: nobody knows its age
		return s, errors.Join(ErrSession, m.End(ctx, token))
	}
	if !m.present(&s.Person) {
		return s, errors.Join(ErrLeft, m.End(ctx, token))
	}
	if idle > time.Minute {
		err = m.d.Control.Update(ctx, func(tx *db.Tx) error {
			_, err := tx.ExecContext(ctx, "UPDATE member_session SET seen=? WHERE hash=?", now.UnixMilli(), hash)
			return err
		})
	}
	return s, err
}

// End signs a member out.
func (m *Members) End(ctx context.Context, token string) error {
	err := m.d.Control.Update(ctx, func(tx *db.Tx) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM member_session WHERE hash=?", tokenHash(token))
		return err
	})
	if err != nil {
		return fmt.Errorf("sign a member out: %w", err)
	}
	return nil
}

// Count is the number of live sessions.
func (m *Members) Count(ctx context.Context) (n int, err error) {
	now := m.d.Now()
	err = m.d.Control.View(ctx, func(tx *db.Tx) error {
		return tx.QueryRowContext(ctx, "SELECT count(*) FROM member_session WHERE seen>? AND created>?", now.Add(-Idle).UnixMilli(), now.Add(-Absolute).UnixMilli()).Scan(&n)
	})
	return n, err
}
