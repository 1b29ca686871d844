package appliance

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"farol/internal/dingtalk/simulator"
	"farol/internal/member"
	"farol/internal/settings"
	"farol/internal/web"
)

// TestAMemberIsFoundBeforeTheContactsWereEverRead goes the whole way on a real
// appliance: whom the directory does not hold yet is looked for in DingTalk.
func TestAMemberIsFoundBeforeTheContactsWereEverRead(t *testing.T) {
	t.Parallel()
	sim, err := simulator.New(simulator.Options{Seed: 3, People: 12, Messages: 50})
	if err != nil {
		t.Fatal(err)
	}
	defer sim.Close()
	up := httptest.NewServer(sim)
	defer up.Close()
	a, stop := runs(t, bench(t))
	defer stop()
	m := a.members()
	if _, _, err := m.Begin(t.Context(), member.Own, "http://127.0.0.1/me/callback", "10.0.0.9"); !errors.Is(err, member.ErrUnbound) {
		t.Error("before binding:", err)
	}
	if err := a.Bind(t.Context(), web.Binding{Region: "custom", BaseURL: up.URL, ClientID: sim.ClientID(), ClientSecret: sim.ClientSecret()}); err != nil {
		t.Fatal(err)
	}
	c := a.Client()
	raws, _, err := c.Users(t.Context(), 1, 0)
	if err != nil || len(raws) == 0 {
		t.Fatal(len(raws), err)
	}
	var who struct{ UserID, UnionID string }
	if err := json.Unmarshal(raws[0], &who); err != nil {
		t.Fatal(err)
	}
	come := func(ctx context.Context) (member.Person, error) {
		address, browser, err := m.Begin(ctx, member.Own, "http://127.0.0.1/me/callback", "10.0.0.9")
		if err != nil {
			return member.Person{}, err
		}
		u, err := url.Parse(address)
		if err != nil {
			return member.Person{}, err
		}
		form := u.Query()
		form.Set("user", who.UserID)
		form.Set("decision", "agree")
		hc := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		resp, err := hc.PostForm(up.URL+"/oauth2/auth/decide?"+u.RawQuery, form)
		if err != nil {
			return member.Person{}, err
		}
		resp.Body.Close()
		back, err := resp.Location()
		if err != nil {
			return member.Person{}, err
		}
		return m.Finish(ctx, member.Own, "10.0.0.9", back.Query().Get("state"), back.Query().Get("authCode"), browser)
	}
	if _, err := come(t.Context()); !errors.Is(err, member.ErrUnbound) {
		t.Error("before it is known which company:", err)
	}
	if err := a.settings.Set(t.Context(), map[string]string{settings.CorpID: sim.CorpID()}); err != nil {
		t.Fatal(err)
	}
	p, err := come(t.Context())
	if err != nil || p.UserID != who.UserID || p.UnionID != who.UnionID || p.Shown == "" {
		t.Fatalf("%+v, %v", p, err)
	}
	token, _, err := m.Open(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := a.members().Session(t.Context(), token); err != nil || s.Ref() != p.Ref() {
		t.Errorf("%+v, %v", s, err)
	}
	if cs, err := a.settings.Consents(t.Context()); err != nil || len(cs) != 0 {
		t.Errorf("%d consents: his tokens were kept, %v", len(cs), err)
	}
}
