package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

type simInfo struct {
	CorpID       string `json:"corpId"`
	CorpName     string `json:"corpName"`
	ClientID     string `json:"clientId"`
	ClientSecret string `json:"clientSecret"`
	Admin        string `json:"adminUserId"`
	Departments  []struct {
		ID     int64  `json:"id"`
		Name   string `json:"name"`
		Parent int64  `json:"parentId"`
		Groups int    `json:"groups"`
	} `json:"departments"`
}

// setUp walks the wizard through the same pages as a person.
func (w *world) setUp(ctx context.Context, p *person) error {
	began := time.Now()
	if w.claim == "" {
		return errors.New("the appliance has an owner, but person.json is gone")
	}
	var info simInfo
	if err := w.ask(ctx, http.MethodGet, "/_sim/info", nil, &info); err != nil {
		return err
	}
	if _, err := p.post(ctx, "/setup/claim", url.Values{"code": {w.claim}}); err != nil {
		return err
	}
	if err := w.makeAccount(ctx, p); err != nil {
		return err
	}
	if pg, err := p.get(ctx, "/setup"); err != nil {
		return err
	} else if pg.at.Path == "/login" { // the account is made; now its owner signs in
		if err := p.login(ctx); err != nil {
			return err
		}
	}
	if _, err := p.post(ctx, "/setup/dingtalk", url.Values{"region": {"custom"}, "base_url": {w.simURL()}, "client_id": {info.ClientID}, "client_secret": {info.ClientSecret}}); err != nil {
		return err
	}
	if err := w.consent(ctx, p, "/setup/dingtalk/consent", info.Admin); err != nil {
		return fmt.Errorf("the administrator's consent: %w", err)
	}
	if _, err := p.post(ctx, "/setup/scope", url.Values{"all": {"1"}}); err != nil {
		return err
	}
	offsite := url.Values{}
	if w.node != nil {
		code, err := w.nodeCode(ctx)
		if err != nil {
			return err
		}
		offsite = url.Values{"offsite_address": {w.nodeAddr()}, "offsite_code": {code}, "country": {"MO"}}
	}
	if _, err := p.post(ctx, "/setup/storage", offsite); err != nil {
		return err
	}
	if err := w.makeKit(ctx, p, "/setup/kit/make"); err != nil {
		return err
	}
	n, err := w.everybody(ctx, p, info.Admin)
	if err != nil {
		return fmt.Errorf("the members' consent: %w", err)
	}
	if err := p.save(); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "set up in %s: %s, %d members consented\n", time.Since(began).Round(time.Millisecond), info.CorpName, n)
	return nil
}

var secretField = regexp.MustCompile(`name="secret"[^>]*value="([A-Z2-7]+)"|value="([A-Z2-7]{16,})"[^>]*name="secret"`)

func (w *world) makeAccount(ctx context.Context, p *person) error {
	pg, err := p.get(ctx, "/setup/admin")
	if err != nil {
		return err
	}
	m := secretField.FindStringSubmatch(pg.body)
	if m == nil {
		return fmt.Errorf("the account page shows no secret: %.300s", pg.text())
	}
	p.Secret = m[1] + m[2]
	p.Name = "maria"
	p.Password = strings.ToLower(rand.Text()[:6] + "-" + rand.Text()[:6] + "-" + rand.Text()[:6])
	if u := regexp.MustCompile(`data-otpauth="([^"]+)"`).FindStringSubmatch(pg.body); u != nil {
		p.URL = html.UnescapeString(u[1])
	}
	p.URL = "otpauth://totp/Farol:" + p.Name + "?issuer=Farol&secret=" + p.Secret
	code, err := p.code(ctx)
	if err != nil {
		return err
	}
	_, err = p.post(ctx, "/setup/admin", url.Values{"name": {p.Name}, "password": {p.Password}, "secret": {p.Secret}, "totp": {code}})
	return err
}

var shareText = regexp.MustCompile(`FAROL1-[A-Z0-9-]+[A-Z0-9]`)

// makeKit lets the page at path make shares, and types two of them back.
func (w *world) makeKit(ctx context.Context, p *person, path string) error {
	pg, err := p.do(ctx, http.MethodPost, path, url.Values{"n": {"3"}, "k": {"2"}})
	if err != nil {
		return err
	}
	if pg.code == http.StatusSeeOther {
		if pg, err = p.get(ctx, pg.location.String()); err != nil {
			return err
		}
	}
	seen := map[string]bool{}
	for _, s := range shareText.FindAllString(pg.body, -1) {
		if !seen[s] {
			seen[s] = true
			p.Shares = append(p.Shares, s)
		}
	}
	if len(p.Shares) != 3 {
		return fmt.Errorf("the recovery kit shows %d shares: %.300s", len(p.Shares), pg.text())
	}
	_, err = p.post(ctx, "/setup/kit", url.Values{"share": {p.Shares[0], p.Shares[2]}})
	return err
}

// consent goes to DingTalk's consent page as a member, agrees, and comes back.
func (w *world) consent(ctx context.Context, p *person, from, user string) error {
	pg, err := p.do(ctx, http.MethodGet, from, nil)
	if err != nil {
		return err
	}
	return w.agree(ctx, p, pg, user)
}

func (w *world) agree(ctx context.Context, p *person, pg *page, user string) error {
	if pg.location == nil || !strings.HasSuffix(pg.location.Path, "/oauth2/auth") {
		return fmt.Errorf("no way to DingTalk: %d %v %.300s", pg.code, pg.location, pg.text())
	}
	consent, err := p.do(ctx, http.MethodGet, pg.location.String(), nil)
	if err != nil {
		return err
	}
	form := url.Values{}
	for _, m := range regexp.MustCompile(`<input[^>]*type="hidden"[^>]*>`).FindAllString(consent.body, -1) {
		form.Set(attr(m, "name"), attr(m, "value"))
	}
	form.Set("user", user)
	form.Set("decision", "agree")
	u := *pg.location
	u.Path = "/oauth2/auth/decide"
	back, err := p.do(ctx, http.MethodPost, u.String(), form)
	if err != nil {
		return err
	}
	if back.location == nil {
		return fmt.Errorf("the consent page answered %d: %.300s", back.code, back.text())
	}
	done, err := p.get(ctx, back.location.String())
	if err != nil {
		return err
	}
	if done.code != http.StatusOK {
		return fmt.Errorf("coming back from DingTalk: %d %.300s", done.code, done.text())
	}
	return nil
}

func attr(tag, name string) string {
	m := regexp.MustCompile(`\b` + name + `="([^"]*)"`).FindStringSubmatch(tag)
	if m == nil {
		return ""
	}
	return html.UnescapeString(m[1])
}

// everybody lets all members follow the invitation link.
func (w *world) everybody(ctx context.Context, p *person, admin string) (int, error) {
	if _, err := p.do(ctx, http.MethodPost, "/consents/invite", url.Values{}); err != nil {
		return 0, err
	}
	pg, err := p.get(ctx, "/consents")
	if err != nil {
		return 0, err
	}
	link := regexp.MustCompile(`/consent/join#[A-Za-z0-9_-]+`).FindString(pg.body)
	path, token, ok := strings.Cut(link, "#")
	if !ok {
		return 0, fmt.Errorf("the consents page shows no invitation: %.300s", pg.text())
	}
	users, err := w.users(ctx)
	if err != nil {
		return 0, err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for _, u := range users {
		if u == admin {
			continue
		}
		g.Go(func() error {
			member := &person{base: p.base}
			if err := member.browser(); err != nil {
				return err
			}
			if _, err := member.post(ctx, path, url.Values{"token": {token}}); err != nil {
				return err
			}
			start, err := member.do(ctx, http.MethodGet, "/consent/agree/go", nil)
			if err != nil {
				return err
			}
			return w.agree(ctx, member, start, u)
		})
	}
	return len(users), g.Wait()
}

// users lists the employees as the simulator knows them.
func (w *world) users(ctx context.Context) ([]string, error) {
	rows, err := w.expected(ctx, "contacts")
	if err != nil {
		return nil, err
	}
	var out []string
	for _, r := range rows {
		if r.Type == "user" {
			out = append(out, r.ID)
		}
	}
	return out, nil
}

// firstBackup starts the first full backup, if there was none, and shows how
// it goes on.
func (w *world) firstBackup(ctx context.Context, p *person) error {
	s, err := w.status(ctx)
	if err != nil {
		return err
	}
	if s.fullDone {
		return nil
	}
	if !s.Progress.Running {
		if _, err := p.post(ctx, "/setup/start", url.Values{"mode": {"full"}}); err != nil {
			return err
		}
	}
	last := ""
	for kills := 0; ; {
		if kills < w.o.kills {
			kills++
			if err := w.killSoon(ctx, kills, "the first backup"); err != nil {
				return err
			}
		}
		s, err := w.status(ctx)
		if err != nil {
			return err
		}
		line := s.line()
		if line != last {
			fmt.Fprintln(os.Stderr, line)
			last = line
		}
		if !s.Progress.Running && s.fullDone {
			return nil
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		case <-w.appDone():
			return fmt.Errorf("the appliance ended: %v", w.app.err)
		}
	}
}

// appDone is closed when an appliance that was started here ends.
func (w *world) appDone() <-chan struct{} {
	if w.app == nil {
		return nil
	}
	return w.app.done
}
