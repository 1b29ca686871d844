package appliance

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"farol/internal/archive"
	"farol/internal/audit"
	"farol/internal/auth"
	"farol/internal/i18n"
	"farol/internal/keys"
	"farol/internal/replica"
)

// offsiteSite is an appliance with an account and its node, both running.
type offsiteSite struct {
	a        *Appliance
	cfg      Config
	stop     func()
	node     *replica.Node
	stopNode func()
	nodeDir  string
	addr     string
	code     func() string
	shares   []string
}

func newSite(t testing.TB) *offsiteSite {
	t.Helper()
	s := &offsiteSite{cfg: bench(t), nodeDir: t.TempDir()}
	s.a, s.stop = runs(t, s.cfg)
	t.Cleanup(func() { s.stop() })
	s.code = s.person(t, "ana")
	s.startNode(t)
	if err := s.a.Enrol(t.Context(), s.addr, s.node.NewCode()); err != nil {
		t.Fatal(err)
	}
	s.shares = sharesOf(t, s.a.root)
	return s
}

// person makes an account that may configure, and returns what gives its codes.
func (s *offsiteSite) person(t testing.TB, name string) (code func() string) {
	t.Helper()
	secret, err := auth.NewSecret(name)
	if err != nil {
		t.Fatal(err)
	}
	at := func(when time.Time) string {
		c, err := totp.GenerateCode(secret.Text, when)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if _, err := s.a.accounts.Create(t.Context(), auth.NewAccount{Name: name, Role: "owner", Password: "a lighthouse in Coloane", Secret: secret, Code: at(time.Now())}); err != nil {
		t.Fatal(err)
	}
	return func() string { return at(time.Now().Add(30 * time.Second)) } // the present one was spent at set-up
}

// startNode runs the node of nodeDir.
func (s *offsiteSite) startNode(t testing.TB) {
	t.Helper()
	node, err := replica.OpenNode(s.nodeDir, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); node.Serve(ctx, ln) }()
	s.node, s.addr, s.stopNode = node, ln.Addr().String(), func() { cancel(); <-ended }
	t.Cleanup(s.stopNode)
}

// ship makes the control database and everything else known to the node.
func (s *offsiteSite) ship(t testing.TB) {
	t.Helper()
	if err := s.a.sealControl(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := s.a.caughtUp(ctx); err != nil {
		t.Fatal(err)
	}
}

func (s *offsiteSite) promotion(code string, rehearse bool) Promotion {
	return Promotion{NodeDir: s.nodeDir, Shares: s.shares[:2], Account: "ana", Code: code, Rehearse: rehearse}
}

func saidAs(err error, id string) bool {
	var e *i18n.Error
	return errors.As(err, &e) && e.ID == id
}

// TestTheNodeTakesOverAndTheFormerApplianceStops goes from a rehearsal to a
// take-over and back to an appliance that ships, with what goes wrong between.
func TestTheNodeTakesOverAndTheFormerApplianceStops(t *testing.T) {
	s := newSite(t)
	ctx := t.Context()
	index := func() { // what commitOne leaves out
		t.Helper()
		if err := s.a.engine.Repair(ctx); err != nil {
			t.Fatal(err)
		}
	}
	commitOne(t, s.a, "folded")
	index()
	if _, err := s.a.archive.Fold(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.a.CopyCatalog(ctx); err != nil {
		t.Fatal(err)
	}
	commitOne(t, s.a, "folded after the copy")
	index()
	if _, err := s.a.archive.Fold(ctx); err != nil {
		t.Fatal(err)
	}
	commitOne(t, s.a, "in the journal")
	s.ship(t)

	log := Logger("error")
	other, err := keys.New()
	if err != nil {
		t.Fatal(err)
	}
	wrong := s.promotion("000000", false)
	foreign := s.promotion(s.code(), false)
	foreign.Shares = sharesOf(t, other)[:2]
	nobody := s.promotion(s.code(), false)
	nobody.Account = "bento"
	for id, p := range map[string]Promotion{"promote.code": wrong, "promote.otherkit": foreign} {
		cfg := bench(t)
		if _, err := Promote(ctx, cfg, p, log); !saidAs(err, id) {
			t.Fatalf("%s: %v", id, err)
		}
		if ds, _ := os.ReadDir(cfg.StateDir); len(ds) > 0 {
			t.Errorf("%s left %d files", id, len(ds))
		}
		if _, err := os.Stat(cfg.HostKey); err == nil {
			t.Errorf("%s: the root key was sealed here before anybody had proved himself", id)
		}
	}
	if _, err := Promote(ctx, bench(t), nobody, log); !saidAs(err, "promote.code") {
		t.Fatalf("an account that is not there: %v", err)
	}
	if _, err := Promote(ctx, s.cfg, s.promotion(s.code(), false), log); !saidAs(err, "promote.occupied") {
		t.Fatalf("over an appliance: %v", err)
	}
	r, err := Promote(ctx, bench(t), s.promotion(s.code(), true), log)
	if err != nil || r.Records < 3 || r.Catalog.IsZero() {
		t.Fatalf("rehearsal: %+v %v", r, err)
	}
	if left, _ := filepath.Glob(filepath.Join(s.nodeDir, "rehearsal-*")); len(left) > 0 {
		t.Errorf("a rehearsal left %v", left)
	}
	commitOne(t, s.a, "after everything that decided nothing")
	s.ship(t) // the appliance is undisturbed
	seq, entries := s.a.archive.LastSeq(), s.a.audit.Size()

	fresh := bench(t)
	if r, err = Promote(ctx, fresh, s.promotion(s.code(), false), log); err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", r)
	if r.Commit < seq || r.Epoch <= s.a.archive.Epoch() || r.Linked == 0 {
		t.Fatalf("%+v, the appliance is at commit %d, epoch %d", r, seq, s.a.archive.Epoch())
	}
	commitOne(t, s.a, "in nobody's knowledge") // it has not heard yet
	eventually(t, "the former appliance hears of it", s.a.archive.Frozen)
	_, err = s.a.archive.Commit(ctx, archive.Batch{})
	if !errors.Is(err, archive.ErrSuperseded) {
		t.Errorf("it still writes: %v", err)
	}
	if o := s.a.Offsite(ctx); o.Problem != "offsite.superseded" || !o.Superseded {
		t.Errorf("its console says %+v", o)
	}
	if err := s.a.caughtUp(ctx); !saidAs(err, "offsite.superseded") {
		t.Errorf("who waits for the copy is told: %v", err)
	}
	if err := s.a.Enrol(ctx, s.addr, s.node.NewCode()); !saidAs(err, "offsite.superseded") {
		t.Errorf("it could enrol again: %v", err)
	}
	s.stop()
	again, stopAgain := runs(t, s.cfg)
	if !again.archive.Frozen() {
		t.Error("after a restart it writes again")
	}
	stopAgain()

	b, stopB := runs(t, fresh)
	defer stopB()
	if got := b.archive.LastSeq(); got < seq {
		t.Errorf("the last commit is %d, it was %d", got, seq)
	}
	if len(b.mended) > 0 {
		t.Errorf("it was made anew: %+v", b.mended)
	}
	counts, err := b.catalog.Counts(ctx)
	if err != nil || len(counts) == 0 || counts[0].Items != 4 {
		t.Errorf("the catalog: %+v %v", counts, err)
	}
	if rep, err := b.archive.Check(ctx, true, nil); err != nil || !rep.OK() {
		t.Fatalf("%+v %v", rep, err)
	}
	es, _, err := b.audit.List(audit.Filter{Operation: "replication.failover"}, 0, 5)
	if err != nil || len(es) != 1 || es[0].Actor != "ana" || b.audit.Size() < entries {
		t.Errorf("%+v %v", es, err)
	}
	if o := b.Offsite(ctx); o.Set {
		t.Errorf("it bears the former appliance's identity: %+v", o)
	}
	if err := b.Enrol(ctx, s.addr, s.node.NewCode()); err != nil {
		t.Fatal(err)
	}
	s.a = b
	commitOne(t, b, "the new one's own")
	s.ship(t)
}

// TestATakeOverThatWasCutOffIsBegunAgain: what a kill leaves is cleared, and the
// appliance is kept from its node for ten minutes at most.
func TestATakeOverThatWasCutOffIsBegunAgain(t *testing.T) {
	s := newSite(t)
	commitOne(t, s.a, "one")
	s.ship(t)
	cfg := bench(t)
	if err := makeRoom(cfg); err != nil { // a kill after this
		t.Fatal(err)
	}
	all, err := replica.Standbys(s.nodeDir)
	if err != nil || len(all) != 1 {
		t.Fatalf("%v %v", all, err)
	}
	if err := all[0].Hold(time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := all[0].Lay(cfg.ArchiveDir, filepath.Join(cfg.StateDir, "recovering"), time.Time{}, archive.RepoFile); err != nil {
		t.Fatal(err)
	}
	commitOne(t, s.a, "two")
	if _, err := Promote(t.Context(), cfg, s.promotion(s.code(), false), Logger("error")); !saidAs(err, "promote.busy") {
		t.Fatalf("a second take-over began beside it: %v", err)
	}
	if err := errors.Join(all[0].Release(time.Now()), all[0].Hold(time.Now().Add(-11*time.Minute))); err != nil { // as if it were long ago
		t.Fatal(err)
	}
	eventually(t, "the appliance ships again", func() bool {
		st := s.a.currentSender().Status()
		return st.Connected && st.Lag == 0
	})
	s.ship(t)
	r, err := Promote(t.Context(), cfg, s.promotion(s.code(), false), Logger("error"))
	if err != nil || r.Commit < 2 {
		t.Fatalf("%+v %v", r, err)
	}
	for _, name := range []string{promoting, "recovering", "control.db.taken"} {
		if _, err := os.Stat(filepath.Join(cfg.StateDir, name)); err == nil {
			t.Errorf("%s stays", name)
		}
	}
	if _, err := os.Stat(filepath.Join(cfg.StateDir, "control.db")); err != nil {
		t.Error(err)
	}
	if _, err := Promote(t.Context(), cfg, s.promotion(s.code(), false), Logger("error")); err == nil || !strings.Contains(Words(err), cfg.StateDir) {
		t.Errorf("over an appliance: %v", err)
	}
}
