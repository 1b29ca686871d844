package backup

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"farol/internal/dingtalk/simulator"
)

// BenchmarkEventsCommitted plays 50 actions a second, as people do them, with
// DingTalk's own limit of 20 calls a second for each API, and tells how long
// it took from an event's birth at DingTalk to its durable commit. Events of
// one conversation that wait together are read and counted together, with the
// age of the oldest.
// FAROL_BENCH_SECONDS says for how long (60).
func BenchmarkEventsCommitted(b *testing.B) {
	seconds := 60
	if n, err := strconv.Atoi(os.Getenv("FAROL_BENCH_SECONDS")); err == nil && n > 0 {
		seconds = n
	}
	t := newBench(b, simulator.Options{People: 186, Messages: 4000})
	t.run(b, Full)
	t.close(b)
	t.qps = 0 // the product's own pace
	resp, err := http.Post(t.srv.URL+"/_sim/quota", "application/json", strings.NewReader(`{"qps":20}`))
	if err != nil || resp.StatusCode != http.StatusOK {
		b.Fatalf("set the limit: %v", err)
	}
	resp.Body.Close()
	t.open(b)
	const perSecond = 50
	b.ResetTimer()
	for t.Progress().Running || t.open1() <= len(t.listeners()) || t.open1() < 2 { // the members' own streams, after the listing that finds them
		time.Sleep(100 * time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(b.Context(), time.Duration(seconds)*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- t.sim.Traffic(ctx, perSecond) }()
	var worst Lag
	began := time.Now()
	tick := time.NewTicker(10 * time.Second) // the meter keeps the last thousand
	defer tick.Stop()
	calls := map[string]int{}
	look := func() {
		l := t.Lag()
		fmt.Fprintf(os.Stderr, "  %4.0f s: p50 %d ms, p99 %d ms; calls%s\n", time.Since(began).Seconds(), l.P50.Milliseconds(), l.P99.Milliseconds(), t.callsSince(b, calls))
		if l.P99 > worst.P99 {
			worst = l
		}
	}
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
			look()
		}
	}
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	time.Sleep(6 * time.Second)
	look()
	l := t.Lag()
	if l.Events < int64(seconds) {
		b.Fatalf("only %d commits in %d s", l.Events, seconds)
	}
	b.ReportMetric(float64(l.Events)/float64(seconds), "readings/s")
	b.ReportMetric(float64(l.P50.Milliseconds()), "ms-p50")
	b.ReportMetric(float64(worst.P99.Milliseconds()), "ms-p99-worst-20s")
	b.ReportMetric(0, "ns/op")
	if n := len(t.sim.Violations()); n > 0 {
		b.Errorf("%d violations of DingTalk's contract", n)
	}
}

// callsSince names the APIs that were called since the last look, and how often.
func (b *bench) callsSince(t testing.TB, before map[string]int) string {
	resp, err := http.Get(b.srv.URL + "/_sim/calls")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var got struct{ Calls map[string]int }
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
		t.Fatal(err)
	}
	var sb strings.Builder
	for _, api := range slices.Sorted(maps.Keys(got.Calls)) {
		if n := got.Calls[api] - before[api]; n > 0 {
			fmt.Fprintf(&sb, " %s %d", api, n)
		}
	}
	maps.Copy(before, got.Calls)
	return sb.String()
}
