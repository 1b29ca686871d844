package appliance

import (
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"farol/internal/archive"
	"farol/internal/catalog"
	"farol/internal/policy"
	"farol/internal/record"
)

// BenchmarkRecover tells how long a total loss takes, from an empty machine
// with the recovery kit to a console that can be searched, from a node on a fast
// link: FAROL_BENCH_MB (500) of files that do not compress, and a message a file.
func BenchmarkRecover(b *testing.B) {
	mb := 500
	if n, err := strconv.Atoi(os.Getenv("FAROL_BENCH_MB")); err == nil && n > 0 {
		mb = n
	}
	s := newSite(b)
	ctx := b.Context()
	const each = 500_000
	files := mb * 1_000_000 / each
	for i := 0; i < files; i++ {
		blob, err := s.a.archive.PutBlob(ctx, "f.bin", -1, io.LimitReader(rand.Reader, each))
		if err != nil {
			b.Fatal(err)
		}
		r := record.Record{Ref: record.Ref{Kind: record.Chat, Container: fmt.Sprint(i % 40), ID: fmt.Sprint(i)}, Dept: 1, Time: time.Now().UTC(), Blobs: []record.Blob{blob},
			Raw: fmt.Appendf(nil, `{"openMessageId":"m%d","sender":{"name":"陳大文"},"msgType":"text","createTime":"2026-03-02 09:00:00","content":"報價單 PO-%05d"}`, i, i)}
		if _, err := s.a.archive.Commit(ctx, archive.Batch{Records: []record.Record{r}}); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.a.engine.Repair(ctx); err != nil {
		b.Fatal(err)
	}
	if _, err := s.a.archive.Fold(ctx); err != nil {
		b.Fatal(err)
	}
	if err := s.a.CopyCatalog(ctx); err != nil {
		b.Fatal(err)
	}
	s.ship(b)
	s.stop()
	cfg := bench(b)
	for b.Loop() {
		start := time.Now()
		rc := Recovery{Address: s.addr, Code: s.node.NewCode(), Shares: s.shares[:2]}
		if err := Recover(ctx, cfg, rc, Logger("error"), nil); err != nil {
			b.Fatal(err)
		}
		recovered := time.Since(start)
		a, err := Open(ctx, cfg, Logger("error"))
		if err != nil {
			b.Fatal(err)
		}
		res, err := a.door.Search(ctx, a.operator(policy.Verification), "報價單", catalog.Query{Limit: 20, Kind: record.Chat})
		if err != nil || len(res.Items) == 0 {
			b.Fatalf("nothing is found: %v", err)
		}
		took := time.Since(start)
		size, err := sizeBelow(cfg.ArchiveDir)
		if err != nil {
			b.Fatal(err)
		}
		if size < int64(mb)*1_000_000 {
			b.Fatalf("the archive has %d bytes, less than its files", size)
		}
		b.ReportMetric(recovered.Seconds(), "s-recover")
		b.ReportMetric(took.Seconds(), "s-searchable")
		b.ReportMetric(took.Seconds()/(float64(size)/1e9), "s/GB")
		b.ReportMetric(0, "ns/op")
		if err := a.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func sizeBelow(dir string) (n int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		n += info.Size()
		return err
	})
	return n, err
}
