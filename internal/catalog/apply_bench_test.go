package catalog

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"farol/internal/keys"
	"farol/internal/record"
)

// BenchmarkApplyToMany tells what it takes to bring a catalog of
// FAROL_BENCH_RECORDS messages (100,000) forward by 100,000 in ten commits.
func BenchmarkApplyToMany(b *testing.B) {
	have, late := 100_000, 100_000
	if n, err := strconv.Atoi(os.Getenv("FAROL_BENCH_RECORDS")); err == nil && n > 0 {
		have = n
	}
	ctx := b.Context()
	path := filepath.Join(b.TempDir(), "catalog.db")
	box := keys.NewBox([]byte("01234567890123456789012345678901"))
	c, err := Open(ctx, path, Keys{Words: []byte("words"), Names: []byte("names")}, box, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	row := func(k int) Row {
		return Row{Ref: record.Ref{Kind: record.Chat, Container: fmt.Sprintf("cid%d", k%1000), ID: fmt.Sprintf("msg%09d==", k)}, Ver: record.HashOf(strconv.AppendInt(nil, int64(k), 10)),
			Author: Person{Key: fmt.Sprintf("user%d", k%186), Name: fmt.Sprintf("陳大文 %d", k%186)}, Dept: 1, Class: record.Internal, Time: time.UnixMilli(1.6e12 + int64(k)*9000).UTC(),
			Text:  fmt.Sprintf("報價單 PO-2026-%05d 已更新，請於 %d 日前確認數量及交貨期，謝謝。 lot %x", k%99_991, k%31, uint32(k)*2654435761),
			Bytes: 300, Index: k % 10_000, Seq: uint64(k/10_000 + 1), Loc: record.Loc{Seg: fmt.Sprintf("seg%06d", k/50_000), Off: int64(k%50_000) * 300, Len: 300}}
	}
	rows := func(from int) []Row {
		out := make([]Row, 10_000)
		for i := range out {
			out[i] = row(from + i)
		}
		return out
	}
	into, err := c.Rebuild(ctx)
	if err != nil {
		b.Fatal(err)
	}
	at := 0
	for ; at < have; at += 10_000 {
		if err := into.Add(ctx, rows(at)); err != nil {
			b.Fatal(err)
		}
	}
	if err := into.Finish(ctx, uint64(at/10_000), 0); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		start := time.Now()
		for range late / 10_000 {
			if err := c.Apply(ctx, uint64(at/10_000+1), rows(at)); err != nil {
				b.Fatal(err)
			}
			at += 10_000
		}
		b.ReportMetric(float64(late)/time.Since(start).Seconds(), "rows/s")
	}
	if fi, err := os.Stat(path); err == nil {
		b.ReportMetric(float64(fi.Size()>>20), "MB")
	}
}
