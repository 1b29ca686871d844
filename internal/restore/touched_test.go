package restore

import (
	"strings"
	"testing"

	"farol/internal/catalog"
)

// TestAnActOnManyIsFoundByEachOfThem: one entry names so much, the next ones
// the rest, nothing twice and nothing left out.
func TestAnActOnManyIsFoundByEachOfThem(t *testing.T) {
	var few, many touched
	if d := few.details(); len(d) != 1 || len(d[0]) != 0 {
		t.Errorf("nothing was reached: %v", d)
	}
	for i := range int64(1000) {
		many.add(catalog.Hit{Dept: i % 7, Container: i % 60, Author: i})
	}
	seen := map[string]int{}
	for _, detail := range many.details() {
		n := 0
		for key, ids := range detail {
			for id := range strings.SplitSeq(ids, ",") {
				seen[key+"/"+id]++
				n++
			}
		}
		if n > refsPerEntry {
			t.Errorf("an entry names %d", n)
		}
	}
	if len(seen) != 7+60+999 {
		t.Errorf("%d were named, want %d", len(seen), 7+60+999)
	}
	for ref, n := range seen {
		if n != 1 {
			t.Errorf("%s is named %d times", ref, n)
		}
	}
}
