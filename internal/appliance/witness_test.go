package appliance

import (
	"archive/zip"
	"context"
	"errors"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"farol/internal/audit"
	"farol/internal/db"
	"farol/internal/record"
	"farol/internal/replica"
	"farol/internal/settings"
	"farol/internal/watch"
)

// witnessNode is a real node of somebody else's.
type witnessNode struct {
	*replica.Node
	dir, addr string
}

func newWitnessNode(t *testing.T) *witnessNode {
	t.Helper()
	w := &witnessNode{dir: t.TempDir()}
	var err error
	if w.Node, err = replica.OpenNode(w.dir, nil, nil); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); w.Serve(ctx, ln) }()
	t.Cleanup(func() { cancel(); <-ended })
	w.addr = ln.Addr().String()
	return w
}

// add has an appliance witnessed by it, and waits until it has signed all there is.
func (w *witnessNode) add(t *testing.T, a *Appliance) {
	t.Helper()
	if err := a.AddWitness(t.Context(), "ana", w.addr, w.NewCode(), record.Transfer{Country: "MO"}); err != nil {
		t.Fatal(err)
	}
	signsAll(t, a)
}

func signsAll(t *testing.T, a *Appliance) {
	t.Helper()
	eventually(t, "the witness has signed all there is", func() bool {
		x := a.Witness(t.Context())
		return x.Connected && x.Problem == "" && x.CheckpointSize == a.audit.Size()
	})
}

// logAlarms are the open alarms of a cause, by whose word they are.
func logAlarms(t *testing.T, a *Appliance, cause watch.Cause) map[audit.Witness]int {
	t.Helper()
	as, err := a.watch.Alarms(t.Context(), 100)
	if err != nil {
		t.Fatal(err)
	}
	out := map[audit.Witness]int{}
	for _, x := range as {
		if x.Cause == cause && x.Closed.IsZero() {
			out[x.Witness]++
		}
	}
	return out
}

// TestASecondWitnessIsAddedRemovedAndAddedAgain beside the node of the copy, and what
// is handed to a regulator bears both signatures.
func TestASecondWitnessIsAddedRemovedAndAddedAgain(t *testing.T) {
	t.Parallel()
	s, w := newSite(t), newWitnessNode(t)
	ctx := t.Context()
	if err := s.a.AddWitness(ctx, "ana", s.addr, s.node.NewCode(), record.Transfer{}); !saidAs(err, "witness.same") {
		t.Fatalf("the node of the copy as its own second witness: %v", err)
	}
	if err := s.a.AddWitness(ctx, "ana", w.addr, "AAAA-BBBB-CCCC", record.Transfer{}); !saidAs(err, "offsite.code") {
		t.Fatalf("with a wrong code: %v", err)
	}
	if err := s.a.RemoveWitness(ctx, "ana"); !saidAs(err, "witness.none") {
		t.Fatalf("removed without one: %v", err)
	}
	w.add(t, s.a)
	commitOne(t, s.a, "a record")
	s.ship(t)
	signsAll(t, s.a)
	if err := s.a.AddWitness(ctx, "ana", w.addr, w.NewCode(), record.Transfer{}); !saidAs(err, "witness.already") {
		t.Fatalf("a third: %v", err)
	}
	if err := s.a.Enrol(ctx, w.addr, w.NewCode()); !saidAs(err, "witness.same") {
		t.Fatalf("the second witness as the node of the copy: %v", err)
	}
	for _, sub := range []string{"journal", "blobs"} {
		ds, err := os.ReadDir(filepath.Join(w.dir, "vaults", s.a.archive.ID(), sub))
		if len(ds) > 0 || err != nil {
			t.Errorf("the witness holds %d files of %s, %v", len(ds), sub, err)
		}
	}
	bothSigned(t, s.a)

	if err := s.a.RemoveWitness(ctx, "bento"); err != nil {
		t.Fatal(err)
	}
	if x := s.a.Witness(ctx); x.Set {
		t.Errorf("after its removal: %+v", x)
	}
	if id, err := s.a.settings.Get(ctx, settings.WitnessID); err != nil || id != "" {
		t.Errorf("its identity stays: %d bytes, %v", len(id), err)
	}
	if tree, err := audit.CosignedTree(s.a.logDir(), audit.SecondWitness, s.a.logVerify); err != nil || tree.N == 0 {
		t.Errorf("what it had signed is gone: %+v, %v", tree, err)
	}
	s.ship(t) // the copy goes on
	w.add(t, s.a)
	for op, who := range map[string][]string{"node.enrol": {"ana", "ana"}, "node.remove": {"bento"}} {
		es, _, err := s.a.audit.List(audit.Filter{Operation: op}, 0, 10)
		var got []string
		for _, e := range es {
			if e.Object == "witness" {
				got = append(got, e.Actor)
			}
		}
		if err != nil || strings.Join(got, " ") != strings.Join(who, " ") {
			t.Errorf("%s of the witness by %q, want %q, %v", op, got, who, err)
		}
	}
	s.stop() // a start goes on with both
	s.a, s.stop = runs(t, s.cfg)
	signsAll(t, s.a)
	s.ship(t)
	for cause := range map[watch.Cause]bool{watch.LogTamper: true, watch.Refused: true} {
		if as := logAlarms(t, s.a, cause); len(as) != 0 {
			t.Errorf("alarms of honest work: %s %v", cause, as)
		}
	}
}

// bothSigned builds the program that lies in a regulator's package, and has it ask for
// the keys of both nodes.
func bothSigned(t *testing.T, a *Appliance) {
	t.Helper()
	out, dir := filepath.Join(t.TempDir(), "audit.zip"), t.TempDir()
	r := httptest.NewRequestWithContext(t.Context(), "POST", "/audit-package", strings.NewReader(`{"from":"2020-01-01","to":"2099-12-31","out":"`+out+`"}`))
	if _, err := a.ctlAuditPackage(r); err != nil {
		t.Fatal(err)
	}
	z, err := zip.OpenReader(out)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	if err := os.CopyFS(dir, z); err != nil {
		t.Fatal(err)
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(t.TempDir(), "farol-check"), ".")
	build.Dir = filepath.Join(dir, "verifier")
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the package's program: %v\n%s", err, said)
	}
	keys := map[string]string{}
	for setting, name := range map[string]string{settings.OffsiteID: "node", settings.WitnessID: "witness"} {
		var p replica.Peer
		if ok, err := a.settings.GetJSON(t.Context(), setting, &p); !ok || err != nil {
			t.Fatal(ok, err)
		}
		keys[name] = p.NodeKey
	}
	check := func(witnesses ...string) (string, error) {
		args := []string{"-key", a.logKey}
		for _, k := range witnesses {
			args = append(args, "-witness", k)
		}
		said, err := exec.CommandContext(t.Context(), build.Args[3], append(args, "package", dir)...).CombinedOutput()
		return string(said), err
	}
	if said, err := check(keys["node"], keys["witness"]); err != nil {
		t.Errorf("the package with both keys: %s", said)
	}
	if said, err := check(keys["node"], a.logKey[:len(a.logKey)-2]+"=="); err == nil {
		t.Errorf("a key that is none was accepted: %s", said)
	}
	if err := os.WriteFile(filepath.Join(dir, "checkpoint.cosigned.2"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if said, err := check(keys["node"]); err == nil {
		t.Errorf("what the second witness signed was changed, and accepted: %s", said)
	}
}

// TestEitherWitnesssWordAloneShowsALogThatWasSetBack: with what was kept in the control
// database and of the other gone, a start compares with what one had signed, and the
// alarm names it.
func TestEitherWitnesssWordAloneShowsALogThatWasSetBack(t *testing.T) {
	t.Parallel()
	for _, by := range audit.Witnesses {
		s, w := newSite(t), newWitnessNode(t)
		commitOne(t, s.a, "a record")
		older := filepath.Join(t.TempDir(), "older")
		s.stop()
		log := filepath.Join(s.cfg.StateDir, "log")
		if err := os.CopyFS(older, os.DirFS(log)); err != nil {
			t.Fatal(err)
		}
		s.a, s.stop = runs(t, s.cfg)
		w.add(t, s.a)
		s.ship(t)
		signsAll(t, s.a)
		s.stop()
		word, err := os.ReadFile(filepath.Join(log, by.File()))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(os.RemoveAll(log), os.CopyFS(log, os.DirFS(older))); err != nil {
			t.Fatal(err)
		}
		for _, x := range audit.Witnesses {
			if err := os.Remove(filepath.Join(log, x.File())); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(log, by.File()), word, 0o600); err != nil {
			t.Fatal(err)
		}
		d, err := db.Open(t.Context(), filepath.Join(s.cfg.StateDir, "control.db"), db.Control, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = d.Update(t.Context(), func(tx *db.Tx) error { _, err := tx.ExecContext(t.Context(), "DELETE FROM log_head"); return err })
		if err = errors.Join(err, d.Close()); err != nil {
			t.Fatal(err)
		}
		s.a, s.stop = runs(t, s.cfg)
		e, err := s.a.audit.Entry(0)
		if err != nil || e.Operation != "audit.tamper" || e.Detail["witness"] != string(by) {
			t.Errorf("%s: the new log begins with %+v, %v", by, e, err)
		}
		if as := logAlarms(t, s.a, watch.LogTamper); as[by] != 1 {
			t.Errorf("%s: alarms %v", by, as)
		}
		s.stop()
	}
}

// TestAWitnessThatRemembersMoreRaisesTheAlarm: everything on the appliance was set back,
// and there is no other copy.
func TestAWitnessThatRemembersMoreRaisesTheAlarm(t *testing.T) {
	t.Parallel()
	cfg, _, _ := lived(t)
	w := newWitnessNode(t)
	a, stop := runs(t, cfg)
	w.add(t, a)
	stop()
	older := filepath.Join(t.TempDir(), "older")
	if err := os.CopyFS(older, os.DirFS(cfg.StateDir)); err != nil {
		t.Fatal(err)
	}
	a, stop = runs(t, cfg)
	for range 5 {
		if _, err := a.audit.Append(t.Context(), audit.Event{Actor: "chan", Operation: "view", Object: "record/1", Outcome: "ok"}); err != nil {
			t.Fatal(err)
		}
	}
	signsAll(t, a)
	stop()
	if err := errors.Join(os.RemoveAll(cfg.StateDir), os.CopyFS(cfg.StateDir, os.DirFS(older))); err != nil {
		t.Fatal(err)
	}
	a, stop = runs(t, cfg)
	eventually(t, "the alarm", func() bool { return logAlarms(t, a, watch.LogTamper)[audit.SecondWitness] == 1 })
	if as := logAlarms(t, a, watch.LogTamper); len(as) != 1 {
		t.Errorf("alarms of others: %v", as)
	}
	eventually(t, "it is said", func() bool { return a.Witness(t.Context()).Problem == "offsite.rolledback" })
	if err := a.checkLog(t.Context(), false); err != nil {
		t.Errorf("the hourly look: %v", err)
	}
	if as := logAlarms(t, a, watch.LogTamper); as[audit.SecondWitness] != 1 || len(as) != 1 {
		t.Errorf("after the hourly look: %v", as)
	}
	stop()
}

// TestAWitnessThatTookAnotherEndsNothing: somebody shows it another certificate for the
// same archive. That is told; the word of somebody outside the house ends no backup.
func TestAWitnessThatTookAnotherEndsNothing(t *testing.T) {
	t.Parallel()
	cfg, _, _ := lived(t)
	w := newWitnessNode(t)
	a, stop := runs(t, cfg)
	defer stop()
	w.add(t, a)
	if _, _, err := replica.Enrol(t.Context(), w.addr, w.NewCode(), replica.Enrolment{Archive: a.archive.ID(), Epoch: a.archive.Epoch() + 1, LogKey: a.logKey}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.audit.Append(t.Context(), audit.Event{Actor: "chan", Operation: "view", Object: "record/1", Outcome: "ok"}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is told", func() bool { return a.Witness(t.Context()).Problem == "witness.superseded" })
	eventually(t, "the alarm of it", func() bool { return logAlarms(t, a, watch.Refused)[audit.SecondWitness] == 1 })
	if a.archive.Frozen() {
		t.Error("the word of somebody outside the house ended the backup")
	}
}

// TestARecoveredApplianceIsEnrolledWithItsWitnessAnew: the lost machine may be found,
// and two must not speak to the witness as one.
func TestARecoveredApplianceIsEnrolledWithItsWitnessAnew(t *testing.T) {
	t.Parallel()
	s, w := newSite(t), newWitnessNode(t)
	commitOne(t, s.a, "a record")
	w.add(t, s.a)
	s.ship(t)
	signsAll(t, s.a)
	s.stop()
	fresh := bench(t)
	if err := Recover(t.Context(), fresh, Recovery{Address: s.addr, Code: s.node.NewCode(), Shares: s.shares[:2]}, Logger("error"), nil); err != nil {
		t.Fatal(err)
	}
	b, stop := runs(t, fresh)
	if x := b.Witness(t.Context()); x.Set {
		t.Fatalf("a recovered appliance goes on as the one before: %+v", x)
	}
	w.add(t, b)
	stop()
	taken := bench(t)
	p := s.promotion(s.code(), false)
	if _, err := Promote(t.Context(), taken, p, Logger("error")); err != nil {
		t.Fatal(err)
	}
	c, stop := runs(t, taken)
	if x := c.Witness(t.Context()); x.Set {
		t.Errorf("an appliance that took over goes on as the one before: %+v", x)
	}
	stop()
}

// TestNothingGoesToAWitnessAbroadBeforeItsPapers are given on its page.
func TestNothingGoesToAWitnessAbroadBeforeItsPapers(t *testing.T) {
	t.Parallel()
	cfg, _, _ := lived(t)
	a, stop := runs(t, cfg)
	defer stop()
	w := newWitnessNode(t)
	ctx := t.Context()
	if err := a.AddWitness(ctx, "ana", w.addr, w.NewCode(), record.Transfer{Country: "HK"}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the gate is told", func() bool { return a.Witness(ctx).Problem == "offsite.gate" })
	held := func() int64 {
		list, err := replica.NodeStatus(w.dir, 0, time.Now())
		if err != nil || len(list) != 1 {
			t.Fatal(len(list), err)
		}
		return list[0].Witnessed
	}
	if n := held(); n != 0 {
		t.Fatalf("%d entries left for a witness without papers", n)
	}
	if err := a.TransferWitness(ctx, "ana", record.Transfer{Country: "HK", Basis: "authorisation", Filing: "F-7", Filed: "2020-01-01", Until: "2099-12-31", Reviewer: "lei"}); err != nil {
		t.Fatal(err)
	}
	signsAll(t, a)
	if n := held(); n == 0 {
		t.Error("nothing left with them")
	}
}
