package appliance

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"farol/internal/audit"
	"farol/internal/connector"
	"farol/internal/dingtalk"
	"farol/internal/i18n"
	"farol/internal/member"
	"farol/internal/record"
	"farol/internal/settings"
	"farol/internal/web"
)

// Client is the client of the bound tenant, nil before binding.
func (a *Appliance) Client() *dingtalk.Client {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.client
}

// loadClient makes the client from what is kept.
func (a *Appliance) loadClient(ctx context.Context) error {
	var hosts dingtalk.Hosts
	ok, err := a.settings.GetJSON(ctx, settings.Hosts, &hosts)
	if err != nil || !ok {
		return err
	}
	id, err := a.settings.Get(ctx, settings.ClientID)
	if err != nil {
		return err
	}
	secret, err := a.settings.Get(ctx, settings.ClientSecret)
	if err != nil {
		return err
	}
	c := dingtalk.New(dingtalk.Config{Hosts: hosts, ClientID: id, ClientSecret: secret, People: a.settings, Log: a.log})
	a.mu.Lock()
	a.client = c
	a.mu.Unlock()
	return nil
}

// Bind checks the app's credentials with DingTalk and keeps them sealed.
func (a *Appliance) Bind(ctx context.Context, b web.Binding) error {
	var hosts dingtalk.Hosts
	switch b.Region {
	case "china":
		hosts = dingtalk.China
	case "international":
		hosts = dingtalk.International
	default:
		u, err := url.Parse(strings.TrimSpace(b.BaseURL))
		if err != nil || u.Host == "" || u.Scheme != "https" && !(u.Scheme == "http" && loopback(u.Hostname())) {
			return &i18n.Error{ID: "bind.address", Err: err}
		}
		hosts = dingtalk.SameHost(u.Scheme + "://" + u.Host)
	}
	id, secret := strings.TrimSpace(b.ClientID), strings.TrimSpace(b.ClientSecret)
	if id == "" || secret == "" {
		return &i18n.Error{ID: "bind.empty"}
	}
	c := dingtalk.New(dingtalk.Config{Hosts: hosts, ClientID: id, ClientSecret: secret, People: a.settings, Log: a.log})
	if err := c.CheckApp(ctx); err != nil {
		return said(err)
	}
	if _, err := c.Department(ctx, 1); err != nil {
		return said(err)
	}
	text, err := json.Marshal(hosts)
	if err != nil {
		return err
	}
	if err := a.settings.SetAll(ctx, map[string]string{settings.Hosts: string(text), settings.ClientID: id}, map[string]string{settings.ClientSecret: secret}); err != nil {
		return err
	}
	a.mu.Lock()
	a.client = c
	a.mu.Unlock()
	a.engine.Poke()
	return nil
}

// loopback reports a simulator on this machine: the one tenant that may be
// spoken to without TLS.
func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

// said turns a refusal by DingTalk into words for the reader.
func said(err error) error {
	if scopes, _ := dingtalk.Missing(err); len(scopes) > 0 {
		return &i18n.Error{ID: "problem.permission_named", Args: []any{"scopes", strings.Join(scopes, "、")}, Err: err}
	}
	for id, target := range map[string]error{"bind.credentials": dingtalk.ErrCredentials, "problem.unreachable": dingtalk.ErrUnreachable, "problem.permission": dingtalk.ErrPermission,
		"problem.quota": dingtalk.ErrQuota, "problem.consent": dingtalk.ErrConsent, "problem.throttled": dingtalk.ErrThrottled} {
		if errors.Is(err, target) {
			return &i18n.Error{ID: id, Err: err}
		}
	}
	return &i18n.Error{ID: "problem.other", Err: err}
}

// consentState remembers who was sent to DingTalk's consent page.
type consentState struct {
	until time.Time
}

const consentLife = 10 * time.Minute

// ConsentURL is DingTalk's consent page, coming back to redirect.
func (a *Appliance) ConsentURL(_ context.Context, redirect string) (string, error) {
	c := a.Client()
	if c == nil {
		return "", &i18n.Error{ID: "problem.unbound"}
	}
	state := rand.Text()
	a.mu.Lock()
	for s, v := range a.states {
		if time.Now().After(v.until) {
			delete(a.states, s)
		}
	}
	a.states[state] = consentState{until: time.Now().Add(consentLife)}
	a.mu.Unlock()
	return c.ConsentURL(redirect, state, ""), nil
}

// CompleteConsent takes what the consent page sent back. The first member who
// agrees becomes the operator for drive access.
func (a *Appliance) CompleteConsent(ctx context.Context, state, code string) (web.Consented, error) {
	a.mu.Lock()
	s, ok := a.states[state]
	delete(a.states, state) // once
	a.mu.Unlock()
	if !ok || time.Now().After(s.until) {
		return web.Consented{}, &i18n.Error{ID: "consent.lapsed"}
	}
	c := a.Client()
	if c == nil {
		return web.Consented{}, &i18n.Error{ID: "problem.unbound"}
	}
	tok, err := c.Exchange(ctx, code)
	if err != nil {
		return web.Consented{}, said(err)
	}
	me, err := c.Me(ctx, tok)
	if err != nil {
		return web.Consented{}, said(err)
	}
	user, err := a.userOf(ctx, c, me.UnionID)
	if err != nil {
		return web.Consented{}, said(err)
	}
	if user.UserID == "" {
		return web.Consented{}, &i18n.Error{ID: "consent.stranger"}
	}
	corp, err := a.settings.Get(ctx, settings.CorpID)
	if err != nil {
		return web.Consented{}, err
	}
	if corp != "" && tok.CorpID != "" && corp != tok.CorpID {
		return web.Consented{}, &i18n.Error{ID: "consent.other_corp"}
	}
	if err := a.settings.AddConsent(ctx, settings.Consent{Person: user.UserID, UnionID: me.UnionID}, tok); err != nil {
		return web.Consented{}, err
	}
	out := web.Consented{Person: user.UserID, Name: user.Name, First: corp == ""}
	if out.First {
		if err := a.firstConsent(ctx, c, tok, user); err != nil {
			return out, err
		}
	}
	if _, err := a.audit.Append(ctx, audit.Event{Actor: "dingtalk", Operation: "member.consent", Object: "member/" + record.HashOf([]byte(user.UserID)).String()[:12], Outcome: "ok"}); err != nil {
		return out, err
	}
	a.engine.Poke()
	return out, nil
}

func (a *Appliance) firstConsent(ctx context.Context, c *dingtalk.Client, tok dingtalk.Tokens, user connector.User) error {
	raw, err := c.Department(ctx, 1)
	if err != nil {
		return said(err)
	}
	var root struct{ Name string }
	if err := json.Unmarshal(raw, &root); err != nil {
		return fmt.Errorf("read the root department: %w", err)
	}
	if err := a.settings.SetSecret(ctx, map[string]string{settings.CorpName: root.Name}); err != nil {
		return err
	}
	if err := a.settings.Set(ctx, map[string]string{settings.CorpID: tok.CorpID, settings.Operator: user.UnionID, settings.OperatorUser: user.UserID}); err != nil {
		return err
	}
	_, err = a.audit.Append(ctx, audit.Event{Actor: "dingtalk", Operation: "connect.authorise", Object: "tenant", Outcome: "ok"})
	return err
}

// userOf finds an employee by unionId, reading the contacts when the directory
// does not know him yet. Contacts cost no quota.
func (a *Appliance) userOf(ctx context.Context, c *dingtalk.Client, unionID string) (connector.User, error) {
	people := a.engine.People()
	if u, ok := people.User(unionID); ok {
		return u, nil
	}
	if err := a.readContacts(ctx, c); err != nil {
		return connector.User{}, err
	}
	u, _ := people.User(unionID)
	return u, nil
}

// readContacts brings the directory up to date with who has been hired.
func (a *Appliance) readContacts(ctx context.Context, c *dingtalk.Client) error {
	env := &connector.Env{Client: c, People: a.engine.People(), Now: time.Now, Log: a.log}
	return a.engine.Connector(record.Contacts).Pull(ctx, env, connector.Source{}, "", func(connector.Page) error { return nil })
}

// members are the company's staff at what is their own.
func (a *Appliance) members() *member.Members {
	return member.New(member.Deps{Control: a.control, Box: a.box, Settings: a.settings, People: a.engine.People(), Client: a.Client, Aliases: a.door.Aliases,
		Refresh: func(ctx context.Context) error {
			c := a.Client()
			if c == nil {
				return member.ErrUnbound
			}
			return a.readContacts(ctx, c)
		}})
}

// Coverage asks what can be had of this tenant, kind by kind.
func (a *Appliance) Coverage(ctx context.Context) ([]web.CoverageRow, error) {
	c := a.Client()
	if c == nil {
		return nil, &i18n.Error{ID: "problem.unbound"}
	}
	operator, err := a.settings.Get(ctx, settings.Operator)
	if err != nil {
		return nil, err
	}
	readers, err := a.readers(ctx)
	if err != nil {
		return nil, err
	}
	row := func(k record.Kind, route string, err error) web.CoverageRow {
		r := web.CoverageRow{Kind: k, Route: route, State: "captured"}
		if err != nil {
			r.State, r.Reason = "unavailable", "problem.other"
			var ie *i18n.Error
			if errors.As(said(err), &ie) {
				r.Reason, r.Args = ie.ID, ie.Args
			}
		}
		return r
	}
	_, err = c.Department(ctx, 1)
	rows := []web.CoverageRow{row(record.Contacts, "oapi", err)}
	chat := web.CoverageRow{Kind: record.Chat, Route: "A", State: "consent", Reason: "coverage.consent", N: len(readers), M: a.engine.People().Len()}
	if len(readers) > 0 {
		chat.State = "partial"
		if _, _, err := c.Conversations(ctx, readers[0], 0); err != nil {
			chat = row(record.Chat, "A", err)
			chat.N, chat.M = len(readers), a.engine.People().Len()
		} else if chat.N == chat.M {
			chat.State, chat.Reason = "captured", ""
		}
	}
	rows = append(rows, chat)
	if operator == "" { // nobody is named for drive access yet
		rows = append(rows, web.CoverageRow{Kind: record.Files, Route: "storage", State: "consent", Reason: "coverage.consent", N: len(readers), M: a.engine.People().Len()})
	} else {
		_, err = c.Spaces(ctx, operator)
		rows = append(rows, row(record.Files, "storage", err))
	}
	_, err = c.Forms(ctx)
	return append(rows, row(record.Approvals, "workflow", err)), nil
}
