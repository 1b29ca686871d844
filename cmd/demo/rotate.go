package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// rotate changes the root key in the console: whoever opens the archive after
// this must bring the new shares.
func (w *world) rotate(ctx context.Context, p *person) error {
	if err := p.browser(); err != nil {
		return err
	}
	if err := p.login(ctx); err != nil {
		return err
	}
	start := time.Now()
	former := p.Shares
	p.Shares = nil
	if err := w.makeKit(ctx, p, "/kit/rotate"); err != nil {
		p.Shares = former
		return err
	}
	p.Former = former
	if err := p.save(); err != nil {
		return err
	}
	say("root key changed", "new shares shown and typed back in %s", time.Since(start).Round(time.Millisecond))
	return nil
}

// sharesFile writes shares as a person would type them.
func (w *world) sharesFile(shares ...string) (path string, err error) {
	path = filepath.Join(w.o.dir, "shares.txt")
	return path, os.WriteFile(path, []byte(strings.Join(shares, "\n")+"\n"), 0o600)
}

// refusedFormer wants the former shares to recover nothing, and to leave
// nothing behind.
func (w *world) refusedFormer(ctx context.Context, p *person) error {
	if len(p.Former) == 0 {
		return nil
	}
	shares, err := w.sharesFile(p.Former[:2]...)
	if err != nil {
		return err
	}
	defer os.Remove(shares)
	code, err := w.nodeCode(ctx)
	if err != nil {
		return err
	}
	if _, err := w.farolText(ctx, "recover", "--config", w.config(), "--node", w.nodeAddr(), "--code", code, "--shares", shares); err == nil {
		return errors.New("the former shares recover from the node")
	}
	say("former shares", "open nothing of the node")
	return nil
}
