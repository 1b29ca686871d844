package backup

import (
	"errors"
	"testing"
	"time"
)

// midway starts a full backup and waits until it has committed something.
func midway(t *testing.T, b *bench) {
	t.Helper()
	if _, err := b.Start(t.Context(), Full, "test"); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); b.d.Archive.LastSeq() < 3; time.Sleep(time.Millisecond) {
		if !b.Progress().Running || time.Now().After(end) {
			t.Fatal("the run ended before it was met midway: this test shows nothing")
		}
	}
}

func TestACancelledRunEndsSoonAndTheNextGoesOnFromWhatItHeld(t *testing.T) {
	b := newBench(t, small())
	midway(t, b)
	if err := b.Cancel(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := b.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("cancelling took %s", took)
	}
	runs, err := b.Runs(t.Context(), 1)
	if err != nil || runs[0].State != Cancelled {
		t.Fatalf("the run is %+v, %v", runs, err)
	}
	if err := b.Cancel(); !errors.Is(err, ErrIdle) {
		t.Errorf("cancelling nothing: %v", err)
	}
	held := b.d.Archive.LastSeq()
	b.run(t, Full)
	if b.d.Archive.LastSeq() <= held {
		t.Error("the next run committed nothing")
	}
	b.compare(t)
}

// TestAStartThatIsAskedForWhileTheEngineComesUpIsNotTakenForOneThatWasCutOff: it
// waits, and the engine goes on.
func TestAStartThatIsAskedForWhileTheEngineComesUpIsNotTakenForOneThatWasCutOff(t *testing.T) {
	b := newBench(t, small())
	b.close(t)
	b.assemble(t)
	if err := b.Repair(t.Context()); err != nil {
		t.Fatal(err)
	}
	started := make(chan error, 1)
	go func() { _, err := b.Start(t.Context(), Full, "test"); started <- err }()
	time.Sleep(50 * time.Millisecond) // enough for it to get as far as it can
	b.live()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	if err := b.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if runs, err := b.Runs(t.Context(), 10); err != nil || len(runs) != 1 || runs[0].State != Done && runs[0].State != Partial {
		t.Errorf("the history says %+v, %v", runs, err)
	}
	b.compare(t)
}

func TestASecondRunIsRefusedWhileOneIsUnderWay(t *testing.T) {
	b := newBench(t, small())
	midway(t, b)
	for _, mode := range []Mode{Full, Incremental} {
		if _, err := b.Start(t.Context(), mode, "test"); !errors.Is(err, ErrBusy) {
			t.Errorf("%s beside a full one: %v", mode, err)
		}
	}
	if err := b.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	runs, err := b.Runs(t.Context(), 10)
	if err != nil || len(runs) != 1 {
		t.Errorf("%d runs are in the history, %v", len(runs), err)
	}
	b.compare(t)
}
