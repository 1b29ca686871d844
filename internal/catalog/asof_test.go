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

// version is what the model remembers of one applied row.
type version struct {
	seq       uint64
	item      string // container and upstream id
	container string
	kind      record.Kind
	word      string
	state     int
	class     record.Class
	at        time.Time
}

// world is every version in the order of its commits; what held at a commit is
// found by playing them again.
type world []version

func (w world) at(seq uint64) map[string]version {
	out := map[string]version{}
	for _, v := range w {
		if v.seq <= seq {
			out[v.item] = v
		}
	}
	return out
}

// TestAnyCommitShowsWhatHeldThen holds pages, lists, searches, exports and
// versions at every commit of random histories against a model that is played
// again, for a reader of everything and for one who may see less.
func TestAnyCommitShowsWhatHeldThen(t *testing.T) {
	kinds := []record.Kind{record.Chat, record.Files}
	words := []string{"報價單", "倉庫", "invoice", "合約"}
	for seed := range uint64(12) {
		rng := rand.New(rand.NewPCG(seed, 77))
		c := open(t, filepath.Join(t.TempDir(), "c.db"))
		var w world
		const commits = 14
		for seq := uint64(1); seq <= commits; seq++ {
			var rows []Row
			used := map[string]bool{}
			for i := range 1 + rng.IntN(6) {
				kind := kinds[rng.IntN(2)]
				box := fmt.Sprint("box", rng.IntN(3))
				id := fmt.Sprint("item", rng.IntN(5))
				describes := rng.IntN(5) == 0
				if describes {
					id = "box"
				}
				item := string(kind) + "/" + box + "/" + id
				if used[item] {
					continue
				}
				used[item] = true
				v := version{seq: seq, item: item, container: box, kind: kind, word: words[rng.IntN(len(words))], class: record.Class(rng.IntN(4)), at: time.UnixMilli(1.7e12 + int64(rng.IntN(20))*1000).UTC()}
				if rng.IntN(4) == 0 {
					v.state |= Tombstone
				}
				r := Row{Ref: record.Ref{Kind: kind, Container: box, ID: id}, Ver: record.HashOf(fmt.Append(nil, seq, item)), Time: v.at, Class: v.class, Bytes: 10, Index: i, Loc: record.Loc{Seg: "j", Off: int64(seq)*100 + int64(i), Len: 1}, Dept: 1}
				if describes {
					v.state |= Describes
					v.word = ""
					r.Container, r.Gone = &record.Container{Kind: kind, ID: box, Dept: 1, Title: fmt.Sprint("title", seq)}, v.state&Tombstone != 0
				} else {
					r.Text = v.word
				}
				r.State = v.state
				rows = append(rows, r)
				w = append(w, v)
			}
			if err := c.Apply(t.Context(), seq, rows); err != nil {
				t.Fatal(err)
			}
		}
		less := record.Scope{All: true, Kinds: []record.Kind{record.Chat}, Class: record.Internal}
		for seq := uint64(0); seq <= commits; seq++ {
			for _, scope := range []record.Scope{all, less} {
				checkAsOf(t, c, w, scope, seq, commits, words)
			}
			if t.Failed() {
				t.Fatalf("seed %d, commit %d", seed, seq)
			}
		}
	}
}

func seen(s record.Scope, v version) bool {
	return slices.Contains(s.Kinds, v.kind) && v.class <= s.Class
}

func checkAsOf(t *testing.T, c *Catalog, w world, scope record.Scope, seq, last uint64, words []string) {
	t.Helper()
	when := seq
	if seq == 0 {
		when = last
	}
	then := w.at(when)
	key := func(item string, s uint64) string { return fmt.Sprint(item, "@", s) }
	byItem := map[int64]string{}
	for _, v := range w {
		byItem[c.ItemID(string(v.kind), v.container, v.item[len(string(v.kind))+len(v.container)+2:])] = v.item
	}
	itemOf := func(h Hit) string {
		var item int64
		if err := c.viewRow(t.Context(), "SELECT item FROM rec WHERE id=?", []any{h.ID}, &item); err != nil {
			t.Fatal(err)
		}
		return byItem[item]
	}
	keys := func(hs []Hit) (out []string) {
		for _, h := range hs {
			if h.Seq > when || h.Until > when {
				t.Errorf("a version of commit %d until %d is shown at %d", h.Seq, h.Until, seq)
			}
			out = append(out, key(itemOf(h), h.Seq))
		}
		slices.Sort(out)
		return out
	}
	same := func(what string, got, want []string) {
		t.Helper()
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s at %d:\n got %v\nwant %v", what, seq, got, want)
		}
	}
	var current []string
	items, gone := map[string]int64{}, map[string]bool{}
	for _, v := range then {
		if !seen(scope, v) {
			continue
		}
		current = append(current, key(v.item, v.seq))
		box := string(v.kind) + "/" + v.container
		if v.state&Describes == 0 {
			items[box]++
		} else {
			items[box] += 0
			gone[box] = v.state&Tombstone != 0
		}
	}
	var selected []Hit
	if err := c.Select(t.Context(), scope, seq, time.Time{}, time.Time{}, 3, func(hs []Hit) error { selected = append(selected, hs...); return nil }); err != nil {
		t.Fatal(err)
	}
	same("an export", keys(selected), slices.Clone(current))
	infos, err := c.Containers(t.Context(), scope, seq)
	if err != nil {
		t.Fatal(err)
	}
	if len(infos) != len(items) {
		t.Errorf("%d containers at %d, want %d", len(infos), seq, len(items))
	}
	for _, i := range infos {
		box := string(i.Kind) + "/" + i.ID
		one, err := c.Container(t.Context(), scope, i.CatalogID, seq)
		if err != nil || i.Items != items[box] || one.Items != items[box] {
			t.Errorf("%s at %d: %d and %d items, want %d, %v", box, seq, i.Items, one.Items, items[box], err)
		}
		if _, described := gone[box]; described && (i.Gone != gone[box] || one.Gone != gone[box]) {
			t.Errorf("%s at %d: gone %v and %v, want %v", box, seq, i.Gone, one.Gone, gone[box])
		}
		hs, err := c.Page(t.Context(), scope, PageQuery{Container: i.CatalogID, AsOf: seq, Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, v := range then {
			if seen(scope, v) && v.state&Describes == 0 && string(v.kind)+"/"+v.container == box {
				want = append(want, key(v.item, v.seq))
			}
		}
		same("a page of "+box, keys(hs), want)
	}
	for _, word := range words {
		hs, err := c.Search(t.Context(), scope, Query{Expr: ParseExpr(word), AsOf: seq, Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, v := range w {
			if v.seq <= when && v.word == word && seen(scope, v) {
				want = append(want, key(v.item, v.seq))
			}
		}
		same("a search for "+word, keys(hs), want)
		for _, h := range hs {
			if current := then[itemOf(h)].seq == h.Seq; current != (h.Until == 0) {
				t.Errorf("version %d of %s at %d is current %v, until %d", h.Seq, itemOf(h), seq, current, h.Until)
			}
			vs, err := c.Versions(t.Context(), scope, h.ID, seq)
			if err != nil {
				t.Fatal(err)
			}
			var had []string
			for _, v := range w {
				if v.item == itemOf(h) && v.seq <= when && seen(scope, v) {
					had = append(had, key(v.item, v.seq))
				}
			}
			same("the versions", keys(vs), had)
			if seq > 0 && h.Seq > 1 {
				if _, err := c.Get(t.Context(), scope, h.ID, h.Seq-1); !errors.Is(err, ErrNotFound) {
					t.Errorf("a version of commit %d is there at %d: %v", h.Seq, h.Seq-1, err)
				}
			}
		}
		if n, err := c.CountUpTo(t.Context(), scope, Query{Expr: ParseExpr(word), AsOf: seq}, 1000); err != nil || n != len(want) {
			t.Errorf("counts %d of %s at %d, want %d, %v", n, word, seq, len(want), err)
		}
	}
}
