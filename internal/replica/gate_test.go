package replica

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"farol/internal/record"
)

var lapsed = record.Transfer{Country: "HK", Basis: "authorisation", Filing: "F-7", Filed: "2020-01-01", Until: "2020-12-31", Reviewer: "lei"}

// TestNothingGoesToANodeAbroadWithoutItsPapers closes the way in the middle of
// shipping and opens it again.
func TestNothingGoesToANodeAbroadWithoutItsPapers(t *testing.T) {
	p := newPair(t)
	p.sender.retry = 20 * time.Millisecond
	p.run()
	p.say("before", 1000)
	p.until("what was said before", 20*time.Second, caughtUp)
	p.sender.SetTransfer(lapsed)
	p.until("the way closed", 20*time.Second, func(st Status) bool { return errors.Is(st.Err, ErrGate) })
	held := p.held()
	p.say("while it is closed", 1000)
	if _, err := p.log.Append(t.Context(), someEvent); err != nil {
		t.Fatal(err)
	}
	p.until("the lag to be told", 20*time.Second, func(st Status) bool { return st.Lag > 200*time.Millisecond && errors.Is(st.Err, ErrGate) })
	if now := p.held(); now != held {
		t.Fatalf("%d bytes left for a node without papers", now-held)
	}
	papers := lapsed
	papers.Until = "2099-12-31"
	p.sender.SetTransfer(papers)
	p.until("the rest", 20*time.Second, func(st Status) bool { return caughtUp(st) && st.Checkpoint == p.log.Size() })
	p.sameBytes()
}

// held is how many bytes of the archive and the log the node has.
func (p *pair) held() (n int64) {
	p.t.Helper()
	for _, sub := range []string{"journal", "blobs", "log"} {
		ds, err := os.ReadDir(filepath.Join(p.dir, "vaults", p.a.ID(), sub))
		if err != nil {
			p.t.Fatal(err)
		}
		for _, d := range ds {
			info, err := d.Info()
			if err != nil {
				p.t.Fatal(err)
			}
			n += info.Size()
		}
	}
	return n
}

func TestNothingGoesToAPlaceAbroadWithoutItsPapers(t *testing.T) {
	p := newPair(t)
	dir := t.TempDir()
	cfg, err := AddPlace(t.Context(), PlaceConfig{Kind: "dir", Path: dir, Transfer: record.Transfer{Country: "MO"}}, p.a.ID())
	if err != nil {
		t.Fatal(err)
	}
	place := NewPlace(cfg, nil, nil)
	t.Cleanup(place.Close)
	p.say("before", 1000)
	if err := place.Sync(t.Context(), p.a, p.log); err != nil {
		t.Fatal(err)
	}
	files := func() (n int) {
		if err := filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error { n++; return err }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := files()
	place.SetTransfer(lapsed)
	p.say("while it is closed", 1000)
	if err := place.Sync(t.Context(), p.a, p.log); !errors.Is(err, ErrGate) {
		t.Fatalf("copied without papers: %v", err)
	}
	if _, err := place.Verify(t.Context(), p.a, nil); !errors.Is(err, ErrGate) {
		t.Fatalf("verified, which would write, without papers: %v", err)
	}
	if n := files(); n != before {
		t.Fatalf("%d files, had %d", n, before)
	}
	if st := place.Status(); st.State != "waiting" {
		t.Errorf("the place is %s", st.State)
	}
	place.SetTransfer(record.Transfer{Country: "MO"})
	if err := place.Sync(t.Context(), p.a, p.log); err != nil || files() == before {
		t.Fatalf("after the papers: %v", err)
	}
}

// TestWhatTheNodeLostIsNotSentAgainWithoutItsPapers: mending is sending, too.
func TestWhatTheNodeLostIsNotSentAgainWithoutItsPapers(t *testing.T) {
	p := newPair(t)
	p.sender.retry = 20 * time.Millisecond
	commitSome(t, p.a, 0, 20)
	if _, err := p.a.Fold(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.run()
	p.until("everything is there", 20*time.Second, caughtUp)
	v := p.node.all()[0]
	pack := aBlob(t, v, "p~")
	p.sender.SetTransfer(lapsed)
	p.until("the way is closed", 20*time.Second, func(st Status) bool { return errors.Is(st.Err, ErrGate) })
	if err := os.Remove(pack); err != nil {
		t.Fatal(err)
	}
	if err := p.node.verify(t.Context(), v, 0); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time it asks, the first session is over
		from := time.Now()
		for heard := from; !heard.After(from); time.Sleep(5 * time.Millisecond) {
			v.mu.Lock()
			heard = v.heard
			v.mu.Unlock()
			if time.Since(from) > 20*time.Second {
				t.Fatal("the node hears nothing")
			}
		}
	}
	if _, err := os.Stat(pack); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("it went to the node: %v", err)
	}
	p.sender.SetTransfer(record.Transfer{Country: "MO"})
	for end := time.Now().Add(60 * time.Second); len(v.state().Damaged) > 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("with them it is not mended: %+v", p.sender.Status())
		}
	}
}
