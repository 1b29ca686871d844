package archive

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"farol/internal/record"
)

// node keeps what an off-site node would: bytes of the journal and files of
// the repository, without a key.
type node struct {
	t   testing.TB
	dir string
	mu  sync.Mutex
	off bool
	pos Position
}

func newNode(t testing.TB) *node { return &node{t: t, dir: filepath.Join(t.TempDir(), "node")} }

func (n *node) write(path string, off int64, b []byte) {
	path = filepath.Join(n.dir, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		n.t.Error(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		n.t.Error(err)
		return
	}
	defer f.Close()
	if _, err := f.WriteAt(b, off); err != nil {
		n.t.Error(err)
	}
}

func (n *node) append(file string, off int64, b []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.off {
		return
	}
	n.write(filepath.Join(journalDir, file), off, b)
	n.pos.File, n.pos.Off = file, off+int64(len(b))
}

// pull ships the put log up to limit entries, as a sender does.
func (n *node) pull(a *Archive, limit int) {
	for e, err := range a.PutLog(n.pos.PutLog) {
		if limit == 0 {
			return
		}
		limit--
		if err != nil {
			n.t.Error(err)
			return
		}
		n.pos.PutLog = e.Pos
		if e.Deleted {
			continue // the node never deletes at once
		}
		b, err := a.ReadBlobFile(e.Name)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			n.t.Error(err)
			return
		}
		if record.HashOf(b) == e.SHA256 {
			n.write(filepath.Join(repoDir, e.Name), 0, b)
		}
	}
}

func TestAdoptACopyHoldsEverythingShipped(t *testing.T) {
	ctx := context.Background()
	n := newNode(t)
	a, _ := newArchive(t, Options{Offsite: true, OnAppend: n.append})
	s := newShelf()
	a.SetRelocate(s.relocate)
	s.add(commit(t, a, messages("c", 0, 300)...))
	fold(t, a)
	b, err := a.PutBlob(ctx, "big", -1, strings.NewReader(strings.Repeat("x", 100_000)))
	if err != nil {
		t.Fatal(err)
	}
	small, err := a.PutBlob(ctx, "small", -1, strings.NewReader("tiny"))
	if err != nil {
		t.Fatal(err)
	}
	r := message("c", 500)
	r.Blobs = []record.Blob{b, small}
	s.add(commit(t, a, append(messages("d", 0, 40), r)...))
	if err := a.PutSealed(ctx, "control.db.sealed", []byte("sealed")); err != nil {
		t.Fatal(err)
	}
	n.pull(a, -1)
	if len(a.JournalFiles()) < 2 {
		t.Error("a journal file went before it was shipped")
	}
	a.Shipped(n.pos)
	if err := a.upkeep(ctx); err != nil {
		t.Fatal(err)
	}
	if got := a.JournalFiles(); len(got) != 1 {
		t.Errorf("shipped and folded, and yet there: %v", got)
	}
	n.off = true
	lost := commit(t, a, message("c", 999)) // never shipped

	// The journal on the node ends in half a frame.
	half := lastJournal(t, n.dir)
	f, err := os.OpenFile(half, os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	b2, err := a.ReadJournal(filepath.Base(half), n.pos.Off, 50)
	if err != nil {
		t.Fatal(err)
	}
	f.Write(b2)
	f.Close()

	a2, err := Adopt(ctx, n.dir, testRoot, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if a2.ID() != a.ID() {
		t.Error("the adopted archive has another id")
	}
	got := walk(t, a2)
	for k := range s.locs {
		if _, ok := got[k]; !ok {
			t.Errorf("lost %.60s", k)
		}
	}
	if _, ok := got[key(&lost.Records[0])]; ok || len(got) != len(s.locs) {
		t.Errorf("%d versions, want %d", len(got), len(s.locs))
	}
	if b, err := a2.LatestSealed(ctx, "control.db.sealed"); err != nil || string(b) != "sealed" {
		t.Errorf("sealed file %q, %v", b, err)
	}
	c := commit(t, a2, message("e", 1))
	if c.Seq != 3 || !strings.HasPrefix(filepath.Base(lastJournal(t, n.dir)), "000002-") {
		t.Errorf("commit %d in %s", c.Seq, lastJournal(t, n.dir))
	}
	if _, err := a2.Fold(ctx); err != nil {
		t.Fatal(err)
	}
	a2 = reopen(t, a2, Options{})
	if got := walk(t, a2); len(got) != len(s.locs)+1 {
		t.Errorf("after a fold %d versions", len(got))
	}
	rep, err := a2.Check(ctx, true, nil)
	if err != nil || !rep.OK() {
		t.Errorf("check: %+v, %v", rep, err)
	}
	a2.Close()
	if _, err := Adopt(ctx, n.dir, testRoot, Options{}); !errors.Is(err, ErrForeign) {
		t.Errorf("adopt twice: %v", err)
	}
	if _, err := Adopt(ctx, t.TempDir(), testRoot, Options{}); !errors.Is(err, ErrForeign) {
		t.Errorf("adopt nothing: %v", err)
	}
}

// TestEveryPrefixOfThePutLogIsARepository ships the journal wholly and the
// repository up to random places, and adopts.
func TestEveryPrefixOfThePutLogIsARepository(t *testing.T) {
	ctx := context.Background()
	full := newNode(t)
	a, _ := newArchive(t, Options{Offsite: true, OnAppend: full.append})
	s := newShelf()
	for i := range 6 {
		s.add(commit(t, a, messages(fmt.Sprint("c", i%2), i*100, 100)...))
		fold(t, a)
	}
	total := 0
	for range a.PutLog(0) {
		total++
	}
	for range 5 {
		at := 6 + rand.IntN(total-6)
		n := newNode(t)
		copyTree(t, filepath.Join(full.dir, journalDir), filepath.Join(n.dir, journalDir))
		n.pull(a, at)
		a2, err := Adopt(ctx, n.dir, testRoot, Options{})
		if err != nil {
			t.Fatalf("prefix of %d of %d: %v", at, total, err)
		}
		if got := walk(t, a2); len(got) != len(s.locs) {
			t.Errorf("prefix of %d of %d: %d versions, want %d", at, total, len(got), len(s.locs))
		}
		a2.Close()
	}
}
