package appliance

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"farol/internal/archive"
	"farol/internal/audit"
	"farol/internal/record"
)

// keepOne captures a version of an item the way the engine does, but for
// DingTalk: committed, and found afterwards.
func keepOne(t *testing.T, a *Appliance, id, text string, file []byte) {
	t.Helper()
	ctx := t.Context()
	r := record.Record{Ref: record.Ref{Kind: record.Chat, Container: "cid1", ID: id}, Dept: 1, Time: time.UnixMilli(1.7e12).UTC(), Raw: fmt.Appendf(nil, `{"openMessageId":%q,"msgType":"text","content":%q}`, id, text)}
	if file != nil {
		b, err := a.archive.PutBlob(ctx, "plan.pdf", int64(len(file)), bytes.NewReader(file))
		if err != nil {
			t.Fatal(err)
		}
		r.Blobs = []record.Blob{b}
	}
	if _, err := a.archive.Commit(ctx, archive.Batch{Records: []record.Record{r}}); err != nil {
		t.Fatal(err)
	}
	if err := a.engine.Repair(ctx); err != nil {
		t.Fatal(err)
	}
}

// held are all versions in an archive: item → text → hash of its file.
func held(t *testing.T, a *Appliance) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := a.archive.Walk(t.Context(), func(r record.Record, _ record.Loc, _ uint64, _ int) error {
		file := ""
		for _, b := range r.Blobs {
			rd, err := a.archive.OpenBlob(t.Context(), b)
			if err != nil {
				return err
			}
			all, err := io.ReadAll(rd)
			if err = errors.Join(err, rd.Close()); err != nil {
				return err
			}
			file += record.HashOf(all).String()
		}
		out[string(r.Ref.ID)+" "+string(r.Raw)] = file
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestAfterASplitBothHalvesAreMergedAndNothingIsLost lets an appliance go on
// that does not know that another has taken over, and both capture the same
// item; the one that the node takes nothing from any more is merged.
func TestAfterASplitBothHalvesAreMergedAndNothingIsLost(t *testing.T) {
	s := newSite(t)
	ctx := t.Context()
	keepOne(t, s.a, "common", "before the split", nil)
	keepOne(t, s.a, "both", "first words", nil)
	if err := s.a.CopyCatalog(ctx); err != nil {
		t.Fatal(err)
	}
	s.ship(t)

	s.stopNode() // the line between the two is cut
	cfg := bench(t)
	if _, err := Promote(ctx, cfg, s.promotion(s.code(), false), Logger("error")); err != nil {
		t.Fatal(err)
	}
	b, stopB := runs(t, cfg)
	defer stopB()

	plan := bytes.Repeat([]byte("the plan of the house. "), 20_000)
	keepOne(t, s.a, "former's", "only the former heard it", plan)
	keepOne(t, s.a, "both", "as the former heard it", nil)
	keepOne(t, s.a, "common", "an edit that only the former saw", nil)
	if _, err := s.a.archive.Fold(ctx); err != nil { // it lies in the repository, and in the journal
		t.Fatal(err)
	}
	keepOne(t, s.a, "late", "after its fold", nil)
	if _, err := s.a.audit.Append(ctx, audit.Event{Actor: "rui", Role: "legal", Operation: "view", Object: "record/7", Outcome: "ok"}); err != nil {
		t.Fatal(err)
	}
	keepOne(t, b, "both", "as the one that works hears it", nil)
	keepOne(t, b, "new", "only the new one heard it", nil)
	lost := held(t, s.a)

	ask := MergeAsk{StateDir: s.cfg.StateDir, ArchiveDir: s.cfg.ArchiveDir}
	if _, err := b.Merge(ctx, "test", ask); !saidAs(err, "merge.running") {
		t.Fatalf("beside a former appliance that works: %v", err)
	}
	s.stop()
	if _, err := b.Merge(ctx, "test", MergeAsk{StateDir: t.TempDir()}); !saidAs(err, "merge.none") {
		t.Fatalf("from an empty folder: %v", err)
	}
	other := bench(t)
	_, stopOther := runs(t, other)
	stopOther()
	if _, err := b.Merge(ctx, "test", MergeAsk{StateDir: other.StateDir, ArchiveDir: other.ArchiveDir}); err == nil {
		t.Fatal("another firm's archive was merged")
	}
	before := b.archive.LastSeq()
	try := ask
	try.Try = true
	r, err := b.Merge(ctx, "test", try)
	if err != nil || r.Added != 2 || r.Newer != 1 || r.Older != 1 || r.Damaged != 0 || r.Entries == 0 || b.archive.LastSeq() != before {
		t.Fatalf("only asking: %+v %v, commit %d after %d", r, err, b.archive.LastSeq(), before)
	}
	if r, err = b.Merge(ctx, "test", ask); err != nil || r.Lacking() != 4 || r.Epoch != 1 {
		t.Fatalf("%+v %v", r, err)
	}
	now := held(t, b)
	for k, file := range lost {
		if got, ok := now[k]; !ok || got != file {
			t.Errorf("lost: %s, its file %q is %q", k, file, got)
		}
	}
	for item, want := range map[string]string{"both": "as the one that works hears it", "common": "an edit that only the former saw", "former's": "only the former heard it", "new": "only the new one heard it", "late": "after its fold"} {
		h, err := b.catalog.ByRef(ctx, record.Scope{All: true, Kinds: record.Kinds, Class: record.Secret, Private: true, Realms: record.AllRealms}, record.Ref{Kind: record.Chat, Container: "cid1", ID: item})
		if err != nil {
			t.Errorf("%s: %v", item, err)
			continue
		}
		if r, err := b.archive.Read(ctx, h.Loc); err != nil || !strings.Contains(string(r.Raw), want) {
			t.Errorf("%s: current is %s, want %q, %v", item, r.Raw, want, err)
		}
	}
	es, _, err := b.audit.List(audit.Filter{Actor: "rui"}, 0, 10)
	if err != nil || len(es) != 1 || es[0].Operation != "replication.merge.entry" || es[0].Detail["former_operation"] != "view" || es[0].Object != "record/7" {
		t.Errorf("what somebody did at the former appliance: %+v %v", es, err)
	}
	if es, _, err = b.audit.List(audit.Filter{Operation: "replication.merge"}, 0, 10); err != nil || len(es) != 1 || es[0].Actor != "test" {
		t.Errorf("the merge itself: %d entries, %v", len(es), err)
	}
	if r, err = b.Merge(ctx, "test", ask); err != nil || r.Lacking() != 0 || r.Entries != 0 {
		t.Errorf("merged again: %+v %v", r, err)
	}
	if rep, err := b.archive.Check(ctx, true, nil); err != nil || !rep.OK() {
		t.Errorf("%+v %v", rep, err)
	}
}
