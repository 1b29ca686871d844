package backup

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"farol/internal/archive"
	"farol/internal/audit"
	"farol/internal/catalog"
	"farol/internal/connector"
	"farol/internal/connector/all"
	"farol/internal/db"
	"farol/internal/dingtalk"
	"farol/internal/dingtalk/simulator"
	"farol/internal/keys"
	"farol/internal/record"
	"farol/internal/settings"
	"farol/internal/watch"
)

// bench is a whole appliance without its face: simulator, client, engine,
// archive, catalog and log, all real.
type bench struct {
	*Engine
	sim    *simulator.Simulator
	alarms *watch.Watch
	srv    *httptest.Server
	client *dingtalk.Client
	dir    string
	root   keys.Root
	signer string
	verify string
	qps    int // of the client
	cancel context.CancelFunc
	ended  chan error
}

func newBench(t testing.TB, opt simulator.Options) *bench {
	t.Helper()
	sim, err := simulator.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{sim: sim, srv: httptest.NewServer(sim), dir: t.TempDir(), qps: 2000}
	t.Cleanup(func() { b.close(t); b.srv.Close(); sim.Close() })
	if b.root, err = keys.New(); err != nil {
		t.Fatal(err)
	}
	if b.signer, b.verify, err = note.GenerateKey(rand.Reader, "farol.test"); err != nil {
		t.Fatal(err)
	}
	b.open(t)
	b.consent(t)
	return b
}

func (b *bench) open(t testing.TB) {
	t.Helper()
	b.assemble(t)
	if err := b.Repair(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.live()
}

// live starts the engine.
func (b *bench) live() {
	rctx, cancel := context.WithCancel(context.Background())
	b.cancel, b.ended = cancel, make(chan error, 1)
	go func() { b.ended <- b.Run(rctx) }()
}

// assemble opens everything and starts nothing.
func (b *bench) assemble(t testing.TB) {
	t.Helper()
	ctx := t.Context()
	control, err := db.Open(ctx, filepath.Join(b.dir, "control.db"), db.Control, nil)
	if err != nil {
		t.Fatal(err)
	}
	box := keys.NewBox(b.root.Derive("control"))
	set := settings.New(control, box)
	signer, _ := note.NewSigner(b.signer)
	verifier, _ := note.NewVerifier(b.verify)
	log, err := audit.Open(filepath.Join(b.dir, "log"), audit.Options{Box: box, Signer: signer, Verify: verifier})
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(b.dir, "archive")
	arch, err := archive.Open(ctx, dir, b.root, archive.Options{})
	if errors.Is(err, archive.ErrMissing) {
		arch, err = archive.Create(ctx, dir, b.root, archive.Options{})
	}
	if err != nil {
		t.Fatal(err)
	}
	cat, err := catalog.Open(ctx, filepath.Join(b.dir, "catalog.db"), catalog.Keys{Words: b.root.Derive("search"), Names: b.root.Derive("names")}, box, nil)
	if err != nil {
		t.Fatal(err)
	}
	b.client = dingtalk.New(dingtalk.Config{Hosts: dingtalk.SameHost(b.srv.URL), ClientID: b.sim.ClientID(), ClientSecret: b.sim.ClientSecret(), People: set, QPS: b.qps, Backoff: 20 * time.Millisecond})
	b.alarms = watch.New(watch.Deps{Control: control, Archive: arch, Audit: log, Catalog: cat, Box: box})
	b.Engine = New(Deps{Watch: b.alarms, Archive: arch, Audit: log, Catalog: cat, Control: control, Settings: set, Connectors: all.Connectors(), Client: func() *dingtalk.Client { return b.client }})
}

func (b *bench) close(t testing.TB) {
	t.Helper()
	if b.cancel == nil {
		return
	}
	b.cancel()
	if err := <-b.ended; !errors.Is(err, context.Canceled) {
		t.Errorf("engine ended: %v", err)
	}
	b.cancel = nil
	b.part(t)
}

// part closes what assemble opened.
func (b *bench) part(t testing.TB) {
	t.Helper()
	for _, c := range []interface{ Close() error }{b.d.Catalog, b.d.Archive, b.d.Audit, b.d.Control} {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

// consent lets every employee agree on the simulator's consent page.
func (b *bench) consent(t testing.TB) {
	t.Helper()
	ctx := t.Context()
	env := &connector.Env{Client: b.client, People: b.people, Now: time.Now}
	var ids []string
	err := b.kinds[record.Contacts].Pull(ctx, env, connector.Source{}, "", func(p connector.Page) error {
		for _, it := range p.Items {
			if id, ok := cutPrefix(it.Rec.ID, "user-"); ok {
				ids = append(ids, id)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	noFollow := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for i, id := range ids {
		tok := b.agree(t, noFollow, id)
		u, _ := b.people.User(id)
		if err := b.d.Settings.AddConsent(ctx, settings.Consent{Person: id, UnionID: u.UnionID}, tok); err != nil {
			t.Fatal(err)
		}
		if i == 0 || id == b.sim.AdminUserID() {
			if err := b.d.Settings.Set(ctx, map[string]string{settings.Operator: u.UnionID, settings.CorpID: b.sim.CorpID()}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func cutPrefix(s, p string) (string, bool) {
	if len(s) > len(p) && s[:len(p)] == p {
		return s[len(p):], true
	}
	return "", false
}

func (b *bench) agree(t testing.TB, hc *http.Client, user string) dingtalk.Tokens {
	t.Helper()
	q := "?redirect_uri=http%3A%2F%2F127.0.0.1%2Fcb&response_type=code&scope=openid+corpid&state=s&prompt=consent&client_id=" + b.sim.ClientID()
	form := map[string][]string{"user": {user}, "decision": {"agree"}, "redirect_uri": {"http://127.0.0.1/cb"}, "response_type": {"code"}, "scope": {"openid corpid"}, "state": {"s"}, "prompt": {"consent"}, "client_id": {b.sim.ClientID()}}
	resp, err := hc.PostForm(b.srv.URL+"/oauth2/auth/decide"+q, form)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	loc, err := resp.Location()
	if err != nil {
		t.Fatalf("consent answered %d", resp.StatusCode)
	}
	tok, err := b.client.Exchange(t.Context(), loc.Query().Get("authCode"))
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func (b *bench) run(t testing.TB, mode Mode) Run {
	t.Helper()
	for {
		_, err := b.Start(t.Context(), mode, "test")
		if errors.Is(err, ErrBusy) { // one began by itself, after a stream was away
			b.idle(t)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		break
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := b.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	runs, err := b.Runs(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	return runs[0]
}

type expected struct {
	Type, ID, Container, SHA256, ContentSHA256 string
	Size                                       int64
}

func (b *bench) truth(t *testing.T, kind string) []expected {
	t.Helper()
	resp, err := http.Get(b.srv.URL + "/_sim/expected?kind=" + kind)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var out []expected
	for sc := bufio.NewScanner(resp.Body); sc.Scan(); {
		var e expected
		if err := json.Unmarshal(sc.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		out = append(out, e)
	}
	return out
}

// compare reads everything that is current and holds it against the truth.
func (b *bench) compare(t *testing.T) {
	t.Helper()
	held := map[string]record.Record{}
	err := b.d.Catalog.Select(t.Context(), everything, 0, time.Time{}, time.Time{}, 5000, func(hits []catalog.Hit) error {
		for _, h := range hits {
			r, err := b.d.Archive.Read(t.Context(), h.Loc)
			if err != nil {
				return err
			}
			key := string(r.Kind) + "/" + r.Container + "/" + r.ID
			if _, twice := held[key]; twice {
				return fmt.Errorf("%s is held twice", r.Kind)
			}
			held[key] = r
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, e := range b.truth(t, "chat") {
		if e.Type != "message" {
			continue
		}
		checked++
		r, ok := held["chat/"+e.Container+"/"+e.ID]
		if !ok || record.HashOf(r.Raw).String() != e.SHA256 {
			t.Fatalf("message %s: held %v, hash differs", e.ID, ok)
		}
	}
	for _, e := range b.truth(t, "files") {
		if e.Type != "file" {
			continue
		}
		checked++
		r, ok := held["files/"+e.Container+"/"+e.ID]
		if !ok {
			t.Fatalf("file %s is not held", e.ID)
		}
		if e.ContentSHA256 != "" && len(r.Blobs) > 0 && r.Blobs[0].SHA256.String() != e.ContentSHA256 {
			t.Fatalf("file %s holds other bytes", e.ID)
		}
	}
	for _, e := range b.truth(t, "approvals") {
		if e.Type != "instance" {
			continue
		}
		checked++
		r, ok := held["approvals/"+e.Container+"/"+e.ID]
		if !ok || record.HashOf(r.Raw).String() != e.SHA256 {
			t.Fatalf("approval %s: held %v", e.ID, ok)
		}
	}
	if checked < 50 {
		t.Fatalf("only %d items were compared", checked)
	}
	if v := b.sim.Violations(); len(v) > 0 {
		t.Errorf("contract broken %d times, first: %s", len(v), v[0])
	}
}

func small() simulator.Options {
	return simulator.Options{Seed: 7, People: 24, Messages: 900}
}

func TestAFullBackupHoldsEverythingListed(t *testing.T) {
	b := newBench(t, small())
	r := b.run(t, Full)
	if r.State != Done && r.State != Partial {
		t.Fatalf("run ended %s: %+v", r.State, r.Kinds)
	}
	for _, k := range r.Kinds {
		t.Logf("%+v", k)
		if k.State != Done {
			t.Errorf("%s ended %s (%s)", k.Kind, k.State, k.Problem)
		}
	}
	gaps, err := b.Gaps(t.Context(), 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range gaps {
		if g.Reason != ReasonOnline {
			t.Errorf("gap: %+v", g)
		}
	}
	b.compare(t)
	again := b.run(t, Full)
	for _, k := range again.Kinds {
		if k.Added+k.Changed > 0 || k.Same+k.Gaps < k.Listed {
			t.Errorf("a second full run changed something: %+v", k)
		}
	}
	if n, err := b.d.Audit.Verify(); err != nil || n == 0 {
		t.Fatal(n, err)
	}
}

func TestARestartContinuesWithoutLossOrDoubles(t *testing.T) {
	b := newBench(t, small())
	for i := range 4 {
		if i == 0 {
			if _, err := b.Start(t.Context(), Full, "test"); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Duration(60+i*90) * time.Millisecond)
		b.close(t)
		b.open(t) // goes on by itself with the interrupted run
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		runs, err := b.Runs(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		if runs[0].State == Done || runs[0].State == Partial {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the interrupted run did not end: %+v", runs[0])
		}
	}
	b.run(t, Incremental)
	b.compare(t)
}

func TestEventsBringChangesWithinSeconds(t *testing.T) {
	b := newBench(t, small())
	b.run(t, Full)
	deadline := time.Now().Add(20 * time.Second)
	for b.open1() == 0 && time.Now().Before(deadline) {
		time.Sleep(50 * time.Millisecond)
	}
	time.Sleep(500 * time.Millisecond)
	before := b.d.Archive.LastSeq()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	b.sim.Traffic(ctx, 10)
	for b.d.Archive.LastSeq() == before && time.Now().Before(deadline) {
		time.Sleep(50 * time.Millisecond)
	}
	time.Sleep(2 * time.Second)
	lag := b.Lag()
	t.Logf("lag %+v after %d commits", lag, b.d.Archive.LastSeq()-before)
	if lag.Events == 0 || lag.P99 > 5*time.Second {
		t.Errorf("lag %+v", lag)
	}
	b.run(t, Full)
	b.compare(t)
}

func TestABurstOverManyConversationsIsHeldOnceWhateverElseReadsThem(t *testing.T) {
	b := newBench(t, small())
	b.run(t, Full)
	deadline := time.Now().Add(20 * time.Second)
	for (b.open1() <= len(b.listeners()) || b.Progress().Running) && time.Now().Before(deadline) {
		time.Sleep(50 * time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- b.sim.Traffic(ctx, 150) }()
	for ctx.Err() == nil {
		b.run(t, Incremental) // reads on where the rush reads by name
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	t.Logf("lag %+v", b.Lag())
	b.run(t, Full)
	b.compare(t)
}

func (b *bench) open1() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.streams
}
