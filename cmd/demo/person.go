package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/pquerna/otp/totp"
)

// insecure accepts the console's self-made certificate: this is loopback.
var insecure = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}, Timeout: 10 * time.Second,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// person is who set the appliance up, with what he keeps in his head, his
// authenticator and his safe.
type person struct {
	Name, Password string
	Secret, URL    string
	Shares         []string
	Former         []string // shares of the former root key
	Step           int64    // last one-time code used

	http *http.Client
	base string
	file string
}

func (w *world) personFile() string { return filepath.Join(w.o.dir, "person.json") }

func (p *person) save() error {
	b, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(p.file, b, 0o600)
}

// browser gives the person an empty browser.
func (p *person) browser() error {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return err
	}
	p.http = &http.Client{Jar: jar, Timeout: 10 * time.Minute, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return nil
}

// page is an answer of the console.
type page struct {
	code     int
	body     string
	location *url.URL
	at       *url.URL
}

// text is the page without tags, for messages.
func (pg *page) text() string {
	s := regexp.MustCompile(`(?s)<(script|style|svg|head)\b.*?</(script|style|svg|head)>`).ReplaceAllString(pg.body, " ")
	return oneLine(html.UnescapeString(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(s, " ")))
}

func (p *person) do(ctx context.Context, method, u string, form url.Values) (*page, error) {
	if strings.HasPrefix(u, "/") {
		u = p.base + u
	}
	var rd io.Reader
	if form != nil {
		rd = strings.NewReader(form.Encode())
	}
	rq, err := http.NewRequestWithContext(ctx, method, u, rd)
	if err != nil {
		return nil, err
	}
	if form != nil {
		rq.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	rq.Header.Set("Accept-Language", "zh-HK")
	rq.Header.Set("Sec-Fetch-Site", "same-origin")
	resp, err := p.http.Do(rq)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, rq.URL.Path, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, rq.URL.Path, err)
	}
	pg := &page{code: resp.StatusCode, body: string(b), at: rq.URL}
	if l, err := resp.Location(); err == nil {
		pg.location = l
	}
	return pg, nil
}

// get follows redirects inside the console, as a browser does.
func (p *person) get(ctx context.Context, u string) (*page, error) {
	for range 10 {
		pg, err := p.do(ctx, http.MethodGet, u, nil)
		if err != nil || pg.location == nil {
			return pg, err
		}
		u = pg.location.String()
	}
	return nil, errors.New("too many redirects")
}

// post sends a form and wants a redirect; anything else is the message on the
// page.
func (p *person) post(ctx context.Context, u string, form url.Values) (*page, error) {
	pg, err := p.do(ctx, http.MethodPost, u, form)
	if err != nil {
		return nil, err
	}
	if pg.code != http.StatusSeeOther {
		return pg, fmt.Errorf("POST %s answered %d: %.400s", u, pg.code, pg.text())
	}
	return pg, nil
}

// code is the next one-time code that was not used yet.
func (p *person) code(ctx context.Context) (string, error) {
	for {
		now := time.Now().Unix() / 30
		step := max(now, p.Step+1) // not the one of the step before, which may end any second
		if step <= now+1 {
			p.Step = step
			c, err := totp.GenerateCode(p.Secret, time.Unix(step*30, 0))
			return c, errors.Join(err, p.save())
		}
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

func (p *person) login(ctx context.Context) error {
	code, err := p.code(ctx)
	if err != nil {
		return err
	}
	_, err = p.post(ctx, "/login", url.Values{"name": {p.Name}, "password": {p.Password}, "totp": {code}})
	return err
}

func (p *person) stepUp(ctx context.Context) error {
	code, err := p.code(ctx)
	if err != nil {
		return err
	}
	_, err = p.post(ctx, "/stepup", url.Values{"totp": {code}, "next": {"/"}})
	return err
}

// person returns who owns the appliance, setting it up when nobody does.
func (w *world) person(ctx context.Context) (*person, error) {
	p := &person{base: w.url(), file: w.personFile()}
	if b, err := os.ReadFile(p.file); err == nil {
		if err := json.Unmarshal(b, p); err != nil {
			return nil, fmt.Errorf("read %s: %w", filepath.Base(p.file), err)
		}
		if err := p.browser(); err != nil {
			return nil, err
		}
		return p, p.login(ctx)
	}
	if err := p.browser(); err != nil {
		return nil, err
	}
	return p, w.setUp(ctx, p)
}
