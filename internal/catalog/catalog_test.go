package catalog

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"farol/internal/record"
)

// xorBox is no cipher: it only makes sure that names pass through a box.
type xorBox struct{}

func (xorBox) Seal(p, _ []byte) []byte {
	out := make([]byte, len(p))
	for i, b := range p {
		out[i] = b ^ 0x5A
	}
	return out
}
func (b xorBox) Open(s, a []byte) ([]byte, error) { return b.Seal(s, a), nil }

func open(t testing.TB, path string) *Catalog {
	t.Helper()
	c, err := Open(t.Context(), path, Keys{[]byte("key"), []byte("names")}, xorBox{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

var all = record.Scope{All: true, Kinds: record.Kinds, Class: record.Secret, Realms: record.AllRealms, Private: true}

func message(i int, dept int64, text string) Row {
	raw := fmt.Appendf(nil, "%d %s", i, text)
	return Row{Ref: record.Ref{Kind: record.Chat, Container: fmt.Sprint("group", dept), ID: fmt.Sprint("m", i)}, Ver: record.HashOf(raw), Time: time.UnixMilli(1.7e12 + int64(i)*100).UTC(),
		Author: Person{"p1", "李偉強"}, Class: record.Internal, Bytes: int64(len(raw)), Index: i, Loc: record.Loc{Seg: "j1", Off: int64(i), Len: 1}, Text: text, Dept: dept}
}

func TestASearchStaysInsideItsScope(t *testing.T) {
	c := open(t, filepath.Join(t.TempDir(), "c.db"))
	var rows []Row
	for i := range 40 {
		rows = append(rows, message(i, int64(1+i%2), "報價單 purchase order"))
	}
	private := message(40, 1, "報價單 私聊")
	private.Ref.Container, private.State = "private", Private
	secret := message(41, 1, "報價單 機密")
	secret.Class = record.Secret
	rows = append(rows, private, secret)
	if err := c.Apply(t.Context(), 1, rows); err != nil {
		t.Fatal(err)
	}
	for _, k := range []struct {
		name string
		s    record.Scope
		want int
	}{
		{"everything", all, 42}, {"nothing", record.Scope{}, 0}, {"no kind", record.Scope{All: true, Class: 3}, 0},
		{"one department", record.Scope{Depts: []int64{2}, Kinds: record.Kinds, Class: record.Internal}, 20},
		{"no private, no secret", record.Scope{All: true, Kinds: record.Kinds, Class: record.Internal}, 40},
		{"other kind", record.Scope{All: true, Kinds: []record.Kind{record.Files}, Class: record.Secret, Private: true}, 0},
		{"one container", record.Scope{All: true, Kinds: []record.Kind{record.Chat}, Class: record.Secret, Private: true, Containers: []string{"private"}}, 1},
	} {
		hs, err := c.Search(t.Context(), k.s, Query{Expr: ParseExpr("报价单"), Limit: 100})
		if err != nil || len(hs) != k.want {
			t.Errorf("%s: %d hits, want %d, %v", k.name, len(hs), k.want, err)
		}
		n, err := c.CountUpTo(t.Context(), k.s, Query{Expr: ParseExpr("報價")}, 1000)
		if err != nil || n != k.want {
			t.Errorf("%s: counts %d, want %d, %v", k.name, n, k.want, err)
		}
		for _, h := range hs {
			if _, err := c.Get(t.Context(), k.s, h.ID, 0); err != nil {
				t.Errorf("%s: found but not opened: %v", k.name, err)
			}
		}
		if infos, err := c.Containers(t.Context(), k.s, 0); err != nil || (k.want == 0) != (len(infos) == 0) {
			t.Errorf("%s: %d containers, %v", k.name, len(infos), err)
		}
	}
	cat := record.Scope{Depts: []int64{2}, Kinds: record.Kinds, Class: record.Internal}
	hs, _ := c.Search(t.Context(), all, Query{Expr: ParseExpr("機密"), Limit: 1})
	if _, err := c.Get(t.Context(), cat, hs[0].ID, 0); err != ErrNotFound {
		t.Errorf("a record outside the scope answers %v", err)
	}
}

func TestApplyingACommitTwiceDoublesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.db")
	c := open(t, path)
	rows := []Row{message(1, 1, "a"), message(2, 1, "b")}
	for range 2 {
		if err := c.Apply(t.Context(), 1, rows); err != nil {
			t.Fatal(err)
		}
	}
	edit := message(1, 1, "edited")
	edit.Loc.Seg, edit.Ver = "j2", record.HashOf([]byte("edited"))
	if err := c.Apply(t.Context(), 2, []Row{edit}); err != nil {
		t.Fatal(err)
	}
	id := c.ContainerID(record.Chat, "group1")
	now, _ := c.Page(t.Context(), all, PageQuery{Container: id, Limit: 10})
	then, _ := c.Page(t.Context(), all, PageQuery{Container: id, Limit: 10, AsOf: 1})
	if len(now) != 2 || len(then) != 2 {
		t.Fatalf("%d now, %d then", len(now), len(then))
	}
	vs, err := c.Versions(t.Context(), all, then[len(then)-1].ID, 0)
	if err != nil || len(vs) != 2 || vs[0].Until != 2 || vs[1].Until != 0 {
		t.Fatalf("%+v %v", vs, err)
	}
	known, err := c.Known(t.Context(), []record.Ref{edit.Ref, {Kind: record.Chat, Container: "group1", ID: "absent"}})
	if err != nil || len(known) != 1 || known[edit.Ref].Ver != Ver(edit.Ver) {
		t.Fatalf("%v %v", known, err)
	}
}

func TestAFoldMovesRecordsOnce(t *testing.T) {
	c := open(t, filepath.Join(t.TempDir(), "c.db"))
	if err := c.Apply(t.Context(), 1, []Row{message(1, 1, "a"), message(2, 1, "b")}); err != nil {
		t.Fatal(err)
	}
	moves := func(yield func(Move) bool) {
		yield(Move{record.Loc{Seg: "j1", Off: 1}, record.Loc{Seg: "k1", Off: 100, Len: 7}})
	}
	for range 2 {
		if err := c.Relocate(t.Context(), 1, moves); err != nil {
			t.Fatal(err)
		}
	}
	hs, err := c.Page(t.Context(), all, PageQuery{Container: c.ContainerID(record.Chat, "group1"), Limit: 10})
	if err != nil || hs[1].Loc != (record.Loc{Seg: "k1", Off: 100, Len: 7}) || hs[0].Loc.Seg != "j1" {
		t.Fatalf("%+v %v", hs, err)
	}
}

func TestManyMessagesOfOneSecondKeepTheirOrder(t *testing.T) {
	c := open(t, filepath.Join(t.TempDir(), "c.db"))
	for b := range 3 {
		var rows []Row
		for i := range 100 {
			r := message(b*100+i, 1, "x")
			r.Time = time.UnixMilli(1.7e12)
			rows = append(rows, r)
		}
		if err := c.Apply(t.Context(), uint64(b+1), rows); err != nil {
			t.Fatal(err)
		}
	}
	hs, err := c.Page(t.Context(), all, PageQuery{Container: c.ContainerID(record.Chat, "group1"), Limit: 500, After: 1})
	if err != nil || len(hs) != 300 {
		t.Fatalf("%d %v", len(hs), err)
	}
	for i, h := range hs {
		if h.Loc.Off != int64(i) {
			t.Fatalf("place %d holds message %d", i, h.Loc.Off)
		}
	}
}

func TestTheFileHoldsNoPlaintext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.db")
	c := open(t, path)
	r := message(1, 1, "機密合同 confidential-canary")
	r.Container = &record.Container{Kind: record.Chat, ID: "group1", Title: "氹仔工地協調群", Dept: 1}
	r.OfDept = &record.Dept{ID: 1, Name: "財務部"}
	if err := c.Apply(t.Context(), 1, []Row{r}); err != nil {
		t.Fatal(err)
	}
	c.Close()
	for _, f := range []string{path, path + "-wal"} {
		b, _ := os.ReadFile(f)
		for _, s := range []string{"機密", "canary", "氹仔", "財務", "李偉強", "group1"} {
			if bytes.Contains(b, []byte(s)) {
				t.Errorf("%s holds %q", filepath.Base(f), s)
			}
		}
	}
}

// TestAMassImportOfTheSameSecondsStaysQuick applies 40,000 items that share a
// few minutes, as after a move of files, in portions that come back to the
// same seconds again and again.
func TestAMassImportOfTheSameSecondsStaysQuick(t *testing.T) {
	c := open(t, filepath.Join(t.TempDir(), "c.db"))
	start := time.Now()
	for seq := range 40 {
		var rows []Row
		for i := range 1000 {
			r := message(seq*1000+i, 1, "")
			r.Time = time.Unix(1.7e9+int64(i%200)*7, 0).UTC()
			rows = append(rows, r)
		}
		if err := c.Apply(t.Context(), uint64(seq+1), rows); err != nil {
			t.Fatal(err)
		}
		if seq == 20 {
			clear(c.free) // as a restart does
		}
	}
	hits, err := c.Page(t.Context(), all, PageQuery{Container: c.ContainerID(record.Chat, "group1"), Limit: 50_000})
	if err != nil || len(hits) != 40_000 {
		t.Fatal(len(hits), err)
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
}
