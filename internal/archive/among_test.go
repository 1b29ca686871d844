package archive

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"farol/internal/record"
)

// TestFoldsAmongCommitsLoseNone folds without pause while many commit: a
// journal file that a fold takes must never be appended to again. Everything
// that was acknowledged is there afterwards, in this process and in the next.
func TestFoldsAmongCommitsLoseNone(t *testing.T) {
	a, dir := newArchive(t, Options{KeepJournal: time.Nanosecond})
	a.SetRelocate(func(context.Context, Moves) error { return nil })
	ctx, stop := context.WithTimeout(t.Context(), 4*time.Second)
	defer stop()
	var wg sync.WaitGroup
	var mu sync.Mutex
	acked := map[string]bool{}
	for lane := range 4 {
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				recs := messages(fmt.Sprint("c", lane), n*10, 1)
				c, err := a.Commit(t.Context(), Batch{Records: recs})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				acked[recs[0].Ref.String()+"@"+fmt.Sprint(c.Seq)] = true
				mu.Unlock()
			}
		})
	}
	folds := 0
	for ; ctx.Err() == nil; folds++ {
		if _, err := a.Fold(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	there := func(what string) {
		t.Helper()
		got := map[string]bool{}
		err := a.Walk(t.Context(), func(r record.Record, _ record.Loc, seq uint64, _ int) error {
			got[r.Ref.String()+"@"+fmt.Sprint(seq)] = true
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		lost := 0
		for k := range acked {
			if !got[k] {
				lost++
			}
		}
		if lost > 0 {
			t.Errorf("%s: %d of %d acknowledged commits are lost after %d folds", what, lost, len(acked), folds)
		}
	}
	there("at once")
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	a = open(t, dir, Options{})
	defer a.Close()
	there("after opening again")
	t.Logf("%d commits, %d folds", len(acked), folds)
}
