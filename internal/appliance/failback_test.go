package appliance

import (
	"bytes"
	"maps"
	"testing"
	"time"

	"farol/internal/audit"
)

// takeOver makes the node's machine an appliance and runs it.
func (s *offsiteSite) takeOver(t *testing.T, p Promotion) (*Appliance, Config, func()) {
	t.Helper()
	cfg := bench(t)
	if _, err := Promote(t.Context(), cfg, p, Logger("error")); err != nil {
		t.Fatal(err)
	}
	b, stop := runs(t, cfg)
	t.Cleanup(stop)
	return b, cfg, stop
}

// TestATakeOverAsOfAMomentLeavesOutWhatCameAfter: the node's history up to the
// moment before an attack becomes the appliance, with its files and without what
// the attacker had shipped, and the same node goes on with it.
func TestATakeOverAsOfAMomentLeavesOutWhatCameAfter(t *testing.T) {
	s := newSite(t)
	ctx := t.Context()
	plan := bytes.Repeat([]byte("the plan of the house. "), 20_000)
	keepOne(t, s.a, "plan", "as it was", plan)
	if _, err := s.a.archive.Fold(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.a.CopyCatalog(ctx); err != nil {
		t.Fatal(err)
	}
	keepOne(t, s.a, "late", "in the journal by then", nil)
	s.ship(t)
	good := held(t, s.a)
	moment := time.Now()
	time.Sleep(1100 * time.Millisecond) // what grows all the time is noted once a second

	keepOne(t, s.a, "plan", "encrypted by the attacker", bytes.Repeat([]byte{7, 1, 9}, 100_000))
	keepOne(t, s.a, "note", "pay or lose it", nil)
	if _, err := s.a.archive.Fold(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.a.CopyCatalog(ctx); err != nil {
		t.Fatal(err)
	}
	s.ship(t)

	p := s.promotion(s.code(), true)
	p.Before = moment
	if r, err := Promote(ctx, bench(t), p, Logger("error")); err != nil || r.Records != 2 {
		t.Fatalf("rehearsed as of the moment: %+v %v", r, err)
	}
	p = s.promotion(s.code(), false)
	p.Before = moment
	b, _, _ := s.takeOver(t, p)
	if got := held(t, b); !maps.Equal(got, good) {
		t.Errorf("as of the moment there is %v, there was %v", got, good)
	}
	if rep, err := b.archive.Check(ctx, true, nil); err != nil || !rep.OK() {
		t.Errorf("%+v %v", rep, err)
	}
	commitOne(t, s.a, "in nobody's knowledge") // so that it asks the node at once
	eventually(t, "the former appliance hears of it", s.a.archive.Frozen)

	if err := b.Enrol(ctx, s.addr, s.node.NewCode()); err != nil {
		t.Fatal(err)
	}
	s.a = b
	keepOne(t, b, "after", "and life goes on", nil)
	s.ship(t)
	cfg := bench(t)
	if err := Recover(ctx, cfg, Recovery{Address: s.addr, Code: s.node.NewCode(), Shares: s.shares[1:]}, Logger("error"), nil); err != nil {
		t.Fatal(err)
	}
	c, stop := runs(t, cfg)
	defer stop()
	if got, want := held(t, c), held(t, b); !maps.Equal(got, want) {
		t.Errorf("from the node comes %v, the one that took over has %v", got, want)
	}
}

// TestTheOfficeTakesBackWhatTheOtherSideTookOver goes there and back: the node's
// machine takes over, ships to a node in the office, and the office takes over
// from that. What each captured meanwhile is in the end in one archive.
func TestTheOfficeTakesBackWhatTheOtherSideTookOver(t *testing.T) {
	s := newSite(t)
	ctx := t.Context()
	rui := s.person(t, "rui") // who takes back: a code works once
	keepOne(t, s.a, "first", "kept in the office", bytes.Repeat([]byte("a drawing "), 30_000))
	if _, err := s.a.archive.Fold(ctx); err != nil {
		t.Fatal(err)
	}
	s.ship(t)
	b, _, stopB := s.takeOver(t, s.promotion(s.code(), false))
	commitOne(t, s.a, "in nobody's knowledge") // so that it asks the node at once
	eventually(t, "the office hears of it", s.a.archive.Frozen)
	keepOne(t, b, "second", "kept while the office was away", bytes.Repeat([]byte("another one "), 30_000))

	office := &offsiteSite{nodeDir: t.TempDir()}
	office.startNode(t)
	if err := b.Enrol(ctx, office.addr, office.node.NewCode()); err != nil {
		t.Fatal(err)
	}
	s.a = b
	keepOne(t, b, "third", "in the journal", nil)
	s.ship(t)
	want := held(t, b)

	back := *s
	back.nodeDir = office.nodeDir
	p := back.promotion(rui(), false)
	p.Account = "rui"
	c, _, _ := back.takeOver(t, p)
	commitOne(t, b, "in nobody's knowledge, too")
	eventually(t, "the one that had taken over hears of it", b.archive.Frozen)
	stopB()
	if got := held(t, c); !maps.Equal(got, want) {
		t.Errorf("back in the office there is %v, there was %v", got, want)
	}
	if c.archive.Epoch() <= b.archive.Epoch() {
		t.Errorf("epoch %d after %d", c.archive.Epoch(), b.archive.Epoch())
	}
	// the node of before has everything up to the first take-over, and goes on
	if err := c.Enrol(ctx, s.addr, s.node.NewCode()); err != nil {
		t.Fatal(err)
	}
	s.a = c
	keepOne(t, c, "fourth", "as before it all", nil)
	s.ship(t)
	cfg := bench(t)
	if err := Recover(ctx, cfg, Recovery{Address: s.addr, Code: s.node.NewCode(), Shares: s.shares[1:]}, Logger("error"), nil); err != nil {
		t.Fatal(err)
	}
	d, stop := runs(t, cfg)
	defer stop()
	if got, want := held(t, d), held(t, c); !maps.Equal(got, want) {
		t.Errorf("from the node comes %v, the office has %v", got, want)
	}
}

// TestWhatTheFormerStillShippedDuringARecoveryDoesNotReturn: an appliance is
// recovered elsewhere while the one before still works and ships. The node then
// holds two histories; who recovers again gets the one that goes on, and the other
// can still be had as of the moment before.
func TestWhatTheFormerStillShippedDuringARecoveryDoesNotReturn(t *testing.T) {
	s := newSite(t)
	ctx := t.Context()
	keepOne(t, s.a, "one", "before it all", nil)
	if _, err := s.a.archive.Fold(ctx); err != nil {
		t.Fatal(err)
	}
	keepOne(t, s.a, "two", "in the journal", nil)
	s.ship(t)
	recovered := func(before time.Time) Config {
		t.Helper()
		cfg := bench(t)
		if err := Recover(ctx, cfg, Recovery{Address: s.addr, Code: s.node.NewCode(), Shares: s.shares[1:], Before: before}, Logger("error"), nil); err != nil {
			t.Fatal(err)
		}
		return cfg
	}
	cfg := recovered(time.Time{})
	keepOne(t, s.a, "three", "the former's, in the same file", nil)
	if _, err := s.a.archive.Fold(ctx); err != nil {
		t.Fatal(err)
	}
	keepOne(t, s.a, "four", "the former's, in the next file", bytes.Repeat([]byte{3}, 100_000))
	s.ship(t)
	former := held(t, s.a)
	moment := time.Now()
	time.Sleep(1100 * time.Millisecond)

	b, stop := runs(t, cfg)
	defer stop()
	if err := b.Enrol(ctx, s.addr, s.node.NewCode()); err != nil {
		t.Fatal(err)
	}
	s.a = b
	keepOne(t, b, "five", "the recovered one's", nil)
	s.ship(t)
	es, _, err := b.audit.List(audit.Filter{Operation: "replication.failover"}, 0, 5)
	if err != nil || len(es) != 1 || es[0].Detail["files"] == "" {
		t.Errorf("what the node holds of another history is no entry: %+v %v", es, err)
	}
	for name, x := range map[string]struct {
		before time.Time
		want   map[string]string
	}{"as it is": {time.Time{}, held(t, b)}, "as of the moment before": {moment, former}} {
		c, stopC := runs(t, recovered(x.before))
		if got := held(t, c); !maps.Equal(got, x.want) {
			t.Errorf("%s: from the node comes %v, want %v", name, got, x.want)
		}
		if c.archive.Epoch() <= b.archive.Epoch() {
			t.Errorf("%s: epoch %d, the one that goes on has %d: their journal files bear the same names", name, c.archive.Epoch(), b.archive.Epoch())
		}
		stopC()
	}
}
