package web

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"farol/internal/audit"
	"farol/internal/catalog"
	"farol/internal/i18n"
	"farol/internal/policy"
	"farol/internal/record"
	"farol/internal/restore"
)

// TestAStateOfThePastIsShownOnEveryPageUntilTheReaderGoesBack walks list,
// conversation, search, record, export at a commit.
func TestAStateOfThePastIsShownOnEveryPageUntilTheReaderGoesBack(t *testing.T) {
	h := newHouse(t)
	h.account("maria", "owner")
	h.backedUp()
	v := h.login("maria")
	v.post("/purpose", "purpose", "dispute", "title", "供應商訴訟案", "next", "/archive/chat").wants(t, 303)
	last, err := h.d.Catalog.Applied(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	box, _ := h.someContainer(record.Chat)
	rq := restore.Request{Subject: policy.Subject{Account: "test", Grants: policy.GrantsOf("owner")}, Purpose: policy.Verification}
	page, err := h.d.Door.Page(t.Context(), rq, catalog.PageQuery{Container: box.CatalogID, Limit: 50})
	if err != nil {
		t.Fatal(err)
	}
	it := page.Items[len(page.Items)-1]
	if it.Seq < 2 {
		t.Fatalf("the item came with commit %d", it.Seq)
	}
	at, before := strconv.FormatUint(it.Seq, 10), strconv.FormatUint(it.Seq-1, 10)
	path, rec := fmt.Sprintf("/archive/chat/%d", box.CatalogID), recordPath(it.ID)
	never := last + 1_000_000 // events go on to move cursors
	const band = "當時的狀態"
	v.get("/archive/chat").wants(t, 200).lacks(t, band, "as_of=")
	v.get("/archive/chat?as_of="+at).wants(t, 200, band, "返回現在", path+"?as_of="+at, `href="/search?as_of=`+at, `name="as_of" value="`+at)
	v.get(path+"?as_of="+at+"&near="+strconv.FormatInt(it.ID, 10)).wants(t, 200, band, rec+"?as_of="+at, `href="`+path+`?near=`)
	v.get(rec+"?as_of="+at).wants(t, 200, band)
	v.get(rec+"?as_of="+before).wants(t, 404)
	v.get(rec).wants(t, 200).lacks(t, band)
	if body := v.get(path + "?as_of=" + before).body; strings.Contains(body, `href="`+rec) {
		t.Error("an item is shown before it was there")
	}
	word := ""
	for _, x := range page.Items {
		if x.Seq == it.Seq && x.Doc.Body != "" {
			word = longest(x.Doc.Body)
			v.find("/search", word, "as_of", at).wants(t, 200, band, recordOrThread(x, at))
			if body := v.find("/search", word, "as_of", before).wants(t, 200, band).body; strings.Contains(body, "m"+strconv.FormatInt(x.ID, 10)+`"`) {
				t.Error("a search finds what was not there yet")
			}
			break
		}
	}
	if word == "" {
		t.Fatal("no text to search for")
	}
	v.get("/restore?step=2&as_of="+at).wants(t, 200, band, `value="`+at+`"`)
	for _, bad := range []string{"/archive/chat?as_of=x", "/archive/chat?as_of=-1", fmt.Sprint("/archive/chat?as_of=", never), fmt.Sprint(rec, "?as_of=", never), "/archive/chat?when=yesterday", "/archive/chat?when=2001-01-01T00:00"} {
		v.get(bad).wants(t, 422).lacks(t, band)
	}
	v.find("/search", "x", "as_of", fmt.Sprint(never)).wants(t, 422).lacks(t, band)
	v.post("/restore/run", "kind", "chat", "target", "zip", "as_of", fmt.Sprint(never)).wants(t, 422, "未發生")
	v.post("/restore/run", "kind", "chat", "target", "zip", "as_of", at).wants(t, 200)
	if a := v.get("/archive/chat?when="+h.clock.now().Add(time.Hour).In(i18n.Macau).Format(whenLayout)).wants(t, 303); asOfIn(t, a.to) < it.Seq {
		t.Errorf("an hour from now leads to %s", a.to)
	}
	es, _, err := h.d.Audit.List(audit.Filter{}, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	with := map[string]bool{}
	for _, e := range es {
		if e.Detail["as_of"] == at {
			with[e.Operation] = true
		}
	}
	for _, op := range []string{"view", "search", "export.run"} {
		if !with[op] {
			t.Errorf("no entry %s says as of which commit", op)
		}
	}
}

func recordOrThread(it restore.Item, at string) string {
	return query(fmt.Sprintf("/archive/chat/%d", it.Container), "as_of", at)
}

func asOfIn(t *testing.T, address string) uint64 {
	t.Helper()
	_, n, _ := strings.Cut(address, "as_of=")
	seq, err := strconv.ParseUint(n, 10, 64)
	if err != nil {
		t.Fatalf("%q names no commit", address)
	}
	return seq
}

// TestATimeFindsTheLastCommitUpToIt holds the halving against a plain walk,
// before and after: events may go on to commit.
func TestATimeFindsTheLastCommitUpToIt(t *testing.T) {
	h := newHouse(t)
	h.account("maria", "owner")
	h.backedUp()
	walk := func(until time.Time) (newest uint64, all []uint64) {
		last, err := h.d.Catalog.Applied(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for n := uint64(1); n <= last; n++ {
			if _, err := h.d.Audit.FindCommit(n); err != nil {
				continue // it moved cursors only
			}
			if all = append(all, n); h.timeOf(n).Before(until) {
				newest = n
			}
		}
		return newest, all
	}
	_, with := walk(time.Time{})
	if len(with) < 3 {
		t.Fatalf("%d commits with records", len(with))
	}
	v := h.login("maria")
	v.post("/purpose", "purpose", "dispute", "title", "供應商訴訟案", "next", "/archive/chat").wants(t, 303)
	for _, seq := range []uint64{with[0], with[len(with)/2], with[len(with)-1]} {
		minute := h.timeOf(seq).In(i18n.Macau).Truncate(time.Minute)
		least, _ := walk(minute.Add(time.Minute))
		got := asOfIn(t, v.get("/archive/chat?when="+minute.Format(whenLayout)).wants(t, 303).to)
		if most, _ := walk(minute.Add(time.Minute)); got < least || got > most || got < seq {
			t.Errorf("%v gives commit %d, want %d to %d", minute, got, least, most)
		}
	}
}
