package dingtalk

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestUrgentCallsGoFirstAndOthersAreNotStarved: a listing has a thousand calls
// waiting when events come; each urgent call waits a few turns, and the
// listing keeps its quarter while urgent calls never end.
func TestUrgentCallsGoFirstAndOthersAreNotStarved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		p := newPace(20)
		var mu sync.Mutex
		calm, urgent := 0, 0
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() {
				if p.wait(ctx) == nil {
					mu.Lock()
					calm++
					mu.Unlock()
				}
			})
		}
		time.Sleep(time.Second)
		began := time.Now()
		if err := p.wait(Urgent(ctx)); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(began); d > 150*time.Millisecond {
			t.Errorf("an urgent call behind a listing waited %v", d)
		}
		mu.Lock()
		calm = 0
		mu.Unlock()
		for range 1000 {
			wg.Go(func() {
				if p.wait(Urgent(ctx)) == nil {
					mu.Lock()
					urgent++
					mu.Unlock()
				}
			})
		}
		time.Sleep(20 * time.Second)
		mu.Lock()
		if n := calm + urgent; n < 395 || n > 405 {
			t.Errorf("%d calls in 20 s at 20 a second", n)
		}
		if calm < 95 || calm > 105 {
			t.Errorf("the listing got %d of %d turns, not a quarter", calm, calm+urgent)
		}
		mu.Unlock()
		cancel()
		wg.Wait()
		if err := p.wait(t.Context()); err != nil { // those who gave up keep no turn
			t.Fatal(err)
		}
		if p.held || len(p.waiting.calm)+len(p.waiting.urgent) > 0 {
			t.Error("a turn was lost with those who gave up")
		}
	})
}
