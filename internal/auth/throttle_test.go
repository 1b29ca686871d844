package auth

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"
)

const year = 365 * 24 * time.Hour

// triesIn is how many tries the real rule lets through in d, when each is made
// the moment it may be.
func triesIn(r rule, d time.Duration) int {
	start := time.Unix(1.8e9, 0)
	now, t := start, tries{last: time.Unix(1.8e9, 0)}
	for made := 0; ; made++ {
		now = now.Add(r.left(t, now))
		if now.Sub(start) > d {
			return made
		}
		t = tries{n: r.count(t, now) + 1, last: now}
	}
}

// TestAMillionCodesTakeMoreThanAYear adds up every way in at once: any number
// of sources, a browser that is known, and step-up inside a stolen session. The
// attacker knows the password and sees each answer at once.
func TestAMillionCodesTakeMoreThanAYear(t *testing.T) {
	one, many := triesIn(alone, year), triesIn(overall, year)
	if one >= 1e6/20 {
		t.Errorf("one source makes %d tries a year", one)
	}
	if many >= 1e6 {
		t.Errorf("many sources make %d tries a year", many)
	}
	// its owner signs in and steps up twenty times a day, which takes counts back
	owner := 365 * 20 * alone.free
	if sum := many + one + one + 2*owner; sum >= 1e6 {
		t.Errorf("all ways together make %d tries a year", sum)
	}
}

// TestManySourcesShareOneCount drives the table itself: a new address for each
// try gets no further than the account's own pace.
func TestManySourcesShareOneCount(t *testing.T) {
	f := newFixture(t)
	let, slowed := 0, 0
	for i := range 300 {
		lanes, err := f.lanesOf(t.Context(), "maria", Try{Source: fmt.Sprint("10.0.", i/250, ".", i%250)})
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.charge(t.Context(), lanes...)
		if slow := (*Slow)(nil); errors.As(err, &slow) {
			slowed++
		} else if err != nil {
			t.Fatal(err)
		} else {
			let++
		}
		f.now = f.now.Add(2 * time.Second)
	}
	if most := overall.free + int(600*time.Second/overall.drain) + 1; let > most || slowed == 0 {
		t.Errorf("%d tries in ten minutes, at most %d; %d slowed", let, most, slowed)
	}
}

func TestGuessesFromElsewhereDoNotHoldTheOwnerUp(t *testing.T) {
	f := newFixture(t)
	o, err := f.Login(t.Context(), Try{Name: "maria", Password: goodPassword, Code: f.code(), Source: "10.0.0.1"})
	if err != nil || o.Device == "" {
		t.Fatal(o.Device, err)
	}
	for i := range 80 {
		f.login("maria", "x", "000000", fmt.Sprint("10.0.1.", i))
	}
	for range 8 { // also from the owner's own address
		f.login("maria", "x", "000000", "10.0.0.1")
	}
	f.now = f.now.Add(31 * time.Second)
	var slow *Slow
	if _, _, err := f.login("maria", goodPassword, f.code(), "10.0.0.9"); !errors.As(err, &slow) {
		t.Fatalf("the account is not slowed down: %v", err)
	}
	if _, err := f.Login(t.Context(), Try{Name: "maria", Password: goodPassword, Code: f.code(), Source: "10.0.0.1", Device: o.Device}); err != nil {
		t.Errorf("the owner in his browser: %v", err)
	}
	for range alone.free {
		f.Login(t.Context(), Try{Name: "maria", Password: "x", Source: "10.0.0.1", Device: o.Device})
	}
	if _, err := f.Login(t.Context(), Try{Name: "maria", Password: goodPassword, Code: f.code(), Source: "10.0.0.7", Device: o.Device}); !errors.As(err, &slow) {
		t.Errorf("a stolen browser is not slowed down: %v", err)
	}
}

func TestTheWaitsAreToldOnce(t *testing.T) {
	f := newFixture(t)
	told := 0
	for i := range 12 {
		if _, _, err := f.login("maria", "x", "000000", "10.0.0.1"); errors.Is(err, ErrBegun) {
			if told++; i+1 != alone.free {
				t.Errorf("told at try %d", i+1)
			}
		}
		f.now = f.now.Add(time.Hour)
	}
	if told != 1 {
		t.Errorf("told %d times", told)
	}
}

func TestUnlockForgetsTheTries(t *testing.T) {
	f := newFixture(t)
	for range alone.free {
		f.login("maria", "x", "000000", "10.0.0.1")
	}
	broken := errors.New("the log is full")
	if _, err := f.Unlock(t.Context(), "maria", func() error { return broken }); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	var slow *Slow
	if _, _, err := f.login("maria", goodPassword, f.code(), "10.0.0.1"); !errors.As(err, &slow) {
		t.Fatalf("without an entry the tries were forgotten: %v", err)
	}
	if _, err := f.Unlock(t.Context(), "nobody", func() error { return nil }); !errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
	if n, err := f.Unlock(t.Context(), "Maria", func() error { return nil }); err != nil || n != 2 {
		t.Fatal(n, err)
	}
	if _, _, err := f.login("maria", goodPassword, f.code(), "10.0.0.1"); err != nil {
		t.Error(err)
	}
}

// TestTriesAtOnceDoNotSlipPast: all ask before the first answer is there.
func TestTriesAtOnceDoNotSlipPast(t *testing.T) {
	f := newFixture(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	let := 0
	for range 40 {
		wg.Go(func() {
			lanes, err := f.lanesOf(context.Background(), "maria", Try{Source: "10.0.0.1"})
			if err == nil {
				_, err = f.charge(context.Background(), lanes...)
			}
			if err == nil {
				mu.Lock()
				let++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if let != alone.free {
		t.Errorf("%d of 40 tries went through, want %d", let, alone.free)
	}
}

// TestAFloodIsRefusedInsteadOfPilingUp: the one argon2 that runs does not end.
func TestAFloodIsRefusedInsteadOfPilingUp(t *testing.T) {
	f := newFixture(t)
	leave, err := f.queue.enter(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	one := func(source string) {
		_, err := f.Login(ctx, Try{Name: "maria", Password: "x", Source: source})
		ended <- err
	}
	var slow *Slow
	for range hashesSource + 1 {
		go one("10.0.0.1")
	}
	if err := <-ended; !errors.As(err, &slow) || slow.Wait != hashWait {
		t.Fatalf("one source fills the queue: %v", err)
	}
	for i := range hashesWaiting {
		go one(fmt.Sprint("10.0.1.", i))
	}
	for range hashesSource + 1 { // the one that runs waits too
		if err := <-ended; !errors.As(err, &slow) {
			t.Fatalf("the queue is not full: %v", err)
		}
	}
	cancel()
	for range hashesWaiting - 1 {
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	leave()
	f.now = f.now.Add(time.Hour)
	if _, _, err := f.login("maria", goodPassword, f.code(), "10.0.0.5"); err != nil {
		t.Errorf("after the flood: %v", err)
	}
}

// TestAnUnknownNameCostsTheSame compares the work, not the time: one argon2
// with the same parameters in each case.
func TestAnUnknownNameCostsTheSame(t *testing.T) {
	f := newFixture(t)
	for _, name := range []string{"maria", "nobody", ""} {
		before := f.queue.compared
		if _, _, err := f.login(name, "some wrong password", "000000", "10.0.0."+name); !errors.Is(err, ErrLogin) {
			t.Errorf("%q: %v", name, err)
		}
		if n := f.queue.compared - before; n != 1 {
			t.Errorf("%q: %d passwords compared", name, n)
		}
	}
}
