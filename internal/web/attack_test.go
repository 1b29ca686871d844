package web

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"farol/internal/audit"
	"farol/internal/auth"
)

// everything is each entry of the log as it is written.
func (h *house) everything() []string {
	h.t.Helper()
	list, _, err := h.d.Audit.List(audit.Filter{}, 0, 10000)
	if err != nil {
		h.t.Fatal(err)
	}
	var out []string
	for _, e := range list {
		b, err := json.Marshal(e)
		if err != nil {
			h.t.Fatal(err)
		}
		out = append(out, string(b))
	}
	return out
}

// session is the value of the visitor's session cookie.
func (v *visitor) session() string {
	address := v.h.srv.URL
	if v.host != "" {
		address = "https://" + v.host
	}
	u, err := url.Parse(address)
	if err != nil {
		v.h.t.Fatal(err)
	}
	for _, k := range v.hc.Jar.Cookies(u) {
		if k.Name == sessionCookie {
			return k.Value
		}
	}
	return ""
}

// with is a browser that has only this session cookie.
func (h *house) with(token string) *visitor {
	v := h.visitor()
	v.head.Set("Cookie", sessionCookie+"="+token)
	return v
}

func TestASessionCannotBePlanted(t *testing.T) {
	h, v := ready(t)
	planted := "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	victim := h.with(planted)
	in := victim.post("/login", "name", "maria", "password", password, "totp", h.code(h.kept["maria"].Text)).wants(t, 303)
	if strings.Contains(in.head.Get("Set-Cookie"), planted) {
		t.Error("the planted token was taken over")
	}
	h.with(planted).get("/settings").wants(t, 303, "/login?next=%2Fsettings")
	before := v.session()
	v.fresh("maria")
	if after := v.session(); after == before || after == "" {
		t.Error("the step-up keeps the token")
	}
	h.with(before).get("/settings").wants(t, 303, "/login?next=%2Fsettings")
	before = v.session()
	v.post("/login", "name", "maria", "password", password, "totp", h.code(h.kept["maria"].Text)).wants(t, 303)
	h.with(before).get("/settings").wants(t, 303, "/login?next=%2Fsettings")
}

func TestNoOtherSiteCanPost(t *testing.T) {
	h, v := ready(t)
	h.account("rui", "auditor")
	before, posts := len(h.everything()), 0
	for _, r := range h.routes() {
		if r.method != "POST" {
			continue
		}
		path := strings.NewReplacer(":id", "2", ":token", "x").Replace(r.path)
		for name, value := range map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"} {
			posts++
			v.head.Set(name, value)
			v.post(path, "role", "owner", "name", "evil", "mode", "full").wants(t, 403, "cross-origin")
			v.head.Del(name)
		}
		v.head.Set("Sec-Fetch-Site", "same-site") // another port or name beside this one
		v.post(path, "role", "owner").wants(t, 403, "cross-origin")
		v.head.Del("Sec-Fetch-Site")
		posts++
	}
	if got := len(h.everything()) - before; got != posts || h.logged("access.denied") != posts {
		t.Errorf("%d entries of %d tries", got, posts)
	}
	v.get("/").wants(t, 200) // not even signed out
}

func TestACodeIsNotReplayed(t *testing.T) {
	h, v := ready(t)
	code := h.code(h.kept["maria"].Text)
	v.post("/stepup", "totp", code, "next", "/").wants(t, 303)
	v.post("/stepup", "totp", code, "next", "/").wants(t, 422)
	h.visitor().post("/login", "name", "maria", "password", password, "totp", code).wants(t, 422)
	h.entries(map[string]int{"stepup": 2, "login.failed": 1})
}

func TestGuessedCodesAreSlowedDownAndLogged(t *testing.T) {
	h, v := ready(t)
	x := h.visitor()
	for i := range 5 {
		x.post("/login", "name", "maria", "password", password, "totp", fmt.Sprintf("%06d", i)).wants(t, 422)
	}
	x.post("/login", "name", "maria", "password", password, "totp", "123456").wants(t, 429, "嘗試太多次")
	h.entries(map[string]int{"login.failed": 6, "login.locked": 1})
	for i := range 5 {
		v.post("/stepup", "totp", fmt.Sprintf("%06d", i), "next", "/").wants(t, 422)
	}
	v.post("/stepup", "totp", "000009", "next", "/").wants(t, 429, "嘗試太多次")
	v.post("/settings/password", "password_old", password, "password_new", "some other sentence 1", "totp", "000009").wants(t, 429, "嘗試太多次")
	h.entries(map[string]int{"login.locked": 2, "stepup": 6})
	if n := h.logged("password.change"); n != 1 {
		t.Errorf("%d entries password.change", n)
	}
}

// TestAnUnknownNameLooksTheSame: the answers differ in nothing but the name.
// That the same work is done is tested in package auth.
func TestAnUnknownNameLooksTheSame(t *testing.T) {
	h, _ := ready(t)
	h.account("gone1", "it")
	if err := h.d.Accounts.Disable(t.Context(), 2, auth.Act{By: auth.User{ID: 1}, Keeper: h.keeper, May: func(auth.Account) error { return nil }, Entry: func(auth.Account) error { return nil }}); err != nil {
		t.Fatal(err)
	}
	var want string
	for _, name := range []string{"maria", "nobdy", "gone1"} {
		a := h.visitor().post("/login", "name", name, "password", "a wrong one 123", "totp", "123456").wants(t, 422)
		got := strings.ReplaceAll(a.body, name, "NAME")
		if want == "" {
			want = got
		} else if got != want {
			t.Errorf("%s is told apart", name)
		}
	}
	if n := h.logged("login.failed"); n != 3 {
		t.Errorf("%d entries of 3 tries", n)
	}
}

func TestGuessedLinksAreOneAnswerAndOneEntryEach(t *testing.T) {
	h, v := ready(t)
	var lines bytes.Buffer
	h.d.Log = slog.New(slog.NewTextHandler(&lines, &slog.HandlerOptions{Level: slog.LevelDebug}))
	link := v.post("/accounts/invite", "name", "rui", "role", "auditor").wants(t, 200).found(t, madeLink)
	x := h.visitor()
	secret := x.open(link).wants(t, 200).found(t, otpauth)
	x.post("/join/account", "password", password, "totp", h.code(secret)).wants(t, 200)
	token := strings.TrimPrefix(link, "/join#")
	plain := func(a answerOf, token string) string { return strings.ReplaceAll(a.body, token, "TOKEN") }
	used := plain(x.open(link).wants(t, 404), token)
	guess := strings.Repeat("A", len(token))
	if plain(x.post("/join", "token", guess).wants(t, 404), guess) != used {
		t.Error("a used link and a guessed one are told apart")
	}
	if x.post("/join/account", "password", password, "totp", "123456").wants(t, 404); h.logged("user.join") != 3 {
		t.Errorf("%d entries", h.logged("user.join"))
	}
	for range 30 {
		x.post("/join", "token", guess)
	}
	x.post("/join", "token", guess).wants(t, 429)
	h.entries(map[string]int{"user.join": 34, "login.locked": 1})
	for _, e := range append(h.everything(), lines.String()) {
		if strings.Contains(e, token) || strings.Contains(e, guess) {
			t.Errorf("a token is in a log: %.120s", e)
		}
	}
}

func TestAForgedAddressChangesNothing(t *testing.T) {
	h, _ := ready(t)
	x := h.visitor()
	for i := range 5 {
		for _, name := range []string{"X-Forwarded-For", "X-Real-Ip", "Forwarded", "True-Client-Ip"} {
			x.head.Set(name, fmt.Sprintf("198.51.100.%d", i))
		}
		x.post("/login", "name", "maria", "password", "wrong", "totp", "000000").wants(t, 422)
	}
	x.head.Set("X-Forwarded-For", "198.51.100.99")
	x.post("/login", "name", "maria", "password", "wrong", "totp", "000000").wants(t, 429)
	list, _, err := h.d.Audit.List(audit.Filter{Operation: "login.failed"}, 0, 100)
	if err != nil || len(list) != 6 {
		t.Fatal(len(list), err)
	}
	for _, e := range list {
		if e.Source != "127.0.0.1" {
			t.Errorf("the log says %s", e.Source)
		}
	}
}

func TestNextIsNoWayOutAndNoHeader(t *testing.T) {
	h, _ := ready(t)
	for _, next := range []string{"/\r\nSet-Cookie: x=1", "/a\nLocation: https://evil.example", "https://evil.example", "//evil.example/", `/\evil.example`, `\\evil.example`, "/\tx", "javascript:alert(1)", "//evil.example@host", "http:evil"} {
		a := h.visitor().post("/login", "name", "maria", "password", password, "totp", h.code(h.kept["maria"].Text), "next", next).wants(t, 303, "/")
		if strings.Contains(strings.Join(a.head.Values("Set-Cookie"), ";"), "x=1") {
			t.Errorf("%q sets a cookie", next)
		}
	}
	h.visitor().post("/login", "name", "maria", "password", password, "totp", h.code(h.kept["maria"].Text), "next", "/search?q=%0d%0aSet-Cookie:x").wants(t, 303, "/search?q=%0d%0aSet-Cookie:x")
}

func TestALargeBodyIsRefused(t *testing.T) {
	h, v := ready(t)
	big := strings.Repeat("x", 300<<10)
	v.post("/settings/password", "password_old", big).wants(t, 413, "內容太大")
	r, err := http.NewRequestWithContext(t.Context(), "POST", h.srv.URL+"/login", io.MultiReader(strings.NewReader("name=maria&password="), strings.NewReader(big))) // without a length
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := h.visitor().hc.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode < 400 || resp.StatusCode >= 500 {
		t.Errorf("a body without a length: %d", resp.StatusCode)
	}
}

// TestASlowBodyIsCutOff serves as the appliance does, with a short patience.
func TestASlowBodyIsCutOff(t *testing.T) {
	h, _ := ready(t)
	if h.readTime > time.Minute || h.readTime <= 0 {
		t.Fatalf("a request may take %s to arrive", h.readTime)
	}
	h.readTime = 300 * time.Millisecond
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- h.Serve(ctx, ln) }()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(conn, "POST /login HTTP/1.1\r\nHost: farol\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\nname=maria&pass")
	if _, err := io.ReadAll(bufio.NewReader(conn)); err != nil {
		t.Errorf("a body that never ends keeps its connection: %v", err)
	}
	cancel()
	<-served
}

func TestATakenRightEndsTheSessionAtOnce(t *testing.T) {
	h, v := ready(t)
	for i, act := range []string{"role", "disable", "reset", "end"} {
		name := fmt.Sprint("person", i)
		h.account(name, "auditor")
		x := h.login(name)
		x.get("/audit").wants(t, 200)
		v.fresh("maria")
		v.post(fmt.Sprintf("/accounts/%d/%s", i+2, act), "role", "it")
		x.get("/audit").wants(t, 303, "/login?next=%2Faudit")
		x.post("/stepup", "totp", h.code(h.kept[name].Text)).wants(t, 303, "/login")
	}
}
