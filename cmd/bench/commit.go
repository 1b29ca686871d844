package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"farol/internal/archive"
)

// commitResult has latencies by number of messages.
type commitResult struct {
	Commit, Plain map[int][]time.Duration
	Busy          []time.Duration // as much plain hashing on every core as the largest commit takes: how the machine itself stalls
	First, Later  []time.Duration // of one message: before and after N commits and M folds
	Peak          int64
}

// commits measures commits of 1, 100 and 10,000 messages, each beside a plain
// append and fsync of the same bytes, then N commits and M folds later again.
func commits(ctx context.Context, j job) (any, error) {
	t, err := loadText(j.Src)
	if err != nil {
		return nil, err
	}
	var wrote int64
	a, err := openArchive(ctx, j, archive.Options{KeepJournal: time.Nanosecond, OnAppend: func(_ string, _ int64, b []byte) { wrote = int64(len(b)) }})
	if err != nil {
		return nil, err
	}
	f, err := os.Create(filepath.Join(j.Dir, "plain"))
	if err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(9, 9))
	res := commitResult{Commit: map[int][]time.Duration{}, Plain: map[int][]time.Duration{}}
	n := 0
	one := func(size int) (time.Duration, error) {
		b := batch(t, rng, n, size)
		n += size
		start := time.Now()
		_, err := a.Commit(ctx, b)
		return time.Since(start), err
	}
	plain := make([]byte, 8<<20)
	for _, size := range []int{1, 100, 10_000} {
		samples := j.Samples
		if size == 10_000 {
			samples = max(40, j.Samples/3)
		}
		for range samples {
			d, err := one(size)
			if err != nil {
				return nil, err
			}
			res.Commit[size] = append(res.Commit[size], d)
			start := time.Now()
			_, err = f.Write(plain[:wrote])
			if err = errors.Join(err, f.Sync()); err != nil {
				return nil, err
			}
			res.Plain[size] = append(res.Plain[size], time.Since(start))
		}
	}
	res.Busy = busy(quantile(res.Commit[10_000], .5), len(res.Commit[10_000]))
	if _, err := a.Fold(ctx); err != nil {
		return nil, err
	}
	hundred := func() (ds []time.Duration, err error) {
		for range 100 {
			d, err := one(1)
			if err != nil {
				return nil, err
			}
			ds = append(ds, d)
		}
		return ds, nil
	}
	if res.First, err = hundred(); err != nil {
		return nil, err
	}
	for i := range j.N {
		if _, err := one(1); err != nil {
			return nil, err
		}
		if j.M > 0 && i%(max(1, j.N/j.M)) == 0 {
			if _, err := a.Fold(ctx); err != nil {
				return nil, err
			}
			if i%(max(1, j.N/j.M)*20) == 0 {
				if err := a.Maintain(ctx, false); err != nil {
					return nil, err
				}
			}
		}
	}
	if res.Later, err = hundred(); err != nil {
		return nil, err
	}
	res.Peak = peak(os.Getpid())
	return res, errors.Join(f.Close(), a.Close())
}

// busy times n rounds of plain hashing on every core, each of about d when
// nothing disturbs it.
func busy(d time.Duration, n int) (ds []time.Duration) {
	const block = 64 << 10
	b := make([]byte, block)
	fastest := time.Hour // of one block
	for range 200 {
		start := time.Now()
		sha256.Sum256(b)
		fastest = min(fastest, time.Since(start))
	}
	blocks := int(d / fastest)
	for range n {
		start := time.Now()
		var wg sync.WaitGroup
		for range runtime.GOMAXPROCS(0) {
			wg.Go(func() {
				for range blocks {
					sha256.Sum256(b)
				}
			})
		}
		wg.Wait()
		ds = append(ds, time.Since(start))
	}
	return ds
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d.Microseconds())/1000) }

func (b *bench) commit(ctx context.Context) error {
	dir := filepath.Join(b.dir, "commit")
	if _, err := child(ctx, job{Do: "init", Dir: dir}, nil); err != nil {
		return err
	}
	var r commitResult
	if _, err := child(ctx, job{Do: "commit", Dir: dir, Src: "../shared/realdata", N: b.commits, M: b.folds, Samples: b.samples}, &r); err != nil {
		return err
	}
	for size, want := range map[int]string{1: "p95 ≤ 2 ms", 100: "p95 ≤ 3 ms", 10_000: "p95 ≤ 40 ms"} {
		b.row(fmt.Sprintf("one commit of %d messages, fsynced", size), fmt.Sprintf("p50 %s, p95 %s ms; plain fsync of the same bytes %s, %s ms",
			ms(quantile(r.Commit[size], .5)), ms(quantile(r.Commit[size], .95)), ms(quantile(r.Plain[size], .5)), ms(quantile(r.Plain[size], .95))), "–", "–", want)
	}
	b.row("… of plain hashing on every core for as long as 10000 messages take: what the machine adds", fmt.Sprintf("p50 %s, p95 %s ms, longest %s", ms(quantile(r.Busy, .5)), ms(quantile(r.Busy, .95)), ms(quantile(r.Busy, 1))), "–", "–", "–")
	before, after := quantile(r.First, .5), quantile(r.Later, .5)
	b.row(fmt.Sprintf("… of 1 message after %d commits and %d folds", b.commits, b.folds), fmt.Sprintf("p50 %s → %s ms, %.2f ×", ms(before), ms(after), float64(after)/float64(before)), "–", "–", "≤ 1.2 ×")
	return os.RemoveAll(dir)
}
