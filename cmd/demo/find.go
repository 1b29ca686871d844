package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// search asks the real index and wants a hit that contains the word.
func (w *world) search(ctx context.Context) error {
	rows, err := w.expected(ctx, "chat")
	if err != nil || len(rows) == 0 {
		return errors.Join(err, errors.New("the tenant has no chat"))
	}
	words := []string{"報價", "付款", "order", "shipment", "reunião", "ok"}
	if w.o.chats != "" {
		words = []string{"ubuntu", "install", "餐馆", "酒店", "thanks", "地址"}
	}
	found := 0
	var worst time.Duration
	for _, q := range words {
		var r struct {
			Count int
			Took  time.Duration
			Rows  []struct{ Text string }
		}
		if err := w.farol(ctx, &r, "search", q); err != nil {
			return fmt.Errorf("search: %w", err)
		}
		if len(r.Rows) > 0 {
			found++
		}
		worst = max(worst, r.Took)
	}
	say("search", "%d of %d words found, slowest %s", found, len(words), worst.Round(100*time.Microsecond))
	if found == 0 {
		return errors.New("nothing was found")
	}
	return nil
}

// proof takes the proof of one message from the console and verifies it
// offline; a changed byte must not verify.
func (w *world) proof(ctx context.Context, p *person) error {
	var r struct{ Rows []struct{ ID int64 } }
	for _, q := range []string{"order", "ubuntu", "酒店", "報價"} {
		if err := w.farol(ctx, &r, "search", q); err != nil {
			return err
		}
		if len(r.Rows) > 0 {
			break
		}
	}
	if len(r.Rows) == 0 {
		return errors.New("no message to prove")
	}
	if err := w.purpose(ctx, p, "dispute"); err != nil {
		return err
	}
	if err := p.stepUp(ctx); err != nil {
		return err
	}
	pg, err := p.get(ctx, "/record/"+strconv.FormatInt(r.Rows[0].ID, 10)+"/proof.json")
	if err != nil {
		return err
	}
	if pg.code != 200 {
		return fmt.Errorf("the proof page answered %d: %.200s", pg.code, pg.text())
	}
	file := filepath.Join(w.o.dir, "proof.json")
	if err := os.WriteFile(file, []byte(pg.body), 0o600); err != nil {
		return err
	}
	defer os.Remove(file)
	text, err := w.farolText(ctx, "proof", "verify", file)
	if err != nil {
		return err
	}
	var changed map[string]any
	if err := json.Unmarshal([]byte(pg.body), &changed); err != nil {
		return err
	}
	changed["raw"] = []byte(`{"content":"something else"}`)
	bad, err := json.Marshal(changed)
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, bad, 0o600); err != nil {
		return err
	}
	_, err = w.farolText(ctx, "proof", "verify", file)
	var ee *exitError
	if !errors.As(err, &ee) || ee.code != 3 {
		return fmt.Errorf("a changed proof was not refused with code 3: %v", err)
	}
	say("proof offline", "%s; a changed one is refused", oneLine(strings.SplitN(text, "\n", 2)[0]))
	return nil
}
