// Package member knows which member of the company is at the page where staff
// read what is their own: who DingTalk says he is, his session, and how fast he
// may go.
//
// It promises that nobody is let in whom DingTalk does not name, at this very
// sign-in, as a present member of the bound company; that his session ends when
// he goes, when the page is switched off and when he leaves the company; and
// that nothing of what DingTalk gives at a sign-in is kept but who he is.
//
// A member is no account of the console. His session opens nothing there, and
// none of the console opens anything here.
package member

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"farol/internal/connector"
	"farol/internal/db"
	"farol/internal/dingtalk"
	"farol/internal/policy"
	"farol/internal/record"
	"farol/internal/settings"
)

// Errors of this package.
var (
	ErrOff      = errors.New("self-service is switched off")
	ErrUnbound  = errors.New("no company is bound")
	ErrState    = errors.New("this sign-in was not begun in this browser, is over, or is too old")
	ErrCompany  = errors.New("he signed in for another company")
	ErrStranger = errors.New("he is no present member of the company")
	ErrUpstream = errors.New("DingTalk did not say who he is")
	ErrSession  = errors.New("no such session of a member")
	ErrLeft     = errors.New("he has left the company")
	ErrSlow     = errors.New("too much in too short a time") // see [Slow]
)

// Box seals at rest.
type Box interface {
	Seal(plain, aad []byte) []byte
	Open(sealed, aad []byte) ([]byte, error)
}

// Deps is what it works with.
type Deps struct {
	Control  *db.DB
	Box      Box
	Settings *settings.Settings
	People   *connector.Directory
	Client   func() *dingtalk.Client // nil before binding
	// Refresh reads the contacts anew, for somebody hired since.
	Refresh func(ctx context.Context) error
	// Aliases are the keys under which an employee's messages stand.
	Aliases func(ctx context.Context, userID string) ([]string, error)
	Now     func() time.Time
}

// Members is everybody who may read what is his own. It is safe for concurrent
// use.
type Members struct {
	d Deps

	mu      sync.Mutex // guards below
	pending map[string]pending
	recent  map[string][]time.Time // what was taken of a rate, oldest first
	told    map[string]time.Time   // who was told to wait, until when
}

// New returns the members of a control database.
func New(d Deps) *Members {
	if d.Now == nil {
		d.Now = time.Now
	}
	return &Members{d: d, pending: map[string]pending{}, recent: map[string][]time.Time{}, told: map[string]time.Time{}}
}

// Person is a member whom DingTalk named.
type Person struct {
	UserID  string       `json:"user"`
	UnionID string       `json:"union"`
	Names   policy.Names `json:"names"` // keys of his records, kind by kind
	Shown   string       `json:"-"`     // as the contacts call him today
}

// Ref is how the audit log names a member.
func Ref(userID string) string {
	return "member/" + record.HashOf([]byte(userID)).String()[:12]
}

// Ref is how the audit log names him.
func (p *Person) Ref() string { return Ref(p.UserID) }

// On reports whether members may read what is their own. It is off until
// somebody switches it on.
func (m *Members) On(ctx context.Context) (bool, error) {
	v, err := m.d.Settings.Get(ctx, settings.SelfService)
	return v == "on", err
}

// Switch turns it on or off. Off ends every session of a member.
func (m *Members) Switch(ctx context.Context, on bool) error {
	if !on {
		if err := m.d.Settings.Set(ctx, map[string]string{settings.SelfService: ""}); err != nil {
			return err
		}
	}
	// before it is on again too: a crash may have come between the two
	if err := EndAll(ctx, m.d.Control); err != nil {
		return err
	}
	if !on {
		return nil
	}
	return m.d.Settings.Set(ctx, map[string]string{settings.SelfService: "on"})
}

// SignInOn reports whether accounts of the console may be opened with DingTalk
// as the first factor.
func (m *Members) SignInOn(ctx context.Context) (bool, error) {
	v, err := m.d.Settings.Get(ctx, settings.SignInByDingTalk)
	return v == "on", err
}

// SwitchSignIn turns that on or off. Links stay as they are.
func (m *Members) SwitchSignIn(ctx context.Context, on bool) error {
	return m.d.Settings.Set(ctx, map[string]string{settings.SignInByDingTalk: map[bool]string{true: "on"}[on]})
}

// Shown is the name that the contacts have for a person today, "" when he has
// left.
func (m *Members) Shown(unionID string) string {
	u, ok := m.d.People.User(unionID)
	if !ok || u.UnionID != unionID {
		return ""
	}
	return u.Name
}

// EndAll signs every member out of a control database.
func EndAll(ctx context.Context, control *db.DB) error {
	err := control.Update(ctx, func(tx *db.Tx) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM member_session")
		return err
	})
	if err != nil {
		return fmt.Errorf("end the members' sessions: %w", err)
	}
	return nil
}

// present is the directory's entry of a member who has not left.
func (m *Members) present(p *Person) bool {
	u, ok := m.d.People.User(p.UnionID)
	if !ok || u.UserID != p.UserID || u.UnionID != p.UnionID {
		return false
	}
	p.Shown = u.Name
	return true
}
