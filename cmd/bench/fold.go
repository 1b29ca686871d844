package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"farol/internal/archive"
)

type foldResult struct {
	Fold    time.Duration
	Alone   time.Duration // longest commit before
	During  time.Duration // longest commit while folding
	Commits int
	Peak    int64
}

// foldWhile folds N bytes of journal while commits go on.
func foldWhile(ctx context.Context, j job) (any, error) {
	t, err := loadText(j.Src)
	if err != nil {
		return nil, err
	}
	a, err := openArchive(ctx, j, archive.Options{KeepJournal: time.Nanosecond})
	if err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(11, 12))
	n := 0
	for a.Status().UnfoldedBytes < int64(j.N) {
		if _, err := a.Commit(ctx, batch(t, rng, n, 2000)); err != nil {
			return nil, err
		}
		n += 2000
	}
	t.lines = t.lines[:min(1000, len(t.lines))] // what the words take is not the archive's memory
	var r foldResult
	var folding atomic.Bool
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var failed error
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
			was := folding.Load()
			start := time.Now()
			if _, err := a.Commit(ctx, batch(t, rng, n+i, 1)); err != nil {
				failed = err
				return
			}
			d := time.Since(start)
			if was || folding.Load() {
				r.During = max(r.During, d)
				r.Commits++
			} else {
				r.Alone = max(r.Alone, d)
			}
		}
	})
	time.Sleep(time.Second)
	folding.Store(true)
	start := time.Now()
	_, err = a.Fold(ctx)
	r.Fold = time.Since(start)
	folding.Store(false)
	close(stop)
	wg.Wait()
	r.Peak = peak(os.Getpid())
	return r, errors.Join(err, failed, a.Close())
}

func (b *bench) fold(ctx context.Context) error {
	var folds, alone, during []time.Duration
	var peakRSS int64
	for i := range b.rounds {
		dir := filepath.Join(b.dir, fmt.Sprint("fold", i))
		if _, err := child(ctx, job{Do: "init", Dir: dir}, nil); err != nil {
			return err
		}
		var r foldResult
		if _, err := child(ctx, job{Do: "fold", Dir: dir, Src: "../shared/realdata", N: 64 << 20}, &r); err != nil {
			return err
		}
		folds, alone, during, peakRSS = append(folds, r.Fold), append(alone, r.Alone), append(during, r.During), max(peakRSS, r.Peak)
		os.RemoveAll(dir)
	}
	b.row("fold of 64 MiB of journal, commits going on", fmt.Sprintf("%.2f s (%.2f–%.2f)", quantile(folds, .5).Seconds(), slices.Min(folds).Seconds(), slices.Max(folds).Seconds()), "–", "–", "≤ 3 s")
	b.row("… longest commit during it", fmt.Sprintf("%s ms; %s ms before it", ms(slices.Max(during)), ms(slices.Max(alone))), "–", "–", "≤ 50 ms")
	b.row("… peak memory, the test's own words (about 80 MiB) included", fmt.Sprintf("%d MiB", peakRSS>>20), "–", "–", "bounded")
	return nil
}
