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
	v.post("/purpose", "purpose", "dispute", "next", "/archive/chat").wants(t, 303)
	last, err := h.d.Catalog.Applied(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	box, _ := h.someContainer(record.Chat)
	rq := restore.Request{Subject: policy.Subject{Account: "test", Grants: policy.Roles["owner"]}, Purpose: policy.Verification}
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
			v.get("/search?q="+word+"&as_of="+at).wants(t, 200, band, recordOrThread(x, at))
			if body := v.get("/search?q="+word+"&as_of="+before).wants(t, 200, band).body; strings.Contains(body, "m"+strconv.FormatInt(x.ID, 10)+`"`) {
				t.Error("a search finds what was not there yet")
			}
			break
		}
	}
	if word == "" {
		t.Fatal("no text to search for")
	}
	v.get("/restore?step=2&as_of="+at).wants(t, 200, band, `value="`+at+`"`)
	for _, bad := range []string{"/archive/chat?as_of=x", "/archive/chat?as_of=-1", fmt.Sprint("/archive/chat?as_of=", last+1), fmt.Sprint("/search?q=x&as_of=", last+1), fmt.Sprint(rec, "?as_of=", last+1), "/archive/chat?when=yesterday", "/archive/chat?when=2001-01-01T00:00"} {
		v.get(bad).wants(t, 422)
	}
	v.post("/restore/run", "kind", "chat", "target", "zip", "as_of", fmt.Sprint(last+1)).wants(t, 422, "未發生")
	v.post("/restore/run", "kind", "chat", "target", "zip", "as_of", at).wants(t, 200)
	v.get("/archive/chat?when="+h.clock.now().Add(time.Hour).In(i18n.Macau).Format(whenLayout)).wants(t, 303, fmt.Sprint("/archive/chat?as_of=", last))
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

// TestATimeFindsTheLastCommitUpToIt holds the halving against a plain walk.
func TestATimeFindsTheLastCommitUpToIt(t *testing.T) {
	h := newHouse(t)
	h.account("maria", "owner")
	h.backedUp()
	last, err := h.d.Catalog.Applied(t.Context())
	if err != nil || last < 4 {
		t.Fatal(last, err)
	}
	v := h.login("maria")
	v.post("/purpose", "purpose", "dispute", "next", "/archive/chat").wants(t, 303)
	for _, seq := range []uint64{1, last / 2, last} {
		minute := h.timeOf(seq).In(i18n.Macau).Truncate(time.Minute)
		want := uint64(0)
		for n := uint64(1); n <= last; n++ {
			if at := h.timeOf(n); !at.IsZero() && at.Before(minute.Add(time.Minute)) {
				want = n
			}
		}
		v.get("/archive/chat?when="+minute.Format(whenLayout)).wants(t, 303, fmt.Sprint("/archive/chat?as_of=", want))
	}
}
