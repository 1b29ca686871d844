package appliance

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/pquerna/otp/totp"

	"farol/internal/dingtalk/simulator"
	"farol/internal/replica"
)

// browser is a person at a real Chromium.
type browser struct {
	t      *testing.T
	ctx    context.Context
	base   string
	secret string
	step   int64
}

// started is simulator, node and appliance in this process.
type started struct {
	base, nodeAddr, simURL string
	a                      *Appliance
	node                   *replica.Node
	sim                    *simulator.Simulator
	folders                []string // of the appliance and the node
	stop                   func()
}

func startHouse(t *testing.T) (base string, a *Appliance, node *replica.Node, nodeAddr string, sim *simulator.Simulator, simURL string) {
	t.Helper()
	h := newStart(t, simulator.Options{Seed: 3, People: 20, Messages: 600}, slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})))
	return h.base, h.a, h.node, h.nodeAddr, h.sim, h.simURL
}

func newStart(t *testing.T, opt simulator.Options, log *slog.Logger) *started {
	t.Helper()
	sim, err := simulator.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(sim)
	ctx, cancel := context.WithCancel(context.Background())
	dir := t.TempDir()
	h := &started{sim: sim, simURL: srv.URL, folders: []string{filepath.Join(dir, "node"), filepath.Join(dir, "state"), filepath.Join(dir, "archive")}}
	if h.node, err = replica.OpenNode(h.folders[0], log, nil); err != nil {
		t.Fatal(err)
	}
	nl, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nodeDone, appDone := make(chan struct{}), make(chan struct{})
	go func() { defer close(nodeDone); h.node.Serve(ctx, nl) }()
	pl, err := net.Listen("tcp", "127.0.0.1:0") // a free port
	if err != nil {
		t.Fatal(err)
	}
	addr := pl.Addr().String()
	pl.Close()
	cfg := Config{StateDir: h.folders[1], ArchiveDir: h.folders[2], HostKey: filepath.Join(dir, "host", "key"), Listen: addr, Reserve: 1 << 20, LogLevel: "error"}
	if err := os.MkdirAll(filepath.Join(dir, "host"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	if h.a, err = Open(ctx, cfg, log); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(appDone)
		if err := h.a.Run(ctx); err != nil {
			t.Errorf("appliance: %v", err)
		}
	}()
	h.stop = sync.OnceFunc(func() {
		cancel()
		<-appDone
		<-nodeDone
		if err := h.a.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		h.stop()
		srv.Close()
		sim.Close()
	})
	select {
	case <-h.a.ready:
	case <-time.After(20 * time.Second):
		t.Fatal("not ready")
	}
	h.base, h.nodeAddr = "https://"+addr, nl.Addr().String()
	return h
}

func newBrowser(t *testing.T, base string) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("no chromium here: apt-get install chromium")
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.Flag("ignore-certificate-errors", true),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true), chromedp.Flag("lang", "zh-HK"),
		chromedp.Flag("accept-lang", "zh-HK"), chromedp.WindowSize(1440, 1000), chromedp.UserDataDir(t.TempDir()))
	actx, cancel := chromedp.NewExecAllocator(context.Background(), opts...)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(actx)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 4*time.Minute)
	t.Cleanup(cancel)
	// the first call starts the browser, which lives as long as its context
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		t.Fatalf("start chromium: %v", err)
	}
	return &browser{t: t, ctx: ctx, base: base}
}

func (b *browser) run(what string, actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 30*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.t.Fatalf("%s: %v; the page says: %.600s", what, err, b.text())
	}
}

// ask reads something from the page.
func ask[T any](b *browser, what string, a chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 15*time.Second)
	defer cancel()
	for {
		v, err := chromedp.Run(ctx, a)
		switch {
		case err == nil:
			return v
		case strings.Contains(err.Error(), "navigated or closed") && ctx.Err() == nil:
			time.Sleep(20 * time.Millisecond) // between two pages there is nobody to ask
		default:
			b.t.Fatalf("%s: %v", what, err)
		}
	}
}

func (b *browser) text() string {
	ctx, cancel := context.WithTimeout(b.ctx, 5*time.Second)
	defer cancel()
	s, err := chromedp.Run(ctx, chromedp.Evaluate[string]("document.body.innerText"))
	if err != nil {
		return err.Error()
	}
	return strings.Join(strings.Fields(s), " ")
}

func (b *browser) path() string {
	b.t.Helper()
	return ask(b, "read the address", chromedp.Evaluate[string]("location.pathname"))
}

func (b *browser) open(path string) {
	b.t.Helper()
	b.run("open "+path, chromedp.Navigate(b.base+path), chromedp.WaitReady("body"))
}

// fill types into fields of a form, submits it with its first button that
// matches, and waits for the page that answers.
func (b *browser) fill(form string, button string, fields map[string]string) {
	b.t.Helper()
	sel := `form[action="` + form + `"]`
	acts := []chromedp.Action[chromedp.Void]{chromedp.WaitVisible(sel)}
	for name, v := range fields {
		acts = append(acts, chromedp.SetValue(sel+` [name="`+name+`"]`, v))
	}
	b.run("fill "+form, acts...)
	b.follow("send "+form, sel+" "+button)
}

// follow clicks what leads to another page and waits until that has come: to
// open a third while it is under way would abort one of them.
func (b *browser) follow(what, sel string) {
	b.t.Helper()
	b.run(what, chromedp.WaitVisible(sel))
	ask(b, what, chromedp.Evaluate[bool]("window.here = true"))
	b.run(what, chromedp.Click(sel))
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(b.ctx, 5*time.Second)
		there, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("window.here !== true && document.readyState === 'complete'"))
		cancel()
		if err == nil && there { // between two pages there is nobody to ask
			return
		}
		if time.Now().After(end) {
			b.t.Fatalf("%s: no other page came; this one says: %.600s", what, b.text())
		}
	}
}

// code is the next one-time code that was not used. It never is the one of the
// step before, which a slow page can outlive: this one holds half a minute.
func (b *browser) code() string {
	for {
		now := time.Now().Unix() / 30
		if s := max(now, b.step+1); s <= now+1 {
			b.step = s
			c, err := totp.GenerateCode(b.secret, time.Unix(s*30, 0))
			if err != nil {
				b.t.Fatal(err)
			}
			return c
		}
		time.Sleep(300 * time.Millisecond)
	}
}

func (b *browser) wants(parts ...string) {
	b.t.Helper()
	var text string
	for end := time.Now().Add(15 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		text = b.text()
		missing := ""
		for _, p := range parts {
			if !strings.Contains(text, p) {
				missing = p
			}
		}
		if missing == "" {
			return
		}
		if time.Now().After(end) {
			b.t.Fatalf("%s does not show %q: %.900s", b.path(), missing, text)
		}
	}
}

const password = "lighthouse keeper 1865 守"

// TestAPersonWalksTheMainJobInABrowser is set-up → login → backup → read →
// search → restore → audit, all through the pages of a real browser.
func TestAPersonWalksTheMainJobInABrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a browser")
	}
	base, a, node, nodeAddr, sim, simURL := startHouse(t)
	b := newBrowser(t, base)

	b.open("/")
	if b.path() != "/setup/claim" {
		t.Fatalf("an unclaimed appliance shows %s", b.path())
	}
	b.fill("/setup/claim", "button.primary", map[string]string{"code": "WRON-GCOD-EXXX"})
	b.fill("/setup/claim", "button.primary", map[string]string{"code": a.claim.Code()})
	b.secret = ask(b, "read the secret", chromedp.Value(`input[name="secret"]`))
	b.fill("/setup/admin", "button.primary", map[string]string{"name": "maria", "password": password, "totp": b.code()})
	if b.path() == "/login" { // the account is made; now its owner signs in
		b.fill("/login", "button.primary", map[string]string{"name": "maria", "password": password, "totp": b.code()})
	}

	b.run("choose the address", chromedp.Click(`input[name="region"][value="custom"]`))
	b.fill("/setup/dingtalk", "button[type=submit]", map[string]string{"base_url": simURL, "client_id": sim.ClientID(), "client_secret": "wrong secret"})
	b.run("choose the address", chromedp.WaitVisible(`input[name="region"][value="custom"]`), chromedp.Click(`input[name="region"][value="custom"]`))
	b.fill("/setup/dingtalk", "button[type=submit]", map[string]string{"base_url": simURL, "client_id": sim.ClientID(), "client_secret": sim.ClientSecret()})
	b.follow("go to DingTalk", `a[href="/setup/dingtalk/consent"]`)
	b.run("choose a person", chromedp.WaitVisible(`select[name="user"]`), chromedp.SetValue(`select[name="user"]`, sim.AdminUserID()))
	b.follow("agree", `button[value="agree"]`)
	b.wants("濠江貿易有限公司")
	b.open("/setup/scope")
	b.follow("take everything", `button[name="all"]`)
	b.fill("/setup/storage", "button.primary", map[string]string{"offsite_address": nodeAddr, "offsite_code": node.NewCode()})
	b.open("/setup/kit")
	b.fill("/setup/kit/make", "button[type=submit]", map[string]string{"n": "3", "k": "2"})
	page := ask(b, "read the shares", chromedp.OuterHTML("body"))
	shares := unique(shareText.FindAllString(page, -1))
	if len(shares) != 3 {
		t.Fatalf("%d shares on the page: %.600s", len(shares), b.text())
	}
	b.run("type two shares back", chromedp.SetValue("#share-1", shares[2]), chromedp.SetValue("#share-2", shares[0]))
	b.fill("/setup/kit", "button.primary", nil)
	b.fill("/setup/start", "button.primary", nil)
	b.run("see it started", chromedp.WaitNotPresent(`form[action="/setup/start"]`)) // else the answer comes after what is opened next
	waitRun(t, a)

	b.open("/settings")
	for range 5 { // on a busy machine the page of the run may still answer after it
		if b.path() == "/settings" {
			break
		}
		b.open("/settings")
	}
	b.fill("/logout", "button", nil)
	b.open("/")
	if b.path() != "/login" {
		t.Fatalf("signed out, and / shows %s", b.path())
	}
	b.fill("/login", "button.primary", map[string]string{"name": "maria", "password": "not the password", "totp": "123456"})
	b.fill("/login", "button.primary", map[string]string{"name": "maria", "password": password, "totp": b.code()})
	b.open("/")
	b.wants("總覽")

	b.open("/archive/chat")
	b.run("say why", chromedp.Click(`input[name="purpose"][value="recovery"]`))
	b.fill("/purpose", "button[type=submit]", map[string]string{"title": "誤刪的對話"})
	b.open("/archive/chat")
	b.follow("open a conversation", `main a[href^="/archive/chat/"]`)
	text, word := someMessage(t, a)
	b.open("/search")
	b.fill("/search", "button[type=submit]", map[string]string{"q": word})
	b.run("a marked hit", chromedp.WaitVisible("mark"))
	if !strings.Contains(b.text(), word) {
		t.Fatalf("the hit does not show %q of %q", word, text)
	}

	var victim int64
	for _, c := range mustContainers(t, a) {
		if c.Items >= 2 && victim == 0 {
			victim = c.CatalogID
		}
	}
	b.open(fmt.Sprintf("/restore?step=2&kind=files&container=%d", victim))
	b.run("back into DingTalk", chromedp.Click(`input[name="target"][value="dingtalk"]`))
	b.fill("/restore/run", "button.primary", nil)
	if b.path() == "/stepup" {
		b.fill("/stepup", "button.primary", map[string]string{"totp": b.code()})
	}
	job := b.path()
	for end := time.Now().Add(60 * time.Second); len(a.door.Jobs()) == 0 || a.door.Jobs()[0].Snapshot().State == "running"; time.Sleep(200 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the restore did not end")
		}
	}
	if s := a.door.Jobs()[0].Snapshot(); s.State != "done" {
		t.Fatalf("the restore ended %s %s", s.State, s.Problem)
	}
	b.open(job)

	b.open("/audit")
	b.wants("maria")
	if v := sim.Violations(); len(v) > 0 {
		t.Errorf("contract broken: %s", v[0])
	}
}

// TestNothingButSignInAnswersWithoutASession asks every page of the console.
func TestNothingButSignInAnswersWithoutASession(t *testing.T) {
	base, _, _, _, _, _ := startHouse(t)
	hc := &http.Client{Transport: insecureTransport(), CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for _, p := range []string{"/", "/archive/chat", "/search?q=x", "/audit", "/restore", "/scope", "/backup", "/api/status", "/record/1", "/settings"} {
		resp, err := hc.Get(base + p)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusSeeOther && resp.StatusCode != http.StatusUnauthorized && resp.StatusCode != http.StatusFound {
			t.Errorf("%s answers %d", p, resp.StatusCode)
		}
	}
}
