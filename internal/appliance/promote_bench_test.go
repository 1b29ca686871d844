package appliance

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"farol/internal/archive"
	"farol/internal/catalog"
	"farol/internal/policy"
	"farol/internal/record"
)

// BenchmarkTakeOver tells how long it takes from the decision to a console that
// can be searched: FAROL_BENCH_RECORDS messages (100,000) in 1,000 conversations,
// all but the last hundredth in the catalog's copy.
func BenchmarkTakeOver(b *testing.B) {
	records := 100_000
	if n, err := strconv.Atoi(os.Getenv("FAROL_BENCH_RECORDS")); err == nil && n > 0 {
		records = n
	}
	s := newSite(b)
	ctx := b.Context()
	commit := func(from, to int) {
		for from < to {
			n := min(10_000, to-from)
			recs := make([]record.Record, n)
			for i := range recs {
				k := from + i
				recs[i] = record.Record{Ref: record.Ref{Kind: record.Chat, Container: fmt.Sprintf("cid%d", k%1000), ID: fmt.Sprintf("msg%09d==", k)}, Author: fmt.Sprintf("user%d", k%186), Dept: 1,
					Time: time.UnixMilli(1.6e12 + int64(k)*9000).UTC(),
					Raw: fmt.Appendf(nil, `{"openMessageId":"msg%09d==","sender":{"name":"陳大文 %d","openDingTalkId":"user%d"},"msgType":"text","createTime":"2026-03-02 09:00:00","content":"報價單 PO-2026-%05d 已更新，請於 %d 日前確認數量及交貨期，謝謝。 lot %x"}`,
						k, k%186, k%186, k%99_991, k%31, uint32(k)*2654435761)}
			}
			if _, err := s.a.archive.Commit(ctx, archive.Batch{Records: recs}); err != nil {
				b.Fatal(err)
			}
			from += n
		}
	}
	fold := func() {
		if err := s.a.engine.Repair(ctx); err != nil {
			b.Fatal(err)
		}
		if _, err := s.a.archive.Fold(ctx); err != nil {
			b.Fatal(err)
		}
	}
	most := records / 100 * 99
	for at := 0; at < most; at += 1_000_000 {
		commit(at, min(at+1_000_000, most))
		fold()
	}
	start := time.Now()
	if err := s.a.CopyCatalog(ctx); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(time.Since(start).Seconds(), "s-copy")
	commit(most, (most+records)/2)
	fold()
	commit((most+records)/2, records)
	start = time.Now()
	if err := s.a.sealControl(ctx); err != nil {
		b.Fatal(err)
	}
	wait, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	if err := s.a.caughtUp(wait); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(time.Since(start).Seconds(), "s-ship-rest")
	s.stop()
	cfg := bench(b)
	for b.Loop() {
		start = time.Now()
		r, err := Promote(ctx, cfg, s.promotion(s.code(), false), Logger("error"))
		if err != nil {
			b.Fatal(err)
		}
		promoted := time.Since(start)
		a, err := Open(ctx, cfg, Logger("error"))
		if err != nil {
			b.Fatal(err)
		}
		res, err := a.door.Search(ctx, a.operator(policy.Verification), "報價單", catalog.Query{Limit: 20, Kind: record.Chat})
		if err != nil || len(res.Items) == 0 {
			b.Fatalf("nothing is found: %v", err)
		}
		b.ReportMetric(promoted.Seconds(), "s-promote")
		b.ReportMetric(time.Since(start).Seconds(), "s-searchable")
		b.ReportMetric(float64(r.Linked>>20), "MB-linked")
		b.ReportMetric(float64(r.Copied>>20), "MB-copied")
		if len(a.mended) > 0 {
			b.Errorf("it was made anew: %+v", a.mended)
		}
		if err := a.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
