package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// The memory the whole appliance may take, in MiB. Beyond by a quarter the
// smoke fails.
const (
	firstBackupLimit = 400
	continuousLimit  = 256
)

// forget makes the appliance's peak begin anew. Where the system does not
// permit it the peak goes on from before, and is told so.
func (w *world) forget() (anew bool) {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", w.app.cmd.Process.Pid), []byte("5"), 0o200) == nil
}

// peak is the most memory the appliance had at one time, in MiB, since it was
// started or its peak forgotten.
func (w *world) peak() (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.app.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("read the appliance's memory: %w", err)
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("read the appliance's memory: %w", err)
			}
			return float64(kib) / 1024, nil
		}
	}
	return 0, errors.New("the system does not tell the appliance's peak of memory")
}

// sayPeak prints the peak beside its limit.
func (w *world) sayPeak(name string, limit float64, more string) error {
	mib, err := w.peak()
	if err != nil {
		return err
	}
	beyond := ""
	if mib > limit {
		beyond = ", BEYOND"
	}
	say(name+" peak", "%.0f MiB (limit %.0f%s)%s", mib, limit, beyond, more)
	if mib > limit*1.25 {
		return fmt.Errorf("%.0f MiB, more than %.0f by over a quarter", mib, limit)
	}
	return nil
}

// continuous lets people talk for a while and prints what hearing them takes.
func (w *world) continuous(ctx context.Context) error {
	const messages, each = 300, 50 * time.Millisecond
	before, err := w.status(ctx)
	if err != nil {
		return err
	}
	more := ""
	if !w.forget() {
		more = ", with what went before"
	}
	for i := range messages {
		if err := w.ask(ctx, "POST", "/_sim/send", map[string]any{"text": fmt.Sprint("訊息 ", i, " while the memory is measured")}, nil); err != nil {
			return err
		}
		select {
		case <-time.After(each):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	var s *status
	for end := time.Now().Add(time.Minute); ; {
		if s, err = w.status(ctx); err != nil {
			return err
		}
		if s.held("chat")-before.held("chat") >= messages || time.Now().After(end) {
			break
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	say("continuous lane", "%d of %d messages held, p50 %s, p99 %s", s.held("chat")-before.held("chat"), messages, s.Lag.P50.Round(time.Millisecond), s.Lag.P99.Round(time.Millisecond))
	return w.sayPeak("continuous lane", continuousLimit, more)
}
