package appliance

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"farol/internal/auth"
	"farol/internal/backup"
	"farol/internal/catalog"
	"farol/internal/dingtalk/simulator"
	"farol/internal/policy"
	"farol/internal/record"
	"farol/internal/settings"
	"farol/internal/web"
)

// The canaries: whatever of these is found where it does not belong has leaked.
// No two share a piece, so that a find names what it is.
const (
	canaryPassword = "canary lighthouse password 守燈 x7q"
	canarySecret   = "canarysecretofthedingtalkapp5k2"
	canaryMessage  = "canarymessage9w4 報價單改期到星期五"
	canaryGroup    = "canarygroup3t6 氹仔工地"
	canaryFile     = "canaryfilename8m1.txt"
	canaryContent  = "canarycontent2z5 of a file that nobody may read at rest"
	canaryQuery    = "canaryquery6r8"
)

// journalLines is the process's log, at its most talkative.
type journalLines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *journalLines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *journalLines) bytes() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Clone(l.b.Bytes())
}

// TestNoSecretAndNoContentRestsReadable lives a day of the whole product with
// canaries as password, secret of the app, message, group, file and query, also
// with everything that a person gets wrong. Afterwards no log line, no error
// page, no metric, no support bundle and no file of appliance and node holds one of them.
func TestNoSecretAndNoContentRestsReadable(t *testing.T) {
	var lines journalLines
	chats := filepath.Join(t.TempDir(), "chats.ndjson")
	if err := os.WriteFile(chats, fmt.Appendf(nil, `{"conversation":%q,"sender":"陳大文","text":%q,"time":"2026-03-02T09:00:00+08:00"}`+"\n", canaryGroup, canaryMessage), 0o600); err != nil {
		t.Fatal(err)
	}
	h := newStart(t, simulator.Options{Seed: 3, People: 12, ChatsFile: chats, ClientSecret: canarySecret}, slog.New(slog.NewTextHandler(&lines, &slog.HandlerOptions{Level: slog.LevelDebug})))
	leaves := []string{canaryPassword, canarySecret, canaryMessage, canaryGroup, canaryFile, canaryContent, canaryQuery}
	secret, err := auth.NewSecret("maria")
	if err != nil {
		t.Fatal(err)
	}
	at := func(d time.Duration) string {
		c, err := totp.GenerateCode(secret.Text, time.Now().Add(d))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	ctx, a := t.Context(), h.a
	if _, err := a.accounts.Create(ctx, auth.NewAccount{Name: "maria", Role: "owner", Password: canaryPassword, Secret: secret, Code: at(0)}); err != nil {
		t.Fatal(err)
	}
	v := caller{t: t, base: h.base}
	v.post("/login", "name", canaryPassword, "password", canaryPassword, "totp", "000000") // typed into the wrong field
	refusals := []string{v.post("/login", "name", "maria", "password", canaryPassword, "totp", "000000")}
	v.post("/login?password="+url.QueryEscape(canaryPassword), "name", "maria", "totp", "000000")
	v.post("/login", "name", "maria", "password", canaryPassword, "totp", at(30*time.Second))
	refusals = append(refusals, v.post("/settings/password", "password_old", canaryPassword, "password_new", canaryPassword, "totp", "000000"))

	// a binding that fails, then the right one
	refusals = append(refusals, v.post("/setup/dingtalk", "region", "custom", "base_url", "http://127.0.0.1:1", "client_id", h.sim.ClientID(), "client_secret", canarySecret))
	if err := a.Bind(ctx, web.Binding{Region: "custom", BaseURL: h.simURL, ClientID: h.sim.ClientID(), ClientSecret: canarySecret}); err != nil {
		t.Fatal(err)
	}
	tokens := agree(t, h)
	leaves = append(leaves, tokens...)
	putFile(ctx, t, a)
	if err := a.Enrol(ctx, h.nodeAddr, h.node.NewCode()); err != nil {
		t.Fatal(err)
	}
	shares, err := a.Kit(ctx, "maria", 3, 2)
	if err != nil {
		t.Fatal(err)
	}
	for _, share := range shares {
		leaves = append(leaves, share.Text())
	}
	if err := a.FinishSetup(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := a.engine.Start(ctx, backup.Full, "maria"); err != nil {
		t.Fatal(err)
	}
	waitRun(t, a)

	v.post("/purpose", "purpose", "dispute", "title", "供應商訴訟案", "next", "/")
	found := v.find("報價單改期")
	if !strings.Contains(found, "canarymessage9w4") {
		t.Fatalf("the message was not captured, so nothing can leak: %.300s", found)
	}
	v.find(canaryFile)
	if r, err := a.door.Search(ctx, a.operator(policy.Verification), canaryFile, catalog.Query{Limit: 3, Kind: record.Files}); err != nil || len(r.Items) != 1 || len(r.Items[0].Record.Blobs) != 1 {
		t.Fatalf("the file was not captured: %d, %v", len(r.Items), err)
	}
	v.find(canaryQuery)
	v.get("/search?q=" + canaryQuery) // by hand
	if zip := v.post("/restore/run", "kind", "chat", "target", "zip"); !strings.HasPrefix(zip, "PK") {
		t.Fatalf("no export: %.200s", zip)
	}
	refusals = append(refusals, v.get("/metrics"), v.get("/record/999999999"), v.get("/nothing"))
	if _, err := a.archive.Fold(ctx); err != nil {
		t.Fatal(err)
	}
	if err := a.sealControl(ctx); err != nil {
		t.Fatal(err)
	}
	if err := a.caughtUp(ctx); err != nil {
		t.Fatal(err)
	}
	leaves = append(leaves, secret.Text, v.session(), tlsKey(t, a))

	search := func(where string, b []byte) {
		for _, leaf := range leaves {
			for _, form := range []string{leaf, url.QueryEscape(leaf), url.PathEscape(leaf), strings.Trim(fmt.Sprintf("%q", leaf), `"`), strings.Trim(fmt.Sprintf("%+q", leaf), `"`)} {
				if i := bytes.Index(b, []byte(form)); i >= 0 {
					t.Errorf("%s holds %.12s…: %q", where, leaf, b[max(0, i-60):min(len(b), i+20)])
					break
				}
			}
		}
	}
	for i, body := range refusals {
		search(fmt.Sprint("answer ", i), []byte(body))
	}
	search("the metrics", []byte(v.get("/metrics")))
	leaves = searchBundle(t, h, lines.bytes(), leaves, search)
	search("the log while it runs", lines.bytes())
	h.stop()
	search("the log", lines.bytes())
	seen := 0
	for _, dir := range h.folders {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			b, err := os.ReadFile(path)
			seen++
			search(path, b)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if seen < 20 || len(lines.bytes()) == 0 || slices.Contains(leaves, "") {
		t.Errorf("%d files and %d bytes of log were looked at: this test no longer sees the product", seen, len(lines.bytes()))
	}
}

// caller is a person at the console, without a browser.
type caller struct {
	t    *testing.T
	base string
	to   string // where the last answer leads
	hc   *http.Client
}

func (v *caller) do(method, path string, form url.Values) string {
	v.t.Helper()
	if v.hc == nil {
		jar, err := cookiejar.New(nil)
		if err != nil {
			v.t.Fatal(err)
		}
		v.hc = &http.Client{Jar: jar, Transport: insecureTransport(), CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	r, err := http.NewRequestWithContext(v.t.Context(), method, v.base+path, strings.NewReader(form.Encode()))
	if err != nil {
		v.t.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := v.hc.Do(r)
	if err != nil {
		v.t.Fatal(err)
	}
	defer resp.Body.Close()
	v.to = resp.Header.Get("Location")
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return string(b)
}

func (v *caller) get(path string) string { v.t.Helper(); return v.do("GET", path, nil) }

// find searches as the form does: the words travel in the body.
func (v *caller) find(words string) string {
	v.t.Helper()
	v.post("/search", "q", words)
	return v.get(v.to)
}

func (v *caller) post(path string, pairs ...string) string {
	v.t.Helper()
	f := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		f.Add(pairs[i], pairs[i+1])
	}
	return v.do("POST", path, f)
}

func (v *caller) session() string {
	u, err := url.Parse(v.base)
	if err != nil {
		v.t.Fatal(err)
	}
	for _, k := range v.hc.Jar.Cookies(u) {
		if k.Name == "__Host-farol" {
			return k.Value
		}
	}
	v.t.Fatal("not signed in")
	return ""
}

// agree lets the administrator consent, and gives his tokens.
func agree(t *testing.T, h *started) []string {
	t.Helper()
	ctx := t.Context()
	address, err := h.a.ConsentURL(ctx, "http://127.0.0.1/cb")
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	form := u.Query()
	form.Set("user", h.sim.AdminUserID())
	form.Set("decision", "agree")
	hc := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := hc.PostForm(h.simURL+"/oauth2/auth/decide?"+u.RawQuery, form)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	back, err := resp.Location()
	if err != nil {
		t.Fatal(err)
	}
	got, err := h.a.CompleteConsent(ctx, back.Query().Get("state"), back.Query().Get("authCode"))
	if err != nil {
		t.Fatal(err)
	}
	tok, err := h.a.settings.Tokens(ctx, got.Person)
	if err != nil {
		t.Fatal(err)
	}
	return []string{tok.Access, tok.Refresh}
}

// putFile lays the canary file into a drive of the simulator.
func putFile(ctx context.Context, t *testing.T, a *Appliance) {
	t.Helper()
	who, err := a.settings.Get(ctx, settings.Operator)
	if err != nil {
		t.Fatal(err)
	}
	c := a.Client()
	spaces, err := c.Spaces(ctx, who)
	if err != nil || len(spaces) == 0 {
		t.Fatal(len(spaces), err)
	}
	_, space, _ := strings.Cut(string(spaces[0]), `"spaceId":"`)
	space, _, _ = strings.Cut(space, `"`)
	_, folder, err := c.AddFolder(ctx, who, space, "0", "canary")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Upload(ctx, who, folder, canaryFile, int64(len(canaryContent)), strings.NewReader(canaryContent)); err != nil {
		t.Fatal(err)
	}
}

// tlsKey is a line of the console's private key.
func tlsKey(t *testing.T, a *Appliance) string {
	t.Helper()
	text, err := a.settings.Get(t.Context(), tlsIdentity)
	if err != nil {
		t.Fatal(err)
	}
	_, key, _ := strings.Cut(text, `EC PRIVATE KEY-----\n`)
	key, _, _ = strings.Cut(key, `\n`)
	return key
}
