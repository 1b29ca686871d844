package catalog

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"farol/internal/record"
)

// TestNobodySeesARowThatNoneOfHisGrantsCovers asks lists, pages and searches
// for random scopes, alone and as alternatives, and compares with what each
// row says of itself.
func TestNobodySeesARowThatNoneOfHisGrantsCovers(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 5))
	kinds := []record.Kind{record.Chat, record.Files, record.Approvals, record.Contacts}
	c := open(t, filepath.Join(t.TempDir(), "c.db"))
	const n = 600
	var rows []Row
	for i := range n {
		r := Row{Ref: record.Ref{Kind: kinds[rng.IntN(4)], Container: fmt.Sprint("box", rng.IntN(9)), ID: fmt.Sprint(i)}, Ver: record.HashOf(fmt.Append(nil, i)), Dept: int64(1 + rng.IntN(5)),
			Class: record.Class(rng.IntN(4)), Time: time.UnixMilli(1.7e12 + int64(i)*60_000).UTC(), Index: i, Loc: record.Loc{Seg: "j", Off: int64(i), Len: 1}, Bytes: 1, Text: "報價單", Author: Person{Key: []string{"", "ana", "rui", "wai"}[rng.IntN(4)]}}
		if rng.IntN(4) == 0 {
			r.State |= Private
		}
		r.State |= rng.IntN(4) * Finance
		rows = append(rows, r)
	}
	if err := c.Apply(t.Context(), 1, rows); err != nil {
		t.Fatal(err)
	}
	one := func() record.Scope {
		s := record.Scope{All: rng.IntN(4) == 0, Class: record.Class(rng.IntN(4)), Private: rng.IntN(2) == 0, Realms: record.Realms(rng.IntN(4))}
		for _, k := range kinds {
			if rng.IntN(3) > 0 {
				s.Kinds = append(s.Kinds, k)
			}
		}
		if rng.IntN(3) == 0 {
			s.Own = true
			s.Authors = [][]string{nil, {"ana"}, {"rui", "wai"}}[rng.IntN(3)]
		}
		for d := range int64(5) {
			if rng.IntN(3) == 0 {
				s.Depts = append(s.Depts, d+1)
			}
			if rng.IntN(6) == 0 {
				s.Except = append(s.Except, d+1)
			}
		}
		return s
	}
	covers := func(s record.Scope, r Row) bool {
		return slices.Contains(s.Kinds, r.Ref.Kind) && (s.All || slices.Contains(s.Depts, r.Dept)) && r.Class <= s.Class && (r.Ref.Kind == record.Contacts || !slices.Contains(s.Except, r.Dept)) && (s.Private || r.State&Private == 0) &&
			record.Realms(r.State/Finance)&^s.Realms == 0 && (!s.Own || slices.Contains(s.Authors, r.Author.Key))
	}
	expr := ParseExpr("報價單")
	for round := range 200 {
		alternatives := []record.Scope{one()}
		scope := alternatives[0]
		for range rng.IntN(3) {
			alternatives = append(alternatives, one())
			scope = scope.With(alternatives[len(alternatives)-1])
		}
		want := map[int64]bool{}
		for _, r := range rows {
			if slices.ContainsFunc(alternatives, func(s record.Scope) bool { return covers(s, r) }) {
				want[r.Loc.Off] = true
			}
		}
		got := map[int64]bool{}
		if err := c.Select(t.Context(), scope, 0, time.Time{}, time.Time{}, 100, func(hs []Hit) error {
			for _, h := range hs {
				got[h.Loc.Off] = true
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		hits, err := c.Search(t.Context(), scope, Query{Expr: expr, Limit: n})
		if err != nil {
			t.Fatal(err)
		}
		found := map[int64]bool{}
		for _, h := range hits {
			found[h.Loc.Off] = true
		}
		list, err := c.Containers(t.Context(), scope, 0)
		if err != nil {
			t.Fatal(err)
		}
		var listed int64
		for _, i := range list {
			listed += i.Items
		}
		for off := range int64(n) {
			if got[off] != want[off] || found[off] != want[off] {
				t.Fatalf("round %d, row %d: selected %v, found %v, covered %v by %+v", round, off, got[off], found[off], want[off], alternatives)
			}
		}
		if listed != int64(len(want)) {
			t.Fatalf("round %d: the lists count %d of %d rows", round, listed, len(want))
		}
	}
}
