package catalog

import (
	"math/rand/v2"
	"testing"
)

// TestASlotIsGivenOnceAndTheNextFreeOneIsFound compares with a plain set, where
// many ask for the same few seconds, and over the ends of words and pages.
func TestASlotIsGivenOnceAndTheNextFreeOneIsFound(t *testing.T) {
	s, taken := slots{}, map[int64]bool{}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 6_000 {
		from := 4 * (1_000_000 + rnd.Int64N(256))
		want := from
		for taken[want] {
			want++
		}
		if got := s.take(from); got != want {
			t.Fatalf("asked for %d: got %d, the first free one is %d", from, got, want)
		}
		taken[want] = true
	}
}
