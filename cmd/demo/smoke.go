package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// smoke checks the main job and prints each figure on a line. It goes on after
// a failed check and returns all that failed.
func (w *world) smoke(ctx context.Context, p *person, began time.Time) error {
	say("ready and first backup", "%s", time.Since(began).Round(100*time.Millisecond))
	var failed []error
	check := func(name string, fn func() error) {
		start := time.Now()
		if err := fn(); err != nil {
			say(name, "FAILED after %s: %v", time.Since(start).Round(time.Millisecond), err)
			failed = append(failed, fmt.Errorf("%s: %w", name, err))
		}
	}
	check("first full backup peak", func() error { return w.sayPeak("first full backup", firstBackupLimit, "") })
	var before *copied
	check("captured, compared with DingTalk", func() (err error) { before, err = w.compare(ctx, "captured"); return err })
	if before != nil {
		w.samples = before.texts
	}
	check("integrity", func() error { return w.verify(ctx) })
	check("continuous lane peak", func() error { return w.continuous(ctx) })
	if w.o.kills > 0 {
		check("kill -9 during live traffic", func() error { return w.killLive(ctx) })
	}
	check("search", func() error { return w.search(ctx) })
	check("proof", func() error { return w.proof(ctx, p) })
	check("delete and restore", func() error { return w.disaster(ctx, p) })
	check("kill -9 and restart", func() error { return w.restart(ctx) })
	check("audit log", func() error { return w.logVerify(ctx) })
	check("fold", func() error {
		after, err := w.fold(ctx)
		if after != nil {
			before = after // DingTalk has changed since: this is what a recovery must give
		}
		return err
	})
	check("root key changed", func() error { return w.rotate(ctx, p) })
	check("stock kopia", func() error { return w.stock(ctx, p) })
	check("lost disk", func() error { return w.recover(ctx, p, before) })
	check("no plaintext at rest", func() error { return w.grep(ctx, p) })
	check("contract with DingTalk", func() error {
		var v struct{ Violations []json.RawMessage }
		if err := w.ask(ctx, "GET", "/_sim/violations", nil, &v); err != nil {
			return err
		}
		if n := len(v.Violations); n > 0 {
			return fmt.Errorf("broken %d times, first: %.200s", n, v.Violations[0])
		}
		say("contract with DingTalk", "kept, 0 violations")
		return nil
	})
	if err := errors.Join(failed...); err != nil {
		return fmt.Errorf("%d of the checks failed", len(failed))
	}
	say("smoke", "passed in %s", time.Since(began).Round(time.Second))
	return nil
}
