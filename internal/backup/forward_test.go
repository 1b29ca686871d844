package backup

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"farol/internal/archive"
	"farol/internal/catalog"
	"farol/internal/db"
	"farol/internal/dingtalk/simulator"
	"farol/internal/keys"
	"farol/internal/record"
)

// image writes the catalog as it stands beside the state folder.
func (b *bench) image(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := b.d.Catalog.Image(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	return path
}

// older closes the appliance and gives it an older catalog; it returns what
// repairing that made of it beside what it was.
func (b *bench) older(t *testing.T, image string) (was, is []string, err error) {
	t.Helper()
	return b.olderUntil(t, image, func() error { return b.Repair(t.Context()) })
}

// olderUntil does something else with it than repairing.
func (b *bench) olderUntil(t *testing.T, image string, do func() error) (was, is []string, err error) {
	t.Helper()
	b.close(t)
	box := keys.NewBox(b.root.Derive("control"))
	path := filepath.Join(b.dir, "catalog.db")
	was = dump(t, path, box)
	for _, ext := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(path + ext); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	raw, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	b.assemble(t)
	err = do()
	b.part(t)
	if err == nil {
		is = dump(t, path, box)
	} else if werr := os.WriteFile(path, nil, 0o600); werr != nil { // for the next start
		t.Fatal(werr)
	}
	return was, is, err
}

// TestAnOlderCatalogIsBroughtForward takes an image, goes on with runs, live
// traffic and folds that merge what older folds wrote, and starts with the image
// again: what repairing makes of it equals the catalog that was there all along.
func TestAnOlderCatalogIsBroughtForward(t *testing.T) {
	b := newBench(t, simulator.Options{Seed: 11, People: 12, Messages: 300})
	b.run(t, Full)
	fold := func() {
		t.Helper()
		if _, err := b.d.Archive.Fold(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	traffic := func() {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		b.sim.Traffic(ctx, 40)
		cancel()
	}
	fold()
	traffic()
	b.run(t, Incremental)
	image := b.image(t) // of commits that no fold has
	for range 13 {      // short segments are merged at the twelfth
		traffic := func() {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			b.sim.Traffic(ctx, 40)
			cancel()
		}
		traffic()
		b.run(t, Incremental)
		fold()
	}
	traffic()
	b.run(t, Full) // stays in the journal
	was, is, err := b.older(t, image)
	if err != nil {
		t.Fatal(err)
	}
	differ(t, was, is)
	b.open(t)
	b.run(t, Full)
	b.compare(t)
}

// TestACrashWhileAnOlderCatalogIsBroughtForwardLosesNothing: a segment holds
// records of many commits, and a crash comes after some of them.
func TestACrashWhileAnOlderCatalogIsBroughtForwardLosesNothing(t *testing.T) {
	b := newBench(t, simulator.Options{Seed: 15, People: 12, Messages: 200})
	b.run(t, Full)
	fold := func() {
		t.Helper()
		if _, err := b.d.Archive.Fold(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	fold()
	image := b.image(t)
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		b.sim.Traffic(ctx, 60)
		cancel()
		b.run(t, Incremental)
	}
	fold()
	was, _, err := b.olderUntil(t, image, func() error {
		applied, err := b.d.Catalog.Applied(t.Context())
		if err = errors.Join(err, b.loadKnown(t.Context()), b.loadSources(t.Context())); err != nil {
			return err
		}
		live, err := b.d.Archive.Segments(t.Context())
		if err != nil {
			return err
		}
		late, _, err := b.unheard(t.Context(), live, applied)
		if err != nil {
			return err
		}
		slices.SortFunc(late, func(x, y walked) int { return cmp.Or(cmp.Compare(x.seq, y.seq), cmp.Compare(x.index, y.index)) })
		n := len(late) / 2
		for n < len(late) && late[n].seq == late[n-1].seq { // commits are taken in whole
			n++
		}
		if n < 20 || n == len(late) {
			t.Fatalf("the crash comes after %d of %d", n, len(late))
		}
		return b.takeIn(t.Context(), late[:n])
	})
	if err != nil {
		t.Fatal(err)
	}
	b.assemble(t)
	if err := b.Repair(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.part(t)
	differ(t, was, dump(t, filepath.Join(b.dir, "catalog.db"), keys.NewBox(b.root.Derive("control"))))
}

// TestAConversationThatNoListingToldOfIsPrivateAllTheSame: it is merged from a
// former appliance, or neither the image nor the settings, which come out of a
// copy of their own, know of it.
func TestAConversationThatNoListingToldOfIsPrivateAllTheSame(t *testing.T) {
	b := newBench(t, simulator.Options{Seed: 14, People: 12, Messages: 200})
	b.run(t, Full)
	b.close(t)
	b.assemble(t)
	if err := b.Repair(t.Context()); err != nil {
		t.Fatal(err)
	}
	image := b.image(t)
	at := time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC)
	commit := func(id, raw string) {
		t.Helper()
		rec := record.Record{Ref: record.Ref{Kind: record.Chat, Container: "cidpair==", ID: id}, Time: at, Dept: 1, Raw: []byte(raw)}
		if err := b.commit(t.Context(), []*work{{recs: []record.Record{rec}, missing: []bool{false}}}); err != nil {
			t.Fatal(err)
		}
	}
	message := func(id, text string) {
		commit(id, `{"openMessageId":"`+id+`","sender":{"name":"陳大文","openDingTalkId":"open1"},"msgType":"text","createTime":"2026-03-02 09:00:00","content":"`+text+`"}`)
	}
	commit("@", `{"openConversationId":"cidpair==","title":"陳大文","conversationType":1}`)
	message("msg1==", "between two")
	if _, err := b.d.Archive.Fold(t.Context()); err != nil {
		t.Fatal(err)
	}
	message("msg2==", "and once more")
	b.live()
	was, is, err := b.older(t, image)
	if err != nil {
		t.Fatal(err)
	}
	differ(t, was, is)
	b.open(t)
	was, is, _, _ = b.lose(t)
	differ(t, was, is)
	if n := len(slices.DeleteFunc(is, func(line string) bool {
		return !strings.Contains(line, "kind 2") || !strings.Contains(line, "ms 1772413200000") || !strings.Contains(line, "state 8")
	})); n != 2 {
		t.Errorf("%d of 2 messages are private", n)
	}
}

// TestACatalogThatHoldsDeadAddressesIsMadeAnew: what cannot be brought forward is
// said, never served.
func TestACatalogThatHoldsDeadAddressesIsMadeAnew(t *testing.T) {
	b := newBench(t, simulator.Options{Seed: 12, People: 12, Messages: 200})
	b.run(t, Full)
	image := b.image(t)
	if _, err := b.d.Archive.Fold(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.close(t)
	raw, err := db.Open(t.Context(), image, db.Catalog, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = raw.Update(t.Context(), func(tx *db.Tx) error { // a row of which the archive knows nothing
		_, err := tx.ExecContext(t.Context(), "UPDATE rec SET item=item+1 WHERE id=(SELECT min(id) FROM rec)")
		return err
	})
	if err = errors.Join(err, raw.Close()); err != nil {
		t.Fatal(err)
	}
	b.open(t)
	if _, _, err := b.older(t, image); !errors.Is(err, archive.ErrRebuild) {
		t.Fatalf("it was taken: %v", err)
	}
}

// TestASegmentThatCannotBeReadDoesNotKeepItFromStarting: the catalog is then made
// anew, which takes what can be read.
func TestASegmentThatCannotBeReadDoesNotKeepItFromStarting(t *testing.T) {
	b := newBench(t, simulator.Options{Seed: 13, People: 12, Messages: 200})
	b.run(t, Full)
	image := b.image(t)
	packs := func() []string {
		names, err := filepath.Glob(filepath.Join(b.dir, "archive", "archive", "p*", "*", "*.f"))
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	before := packs()
	if _, err := b.d.Archive.Fold(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.close(t)
	zeroed := 0
	for _, name := range packs() {
		if slices.Contains(before, name) {
			continue
		}
		fi, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, make([]byte, fi.Size()), 0o600); err != nil {
			t.Fatal(err)
		}
		zeroed++
	}
	if zeroed == 0 {
		t.Fatal("the fold wrote no pack")
	}
	if _, _, err := b.older(t, image); !errors.Is(err, archive.ErrRebuild) {
		t.Fatalf("%v", err)
	}
	b.assemble(t)
	defer b.part(t)
	if err := b.Rebuild(t.Context(), func(int64) {}); err != nil {
		t.Fatal(err)
	}
}

// TestWhatCannotBeReadIsNoLessSecret: a record of a shape that this program does
// not know is of its conversation all the same, and nobody can tell whether it says
// "payroll".
func TestWhatCannotBeReadIsNoLessSecret(t *testing.T) {
	b := newBench(t, simulator.Options{Seed: 16, People: 12, Messages: 50})
	commit := func(r record.Record) catalog.Hit {
		t.Helper()
		r.Time, r.Dept = time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC), 1
		if err := b.submit(t.Context(), &work{recs: []record.Record{r}, missing: []bool{false}}); err != nil {
			t.Fatal(err)
		}
		h, err := b.d.Catalog.ByRef(t.Context(), every, r.Ref)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	commit(record.Record{Ref: record.Ref{Kind: record.Chat, Container: "cidpair==", ID: "@"}, Raw: []byte(`{"openConversationId":"cidpair==","title":"陳大文","conversationType":1}`)})
	for _, r := range []record.Ref{{Kind: record.Chat, Container: "cidpair==", ID: "m1"}, {Kind: record.Chat, Container: "cidgroup==", ID: "m2"}, {Kind: record.Approvals, Container: "form", ID: "a1"}, {Kind: record.Files, Container: "space", ID: "f1"}} {
		h := commit(record.Record{Ref: r, Raw: []byte("no JSON at all")})
		if h.Class < record.Confidential || (h.State&catalog.Private != 0) != (r.Container == "cidpair==") {
			t.Errorf("%s in %s: class %d, state %d", r.Kind, r.Container, h.Class, h.State)
		}
	}
}
