package archive

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"farol/internal/record"
)

// clock steps by hand and lets a file system's seconds pass.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(10 * time.Millisecond)
	return c.t
}

func (c *clock) step(d time.Duration) {
	c.mu.Lock()
	c.t = c.t.Add(d)
	c.mu.Unlock()
}

// TestMaintenanceOverDaysDropsOnlyWhatWasForgotten runs 12 days of folds,
// forgotten points and full maintenance, with large blobs that wait for their
// fold, on a clock that steps beyond every one of kopia's margins.
func TestMaintenanceOverDaysDropsOnlyWhatWasForgotten(t *testing.T) {
	ctx := context.Background()
	c := &clock{t: time.Now()}
	opt := Options{Now: c.now, KeepJournal: time.Hour}
	a, _ := newArchive(t, opt)
	s := newShelf()
	a.SetRelocate(s.relocate)
	sizes := []int64{}
	for round := range 24 {
		b, err := a.PutBlob(ctx, "big", -1, bytes.NewReader(filler(round, 80_000)))
		if err != nil {
			t.Fatal(err)
		}
		r := message("c", 10_000+round)
		r.Blobs = []record.Blob{b}
		s.add(commit(t, a, append(messages(fmt.Sprint("c", round%3), round*50, 50), r)...))
		if round%2 == 0 {
			fold(t, a)
		}
		c.step(13 * time.Hour)
		if err := a.Maintain(ctx, round%2 == 1); err != nil {
			t.Fatal(err)
		}
		points, err := a.Points(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for len(points) > 2 {
			if err := a.Forget(ctx, points[0].ID); err != nil {
				t.Fatal(err)
			}
			points = points[1:]
		}
		sizes = append(sizes, a.Status().Repository)
		if round%8 == 7 {
			a = reopen(t, a, opt)
			a.SetRelocate(s.relocate)
		}
	}
	s.check(t, a)
	rep, err := a.Check(ctx, true, nil)
	if err != nil || !rep.OK() || rep.Blobs < 24 {
		t.Errorf("check: %+v, %v", rep, err)
	}
	deleted := 0
	for e := range a.PutLog(0) {
		if e.Deleted {
			deleted++
		}
	}
	if deleted == 0 {
		t.Error("maintenance never deleted anything: the clock did not reach kopia")
	}
	index := 0
	for name := range a.blobs.log.snapshot() {
		if name[0] == 'x' {
			index++
		}
	}
	t.Logf("repository %d kB after 24 rounds, %d index blobs, %d files deleted on the way", sizes[len(sizes)-1]>>10, index, deleted)
}

// TestTheClockMayJumpBackAnHourAndAheadAYear works on under a clock that goes
// back, ahead and back again, with days of maintenance after it.
func TestTheClockMayJumpBackAnHourAndAheadAYear(t *testing.T) {
	ctx := context.Background()
	c := &clock{t: time.Date(2026, 11, 3, 1, 0, 0, 0, time.UTC)}
	opt := Options{Now: c.now, KeepJournal: time.Hour}
	a, _ := newArchive(t, opt)
	s := newShelf()
	a.SetRelocate(s.relocate)
	n, last, deleted := 0, time.Time{}, 0
	work := func(rounds int) {
		t.Helper()
		for range rounds {
			b, err := a.PutBlob(ctx, "big", -1, bytes.NewReader(filler(n, 80_000)))
			if err != nil {
				t.Fatal(err)
			}
			r := message("c", 10_000+n)
			r.Blobs = []record.Blob{b}
			k := commit(t, a, append(messages(fmt.Sprint("c", n%3), n*20, 20), r)...)
			if k.Time.Before(last) {
				t.Errorf("commit %d is older than the one before", k.Seq)
			}
			n, last = n+1, k.Time
			s.add(k)
			fold(t, a)
			c.step(8 * time.Hour)
			if err := a.Maintain(ctx, true); err != nil {
				t.Fatal(err)
			}
			points, err := a.Points(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range points[:max(0, len(points)-2)] {
				if err := a.Forget(ctx, p.ID); err != nil {
					t.Fatal(err)
				}
			}
		}
		s.check(t, a)
		deleted = 0
		for e := range a.PutLog(0) {
			if e.Deleted {
				deleted++
			}
		}
	}
	work(4)
	for _, jump := range []time.Duration{-time.Hour, 365 * 24 * time.Hour, -365 * 24 * time.Hour, -time.Hour} {
		c.step(jump)
		work(2)
		a = reopen(t, a, opt) // and between runs
		a.SetRelocate(s.relocate)
		work(1)
	}
	was := deleted
	work(8)
	if deleted <= was {
		t.Errorf("maintenance has deleted nothing since the clock was put right (%d files before)", was)
	}
	if st := a.Status(); st.JournalBytes > 1<<20 {
		t.Errorf("folded journal files stay: %d bytes", st.JournalBytes)
	}
	rep, err := a.Check(ctx, true, nil)
	if err != nil || !rep.OK() || rep.Blobs != int64(n) {
		t.Errorf("check: %+v, %v", rep, err)
	}
}

func TestWaitingCommitsShareOneSync(t *testing.T) {
	var syncs atomic.Int64
	a, _ := newArchive(t, Options{Fault: func(op string) error {
		if op == "journal.sync" {
			syncs.Add(1)
			time.Sleep(2 * time.Millisecond)
		}
		return nil
	}})
	var wg sync.WaitGroup
	var mu sync.Mutex
	seen := map[uint64]bool{}
	for g := range 50 {
		wg.Go(func() {
			for i := range 4 {
				c, err := a.Commit(context.Background(), Batch{Records: messages(fmt.Sprint(g), i, 1)})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if seen[c.Seq] {
					t.Errorf("number %d was given twice", c.Seq)
				}
				seen[c.Seq] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if n := syncs.Load(); n > 40 || len(seen) != 200 {
		t.Errorf("200 commits from 50 writers took %d syncs, %d numbers", n, len(seen))
	}
	if got := walk(t, a); len(got) != 200 {
		t.Errorf("%d records", len(got))
	}
}

func TestPutLogSurvivesATornLineAndAStrayFile(t *testing.T) {
	a, dir := newArchive(t, Options{})
	s := newShelf()
	s.add(commit(t, a, messages("c", 0, 10)...))
	a.SetRelocate(s.relocate)
	fold(t, a)
	want := len(a.blobs.log.snapshot())
	a.Close()
	b, err := os.ReadFile(dir + "/" + putLogName)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{len(b) - 1, len(b) - 20, len(b) / 2, 0} {
		if err := os.WriteFile(dir+"/"+putLogName, b[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		a := open(t, dir, Options{})
		if got := len(a.blobs.log.snapshot()); got != want {
			t.Errorf("cut at %d: %d files are logged, want %d", n, got, want)
		}
		s.check(t, a)
		a.Close()
	}
}

// TestLargeBlobStreams takes more than the memory it may use.
func TestLargeBlobStreams(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 96 MiB")
	}
	a, _ := newArchive(t, Options{})
	ctx := context.Background()
	const size = 96 << 20
	src := func() io.Reader { return io.LimitReader(&pattern{}, size) }
	h := newHasher()
	io.Copy(h, src())
	b, err := a.PutBlob(ctx, "big", size, src())
	if err != nil || b.SHA256 != h.hash() {
		t.Fatal(err)
	}
	r := message("c", 0)
	r.Blobs = []record.Blob{b}
	commit(t, a, r)
	a = reopen(t, a, Options{})
	f, err := a.OpenBlob(ctx, b)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h = newHasher()
	if n, err := io.Copy(h, f); err != nil || n != size || h.hash() != b.SHA256 {
		t.Errorf("read %d bytes back: %v", n, err)
	}
	if _, err := a.PutBlob(ctx, "x", -1, io.MultiReader(bytes.NewReader(make([]byte, 1<<20)), iotest.ErrReader(errFault))); err == nil {
		t.Error("a stream that broke was taken")
	}
}

// pattern is an endless stream that does not compress away.
type pattern struct{ n uint64 }

func (p *pattern) Read(b []byte) (int, error) {
	for i := range b {
		p.n = p.n*6364136223846793005 + 1442695040888963407
		b[i] = byte(p.n >> 56)
	}
	return len(b), nil
}
