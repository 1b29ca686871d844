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
	"farol/internal/catalog"
	"farol/internal/keys"
	"farol/internal/record"
)

// batch makes n new messages spread over 200 conversations.
func batch(t *text, rng *rand.Rand, from, n int) archive.Batch {
	b := archive.Batch{Records: make([]record.Record, n)}
	for i := range n {
		c := fmt.Sprintf("cid%04x", rng.IntN(200))
		b.Records[i] = messageRecord(c, from+i, t.message(nil, c, uint64(from+i), rng))
	}
	return b
}

func rawBytes(b archive.Batch) (n int64) {
	for i := range b.Records {
		n += int64(len(b.Records[i].Raw))
	}
	return n
}

// commitResult has latencies by number of messages.
type commitResult struct {
	Commit, Plain map[int][]time.Duration
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
			samples = max(20, j.Samples/10)
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
	before, after := quantile(r.First, .5), quantile(r.Later, .5)
	b.row(fmt.Sprintf("… of 1 message after %d commits and %d folds", b.commits, b.folds), fmt.Sprintf("p50 %s → %s ms, %.2f ×", ms(before), ms(after), float64(after)/float64(before)), "–", "–", "≤ 1.2 ×")
	return os.RemoveAll(dir)
}

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

func openCatalog(ctx context.Context, dir string) (*catalog.Catalog, error) {
	return catalog.Open(ctx, filepath.Join(dir, "catalog.db"), root.Derive("search"), keys.NewBox(root.Derive("catalog")), nil)
}

// fillSame makes an archive and a catalog of N conversations with M messages
// each.
func fillSame(ctx context.Context, j job) (any, error) {
	t, err := loadText(j.Src)
	if err != nil {
		return nil, err
	}
	a, err := openArchive(ctx, j, archive.Options{KeepJournal: time.Nanosecond})
	if err != nil {
		return nil, err
	}
	cat, err := openCatalog(ctx, j.Dir)
	if err != nil {
		return nil, err
	}
	into, err := cat.Rebuild(ctx)
	if err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(15, 16))
	var b archive.Batch
	commit := func() error {
		c, err := a.Commit(ctx, b)
		if err != nil {
			return err
		}
		rows := make([]catalog.Row, len(c.Records))
		for i := range c.Records {
			r := &c.Records[i]
			rows[i] = catalog.Row{Ref: r.Ref, Ver: record.HashOf(r.Raw), Time: r.Time, Author: catalog.Person{Key: r.Author}, Class: record.Internal, Bytes: int64(len(r.Raw)), Index: i, Loc: c.Locs[i], Dept: 7, Seq: c.Seq}
		}
		if err := into.Add(ctx, rows); err != nil {
			return err
		}
		b = archive.Batch{}
		if a.Status().UnfoldedBytes > 64<<20 {
			_, err = a.Fold(ctx)
		}
		return err
	}
	for c := range j.N {
		name := fmt.Sprintf("cid%06x", c)
		for i := range j.M {
			// the last one is what a look from the cursor on will show again
			r := messageRecord(name, i, t.message(nil, name, uint64(i), rng))
			if i == j.M-1 {
				r.Raw = lastPage(name, i)
			}
			b.Records = append(b.Records, r)
		}
		b.Cursors = setCursor(b.Cursors, "c/chat/"+name, fmt.Sprint(j.M))
		if len(b.Records) >= 10_000 {
			if err := commit(); err != nil {
				return nil, err
			}
		}
	}
	if len(b.Records) > 0 {
		if err := commit(); err != nil {
			return nil, err
		}
	}
	if _, err := a.Fold(ctx); err != nil {
		return nil, err
	}
	return nil, errors.Join(into.Finish(ctx, a.LastSeq(), 0), cat.Close(), a.Close())
}

func setCursor(m map[string]string, k, v string) map[string]string {
	if m == nil {
		m = map[string]string{}
	}
	m[k] = v
	return m
}

func lastPage(container string, i int) []byte {
	return fmt.Appendf(nil, `{"openConversationId":%q,"openMessageId":"msg%012d","content":{"text":"the last ones of %s"}}`, container, i, container)
}

// nothingChanged opens both, asks for each conversation's cursor and holds what
// upstream lists from there, its newest message once more, against the catalog.
func nothingChanged(ctx context.Context, j job) (any, error) {
	a, err := openArchive(ctx, j, archive.Options{})
	if err != nil {
		return nil, err
	}
	cat, err := openCatalog(ctx, j.Dir)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	for c := range j.N {
		name := fmt.Sprintf("cid%06x", c)
		if a.Cursor("c/chat/"+name) == "" {
			return nil, fmt.Errorf("no cursor of %s", name)
		}
		ref := record.Ref{Kind: record.Chat, Container: name, ID: fmt.Sprintf("msg%012d", j.M-1)}
		known, err := cat.Known(ctx, []record.Ref{ref})
		if err != nil {
			return nil, err
		}
		if k, ok := known[ref]; !ok || k.Ver != catalog.Ver(record.HashOf(lastPage(name, j.M-1))) {
			return nil, fmt.Errorf("%s is not known as it is", name)
		}
	}
	return sameResult{time.Since(start)}, errors.Join(cat.Close(), a.Close())
}

// sameResult is the time without opening archive and catalog: the product is a
// daemon and opens them once.
type sameResult struct{ Daemon time.Duration }

// same: nothing changed in many containers, at several archive sizes.
func (b *bench) same(ctx context.Context) error {
	for _, times := range b.times {
		per := 20 * times
		src, dir := filepath.Join(b.dir, fmt.Sprint("same-src-", times)), filepath.Join(b.dir, fmt.Sprint("same-", times))
		if err := b.text.writeContainers(src, b.containers, per); err != nil {
			return err
		}
		if _, err := child(ctx, job{Do: "init", Dir: dir}, nil); err != nil {
			return err
		}
		if _, err := child(ctx, job{Do: "fill", Dir: dir, Src: "../shared/realdata", N: b.containers, M: per}, nil); err != nil {
			return err
		}
		var inside []took
		cs := []contender{{"ours", nil, func(string) (took, error) {
			var r sameResult
			t, err := child(ctx, job{Do: "same", Dir: dir, N: b.containers, M: per}, &r)
			inside = append(inside, took{time: r.Daemon})
			return t, err
		}}}
		if b.restic.path != "" {
			s, err := b.newRestic(ctx, filepath.Join(b.dir, fmt.Sprint("same-restic-store-", times)))
			if err != nil {
				return err
			}
			if _, err := b.resticBackup(ctx, s, src); err != nil {
				return err
			}
			cs = append(cs, contender{"restic", nil, func(string) (took, error) { return b.resticBackup(ctx, s, src) }})
		}
		if b.kopia.path != "" {
			s, err := b.newKopia(ctx, filepath.Join(b.dir, fmt.Sprint("same-kopia-store-", times)))
			if err != nil {
				return err
			}
			if _, err := b.kopiaBackup(ctx, s, src); err != nil {
				return err
			}
			cs = append(cs, contender{"kopia", nil, func(string) (took, error) { return b.kopiaBackup(ctx, s, src) }})
		}
		ts, err := b.interleave(fmt.Sprint("same-run-", times), cs)
		if err != nil {
			return err
		}
		sec := func(ts []took) string {
			if len(ts) == 0 {
				return "–"
			}
			ds := make([]time.Duration, len(ts))
			for i := range ts {
				ds[i] = ts[i].time
			}
			return fmt.Sprintf("%.2f s", quantile(ds, .5).Seconds())
		}
		share := func(p peer, theirs []took) string {
			if p.path == "" {
				return "absent: " + p.why
			}
			_, whole, _ := ratios(ts["ours"], theirs)
			lo, mid, hi := ratios(inside, theirs)
			return fmt.Sprintf("%s; ours takes %.2f (%.2f–%.2f) of it, %.2f with opening", sec(theirs), mid, lo, hi, whole)
		}
		b.row(fmt.Sprintf("nothing changed, %d containers, %d × size (%d messages)", b.containers, times, b.containers*per), fmt.Sprintf("%s in the daemon; %s with opening archive and catalog first", sec(inside), sec(ts["ours"])), share(b.restic, ts["restic"]), share(b.kopia, ts["kopia"]), "≤ 0.3 of restic's time")
		left, err := filepath.Glob(filepath.Join(b.dir, "same-*"))
		if err != nil {
			return err
		}
		for _, l := range left {
			os.RemoveAll(l)
		}
	}
	return nil
}
