package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"farol/internal/archive"
	"farol/internal/record"
)

type maintainResult struct {
	Full         time.Duration
	Commit, Blob time.Duration // longest while it ran
	Commits      int
	Peak         int64
}

// maintainWhile runs full maintenance on the archive that fill left, while
// commits and attachments of 300 kB go on.
func maintainWhile(ctx context.Context, j job) (any, error) {
	t, err := loadText(j.Src)
	if err != nil {
		return nil, err
	}
	a, err := openArchive(ctx, j, archive.Options{KeepJournal: time.Nanosecond})
	if err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(21, 22))
	n := j.N * j.M
	for range 20 { // points to walk
		if _, err := a.Commit(ctx, batch(t, rng, n, 500)); err != nil {
			return nil, err
		}
		n += 500
		if _, err := a.Fold(ctx); err != nil {
			return nil, err
		}
	}
	t.lines = t.lines[:min(1000, len(t.lines))]
	var r maintainResult
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var failed error
	wg.Go(func() {
		blob := make([]byte, 300_000)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
			b := batch(t, rng, n+i, 1)
			start := time.Now()
			with := i%20 == 19
			if with {
				for k := range blob {
					blob[k] = byte(rng.Uint32())
				}
				start = time.Now()
				var at record.Blob
				if at, failed = a.PutBlob(ctx, "x", int64(len(blob)), bytes.NewReader(blob)); failed != nil {
					return
				}
				b.Records[0].Blobs = []record.Blob{at}
			}
			if _, failed = a.Commit(ctx, b); failed != nil {
				return
			}
			r.Commits++
			if d := time.Since(start); with {
				r.Blob = max(r.Blob, d)
			} else {
				r.Commit = max(r.Commit, d)
			}
		}
	})
	start := time.Now()
	err = a.Maintain(ctx, true)
	r.Full = time.Since(start)
	close(stop)
	wg.Wait()
	r.Peak = peak(os.Getpid())
	return r, errors.Join(err, failed, a.Close())
}

func (b *bench) maintain(ctx context.Context) error {
	dir := filepath.Join(b.dir, "maintain")
	if _, err := child(ctx, job{Do: "init", Dir: dir}, nil); err != nil {
		return err
	}
	if _, err := child(ctx, job{Do: "fill", Dir: dir, Src: "../shared/realdata", N: b.containers, M: 20}, nil); err != nil {
		return err
	}
	var r maintainResult
	if _, err := child(ctx, job{Do: "maintain", Dir: dir, Src: "../shared/realdata", N: b.containers, M: 20}, &r); err != nil {
		return err
	}
	b.row(fmt.Sprintf("full maintenance, %d containers, 21 points, commits and attachments going on", b.containers), fmt.Sprintf("%.2f s; longest of %d commits %s ms, with an attachment of 300 kB %s ms; peak %d MiB",
		r.Full.Seconds(), r.Commits, ms(r.Commit), ms(r.Blob), r.Peak>>20), "–", "–", "no commit waits 1 s")
	return os.RemoveAll(dir)
}
