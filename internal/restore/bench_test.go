package restore_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"farol/internal/catalog"
	"farol/internal/i18n"
	"farol/internal/policy"
	"farol/internal/record"
	"farol/internal/restore"
)

// BenchmarkExportDepartment exports 50,000 messages and 500 files of 100 kB
// with transcript, manifest and proofs to a folder. Promise: ≤ 10 s.
func BenchmarkExportDepartment(b *testing.B) {
	h := newHouse(b)
	rng := rand.New(rand.NewPCG(1, 2))
	at := time.Date(2026, 1, 5, 1, 0, 0, 0, time.UTC)
	for g := range 10 {
		conv := fmt.Sprint("cid", g)
		recs := []record.Record{group(conv, fmt.Sprint("項目群 ", g), 7)}
		for i := range 5000 {
			recs = append(recs, message(conv, fmt.Sprint("m", g, "-", i), fmt.Sprint("同事", i%20), fmt.Sprintf("第 %d 批貨已到內港碼頭，請財務跟進報價單 PO-2026-%05d, thanks", i, i), at.Add(time.Duration(i)*time.Minute), 7))
		}
		h.put(b, recs)
	}
	var files []record.Record
	for i := range 500 {
		body := make([]byte, 100_000)
		for j := range body {
			body[j] = byte(rng.Uint32())
		}
		blob, err := h.archive.PutBlob(b.Context(), fmt.Sprint("f", i, ".bin"), int64(len(body)), bytes.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		files = append(files, record.Record{Ref: record.Ref{Kind: record.Files, Container: "space", ID: fmt.Sprint("f", i)}, Time: at, Dept: 7, Blobs: []record.Blob{blob},
			Raw: fmt.Appendf(nil, `{"id":"f%d","spaceId":"space","type":"FILE","name":"f%d.bin","path":"/f%d.bin","size":100000,"version":1,"modifiedTime":"2026-01-05T01:00:00Z"}`, i, i, i)})
	}
	h.put(b, files)
	if _, err := h.archive.Fold(b.Context()); err != nil {
		b.Fatal(err)
	}
	n := 0
	for b.Loop() {
		n++
		f, err := restore.NewFolder(filepath.Join(b.TempDir(), fmt.Sprint("x", n)))
		if err != nil {
			b.Fatal(err)
		}
		sum, err := h.Export(b.Context(), owner(policy.Handover), restore.Selection{Depts: []int64{7}}, i18n.ZhHant, f, nil)
		if err != nil || sum.Items != 50500 {
			b.Fatalf("%+v %v", sum, err)
		}
		f.Close()
		b.ReportMetric(sum.Took.Seconds(), "s/export")
	}
}

// BenchmarkSearchReal asks 300 questions of the 221,597 real messages through
// the door: index, decryption, verification and count. Promise: p95 ≤ 100 ms.
func BenchmarkSearchReal(b *testing.B) {
	h := newHouse(b)
	h.real(b, 0)
	if _, err := h.archive.Fold(b.Context()); err != nil {
		b.Fatal(err)
	}
	words := []string{"ubuntu", "install", "the", "kernel", "nvidia driver", `"thank you"`, "wireless", "apt-get update", "xorg", "grub", "firefox", "how to mount", "partition", `"no such file"`, "sudo", "gnome", "sound", "usb", "zzzznever", "please help"}
	var took []time.Duration
	for b.Loop() {
		took = took[:0]
		for i := range 300 {
			start := time.Now()
			if _, err := h.Search(b.Context(), owner(policy.Dispute), words[i%len(words)], catalog.Query{Limit: 50}); err != nil {
				b.Fatal(err)
			}
			took = append(took, time.Since(start))
		}
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*95/100].Microseconds())/1000, "p95-ms")
	b.ReportMetric(float64(took[len(took)-1].Microseconds())/1000, "max-ms")
}
