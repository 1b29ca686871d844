package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// restart kills the appliance and compares what the next start holds.
func (w *world) restart(ctx context.Context) error {
	// DingTalk has changed since the deletion: take that in first
	if err := w.backupNow(ctx, nil); err != nil {
		return err
	}
	before, err := w.export(ctx, "before the kill")
	if err != nil {
		return err
	}
	if err := w.app.kill(); err != nil {
		return err
	}
	start := time.Now()
	if err := w.startAppliance(ctx); err != nil {
		return err
	}
	say("restart after kill -9", "ready in %s", time.Since(start).Round(time.Millisecond))
	after, err := w.export(ctx, "after the kill")
	if err != nil {
		return err
	}
	return w.same(before, after)
}

// same wants everything of before in after.
func (w *world) same(before, after *copied) error {
	if before == nil {
		return errors.New("there is nothing to compare with")
	}
	missing, differs := 0, 0
	for k, l := range before.records {
		a, ok := after.records[k]
		if !ok {
			missing++
		} else if a.raw != l.raw && !a.Deleted {
			differs++
		}
	}
	say("compared with before", "%d records, missing %d, different %d", len(before.records), missing, differs)
	if missing+differs > 0 {
		return fmt.Errorf("missing %d, different %d", missing, differs)
	}
	return nil
}

// recover erases the appliance's disk and rebuilds it from the node and two
// shares of the kit.
func (w *world) recover(ctx context.Context, p *person, before *copied) error {
	var off map[string]any
	if err := w.farol(ctx, &off, "offsite", "wait"); err != nil {
		return err
	}
	if err := w.app.stop(); err != nil {
		return err
	}
	dir := filepath.Join(w.o.dir, "appliance")
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(dir, "host"), 0o700); err != nil {
		return err
	}
	if err := w.writeConfig(); err != nil {
		return err
	}
	if err := w.refusedFormer(ctx, p); err != nil {
		return err
	}
	shares, err := w.sharesFile(p.Shares[1], p.Shares[2])
	if err != nil {
		return err
	}
	defer os.Remove(shares)
	code, err := w.nodeCode(ctx)
	if err != nil {
		return err
	}
	start := time.Now()
	if _, err := w.farolText(ctx, "recover", "--config", w.config(), "--node", w.nodeAddr(), "--code", code, "--shares", shares); err != nil {
		return err
	}
	if err := w.startAppliance(ctx); err != nil {
		return err
	}
	say("recovered from the node", "in %s with 2 of 3 shares", time.Since(start).Round(time.Millisecond))
	after, err := w.export(ctx, "after the recovery")
	if err != nil {
		return err
	}
	if err := p.browser(); err != nil {
		return err
	}
	if err := p.login(ctx); err != nil {
		return fmt.Errorf("log in with the old password and code: %w", err)
	}
	return w.same(before, after)
}
