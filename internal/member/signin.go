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

// pending is a sign-in under way, known by its state.
type pending struct {
	browser [sha256.Size]byte
	until   time.Time
}

// Begin is DingTalk's page for a sign-in that comes back to redirect, and what
// the browser keeps meanwhile: without it the way back ends at [ErrState], so
// that nobody signs another browser in as himself. source is the network
// address; it returns [*Slow] when too many begin there.
func (m *Members) Begin(_ context.Context, redirect, source string) (address, browser string, err error) {
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
	m.pending[state] = pending{sha256.Sum256([]byte(browser)), now.Add(SignInLife)}
	return c.ConsentURL(redirect, state, ""), browser, nil
}

// back reports whether a state was given to this browser, and forgets it.
func (m *Members) back(state, browser string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	p, ok := m.pending[state]
	if !ok || p.browser != sha256.Sum256([]byte(browser)) {
		return false // another browser's: that one may still come back
	}
	delete(m.pending, state)
	return !m.d.Now().After(p.until)
}

// Finish takes what DingTalk's page sent back and finds out who he is. The
// tokens end here: they are neither kept nor used again.
func (m *Members) Finish(ctx context.Context, state, code, browser string) (Person, error) {
	if !m.back(state, browser) || code == "" {
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
	return m.identify(ctx, c, me.UnionID)
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
	open, err := m.d.Aliases(ctx, user)
	if err != nil {
		return Person{}, fmt.Errorf("find a member's keys: %w", err)
	}
	p.Names = policy.Names{record.Chat: open, record.Files: {unionID}, record.Approvals: {user}}
	return p, nil
}
