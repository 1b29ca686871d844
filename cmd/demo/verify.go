package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// backupNow runs a backup to its end, after the one that may be running: the
// appliance catches up by itself when its event streams open.
func (w *world) backupNow(ctx context.Context, out any, flags ...string) error {
	for end := time.Now().Add(15 * time.Minute); ; {
		err := w.farol(ctx, out, append([]string{"backup", "now", "--wait"}, flags...)...)
		if err == nil || !strings.Contains(err.Error(), "running already") || time.Now().After(end) {
			return err
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// verify reads everything again, then compares with a fresh listing.
func (w *world) verify(ctx context.Context) error {
	start := time.Now()
	text, err := w.farolText(ctx, "verify", "--config", w.config())
	if err != nil {
		return err
	}
	sums, _, _ := strings.Cut(text, "\n")
	say("integrity", "%s, %s in all", sums, time.Since(start).Round(time.Millisecond))
	start = time.Now()
	var r struct {
		State string
		Kinds []struct {
			Kind                               string
			Listed, Same, Added, Changed, Gaps int64
		}
	}
	if err := w.backupNow(ctx, &r, "--full"); err != nil {
		return err
	}
	var listed, same, added, changed, gaps int64
	for _, k := range r.Kinds {
		listed, same, added, changed, gaps = listed+k.Listed, same+k.Same, added+k.Added, changed+k.Changed, gaps+k.Gaps
	}
	say("fresh listing", "%d listed, %d equal, %d new, %d changed, %d named gaps in %s", listed, same, added, changed, gaps, time.Since(start).Round(time.Millisecond))
	if added+changed > 0 {
		return fmt.Errorf("a fresh listing found %d new and %d changed in a tenant at rest", added, changed)
	}
	return nil
}

func (w *world) logVerify(ctx context.Context) error {
	text, err := w.farolText(ctx, "log", "verify", "--config", w.config())
	if err != nil {
		return err
	}
	say("audit log", "%s", oneLine(text))
	return nil
}

func (w *world) fold(ctx context.Context) (*copied, error) {
	start := time.Now()
	var pt struct{ ID string }
	if err := w.farol(ctx, &pt, "fold"); err != nil {
		return nil, err
	}
	say("fold", "%s", time.Since(start).Round(time.Millisecond))
	// what the restore put into DingTalk is new there
	if err := w.backupNow(ctx, nil); err != nil {
		return nil, err
	}
	return w.compare(ctx, "after the fold")
}
