package archive

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kopia/kopia/fs"
	"github.com/kopia/kopia/snapshot"
	"github.com/kopia/kopia/snapshot/snapshotfs"

	"farol/internal/record"
)

// limit ends a reader after n bytes.
type limit struct {
	r io.Reader
	n int64
}

func (c *limit) Read(b []byte) (int, error) {
	if c.n <= 0 {
		return 0, io.EOF
	}
	n, err := c.r.Read(b[:min(int64(len(b)), c.n)])
	c.n -= int64(n)
	return n, err
}

// widest walks a directory of the tree and returns the most entries that one
// holds, and how many files there are.
func widest(t *testing.T, d fs.Directory) (most, files int) {
	t.Helper()
	n := 0
	err := fs.IterateEntries(context.Background(), d, func(ctx context.Context, e fs.Entry) error {
		n++
		if sub, ok := e.(fs.Directory); ok {
			m, f := widest(t, sub)
			most, files = max(most, m), files+f
			return nil
		}
		files++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return max(most, n), files
}

func TestTenThousandContainersFoldOpenAndStayNarrow(t *testing.T) {
	const containers = 10_000
	ctx := context.Background()
	a, _ := newArchive(t, Options{})
	s := newShelf()
	a.SetRelocate(s.relocate)
	for at := 0; at < containers; at += 2000 {
		recs := make([]record.Record, 2000)
		for i := range recs {
			recs[i] = message(fmt.Sprintf("cid%05d==", at+i), at+i)
		}
		s.add(commit(t, a, recs...))
	}
	start := time.Now()
	fold(t, a)
	first := time.Since(start)
	s.add(commit(t, a, messages("cid00007==", 20_000, 100)...))
	start = time.Now()
	p := fold(t, a)
	second := time.Since(start)
	man, err := snapshot.ListSnapshots(ctx, a.rep, source)
	if err != nil || len(man) == 0 {
		t.Fatal(err)
	}
	root, err := snapshotfs.SnapshotRoot(a.rep, man[len(man)-1])
	if err != nil {
		t.Fatal(err)
	}
	most, files := widest(t, root.(fs.Directory))
	start = time.Now()
	a = reopen(t, a, Options{})
	opened := time.Since(start)
	a.SetRelocate(s.relocate)
	t.Logf("first fold %v, the next %v, open %v, %d files, at most %d entries a directory", first, second, opened, files, most)
	if most > 1000 || files < containers {
		t.Errorf("%d files, a directory has %d entries", files, most)
	}
	if opened > 5*time.Second || second > 10*time.Second {
		t.Errorf("open took %v, a fold of 100 messages %v", opened, second)
	}
	if p.Records != containers+100 {
		t.Errorf("%d records", p.Records)
	}
	if got := walk(t, a); len(got) != containers+100 {
		t.Errorf("%d records are read", len(got))
	}
	for i := 0; i < containers; i += 997 {
		r := message(fmt.Sprintf("cid%05d==", i), i)
		got, err := a.Read(ctx, s.locs[key(&r)])
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "read", got, r)
	}
}

func TestAMessageOfAMegabyteIsReadAsItCame(t *testing.T) {
	a, _ := newArchive(t, Options{})
	s := newShelf()
	a.SetRelocate(s.relocate)
	r := message("c", 1)
	r.Raw = []byte(`{"text":"` + strings.Repeat("倉😀\u2028 ", 100_000) + `"}`)
	if len(r.Raw) < 1<<20 {
		t.Fatalf("only %d bytes", len(r.Raw))
	}
	s.add(commit(t, a, message("c", 0), r, message("c", 2)))
	s.check(t, a)
	fold(t, a)
	s.check(t, a)
	a = reopen(t, a, Options{})
	a.SetRelocate(s.relocate)
	s.check(t, a)
}

// TestAFileOfGigabytesStreamsInBoundedMemory takes FAROL_LARGE gigabytes (5 is
// the promise) from a generator, folds, reads them back and compares.
func TestAFileOfGigabytesStreamsInBoundedMemory(t *testing.T) {
	gb, err := strconv.Atoi(os.Getenv("FAROL_LARGE"))
	if err != nil || gb < 1 {
		t.Skip("set FAROL_LARGE=5 to write and read a file of 5 GB; it needs twice the room")
	}
	ctx := context.Background()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil { // the peak of what ran before does not count
		t.Fatal(err)
	}
	a, _ := newArchive(t, Options{})
	size := int64(gb) << 30
	start := time.Now()
	h := newHasher()
	b, err := a.PutBlob(ctx, "large.bin", size, io.TeeReader(&limit{&pattern{}, size}, h))
	if err != nil || b.SHA256 != h.hash() || b.Size != size {
		t.Fatalf("%+v %v", b, err)
	}
	r := message("c", 0)
	r.Blobs = []record.Blob{b}
	commit(t, a, r)
	fold(t, a)
	wrote := time.Since(start)
	a = reopen(t, a, Options{})
	start = time.Now()
	f, err := a.OpenBlob(ctx, b)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h = newHasher()
	if n, err := io.Copy(h, f); err != nil || n != size || h.hash() != b.SHA256 {
		t.Errorf("read %d bytes back: %v", n, err)
	}
	peak := peakMemory(t)
	t.Logf("%d GB: written in %v, read in %v, at most %d MB of memory", gb, wrote.Round(time.Second), time.Since(start).Round(time.Second), peak>>20)
	if peak > 512<<20 {
		t.Errorf("it took %d MB of memory", peak>>20)
	}
}

// peakMemory is the most memory this process ever had, or since it was reset.
func peakMemory(t *testing.T) int64 {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip("no /proc here")
	}
	for _, line := range strings.Split(string(b), "\n") {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kb << 10
		}
	}
	t.Fatal("no VmHWM")
	return 0
}
