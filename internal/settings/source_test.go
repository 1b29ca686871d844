package settings

import (
	"bytes"
	"os"
	"testing"

	"farol/internal/db"
	"farol/internal/dingtalk"
	"farol/internal/record"
)

func TestWhatAListingFoundIsReplacedAndKeepsNobodyWithoutConsent(t *testing.T) {
	s, path := open(t)
	ctx := t.Context()
	for _, p := range []string{"canary-a", "canary-b"} {
		if err := s.AddConsent(ctx, Consent{Person: p, UnionID: "union-" + p}, dingtalk.Tokens{}); err != nil {
			t.Fatal(err)
		}
	}
	keep := func(kind record.Kind, whole bool, found ...Source) {
		t.Helper()
		if err := s.KeepSources(ctx, kind, found, whole); err != nil {
			t.Fatal(err)
		}
	}
	via := func() map[string][]string {
		t.Helper()
		kept, err := s.Sources(ctx)
		if err != nil {
			t.Fatal(err)
		}
		out := map[string][]string{}
		for _, k := range kept {
			out[string(k.Kind)+"/"+k.ID] = k.Via
		}
		return out
	}
	keep(record.Files, true, Source{ID: "space", Dept: 4, Via: []string{"union-canary-a"}})
	keep(record.Chat, true, Source{ID: "one", Dept: 2, Private: true, Via: []string{"canary-a", "canary-b"}}, Source{ID: "two", Via: []string{"canary-b"}})
	keep(record.Chat, false, Source{ID: "three", Via: []string{"canary-a"}})
	if got := via(); len(got) != 4 || len(got["chat/one"]) != 2 {
		t.Fatalf("%v", got)
	}
	for _, f := range []string{path, path + "-wal"} {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, []byte(`["canary`)) {
			t.Error("who can read a conversation rests readable")
		}
	}
	if err := s.Lapsed(ctx, "canary-b"); err != nil {
		t.Fatal(err)
	}
	if got := via(); len(got) != 3 || len(got["chat/one"]) != 1 || got["chat/one"][0] != "canary-a" {
		t.Errorf("with a consent that lapsed: %v", got)
	}
	keep(record.Chat, true, Source{ID: "one", Dept: 2, Private: true, Via: []string{"canary-a"}})
	if got := via(); len(got) != 2 || got["files/space"] == nil || got["chat/one"] == nil {
		t.Errorf("after a whole listing: %v", got)
	}
	kept, err := s.Sources(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range kept {
		if k.ID == "one" && (k.Dept != 2 || !k.Private) {
			t.Errorf("%+v", k)
		}
	}
}

func TestAnEqualListingWritesNothing(t *testing.T) {
	s, _ := open(t)
	found := []Source{{ID: "one", Dept: 2, Via: []string{"a", "b"}}}
	read := func() (via []byte) {
		t.Helper()
		if err := s.KeepSources(t.Context(), record.Chat, found, true); err != nil {
			t.Fatal(err)
		}
		return rowOf(t, s)
	}
	if a, b := read(), read(); !bytes.Equal(a, b) {
		t.Error("the row was sealed anew")
	}
	found[0].Via = []string{"b"}
	if a, b := rowOf(t, s), read(); bytes.Equal(a, b) {
		t.Error("the change was not written")
	}
}

func rowOf(t *testing.T, s *Settings) (via []byte) {
	t.Helper()
	if err := s.db.View(t.Context(), func(tx *db.Tx) error {
		return tx.QueryRowContext(t.Context(), "SELECT via FROM source").Scan(&via)
	}); err != nil {
		t.Fatal(err)
	}
	return via
}
