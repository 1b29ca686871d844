package replica

import (
	"errors"
	"os"
	"testing"
	"time"
)

// TestAFenceWaitsAsLongAsSomebodyWorksAndNoLonger steps through a take-over's
// decisions: a hold is renewed, lapses, and is never revived or undone.
func TestAFenceWaitsAsLongAsSomebodyWorksAndNoLonger(t *testing.T) {
	s := Standby{dir: t.TempDir()}
	start := time.Now()
	admits := func(epoch uint32, at time.Duration, want error) {
		t.Helper()
		f, err := readFence(s.dir)
		if err != nil {
			t.Fatal(err)
		}
		if got := f.admits(epoch, start.Add(at)); !errors.Is(got, want) {
			t.Fatalf("epoch %d after %v: %v, want %v", epoch, at, got, want)
		}
	}
	do := func(err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Fatalf("%v, want %v", err, want)
		}
	}
	admits(1, 0, nil)
	do(s.Hold(start), nil)
	do(s.Hold(start.Add(time.Minute)), ErrTakingOver)
	admits(1, 9*time.Minute, ErrTakingOver)
	do(s.renew(start.Add(9*time.Minute)), nil)
	admits(1, 18*time.Minute, ErrTakingOver) // somebody works still
	admits(1, 20*time.Minute, nil)           // nobody does
	do(s.renew(start.Add(20*time.Minute)), nil)
	admits(1, 20*time.Minute, nil) // a hold that lapsed is not revived
	do(s.Raise(2, start.Add(20*time.Minute)), ErrLapsed)
	do(s.Hold(start.Add(21*time.Minute)), nil)
	do(s.Release(start.Add(22*time.Minute)), nil)
	admits(1, 22*time.Minute, nil)
	do(s.Hold(start.Add(23*time.Minute)), nil)
	do(s.Raise(2, start.Add(24*time.Minute)), nil)
	do(s.renew(start.Add(25*time.Minute)), nil)
	admits(1, 26*time.Minute, ErrSuperseded)
	admits(2, 26*time.Minute, nil)
	do(s.Hold(start.Add(27*time.Minute)), nil)
	admits(2, 28*time.Minute, ErrTakingOver)
	do(s.Release(start.Add(29*time.Minute)), nil)
	admits(1, 30*time.Minute, ErrSuperseded) // what was decided stays
	if err := os.WriteFile(s.dir+"/"+fenceName, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readFence(s.dir); err == nil {
		t.Fatal("a fence that cannot be read lets everybody in")
	}
}
