package archive

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/kopia/kopia/repo/manifest"
	"github.com/kopia/kopia/snapshot"
)

// threePoints is an archive with three points in time.
func threePoints(t *testing.T, opt Options) (*Archive, string, *shelf) {
	t.Helper()
	a, dir := newArchive(t, opt)
	s := newShelf()
	a.SetRelocate(s.relocate)
	for i := range 3 {
		s.add(commit(t, a, messages("c", i*50, 50)...))
		fold(t, a)
	}
	return a, dir, s
}

func pointsOf(t *testing.T, a *Archive) []Point {
	t.Helper()
	ps, err := a.Points(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return ps
}

func TestAHeldPointStaysHeldAfterAReopenAndIsPinnedForStockKopia(t *testing.T) {
	a, _, s := threePoints(t, Options{})
	was := pointsOf(t, a)
	for i, reason := range map[int]string{0: "案件 7/2026", 2: "盤點"} {
		p, err := a.Hold(t.Context(), was[i].ID, reason)
		if err != nil || p.Held() != reason || p.Fold != was[i].Fold || p.Seq != was[i].Seq {
			t.Fatalf("%+v %v", p, err)
		}
	}
	if _, err := a.Hold(t.Context(), was[0].ID, "again"); !errors.Is(err, ErrNotFound) {
		t.Errorf("the old id still works: %v", err)
	}
	if _, err := a.Hold(t.Context(), pointsOf(t, a)[1].ID, ""); err == nil {
		t.Error("a point was held without a reason")
	}
	for range 2 {
		ps := pointsOf(t, a)
		if len(ps) != 3 || ps[0].Held() != "案件 7/2026" || ps[1].Held() != "" || ps[2].Held() != "盤點" || !ps[0].Time.Equal(was[0].Time) || ps[0].Records != was[0].Records {
			t.Fatalf("%+v", ps)
		}
		if st := a.Status(); st.LastFold.ID != ps[2].ID || st.LastFold.Held() == "" {
			t.Errorf("the latest point is known as %s, it is %s", st.LastFold.ID, ps[2].ID)
		}
		m, err := snapshot.LoadSnapshot(a.ctx(t.Context()), a.w, manifest.ID(ps[0].ID))
		if err != nil || len(m.Pins) != 1 {
			t.Errorf("pins %v, %v", m.Pins, err)
		}
		if rep, err := a.Check(t.Context(), true, nil); err != nil || !rep.OK() {
			t.Fatalf("%+v %v", rep, err)
		}
		s.check(t, a)
		a = reopen(t, a, Options{})
		a.SetRelocate(s.relocate)
	}
	p, err := a.Unhold(t.Context(), pointsOf(t, a)[2].ID)
	if err != nil || p.Held() != "" {
		t.Fatalf("%+v %v", p, err)
	}
	s.add(commit(t, a, messages("c", 900, 10)...))
	fold(t, a)
	if err := a.Forget(t.Context(), pointsOf(t, a)[2].ID); err != nil {
		t.Fatal(err)
	}
	a = reopen(t, a, Options{})
	if ps := pointsOf(t, a); len(ps) != 3 || ps[0].Held() == "" || ps[1].Held() != "" || ps[2].Held() != "" {
		t.Errorf("%+v", ps)
	}
	s.check(t, a)
}

// TestACrashWhileAPointIsHeldLosesNothing breaks off at each write, by an
// error and by a copy of the directory as a crash would leave it.
func TestACrashWhileAPointIsHeldLosesNothing(t *testing.T) {
	for _, what := range []string{"hold", "unhold"} {
		for at, steps := range map[int][]string{0: {"blob.put", "blob.sync", "blob.done", what + ".saved"}, 2: {what + ".saved"}} {
			for _, step := range steps {
				for nth := 1; nth <= 6; nth++ {
					reached := true
					t.Run(fmt.Sprint(what, at, step, nth), func(t *testing.T) { reached = crashWhile(t, what, at, step, nth) })
					if !reached || t.Failed() {
						if nth == 1 {
							t.Errorf("%s: %s was never reached", what, step)
						}
						break
					}
				}
			}
		}
	}
}

func crashWhile(t *testing.T, what string, at int, step string, nth int) bool {
	armed, seen, dir, crashed := false, 0, "", ""
	a, d, s := threePoints(t, Options{Fault: func(op string) error {
		if !armed || op != step {
			return nil
		}
		if seen++; seen != nth {
			return nil
		}
		crashed = filepath.Join(t.TempDir(), "a")
		copyTree(t, dir, crashed)
		return errFault
	}})
	dir = d
	id := pointsOf(t, a)[at].ID
	act := func(id string) (Point, error) { return a.Hold(t.Context(), id, "reason") }
	if what == "unhold" {
		p, err := a.Hold(t.Context(), id, "reason")
		if err != nil {
			t.Fatal(err)
		}
		id = p.ID
		act = func(id string) (Point, error) { return a.Unhold(t.Context(), id) }
	}
	armed = true
	_, err := act(id)
	armed = false
	if crashed == "" {
		if err != nil {
			t.Fatal(err)
		}
		return false
	}
	whole := func(a *Archive, half bool) {
		t.Helper()
		ps := pointsOf(t, a)
		if len(ps) != 3 || ps[0].Fold != 1 || ps[1].Fold != 2 || ps[2].Fold != 3 {
			t.Fatalf("the points are %+v", ps)
		}
		if half && step == "unhold.saved" && ps[at].Held() == "" {
			t.Error("half an Unhold let the point go")
		}
		if rep, err := a.Check(context.Background(), true, nil); err != nil || !rep.OK() {
			t.Fatalf("%+v %v", rep, err)
		}
	}
	whole(a, true)
	b := open(t, crashed, Options{})
	whole(b, true)
	if points, twins, err := b.manifests(t.Context()); err != nil || len(points) != 3 || len(twins) > 0 {
		t.Errorf("%d points and %d twins after a reopen, %v", len(points), len(twins), err)
	}
	if err != nil { // the process lives on: the second try does it
		if _, err := act(pointsOf(t, a)[at].ID); err != nil {
			t.Fatalf("the second try: %v", err)
		}
	}
	a = reopen(t, a, Options{})
	whole(a, false)
	if held := pointsOf(t, a)[at].Held() != ""; held != (what == "hold") {
		t.Errorf("held is %v", held)
	}
	s.check(t, a)
	return true
}
