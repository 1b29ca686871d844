package restore_test

import (
	"path/filepath"
	"strconv"
	"testing"

	"farol/internal/audit"
	"farol/internal/catalog"
	"farol/internal/i18n"
	"farol/internal/policy"
	"farol/internal/record"
	"farol/internal/restore"
)

// TestEveryLookIsFoundByDepartmentConversationAndPerson asks the log as an
// auditor does: for a department's number, a conversation, an id of DingTalk's.
func TestEveryLookIsFoundByDepartmentConversationAndPerson(t *testing.T) {
	h := small(t)
	rq := owner(policy.Verification)
	cont := h.catalog.ContainerID(record.Chat, "cid1")
	p, err := h.Page(t.Context(), rq, catalog.PageQuery{Container: cont, Limit: 3})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.Item(t.Context(), rq, p.Items[0].ID, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Proof(t.Context(), rq, p.Items[0].ID); err == nil {
		t.Log("a proof was made") // without a commit's entry it fails behind its own
	}
	files, err := h.Page(t.Context(), rq, catalog.PageQuery{Container: h.catalog.ContainerID(record.Files, "space1"), Limit: 3})
	if err != nil || len(files.Items) == 0 {
		t.Fatal(err)
	}
	r, _, err := h.Blob(t.Context(), rq, files.Items[0].ID, 0, true)
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	found, err := h.Search(t.Context(), rq, "報價", catalog.Query{Limit: 5})
	if err != nil || len(found.Items) == 0 {
		t.Fatal(err)
	}
	if _, err := h.Search(t.Context(), rq, "nobody wrote this", catalog.Query{Limit: 5}); err != nil {
		t.Fatal(err)
	}
	folder, err := restore.NewFolder(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	if _, err := h.Export(t.Context(), rq, restore.Selection{Depts: []int64{7}, Kinds: []record.Kind{record.Chat}}, i18n.EN, folder, nil); err != nil {
		t.Fatal(err)
	}
	for ref, want := range map[string][]string{
		"dept/7": {"export.run", "search", "evidence.pack", "view", "view"},
		"dept/8": {"export.download", "view"},
		"container/" + strconv.FormatInt(cont, 36): {"export.run", "search", "evidence.pack", "view", "view"},
		"person/" + h.Person("D李偉強"):               {"export.run", "search", "evidence.pack", "view", "view"},
		"person/" + h.Person("Dnobody"):            nil,
	} {
		es, _, err := h.audit.List(audit.Filter{Object: ref}, 0, 50)
		var got []string
		for _, e := range es { // newest first
			got = append(got, e.Operation)
		}
		if err != nil || len(got) != len(want) {
			t.Errorf("%s: %v, want %v: %v", ref, got, want, err)
			continue
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("%s: %v, want %v", ref, got, want)
			}
		}
	}
}
