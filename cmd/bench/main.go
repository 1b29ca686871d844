// Command bench prints the figures that the archive promises, beside those of
// restic and of the stock kopia command on the same bytes in the same run. Runs
// are interleaved with rotated order; ratios are taken inside a round, because
// only those hold on a machine that is shared.
//
//	bench [-scale ci|half|full] [-rounds 3] [-only bulk,commit] [-dir /tmp]
//
// Peers are RESTIC= and KOPIA=, else what is on PATH, else built from the
// module proxy; without one its column says "absent" and why.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// scale is how much of the real sizes a run works through.
type scale struct {
	chatMB, files  int
	containers     int
	times          []int // archive sizes of the incremental with nothing changed
	commits, folds int   // between the first and the last measured commits
	samples        int
	dayCommits     int
}

var scales = map[string]scale{
	"ci":   {chatMB: 64, files: 640, containers: 1000, times: []int{1, 10}, commits: 1000, folds: 50, samples: 100, dayCommits: 720},
	"half": {chatMB: 500, files: 5000, containers: 10_000, times: []int{1, 10}, commits: 10_000, folds: 500, samples: 300, dayCommits: 2880},
	"full": {chatMB: 500, files: 5000, containers: 10_000, times: []int{1, 10, 100}, commits: 10_000, folds: 500, samples: 1000, dayCommits: 2880},
}

// bench is one run.
type bench struct {
	scale
	dir    string
	rounds int
	restic peer
	kopia  peer
	text   *text
	table  [][5]string
}

func main() {
	if job := os.Getenv("FAROL_BENCH_JOB"); job != "" {
		if err := runJob(context.Background(), job); err != nil {
			fmt.Fprintln(os.Stderr, "bench job "+job+":", err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	name := flag.String("scale", "ci", "ci, half or full: how much of the real sizes")
	only := flag.String("only", "", "rows to run: bulk,same,commit,fold,maintain,day (default all)")
	dir := flag.String("dir", "", "where to work; put it on the disk that is to be measured (default: the system's temporary folder)")
	b := &bench{}
	flag.IntVar(&b.rounds, "rounds", 3, "interleaved rounds")
	flag.Parse()
	s, ok := scales[*name]
	if !ok {
		return fmt.Errorf("no scale %q", *name)
	}
	b.scale = s
	var err error
	if b.dir, err = os.MkdirTemp(*dir, "farol-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	if b.text, err = loadText("../shared/realdata"); err != nil {
		return err
	}
	b.restic, b.kopia = findRestic(ctx, b.dir), findKopia(ctx, b.dir)
	fmt.Printf("Farol's figures, scale %s, %d rounds, %d cores, %s\n", *name, b.rounds, runtime.NumCPU(), runtime.Version())
	fmt.Printf("text: %s\nrestic: %s\nkopia: %s\n", b.text.about, b.restic, b.kopia)
	want := func(row string) bool { return *only == "" || strings.Contains(","+*only+",", ","+row+",") }
	for _, part := range []struct {
		name string
		run  func(context.Context) error
	}{{"bulk", b.bulk}, {"same", b.same}, {"commit", b.commit}, {"fold", b.fold}, {"maintain", b.maintain}, {"day", b.day}} {
		if !want(part.name) {
			continue
		}
		start := time.Now()
		if err := part.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
		fmt.Fprintf(os.Stderr, "(%s took %s)\n", part.name, time.Since(start).Round(time.Second))
	}
	b.print()
	return nil
}

func (b *bench) row(work, ours, restic, kopia, target string) {
	b.table = append(b.table, [5]string{work, ours, restic, kopia, target})
	fmt.Printf("%s | %s | %s | %s | %s\n", work, ours, restic, kopia, target)
}

func (b *bench) print() {
	fmt.Printf("\n| work | ours | restic | kopia | to reach |\n|---|---|---|---|---|\n")
	for _, r := range b.table {
		fmt.Printf("| %s |\n", strings.Join(r[:], " | "))
	}
}
