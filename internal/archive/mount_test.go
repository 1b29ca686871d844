package archive

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestCreateThatFailsAnywhereCanBeDoneAgain fails each step of making an
// archive and makes it again in the same folder.
func TestCreateThatFailsAnywhereCanBeDoneAgain(t *testing.T) {
	ctx := context.Background()
	all := &faults{}
	a, err := Create(ctx, filepath.Join(t.TempDir(), "a"), testRoot, Options{Fault: all.step})
	if err != nil {
		t.Fatal(err)
	}
	must(t, a.Close())
	if len(all.ops) < 20 {
		t.Fatalf("only %d steps: %v", len(all.ops), all.ops)
	}
	for n := 1; n <= len(all.ops); n += 31 {
		dir := filepath.Join(t.TempDir(), "a")
		op, nth := all.ops[n-1], 0
		for _, x := range all.ops[:n] {
			if x == op {
				nth++
			}
		}
		f := &faults{op: op, nth: nth, cause: unix.ENOSPC, stay: true}
		a, err := Create(ctx, dir, testRoot, Options{Fault: f.step})
		if err == nil { // only parity failed, which a check makes up for
			must(t, a.Close())
			continue
		}
		if !errors.Is(err, ErrFull) {
			t.Errorf("step %d, %s: %v", n, f.hit, err)
		}
		if _, err := Open(ctx, dir, testRoot, Options{}); err == nil {
			t.Errorf("step %d, %s: half an archive opens", n, f.hit)
		}
		a, err = Create(ctx, dir, testRoot, Options{})
		if errors.Is(err, ErrForeign) {
			a, err = Open(ctx, dir, testRoot, Options{}) // it had come to its end
		}
		if err != nil {
			t.Fatalf("step %d, %s: made again: %v", n, f.hit, err)
		}
		commit(t, a, messages("c", 0, 3)...)
		if rep, err := a.Check(ctx, true, nil); err != nil || !rep.OK() {
			t.Errorf("step %d, %s: %+v, %v", n, f.hit, rep.Damage, err)
		}
		must(t, a.Close())
		if _, err := Create(ctx, dir, testRoot, Options{}); !errors.Is(err, ErrForeign) {
			t.Errorf("step %d: made over an archive: %v", n, err)
		}
	}
}

// TestAVanishedMountIsMissedAndWorkGoesOnWhenItIsBack takes the folder away
// under a running archive and leaves an empty one, as an unmounted disk does.
func TestAVanishedMountIsMissedAndWorkGoesOnWhenItIsBack(t *testing.T) {
	ctx := context.Background()
	a, dir := newArchive(t, Options{})
	s := newShelf()
	a.SetRelocate(s.relocate)
	s.add(commit(t, a, messages("c", 0, 30)...))
	fold(t, a)
	for round := range 2 {
		s.add(commit(t, a, messages("c", 30+1000*round, 30)...)) // a fold has work
		must(t, os.Rename(dir, dir+".away"))
		must(t, os.Mkdir(dir, 0o700))
		for what, do := range map[string]func() error{
			"commit":     func() error { _, err := a.Commit(ctx, Batch{Records: messages("x", 0, 1)}); return err },
			"fold":       func() error { _, err := a.Fold(ctx); return err },
			"put sealed": func() error { return a.PutSealed(ctx, "x", nil) },
			"open":       func() error { _, err := Open(ctx, dir, testRoot, Options{}); return err },
			"large blob": func() error {
				_, err := a.PutBlob(ctx, "f", -1, &limit{&pattern{}, 3 << 20})
				return err
			},
			"maintain": func() error { return a.Maintain(ctx, false) },
		} {
			if err := do(); !errors.Is(err, ErrMissing) {
				t.Errorf("%s without the disk: %v", what, err)
			}
		}
		if des, err := os.ReadDir(dir); err != nil || len(des) > 0 {
			t.Errorf("something was made where the disk should be: %v %v", des, err)
		}
		must(t, os.Remove(dir))
		must(t, os.Rename(dir+".away", dir))
		s.add(commit(t, a, messages("c", 60+1000*round, 30)...))
		if round == 0 {
			fold(t, a)
		}
		s.check(t, a)
		rep, err := a.Check(ctx, true, nil)
		if err != nil || !rep.OK() {
			t.Errorf("when it is back: %+v, %v", rep.Damage, err)
		}
	}
	a = reopen(t, a, Options{})
	a.SetRelocate(s.relocate)
	s.check(t, a)
}
