package settings

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"farol/internal/db"
	"farol/internal/dingtalk"
)

// States of a consent.
const (
	Active = "active"
	Lapsed = "lapsed" // the tokens no longer work: the member must agree again
)

// Consent is a member's permission to read as him, without the tokens.
type Consent struct {
	Person  string // userId
	UnionID string
	State   string
	Given   time.Time
	Renewed time.Time
}

// AddConsent keeps a member's tokens, replacing older ones.
func (s *Settings) AddConsent(ctx context.Context, c Consent, t dingtalk.Tokens) error {
	sealed, err := s.sealTokens(c.Person, t)
	if err != nil {
		return err
	}
	err = s.db.Update(ctx, func(tx *db.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO consent(person,union_id,tokens,state,given,renewed) VALUES(?,?,?,?,?,?)
			ON CONFLICT(person) DO UPDATE SET union_id=excluded.union_id, tokens=excluded.tokens, state=excluded.state, given=excluded.given, renewed=excluded.renewed`,
			c.Person, c.UnionID, sealed, Active, tx.Now.UnixMilli(), tx.Now.UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("keep a member's consent: %w", err)
	}
	return nil
}

// Consents lists the members who agreed, with what became of it.
func (s *Settings) Consents(ctx context.Context) ([]Consent, error) {
	var out []Consent
	err := s.db.View(ctx, func(tx *db.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT person, union_id, state, given, renewed FROM consent ORDER BY person")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var c Consent
			var given, renewed int64
			if err := rows.Scan(&c.Person, &c.UnionID, &c.State, &given, &renewed); err != nil {
				return err
			}
			c.Given, c.Renewed = time.UnixMilli(given), time.UnixMilli(renewed)
			out = append(out, c)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("list consents: %w", err)
	}
	return out, nil
}

func (s *Settings) sealTokens(person string, t dingtalk.Tokens) ([]byte, error) {
	b, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	return s.box.Seal(b, []byte("farol consent "+person)), nil
}

// Tokens implements dingtalk.PeopleTokens.
func (s *Settings) Tokens(ctx context.Context, person string) (dingtalk.Tokens, error) {
	var t dingtalk.Tokens
	err := s.db.View(ctx, func(tx *db.Tx) error {
		var sealed []byte
		if err := tx.QueryRowContext(ctx, "SELECT tokens FROM consent WHERE person=?", person).Scan(&sealed); err != nil {
			return err
		}
		b, err := s.box.Open(sealed, []byte("farol consent "+person))
		if err != nil {
			return err
		}
		return json.Unmarshal(b, &t)
	})
	if err != nil {
		return t, fmt.Errorf("read a member's tokens: %w", err)
	}
	return t, nil
}

// Save implements dingtalk.PeopleTokens.
func (s *Settings) Save(ctx context.Context, person string, t dingtalk.Tokens) error {
	sealed, err := s.sealTokens(person, t)
	if err != nil {
		return err
	}
	return s.db.Update(ctx, func(tx *db.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE consent SET tokens=?, state=?, renewed=? WHERE person=?", sealed, Active, tx.Now.UnixMilli(), person)
		return err
	})
}

// Lapsed implements dingtalk.PeopleTokens.
func (s *Settings) Lapsed(ctx context.Context, person string) error {
	return s.db.Update(ctx, func(tx *db.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE consent SET state=? WHERE person=?", Lapsed, person)
		return err
	})
}

// Lock implements dingtalk.PeopleTokens.
func (s *Settings) Lock(person string) func() {
	s.mu.Lock()
	m := s.locks[person]
	if m == nil {
		m = &sync.Mutex{}
		s.locks[person] = m
	}
	s.mu.Unlock()
	m.Lock()
	return m.Unlock
}
