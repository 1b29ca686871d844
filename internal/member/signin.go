package member

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"farol/internal/dingtalk"
	"farol/internal/policy"
	"farol/internal/record"
	"farol/internal/settings"
)

// SignInLife is how long a member may take on DingTalk's page.
const SignInLife = 10 * time.Minute

// maxPending bounds the sign-ins under way.
const maxPending = 5000

// Use is what somebody goes to DingTalk for.
type Use string

// The uses. A way to DingTalk that was begun for one does not end in another.
const (
	Own    Use = "own"    // what is his own
	SignIn Use = "signin" // the first factor of his account of the console
	Link   Use = "link"   // linking his account of the console to himself
)

// pending is a sign-in under way, known by its state.
type pending struct {
	use     Use
	browser [sha256.Size]byte
	until   time.Time
}

// Begin is DingTalk's page for a sign-in that comes back to redirect, and what
// the browser keeps meanwhile: without it the way back ends at [ErrState], so
// that nobody signs another browser in as himself. source is the network
// address; it returns [*Slow] when too many begin there.
func (m *Members) Begin(_ context.Context, use Use, redirect, source string) (address, browser string, err error) {
	c := m.d.Client()
	if c == nil {
		return "", "", ErrUnbound
	}
	if err := m.take("signin:"+source, signIns); err != nil {
		return "", "", err
	}
	state, browser := rand.Text(), rand.Text()
	now := m.d.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	for s, p := range m.pending {
		if now.After(p.until) {
			delete(m.pending, s)
		}
	}
	if len(m.pending) >= maxPending {
		return "", "", m.slow("signins", now, now, rate{per: SignInLife})
	}
	m.pending[state] = pending{use, sha256.Sum256([]byte(browser)), now.Add(SignInLife)}
	return c.ConsentURL(redirect, state, ""), browser, nil
}

// UseOf is what a state was given for, "" when it is not known.
func (m *Members) UseOf(state string) Use {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.pending[state].use
}

// back reports whether a state was given to this browser for this use, and
// forgets it.
func (m *Members) back(use Use, state, browser string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	p, ok := m.pending[state]
	if !ok || p.use != use || p.browser != sha256.Sum256([]byte(browser)) {
		return false // another browser's: that one may still come back
	}
	delete(m.pending, state)
	return !m.d.Now().After(p.until)
}

// Finish takes what DingTalk's page sent back and finds out who he is. The
// tokens end here: they are neither kept nor used again. It returns [*Slow] when
// too many come back to a network address.
func (m *Members) Finish(ctx context.Context, use Use, source, state, code, browser string) (Person, error) {
	if err := m.take("return:"+source, signIns); err != nil {
		return Person{}, err
	}
	if !m.back(use, state, browser) || code == "" {
		return Person{}, ErrState
	}
	c := m.d.Client()
	corp, err := m.d.Settings.Get(ctx, settings.CorpID)
	if err != nil {
		return Person{}, err
	}
	if c == nil || corp == "" {
		return Person{}, ErrUnbound
	}
	tok, err := c.Exchange(ctx, code)
	if err != nil {
		return Person{}, errors.Join(ErrUpstream, err)
	}
	if tok.CorpID != corp { // empty: he did not say for which
		return Person{}, ErrCompany
	}
	me, err := c.Me(ctx, tok)
	if err != nil {
		return Person{}, errors.Join(ErrUpstream, err)
	}
	p, err := m.identify(ctx, c, me.UnionID)
	if err != nil || use != Own {
		return p, err
	}
	open, err := m.d.Aliases(ctx, p.UserID)
	if err != nil {
		return Person{}, fmt.Errorf("find a member's keys: %w", err)
	}
	p.Names = policy.Names{record.Chat: open, record.Files: {p.UnionID}, record.Approvals: {p.UserID}}
	return p, nil
}

// identify finds the present member that a unionId stands for. DingTalk is
// asked each time; the contacts must know him too, for they end his session
// when he leaves.
func (m *Members) identify(ctx context.Context, c *dingtalk.Client, unionID string) (Person, error) {
	if unionID == "" {
		return Person{}, ErrStranger
	}
	user, err := c.UserByUnion(ctx, unionID)
	if errors.Is(err, dingtalk.ErrNotFound) {
		return Person{}, ErrStranger
	} else if err != nil {
		return Person{}, errors.Join(ErrUpstream, err)
	}
	p := Person{UserID: user, UnionID: unionID}
	if !m.present(&p) {
		if err := m.d.Refresh(ctx); err != nil {
			return Person{}, errors.Join(ErrUpstream, err)
		}
		if !m.present(&p) { // out of the app's sight
			return Person{}, ErrStranger
		}
	}
	return p, nil
}
