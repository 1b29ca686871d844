package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"time"
)

// killSoon kills the appliance after a random moment and starts it again.
func (w *world) killSoon(ctx context.Context, n int, during string) error {
	wait := time.Duration(200+rand.IntN(2500)) * time.Millisecond
	select {
	case <-time.After(wait):
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := w.app.kill(); err != nil {
		return err
	}
	start := time.Now()
	if err := w.startAppliance(ctx); err != nil {
		return fmt.Errorf("start after kill %d: %w", n, err)
	}
	fmt.Fprintf(os.Stderr, "kill -9 no. %d during %s, ready again in %s\n", n, during, time.Since(start).Round(time.Millisecond))
	return nil
}

// killLive kills the appliance while people talk, then waits until everything
// said is held.
func (w *world) killLive(ctx context.Context) error {
	tctx, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	sent := 0
	wg.Go(func() {
		for tctx.Err() == nil {
			if w.ask(tctx, "POST", "/_sim/send", map[string]any{"text": fmt.Sprint("訊息 ", sent, " sent while the appliance is killed")}, nil) == nil {
				sent++
			}
			time.Sleep(100 * time.Millisecond)
		}
	})
	var err error
	for i := range w.o.kills {
		if err = w.killSoon(ctx, i+1, "live traffic"); err != nil {
			break
		}
	}
	stop()
	wg.Wait()
	if err != nil {
		return err
	}
	if err := w.backupNow(ctx, nil); err != nil {
		return err
	}
	say("kill -9 during live traffic", "%d kills, %d messages sent meanwhile", w.o.kills, sent)
	_, err = w.compare(ctx, "after the kills")
	return err
}
