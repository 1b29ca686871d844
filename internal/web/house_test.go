package web

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"
	"golang.org/x/mod/sumdb/note"

	"farol/internal/access"
	"farol/internal/approval"
	"farol/internal/archive"
	"farol/internal/audit"
	"farol/internal/auth"
	"farol/internal/backup"
	"farol/internal/catalog"
	"farol/internal/connector"
	"farol/internal/connector/all"
	"farol/internal/db"
	"farol/internal/dingtalk"
	"farol/internal/dingtalk/simulator"
	"farol/internal/i18n"
	"farol/internal/keys"
	"farol/internal/kit"
	"farol/internal/matter"
	"farol/internal/member"
	"farol/internal/policy"
	"farol/internal/record"
	"farol/internal/restore"
	"farol/internal/settings"
	"farol/internal/watch"
)

// clock is the time of the house; codes are spent by moving it on. Setting the
// machine's clock does not move it: a second back would make the next code the
// one that was spent.
type clock struct {
	from time.Time
	mu   sync.Mutex
	add  time.Duration
}

func (k *clock) now() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.from.Add(time.Since(k.from) + k.add)
}

func (k *clock) pass(d time.Duration) {
	k.mu.Lock()
	k.add += d
	k.mu.Unlock()
}

// house is the whole console over real parts; only the machine is a stand-in.
type house struct {
	*Server
	t      *testing.T
	clock  *clock
	alarms *watch.Watch
	mach   *machine
	sim    *simulator.Simulator
	client *dingtalk.Client
	srv    *httptest.Server
	kept   map[string]auth.Secret
	above  string // address of the simulator
	dir    string // of the databases
}

// machine is a stand-in for the appliance. It answers from its fields.
type machine struct {
	h        *house
	claim    *auth.Claim
	archive  *archive.Archive
	bound    Binding
	kit      []keys.Share
	locks    []Lock
	offsite  Offsite
	witness  Witness
	limit    settings.OffsiteLimit
	health   Health
	verified Verified
	broken   error // of Health and Coverage
	finished bool
	unready  string // what Ready says
	consents []string
	copies   []Copy
	added    []NewCopy
	refuse   error // of AddCopy and RetireCopy
	acts     []string
	root, of string // check words: of the root key, and of the one that was split
	rules    Rules
	alarm    bool
	verdicts []Verdict
}

func (m *machine) Claim() *auth.Claim                     { return m.claim }
func (m *machine) Version() string                        { return "test" }
func (m *machine) Fingerprint() string                    { return "ab:cd" }
func (m *machine) Health(context.Context) (Health, error) { return m.health, m.broken }
func (m *machine) Ready(context.Context) string           { return m.unready }
func (m *machine) Bind(ctx context.Context, b Binding) error {
	if b.ClientSecret != m.h.sim.ClientSecret() {
		return &i18n.Error{ID: "bind.credentials"}
	}
	m.bound = b
	return m.h.d.Settings.Set(ctx, map[string]string{settings.ClientID: b.ClientID})
}
func (m *machine) ConsentURL(_ context.Context, redirect string) (string, error) {
	return "https://login.dingtalk.example/oauth2/auth?state=" + rand.Text() + "&redirect_uri=" + url.QueryEscape(redirect), nil
}
func (m *machine) CompleteConsent(_ context.Context, state, code string) (Consented, error) {
	m.consents = append(m.consents, code)
	return Consented{Person: "u1", Name: "黃俊傑"}, nil
}
func (m *machine) Coverage(context.Context) ([]CoverageRow, error) {
	return []CoverageRow{{Kind: record.Chat, Route: "A", State: "partial", Reason: "coverage.consent", N: 1, M: 20}}, m.broken
}
func (m *machine) Enrol(_ context.Context, address, code string) error {
	if code != "good" {
		return &i18n.Error{ID: "offsite.code"}
	}
	m.offsite = Offsite{Set: true, Connected: true, Address: address}
	return nil
}
func (m *machine) Witness(context.Context) Witness { return m.witness }
func (m *machine) AddWitness(ctx context.Context, by, address, code string, t record.Transfer) error {
	if code != "good" {
		return &i18n.Error{ID: "offsite.code"}
	}
	m.witness = Witness{Set: true, Connected: true, Address: address, CheckpointSize: 7}
	return m.TransferWitness(ctx, by, t)
}
func (m *machine) RemoveWitness(context.Context, string) error {
	m.witness = Witness{}
	return nil
}
func (m *machine) TransferWitness(ctx context.Context, by string, t record.Transfer) error {
	b, err := json.Marshal(t)
	if err != nil {
		return err
	}
	return m.h.d.Settings.Set(ctx, map[string]string{settings.WitnessTransfer: string(b)})
}
func (m *machine) LimitOffsite(ctx context.Context, l settings.OffsiteLimit) error {
	m.limit = l
	return m.h.d.Settings.SetOffsiteLimit(ctx, l)
}
func (m *machine) TransferOffsite(ctx context.Context, by string, t record.Transfer) error {
	return m.h.d.Settings.SetOffsiteTransfer(ctx, t)
}
func (m *machine) TransferCopy(_ context.Context, by, id string, t record.Transfer) error {
	for i := range m.copies {
		if m.copies[i].ID == id {
			m.copies[i].Transfer = t
			return nil
		}
	}
	return &i18n.Error{ID: "place.unknown"}
}
func (m *machine) PriceCopy(_ context.Context, by, id string, p record.Price) error {
	for i := range m.copies {
		if m.copies[i].ID == id {
			m.copies[i].Price = p
			return nil
		}
	}
	return &i18n.Error{ID: "place.unknown"}
}
func (m *machine) Offsite(context.Context) Offsite { return m.offsite }
func (m *machine) Kit(_ context.Context, _ string, n, k int) ([]keys.Share, error) {
	if k < 2 || k > n {
		return nil, &i18n.Error{ID: "kit.numbers"}
	}
	root, err := keys.New()
	if err == nil {
		m.kit, err = keys.Split(root, n, k)
	}
	return m.kit, err
}
func (m *machine) ConfirmKit(ctx context.Context, by string, typed []string) error {
	if len(typed) < 2 || typed[0] != m.kit[0].Text() {
		return &i18n.Error{ID: "kit.share", Args: []any{"n", 1}}
	}
	m.root = m.of
	return m.h.d.Kit.Replace(ctx, m.kit, m.of, by, func() error { return nil })
}
func (m *machine) NewKit(ctx context.Context, by string, n, k int) ([]keys.Share, error) {
	was := m.of
	shares, err := m.Kit(ctx, by, n, k)
	m.of = was + "+"
	return shares, err
}
func (m *machine) KeyCheck() string                      { return m.root }
func (m *machine) Locks(context.Context) ([]Lock, error) { return m.locks, m.broken }
func (m *machine) Rehearse(ctx context.Context, _ string, typed []string) (Rehearsal, error) {
	if len(typed) < 2 || typed[0] != m.kit[0].Text() {
		return Rehearsal{}, &i18n.Error{ID: "kit.share", Args: []any{"n", 1}}
	}
	return Rehearsal{Locks: m.locks}, m.h.d.Kit.Rehearsed(ctx, m.kit[:2], func() error { return nil })
}
func (m *machine) FinishSetup(ctx context.Context) error {
	m.finished = true
	return m.h.d.Settings.Set(ctx, map[string]string{settings.SetupDone: "2026-11-23T00:00:00Z"})
}
func (m *machine) Verify(context.Context, string) error       { m.health.Checking = true; return nil }
func (m *machine) Verified(context.Context) (Verified, error) { return m.verified, m.broken }
func (m *machine) Points(ctx context.Context) ([]Point, error) {
	ps, err := m.archive.Points(ctx)
	var out []Point
	for _, p := range ps {
		out = append(out, Point{Seq: p.Seq, Time: p.Time})
	}
	return out, err
}

func (m *machine) Copies(context.Context) ([]Copy, error) { return m.copies, m.broken }
func (m *machine) AddCopy(_ context.Context, by string, n NewCopy) error {
	if m.refuse == nil {
		m.added = append(m.added, n)
	}
	return m.refuse
}
func (m *machine) VerifyCopy(_ context.Context, by, id string) error {
	m.acts = append(m.acts, by+" verify "+id)
	return nil
}
func (m *machine) RetireCopy(_ context.Context, by, id string, erase, forget bool) error {
	if m.refuse == nil {
		m.acts = append(m.acts, fmt.Sprint(by, " retire ", id, " ", erase, " ", forget))
	}
	return m.refuse
}

func (m *machine) Retention(context.Context) (Retention, error) {
	return Retention{Rules: m.rules, Stopped: m.alarm}, nil
}
func (m *machine) PlanPoints(_ context.Context, r Rules) ([]Verdict, error) {
	if r.All < 1 || r.Daily < r.All {
		return nil, &i18n.Error{ID: "points.rules.bad"}
	}
	out := append([]Verdict(nil), m.verdicts...)
	for i := range out {
		if out[i].Why = "all"; i >= r.All {
			out[i].Why, out[i].Goes = "expired", true
		}
	}
	return out, nil
}
func (m *machine) KeepRules(ctx context.Context, by string, r Rules) error {
	if _, err := m.PlanPoints(ctx, r); err != nil {
		return err
	}
	m.rules = r
	return nil
}
func (m *machine) HoldPoint(_ context.Context, by, id, reason string) error {
	m.acts = append(m.acts, by+" hold "+id+" "+reason)
	return nil
}
func (m *machine) UnholdPoint(_ context.Context, by, id string) error {
	m.acts = append(m.acts, by+" unhold "+id)
	return nil
}

func newHouse(t *testing.T) *house {
	t.Helper()
	ctx, dir := t.Context(), t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	sim, err := simulator.New(simulator.Options{Seed: 3, People: 12, Messages: 300, RedirectURIs: []string{"https://" + named + firstCallback}})
	must(err)
	upstream := httptest.NewServer(sim)
	root, err := keys.New()
	must(err)
	h := &house{t: t, dir: dir, above: upstream.URL, clock: &clock{from: time.Now()}, sim: sim, kept: map[string]auth.Secret{}}
	control, err := db.Open(ctx, filepath.Join(dir, "control.db"), db.Control, h.clock.now)
	must(err)
	box := keys.NewBox(root.Derive("control"))
	set := settings.New(control, box)
	skey, vkey, err := note.GenerateKey(rand.Reader, "farol.test")
	must(err)
	signer, err := note.NewSigner(skey)
	must(err)
	verifier, err := note.NewVerifier(vkey)
	must(err)
	log, err := audit.Open(filepath.Join(dir, "log"), audit.Options{Box: box, Signer: signer, Verify: verifier})
	must(err)
	arch, err := archive.Create(ctx, filepath.Join(dir, "archive"), root, archive.Options{})
	must(err)
	cat, err := catalog.Open(ctx, filepath.Join(dir, "catalog.db"), catalog.Keys{Words: root.Derive("search"), Names: root.Derive("names")}, box, nil)
	must(err)
	accounts, err := auth.New(control, box, h.clock.now)
	must(err)
	client := dingtalk.New(dingtalk.Config{Hosts: dingtalk.SameHost(upstream.URL), ClientID: sim.ClientID(), ClientSecret: sim.ClientSecret(), People: set, QPS: 2000, Backoff: 20 * time.Millisecond})
	conns := all.Connectors()
	byKind := map[record.Kind]connector.Connector{}
	for _, c := range conns {
		byKind[c.Kind()] = c
	}
	h.client = client
	engine := backup.New(backup.Deps{Archive: arch, Audit: log, Catalog: cat, Control: control, Settings: set, Connectors: conns, Client: func() *dingtalk.Client { return client }})
	must(engine.Repair(ctx))
	rctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- engine.Run(rctx) }()
	given, asked := access.New(control), approval.New(control, box)
	door := restore.New(restore.Deps{Circles: set.Circles, Eyes: restore.Eyes{Approvals: asked, Access: given}, Archive: arch, Audit: log, Catalog: cat, Connectors: byKind, People: engine.People(), Client: func() *dingtalk.Client { return client },
		Operator: func(ctx context.Context) (string, error) { return set.Get(ctx, settings.Operator) }, Readers: func(context.Context) ([]string, error) { return nil, nil }, LogKey: vkey, Now: h.clock.now})
	h.mach = &machine{h: h, rules: Rules{7, 90, 731, 3653, 3, 6}, claim: auth.NewClaim(), archive: arch, health: Health{Places: []Place{{Path: "/data", Total: 1000, Free: 900, Used: 50}}}}
	h.alarms = watch.New(watch.Deps{Control: control, Archive: arch, Audit: log, Catalog: cat, Box: box, Now: h.clock.now})
	h.Server, err = New(Deps{Access: given, Approvals: asked, Matters: matter.New(control, box), Kit: kit.New(control, box), Members: h.members(control, box, set, engine, door), Watch: h.alarms, Accounts: accounts, Door: door, Engine: engine, Settings: set, Audit: log, Catalog: cat, Machine: h.mach, Now: h.clock.now, Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError}))})
	must(err)
	h.srv = httptest.NewTLSServer(h.Handler())
	t.Cleanup(func() {
		h.srv.Close()
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("engine: %v", err)
		}
		for _, c := range []io.Closer{cat, arch, log, control} {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
		upstream.Close()
		sim.Close()
	})
	return h
}

// members are the staff of the simulator's tenant.
func (h *house) members(control *db.DB, box *keys.Box, set *settings.Settings, engine *backup.Engine, door *restore.Door) *member.Members {
	return member.New(member.Deps{Control: control, Box: box, Settings: set, People: engine.People(), Client: func() *dingtalk.Client { return h.client }, Aliases: door.Aliases, Now: h.clock.now,
		Refresh: func(ctx context.Context) error {
			return engine.Connector(record.Contacts).Pull(ctx, &connector.Env{Client: h.client, People: engine.People(), Now: time.Now, Log: slog.New(slog.DiscardHandler)}, connector.Source{}, "", func(connector.Page) error { return nil })
		}})
}

// account makes an account of a role; everybody's password is the same.
func (h *house) account(name, role string) {
	h.t.Helper()
	secret, err := auth.NewSecret(name)
	if err != nil {
		h.t.Fatal(err)
	}
	h.kept[name] = secret
	if _, err := h.d.Accounts.Create(h.t.Context(), auth.NewAccount{Name: name, Role: role, Password: password, Secret: secret, Code: h.code(secret.Text)}); err != nil {
		h.t.Fatal(err)
	}
}

const password = "lighthouse keeper 1865 守"

// code moves the clock to the next step, so that a code is never used twice.
func (h *house) code(secret string) string {
	h.t.Helper()
	h.clock.pass(31 * time.Second)
	c, err := totp.GenerateCode(secret, h.clock.now())
	if err != nil {
		h.t.Fatal(err)
	}
	return c
}

// visitor is a browser without script.
type visitor struct {
	h    *house
	hc   *http.Client
	head http.Header
	host string // as the browser names the console, "" = its address
}

func (h *house) visitor() *visitor {
	jar, err := cookiejar.New(nil)
	if err != nil {
		h.t.Fatal(err)
	}
	hc := &http.Client{Jar: jar, Transport: h.srv.Client().Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return &visitor{h, hc, http.Header{}, ""}
}

// login opens a session for an account.
func (h *house) login(name string) *visitor {
	h.t.Helper()
	v := h.visitor()
	v.post("/login", "name", name, "password", password, "totp", h.code(h.kept[name].Text)).wants(h.t, 303)
	return v
}

type answerOf struct {
	code int
	to   string
	body string
	head http.Header
	path string
}

func (v *visitor) do(method, path string, form url.Values) answerOf {
	v.h.t.Helper()
	r, err := http.NewRequestWithContext(v.h.t.Context(), method, v.h.srv.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		v.h.t.Fatal(err)
	}
	for k, x := range v.head {
		r.Header[k] = x
	}
	r.Host = v.host
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := v.hc.Do(r)
	if err != nil {
		v.h.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		v.h.t.Fatal(err)
	}
	return answerOf{resp.StatusCode, resp.Header.Get("Location"), string(b), resp.Header, method + " " + path}
}

func (v *visitor) get(path string) answerOf { v.h.t.Helper(); return v.do("GET", path, nil) }

func (v *visitor) post(path string, pairs ...string) answerOf {
	v.h.t.Helper()
	f := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		f.Add(pairs[i], pairs[i+1])
	}
	return v.do("POST", path, f)
}

// open follows a link as the page of its path does: the token goes in a body.
func (v *visitor) open(link string) answerOf {
	v.h.t.Helper()
	path, token, ok := strings.Cut(strings.TrimPrefix(link, v.h.srv.URL), "#")
	if !ok {
		v.h.t.Fatalf("%s has no token after #", path)
	}
	v.get(path).wants(v.h.t, 200, `data-link`).lacks(v.h.t, token)
	a := v.post(path, "token", token)
	if a.code != 303 {
		return a
	}
	if strings.Contains(a.to, token) {
		v.h.t.Errorf("the token stands in the address %s", a.to)
	}
	return v.get(a.to)
}

// questions puts one to the audit log as its page does.
func (v *visitor) questions(pairs ...string) answerOf {
	v.h.t.Helper()
	a := v.post("/audit", pairs...).wants(v.h.t, 303)
	for i := 1; i < len(pairs); i += 2 {
		if strings.Contains(a.to, url.QueryEscape(pairs[i])) {
			v.h.t.Errorf("%s stands in the address %s", pairs[i], a.to)
		}
	}
	return v.get(a.to)
}

// find sends words as the form of a page does and opens what it leads to.
func (v *visitor) find(page, words string, more ...string) answerOf {
	v.h.t.Helper()
	a := v.post(page, append([]string{"q", words}, more...)...).wants(v.h.t, 303)
	_, tail, _ := strings.Cut(a.to, "?")
	if words != "" && (strings.Contains(tail, words) || strings.Contains(tail, url.QueryEscape(words))) {
		v.h.t.Errorf("the words stand in the address %s", a.to)
	}
	return v.get(a.to)
}

// wants checks the status, where a redirect goes, and what the page says.
// text is what a reader sees of the page, without what stands around it.
func (a answerOf) text() string {
	if _, main, ok := strings.Cut(a.body, "<main"); ok {
		_, main, _ = strings.Cut(main, ">")
		return strings.Join(strings.Fields(tags.ReplaceAllString(main, " ")), " ")
	}
	return a.body
}

func (a answerOf) wants(t *testing.T, code int, parts ...string) answerOf {
	t.Helper()
	if a.code != code {
		t.Fatalf("%s: %d to %q, want %d: %.600s", a.path, a.code, a.to, code, a.text())
	}
	for _, p := range parts {
		if code == 303 && a.to != p {
			t.Errorf("%s goes to %q, want %q", a.path, a.to, p)
		}
		if code != 303 && !strings.Contains(a.body, p) {
			t.Errorf("%s does not say %q", a.path, p)
		}
	}
	return a
}

func (a answerOf) lacks(t *testing.T, parts ...string) answerOf {
	t.Helper()
	for _, p := range parts {
		if strings.Contains(a.body, p) {
			t.Errorf("%s says %q", a.path, p)
		}
	}
	return a
}

// logged counts the audit entries of an operation.
func (h *house) logged(op string) int { return len(h.said(op)) }

// said are the entries of an operation, newest first.
func (h *house) said(op string) []audit.Entry {
	h.t.Helper()
	es, _, err := h.d.Audit.List(audit.Filter{Operation: op}, 0, 1000)
	if err != nil {
		h.t.Fatal(err)
	}
	return es
}

// consent lets everybody of the simulator agree, as on DingTalk's page.
func (h *house) consent() {
	h.t.Helper()
	ctx := h.t.Context()
	var ids []string
	err := h.d.Engine.Connector(record.Contacts).Pull(ctx, &connector.Env{Client: h.client, People: h.d.Engine.People(), Now: time.Now, Log: slog.New(slog.DiscardHandler)}, connector.Source{}, "", func(p connector.Page) error {
		for _, it := range p.Items {
			if id, ok := strings.CutPrefix(it.Rec.ID, "user-"); ok {
				ids = append(ids, id)
			}
		}
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	noFollow := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for i, id := range ids {
		q := url.Values{"redirect_uri": {"http://127.0.0.1/cb"}, "response_type": {"code"}, "scope": {"openid corpid"}, "state": {"s"}, "prompt": {"consent"}, "client_id": {h.sim.ClientID()}}
		form := url.Values{"user": {id}, "decision": {"agree"}}
		for k, v := range q {
			form[k] = v
		}
		resp, err := noFollow.PostForm(h.above+"/oauth2/auth/decide?"+q.Encode(), form)
		if err != nil {
			h.t.Fatal(err)
		}
		resp.Body.Close()
		loc, err := resp.Location()
		if err != nil {
			h.t.Fatal(err)
		}
		tok, err := h.client.Exchange(ctx, loc.Query().Get("authCode"))
		if err != nil {
			h.t.Fatal(err)
		}
		u, _ := h.d.Engine.People().User(id)
		if err := h.d.Settings.AddConsent(ctx, settings.Consent{Person: id, UnionID: u.UnionID}, tok); err != nil {
			h.t.Fatal(err)
		}
		if i == 0 {
			if err := h.d.Settings.Set(ctx, map[string]string{settings.Operator: u.UnionID, settings.CorpID: h.sim.CorpID(), settings.ClientID: h.sim.ClientID(), settings.SetupDone: "2026-11-23T00:00:00Z"}); err != nil {
				h.t.Fatal(err)
			}
		}
	}
}

// backedUp runs a full backup of the simulator's tenant.
func (h *house) backedUp() {
	h.t.Helper()
	h.consent()
	h.runBackup()
}

// runBackup runs a full backup and waits for its end.
func (h *house) runBackup() {
	h.t.Helper()
	_, err := h.d.Engine.Start(h.t.Context(), backup.Full, "test")
	for errors.Is(err, backup.ErrBusy) { // one began by itself, to make up for what was not heard
		if err := h.d.Engine.Wait(h.t.Context()); err != nil {
			h.t.Fatal(err)
		}
		_, err = h.d.Engine.Start(h.t.Context(), backup.Full, "test")
	}
	if err != nil {
		h.t.Fatal(err)
	}
	if err := h.d.Engine.Wait(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
}

// someContainer is a container of a kind with the text of one of its items.
func (h *house) someContainer(k record.Kind) (catalog.ContainerInfo, string) {
	h.t.Helper()
	rq := restore.Request{Subject: policy.Subject{Account: "test", Grants: policy.GrantsOf("owner")}, Purpose: policy.Verification}
	list, err := h.d.Door.Containers(h.t.Context(), rq, k, 0)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, c := range list {
		if c.Private || c.Items < 3 {
			continue
		}
		p, err := h.d.Door.Page(h.t.Context(), rq, catalog.PageQuery{Container: c.CatalogID, Limit: 20})
		if err != nil {
			h.t.Fatal(err)
		}
		for _, it := range p.Items {
			if it.Doc.Body != "" && it.Author != "" {
				return c, it.Doc.Body
			}
		}
	}
	h.t.Fatalf("no container of %s", k)
	return catalog.ContainerInfo{}, ""
}
