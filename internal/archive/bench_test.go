package archive

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"farol/internal/record"
)

// BenchmarkSync is what the disk takes for one appended kilobyte.
func BenchmarkSync(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "f"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	buf := make([]byte, 1024)
	for b.Loop() {
		f.Write(buf)
		f.Sync()
	}
}

func BenchmarkCommit(b *testing.B) {
	for _, n := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			a, _ := newArchive(b, Options{})
			recs := messages("c", 0, n)
			for b.Loop() {
				commit(b, a, recs...)
			}
		})
	}
}

// BenchmarkFold folds 64 MiB of messages in 200 conversations.
func BenchmarkFold(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		a, _ := newArchive(b, Options{KeepJournal: time.Nanosecond})
		a.SetRelocate(func(context.Context, Moves) error { return nil })
		for a.unfolded() < 64<<20 {
			for c := range 10 {
				commit(b, a, messages(fmt.Sprint("conversation", c*20+int(a.LastSeq())%20), int(a.LastSeq())*100, 100)...)
			}
		}
		b.SetBytes(a.unfolded())
		b.StartTimer()
		fold(b, a)
		b.StopTimer()
		a.Close()
		b.StartTimer()
	}
}

func filled(b *testing.B, n int) (*Archive, []record.Loc) {
	a, _ := newArchive(b, Options{})
	s := newShelf()
	a.SetRelocate(s.relocate)
	for i := 0; i < n; i += 1000 {
		s.add(commit(b, a, messages("c", i, 1000)...))
	}
	fold(b, a)
	var locs []record.Loc
	for _, l := range s.locs {
		locs = append(locs, l)
	}
	return a, locs
}

func BenchmarkReadMany50000(b *testing.B) {
	a, locs := filled(b, 50_000)
	for b.Loop() {
		err := a.ReadMany(context.Background(), locs, func(int, record.Record) error { return nil })
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWalk50000(b *testing.B) {
	a, _ := filled(b, 50_000)
	for b.Loop() {
		err := a.Walk(context.Background(), func(record.Record, record.Loc, uint64, int) error { return nil })
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	a, _ := filled(b, 20_000)
	for b.Loop() {
		if err := a.Close(); err != nil {
			b.Fatal(err)
		}
		a = open(b, a.dir, Options{})
	}
}
