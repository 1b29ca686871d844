package restore_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"io"
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

// TestWhatHappenedLaterIsNotSeen renames a group, deletes, edits and adds, and
// looks back through every way out.
func TestWhatHappenedLaterIsNotSeen(t *testing.T) {
	h := small(t)
	at := time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC)
	gone := message("cid1", "m3", "李偉強", "第 3 批報價單已付款 <script>alert(1)</script>", at.Add(3*time.Minute), 7)
	gone.Deleted = true
	h.put(t, []record.Record{group("cid1", "路環新名群", 7), gone, message("cid1", "m4", "李偉強", "改過的說話", at.Add(4*time.Minute), 7), message("cid1", "m99", "李偉強", "後來加入的說話", at.Add(99*time.Minute), 7)})
	closed := group("cid1", "路環新名群", 7)
	closed.Deleted = true
	h.put(t, []record.Record{closed})
	who, id := owner(policy.Recovery), h.catalog.ContainerID(record.Chat, "cid1")
	for _, k := range []struct {
		asOf  uint64
		title string
		gone  bool
		items int64
	}{{1, "氹仔工地協調群", false, 30}, {2, "路環新名群", false, 31}, {3, "路環新名群", true, 31}, {0, "路環新名群", true, 31}} {
		list, err := h.Containers(t.Context(), who, record.Chat, k.asOf)
		if err != nil || len(list) != 1 || list[0].Title != k.title || list[0].Gone != k.gone || list[0].Items != k.items {
			t.Fatalf("as of %d the list is %+v %v", k.asOf, list, err)
		}
		p, err := h.Page(t.Context(), who, catalog.PageQuery{Container: id, AsOf: k.asOf, Limit: 100})
		if err != nil || p.Container.Title != k.title || int64(len(p.Items)) != k.items {
			t.Fatalf("as of %d the page is of %q with %d items, %v", k.asOf, p.Container.Title, len(p.Items), err)
		}
		changed := k.asOf != 1
		for _, it := range p.Items {
			switch it.Record.ID {
			case "m3":
				if it.Record.Deleted != changed {
					t.Errorf("as of %d the deletion is seen: %v", k.asOf, it.Record.Deleted)
				}
			case "m4":
				if (it.Doc.Body == "改過的說話") != changed {
					t.Errorf("as of %d m4 says %q", k.asOf, it.Doc.Body)
				}
				_, versions, err := h.Item(t.Context(), who, it.ID, k.asOf)
				if err != nil || (len(versions) == 2) != changed || it.Until != 0 {
					t.Errorf("as of %d: %d versions, until %d, %v", k.asOf, len(versions), it.Until, err)
				}
			}
		}
		res, err := h.Search(t.Context(), who, "後來加入", catalog.Query{Limit: 10, AsOf: k.asOf})
		if err != nil || (len(res.Items) == 1) != changed || (res.Count == 1) != changed {
			t.Errorf("as of %d a search finds %d of %d, %v", k.asOf, len(res.Items), res.Count, err)
		}
		var b bytes.Buffer
		z := restore.NewZip(&b)
		sum, err := h.Export(t.Context(), who, restore.Selection{Kinds: []record.Kind{record.Chat}, AsOf: k.asOf}, i18n.ZhHant, z, nil)
		if err != nil || z.Close() != nil || sum.Items != k.items {
			t.Fatalf("as of %d the export has %d items, %v", k.asOf, sum.Items, err)
		}
		text, names := unzip(t, b.Bytes())
		if strings.Contains(text, "後來加入") != changed || strings.Contains(text, `"deleted":true`) != changed || !strings.Contains(names, k.title) {
			t.Errorf("the export as of %d holds what it must not, in %s", k.asOf, names)
		}
	}
	var said *i18n.Error
	for what, err := range map[string]error{
		"list":   errOf(h.Containers(t.Context(), who, record.Chat, 4)),
		"page":   errOf(h.Page(t.Context(), who, catalog.PageQuery{Container: id, AsOf: 4, Limit: 5})),
		"search": errOf(h.Search(t.Context(), who, "報價", catalog.Query{Limit: 5, AsOf: 4})),
		"export": errOf(h.Export(t.Context(), who, restore.Selection{AsOf: 4}, i18n.EN, restore.NewZip(io.Discard), nil)),
	} {
		if !errors.As(err, &said) || said.ID != "asof.future" {
			t.Errorf("a commit that has not come, %s: %v", what, err)
		}
	}
	es, _, err := h.audit.List(audit.Filter{}, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	said1 := map[string]bool{}
	for _, e := range es {
		if e.Detail["as_of"] == "1" {
			said1[e.Operation] = true
		}
	}
	if !said1["view"] || !said1["search"] || !said1["export.run"] {
		t.Errorf("entries with as_of: %v", said1)
	}
}

func errOf[T any](_ T, err error) error { return err }

// unzip gives every records.ndjson and all names of a zip.
func unzip(t *testing.T, b []byte) (text, names string) {
	t.Helper()
	r, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.File {
		names += f.Name + "\n"
		if !strings.HasSuffix(f.Name, "records.ndjson") {
			continue
		}
		rc, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		c, err := io.ReadAll(rc)
		if err != nil {
			t.Fatal(err)
		}
		text += string(c)
	}
	return text, names
}
