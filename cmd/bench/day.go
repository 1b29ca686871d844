package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"farol/internal/archive"
)

type dayResult struct {
	Text, Written, OnDisk int64
	Journal               int64            // of Written
	Packs                 map[string]int64 // of Written, by first letter of the blob
	Folds                 int
	Peak                  int64
}

// aDay is a day of commits every 30 s with folds and maintenance, its clock
// stepped, records applied to a catalog.
func aDay(ctx context.Context, j job) (any, error) {
	t, err := loadText(j.Src)
	if err != nil {
		return nil, err
	}
	t.lines = slices.Clone(t.lines[:min(20000, len(t.lines))])
	var clock atomic.Int64
	clock.Store(time.Now().UnixNano())
	now := func() time.Time { return time.Unix(0, clock.Load()) }
	r := dayResult{Packs: map[string]int64{}}
	a, err := openArchive(ctx, j, archive.Options{Now: now,
		OnAppend: func(_ string, _ int64, b []byte) { r.Journal += int64(len(b)) },
		OnPut:    func(e archive.PutEntry) { r.Packs[e.Name[:1]] += e.Size }})
	if err != nil {
		return nil, err
	}
	before := written()
	rng := rand.New(rand.NewPCG(13, 14))
	n := 0
	for i := range j.N {
		b := batch(t, rng, n, 20)
		for k := range b.Records {
			b.Records[k].Time = now().UTC().Truncate(time.Millisecond)
		}
		n += 20
		r.Text += rawBytes(b)
		if _, err := a.Commit(ctx, b); err != nil {
			return nil, err
		}
		clock.Add(int64(30 * time.Second))
		if (i+1)%120 == 0 {
			if _, err := a.Fold(ctx); err != nil {
				return nil, err
			}
			if err := a.Maintain(ctx, false); err != nil {
				return nil, err
			}
			r.Folds++
		}
	}
	if err := a.Maintain(ctx, true); err != nil {
		return nil, err
	}
	r.Written = written() - before
	r.OnDisk = a.Status().Repository + a.Status().JournalBytes
	r.Peak = peak(os.Getpid())
	return r, a.Close()
}

// written is what this process has handed to write calls, in bytes.
func written() (n int64) {
	b, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0
	}
	var rchar int64
	_, _ = fmt.Sscanf(string(b), "rchar: %d\nwchar: %d", &rchar, &n)
	return n
}

func (b *bench) day(ctx context.Context) error {
	dir := filepath.Join(b.dir, "day")
	if _, err := child(ctx, job{Do: "init", Dir: dir}, nil); err != nil {
		return err
	}
	var r dayResult
	if _, err := child(ctx, job{Do: "day", Dir: dir, Src: "../shared/realdata", N: b.dayCommits}, &r); err != nil {
		return err
	}
	part := func(n int64) string { return fmt.Sprintf("%.2f", float64(n)/float64(r.Text)) }
	b.row(fmt.Sprintf("bytes written per byte of new text, %d commits of 20 messages every 30 s, %d folds, maintenance", b.dayCommits, r.Folds),
		fmt.Sprintf("%s × written (journal %s, segments %s, tree %s, index %s), %s × on disk with the day's journal", part(r.Written), part(r.Journal), part(r.Packs["p"]), part(r.Packs["q"]), part(r.Packs["x"]), part(r.OnDisk)), "–", "–", "≤ 3 ×")
	b.row("… peak memory of the continuous lane (archive alone)", fmt.Sprintf("%d MiB", r.Peak>>20), "–", "–", "≤ 256 MiB with everything else")
	return os.RemoveAll(dir)
}
