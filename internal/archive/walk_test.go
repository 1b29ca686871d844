package archive

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/kopia/kopia/snapshot"

	"farol/internal/record"
)

// TestAWalkKeepsItsOrderAndEndsWithTheErrorOfItsReader holds that reading
// ahead is not seen: records come one at a time and in order, an error or a
// cancelled context is the last thing that happens, and the archive can be
// closed at once.
func TestAWalkKeepsItsOrderAndEndsWithTheErrorOfItsReader(t *testing.T) {
	a, _ := newArchive(t, Options{})
	var recs []record.Record
	for n := range 40 { // a segment each
		recs = append(recs, message(fmt.Sprintf("g%02d", n), n))
	}
	commit(t, a, recs...)
	if _, err := a.Fold(t.Context()); err != nil {
		t.Fatal(err)
	}
	var order, seen []string
	if bad, err := a.eachSegment(t.Context(), a.point, func(e *snapshot.DirEntry) error {
		order = append(order, e.ObjectID.String())
		return nil
	}); err != nil || len(bad) > 0 || len(order) != len(recs) {
		t.Fatalf("%d segments, %v %v", len(order), bad, err)
	}
	if err := a.Walk(t.Context(), func(_ record.Record, loc record.Loc, _ uint64, _ int) error {
		seen = append(seen, loc.Seg)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(seen, order) {
		t.Errorf("walked %v\nthe tree has %v", seen, order)
	}

	enough, n := errors.New("enough"), 0
	err := a.Walk(t.Context(), func(record.Record, record.Loc, uint64, int) error {
		if n++; n == 7 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || n != 7 {
		t.Errorf("after %d records: %v", n, err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	n = 0
	err = a.Walk(ctx, func(record.Record, record.Loc, uint64, int) error {
		if n++; n == 3 {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || errors.Is(err, ErrCorrupt) {
		t.Errorf("cancelled after %d records: %v", n, err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
}
