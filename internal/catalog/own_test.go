package catalog

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"farol/internal/record"
)

// ownOf is a scope as policy makes it for a member: kind by kind, each with its
// own sort of key.
func ownOf(keys map[record.Kind][]string) record.Scope {
	var s record.Scope
	for _, k := range []record.Kind{record.Chat, record.Files, record.Approvals} {
		s = s.With(record.Scope{All: true, Kinds: []record.Kind{k}, Class: record.Secret, Realms: record.AllRealms, Private: true, Own: true, Authors: keys[k]})
	}
	return s
}

// TestOwnIsWhatOnePersonWrote compares lists, counts and searches with what the
// rows say, for random people, edits, circles and periods.
func TestOwnIsWhatOnePersonWrote(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 2))
	c := open(t, filepath.Join(t.TempDir(), "c.db"))
	people := []string{"ana", "rui", "wai", ""}
	kinds := []record.Kind{record.Chat, record.Files, record.Approvals, record.Contacts}
	type item struct {
		row  Row
		last bool
	}
	var items []item
	current := map[record.Ref]int{}
	for seq := range uint64(6) {
		var rows []Row
		for i := range 150 {
			n := int(seq)*150 + i
			k := kinds[rng.IntN(4)]
			r := Row{Ref: record.Ref{Kind: k, Container: fmt.Sprint("box", rng.IntN(4)), ID: fmt.Sprint(rng.IntN(400))}, Ver: record.HashOf(fmt.Append(nil, n)), Class: record.Class(rng.IntN(4)), State: rng.IntN(8) * Private,
				Time: time.Date(2023+rng.IntN(4), 1, 1, 0, 0, rng.IntN(1e7), 0, time.UTC), Author: Person{Key: people[rng.IntN(4)]}, Index: i, Loc: record.Loc{Seg: "j", Off: int64(n), Len: 1}, Text: []string{"報價單", "invoice"}[rng.IntN(2)]}
			if slices.ContainsFunc(rows, func(o Row) bool { return o.Ref == r.Ref }) {
				continue
			}
			if rng.IntN(12) == 0 {
				r.State |= Describes
			}
			if old, ok := current[r.Ref]; ok {
				items[old].last = false
			}
			current[r.Ref] = len(items)
			items, rows = append(items, item{r, true}), append(rows, r)
		}
		if err := c.Apply(t.Context(), seq+1, rows); err != nil {
			t.Fatal(err)
		}
	}
	for range 60 {
		keys := map[record.Kind][]string{}
		for _, k := range kinds {
			for _, p := range people[:3] {
				if rng.IntN(2) == 0 {
					keys[k] = append(keys[k], p)
				}
			}
		}
		s := ownOf(keys)
		q := OwnQuery{Limit: 1 + rng.IntN(40)}
		if rng.IntN(2) == 0 {
			q.From = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
			q.To = q.From.AddDate(0, rng.IntN(30)+1, 0)
		}
		if rng.IntN(2) == 0 {
			q.Kind = kinds[rng.IntN(3)]
		}
		his := func(i item) bool {
			return i.row.State&Describes == 0 && i.row.Ref.Kind != record.Contacts && slices.Contains(keys[i.row.Ref.Kind], i.row.Author.Key)
		}
		want, found, tally := map[int64]bool{}, map[int64]bool{}, map[Tally]int64{}
		for _, i := range items {
			if his(i) && i.last {
				if tally[Tally{Kind: i.row.Ref.Kind, Year: i.row.Time.In(record.Macau).Year()}]++; (q.Kind == "" || q.Kind == i.row.Ref.Kind) && (q.From.IsZero() || !i.row.Time.Before(q.From) && i.row.Time.Before(q.To)) {
					want[i.row.Loc.Off] = true
				}
			}
			found[i.row.Loc.Off] = his(i) && i.row.Text == "invoice" // older versions too
		}
		got, last := map[int64]bool{}, int64(1<<62)
		for {
			hs, err := c.Own(t.Context(), s, q)
			if err != nil {
				t.Fatal(err)
			}
			for _, h := range hs {
				if got[h.Loc.Off] || h.ID >= last {
					t.Fatalf("row %d comes twice or out of order", h.Loc.Off)
				}
				got[h.Loc.Off], last = true, h.ID
			}
			if len(hs) < q.Limit {
				break
			}
			q.Before = last
		}
		for _, i := range items {
			if off := i.row.Loc.Off; got[off] != want[off] {
				t.Fatalf("row %d: listed %v, want %v for %v %+v", off, got[off], want[off], keys, q)
			}
		}
		ts, err := c.Tallies(t.Context(), s)
		if err != nil || len(ts) != len(tally) {
			t.Fatalf("%d counts, want %d, %v", len(ts), len(tally), err)
		}
		for _, x := range ts {
			if n := x.Items; n != tally[Tally{Kind: x.Kind, Year: x.Year}] {
				t.Fatalf("%+v, want %d", x, tally[Tally{Kind: x.Kind, Year: x.Year}])
			}
		}
		hits, err := c.Search(t.Context(), s, Query{Expr: ParseExpr("invoice"), Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range hits {
			if !found[h.Loc.Off] {
				t.Fatalf("row %d was found", h.Loc.Off)
			}
			delete(found, h.Loc.Off)
		}
		for off, missed := range found {
			if missed {
				t.Fatalf("row %d was not found", off)
			}
		}
	}
	if _, err := c.Own(t.Context(), all, OwnQuery{Limit: 1}); !errors.Is(err, ErrNotOwn) {
		t.Error("a scope of everybody lists as somebody's own:", err)
	}
	if _, err := c.Tallies(t.Context(), all.With(ownOf(map[record.Kind][]string{record.Chat: {"ana"}}))); !errors.Is(err, ErrNotOwn) {
		t.Error("a scope that reaches further counts as somebody's own:", err)
	}
}

func TestEachNamedFindsOneRecordInEveryContainer(t *testing.T) {
	c := open(t, filepath.Join(t.TempDir(), "c.db"))
	for seq := range uint64(2) { // the second replaces the first
		var rows []Row
		for i := range 700 {
			r := message(i, int64(i), fmt.Sprint(seq))
			r.Ref.ID, r.State, r.Loc = "@members", Describes, record.Loc{Seg: "j", Off: int64(seq)*1000 + int64(i), Len: 1}
			rows = append(rows, r)
		}
		if err := c.Apply(t.Context(), seq+1, rows); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[int64]bool{}
	err := c.EachNamed(t.Context(), record.Chat, "@members", func(hs []Hit) error {
		for _, h := range hs {
			seen[h.Loc.Off] = true
		}
		return nil
	})
	if err != nil || len(seen) != 700 || seen[699] || !seen[1699] {
		t.Errorf("%d, %v", len(seen), err)
	}
}

// BenchmarkOwn asks for one person's among 400,000 messages of 200, all of
// which hold the word.
func BenchmarkOwn(b *testing.B) {
	c := open(b, filepath.Join(b.TempDir(), "c.db"))
	const n, batch = 400_000, 10_000
	began := time.Now()
	for at := 0; at < n; at += batch {
		rows := make([]Row, batch)
		for i := range rows {
			rows[i] = message(at+i, int64(i%20), "報價單 invoice")
			rows[i].Author = Person{Key: fmt.Sprint("p", (at+i)%200)}
		}
		if err := c.Apply(b.Context(), uint64(at/batch)+1, rows); err != nil {
			b.Fatal(err)
		}
	}
	b.Logf("%d rows in %s", n, time.Since(began))
	s := ownOf(map[record.Kind][]string{record.Chat: {"p7"}})
	for name, ask := range map[string]func() error{
		"list":  func() error { _, err := c.Own(b.Context(), s, OwnQuery{Limit: 30}); return err },
		"tally": func() error { _, err := c.Tallies(b.Context(), s); return err },
		"search": func() error {
			_, err := c.Search(b.Context(), s, Query{Expr: ParseExpr("報價單"), Limit: 30})
			return err
		},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := ask(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
