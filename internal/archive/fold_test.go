package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"farol/internal/record"
)

// shelf is the part of a catalog that matters here: where each version lies.
type shelf struct {
	mu   sync.Mutex
	at   map[record.Loc]string
	locs map[string]record.Loc
	recs map[string]record.Record
	runs int
}

func newShelf() *shelf {
	return &shelf{at: map[record.Loc]string{}, locs: map[string]record.Loc{}, recs: map[string]record.Record{}}
}

func (s *shelf) add(c *Commit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range c.Records {
		k := key(&c.Records[i])
		if old, ok := s.locs[k]; ok {
			delete(s.at, old)
		}
		s.at[c.Locs[i]], s.locs[k], s.recs[k] = k, c.Locs[i], c.Records[i]
	}
}

func (s *shelf) relocate(ctx context.Context, m Moves) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs++
	for mv, err := range m.All() {
		if err != nil {
			return err
		}
		k, ok := s.at[mv.From]
		if !ok {
			continue // taken before
		}
		delete(s.at, mv.From)
		s.at[mv.To], s.locs[k] = k, mv.To
	}
	return nil
}

// check reads every version at its address and compares the archive's own
// walk with the shelf.
func (s *shelf) check(t testing.TB, a *Archive) {
	t.Helper()
	for k, l := range s.locs {
		r, err := a.Read(context.Background(), l)
		if err != nil {
			t.Fatalf("%.80s: %v", k, err)
		}
		equal(t, "shelf", r, s.recs[k])
	}
	got := walk(t, a)
	for k, l := range got {
		if s.locs[k] != l {
			t.Errorf("%.80s lies at %v, the shelf says %v", k, l, s.locs[k])
		}
	}
	if len(got) != len(s.locs) {
		t.Errorf("the archive holds %d versions, the shelf %d", len(got), len(s.locs))
	}
}

func fold(t testing.TB, a *Archive) *Point {
	t.Helper()
	p, err := a.Fold(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var oddNames = []string{
	"", ".", "..", "../../etc/passwd", "a/b\\c", "nul\x00byte", "CON", "lpt1.txt", "cid+/=abc==", "space at end ", " .hidden",
	"\u202etxt.exe", "é", "e\u0301", "群組😀家", strings.Repeat("長", 100), strings.Repeat("x", 300), "~tilde", "%41", "a\nb",
	"\xff\xfe bad utf8", "base64:eA==", "farol", `","raw":{"x":1}`, `","raw_base64":"eA=="`,
}

func TestOddNamesAndBytesSurviveFolding(t *testing.T) {
	a, _ := newArchive(t, Options{Org: "公司/../甲"})
	s := newShelf()
	a.SetRelocate(s.relocate)
	var recs []record.Record
	raws := [][]byte{
		[]byte(`{"a":1}`), []byte(` { "a" : 1.0e5 , "b":"\u0000\/" }  `), []byte("{\n\"pretty\": true\n}\n"), []byte("not json"), {}, []byte(`"}"`),
		[]byte(`{"raw":1,"x":{"raw":"y"}}`), []byte(`{"x":1,"raw_base64":"eA=="}`), []byte("{\"bad\":\"\xff\"}"), []byte("\"\r\""), bytes.Repeat([]byte("中"), 400_000),
		append(append([]byte(`{"big":"`), bytes.Repeat([]byte("z0"), 600_000)...), `"}`...),
	}
	kinds := []record.Kind{record.Chat, record.Files, record.Approvals, record.Contacts}
	for i, name := range oddNames {
		for j, raw := range raws {
			if i > 0 && len(raw) > 1000 && i != 5 {
				continue
			}
			r := record.Record{Ref: record.Ref{Kind: kinds[(i+j)%4], Container: name, ID: fmt.Sprint(name, j)}, Author: name,
				Time: day.AddDate(0, i%3, j), Raw: raw, Deleted: j%3 == 0, Dept: -int64(j)}
			if j < 3 {
				b, err := a.PutBlob(context.Background(), name, -1, strings.NewReader(fmt.Sprint("file ", i, j)))
				if err != nil {
					t.Fatal(err)
				}
				b.MIME = "text/plain"
				r.Blobs = append(r.Blobs, b)
			}
			recs = append(recs, r)
		}
	}
	s.add(commit(t, a, recs...))
	s.check(t, a)
	p := fold(t, a)
	if p == nil || p.Seq != 1 || p.Records != int64(len(recs)) {
		t.Fatalf("point %+v", p)
	}
	s.check(t, a)
	a = reopen(t, a, Options{})
	s.check(t, a)
	for k, r := range s.recs {
		for i, b := range r.Blobs {
			f, err := a.OpenBlob(context.Background(), b)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(f)
			if err != nil || record.HashOf(got) != b.SHA256 {
				t.Errorf("%q blob %d: %v", k, i, err)
			}
			f.Close()
		}
	}
	r, err := a.Check(context.Background(), true, nil)
	if err != nil || !r.OK() || r.Records != 2*int64(len(recs)) || r.Blobs == 0 {
		t.Errorf("check: %+v, %v", r, err)
	}
	for _, n := range oddNames {
		e := encodeName(n)
		if len(e) > maxName || strings.ContainsAny(e, "/\\\x00\n\u202e") || e == "." || e == ".." || e == "" {
			t.Errorf("%q became the file name %q", n, e)
		}
		l := foldLine{kind: record.Files, id: n, time: day}
		if _, name := blobPath(&l, record.Blob{Name: strings.Repeat(n, 40)}); len(name) > 255 {
			t.Errorf("a file %q has a name of %d bytes in the tree, more than a file system takes", n, len(name))
		}
		if d, ok := decodeName(e); ok && d != n || !ok && len(n) < 60 && !strings.Contains(e, "~") {
			t.Errorf("%q became %q, back %q", n, e, d)
		}
	}
}

func TestManyFoldsMoveTailsAndKeepCommitments(t *testing.T) {
	var asked atomic.Int64 // the clock goes on a second each time somebody looks
	a, _ := newArchive(t, Options{KeepJournal: time.Nanosecond, Now: func() time.Time { return day.Add(time.Duration(asked.Add(1)) * time.Second) }})
	s := newShelf()
	a.SetRelocate(s.relocate)
	ctx := context.Background()
	roots := map[uint64]record.Hash{}
	leaves := map[uint64][]record.Hash{}
	for round := range 6 {
		for i := range 4 {
			var recs []record.Record
			recs = append(recs, messages("busy", (round*4+i)*200, 200)...)
			recs = append(recs, message(fmt.Sprint("quiet", i), round))
			c := commit(t, a, recs...)
			s.add(c)
			roots[c.Seq], leaves[c.Seq] = c.Root, c.Leaves
		}
		if err := a.PutSealed(ctx, "control.db.sealed", fmt.Append(nil, "version ", round)); err != nil {
			t.Fatal(err)
		}
		p := fold(t, a)
		if p.Seq != a.LastSeq() {
			t.Fatalf("fold %d ends at %d of %d", round, p.Seq, a.LastSeq())
		}
		s.check(t, a)
		if n := len(a.JournalFiles()); n != 0 {
			t.Errorf("%d journal files left after the fold", n)
		}
		if round == 3 {
			a = reopen(t, a, Options{KeepJournal: time.Nanosecond})
			a.SetRelocate(s.relocate)
			s.check(t, a)
		}
		b, err := a.LatestSealed(ctx, "control.db.sealed")
		if err != nil || string(b) != fmt.Sprint("version ", round) {
			t.Errorf("sealed file %q, %v", b, err)
		}
	}
	if p := fold(t, a); p != nil {
		t.Errorf("a fold of nothing made %+v", p)
	}
	points, err := a.Points(ctx)
	if err != nil || len(points) != 6 || points[5].Records != 6*4*201 {
		t.Errorf("points %+v, %v", points, err)
	}
	for seq, root := range roots {
		l, r, err := a.Commitment(ctx, seq)
		if err != nil || r != root || len(l) != len(leaves[seq]) || l[7] != leaves[seq][7] {
			t.Errorf("commitment of %d: %v", seq, err)
		}
	}
	if _, _, err := a.Commitment(ctx, 99); !errors.Is(err, ErrNotFound) {
		t.Errorf("commitment of a commit that never was: %v", err)
	}
	if err := a.Replay(ctx, 3, nil); !errors.Is(err, ErrRebuild) {
		t.Errorf("replay of folded commits: %v", err)
	}
	segs := map[string]int64{}
	for _, l := range s.locs {
		segs[l.Seg] = max(segs[l.Seg], l.Off+l.Len)
	}
	small := 0
	for _, n := range segs {
		if n < tailSize {
			small++
		}
	}
	if small > 2*maxTails {
		t.Errorf("%d of %d segments are short, of two months", small, len(segs))
	}
	if p, err := a.FoldAs(ctx, map[string]string{"class": "nightly"}); err != nil || p == nil || p.Tags["class"] != "nightly" {
		t.Errorf("a tagged fold of nothing made %+v, %v", p, err)
	}
	if err := a.Forget(ctx, points[0].ID, points[1].ID); err != nil {
		t.Fatal(err)
	}
	if err := a.Maintain(ctx, true); err != nil {
		t.Fatal(err)
	}
	a = reopen(t, a, Options{})
	s.check(t, a)
	if points, _ := a.Points(ctx); len(points) != 5 || points[4].Tags["class"] != "nightly" {
		t.Errorf("points after forgetting two: %+v", points)
	}
}

var errFault = errors.New("fault")

// TestCrashBetweenFoldSteps stops a fold at each step, by an error and by a
// copy of the directory as a crash would leave it.
func TestCrashBetweenFoldSteps(t *testing.T) {
	steps := []string{"fold.segments", "fold.tree", "fold.moves", "fold.snapshot", "blob.put", "blob.sync", "blob.done", "fold.flushed", "fold.verified", "fold.relocated"}
	for _, step := range steps {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			var armed bool
			var dir, crashed string
			opt := Options{Fault: func(op string) error {
				if !armed || op != step {
					return nil
				}
				if crashed == "" {
					crashed = filepath.Join(t.TempDir(), "a")
					copyTree(t, dir, crashed)
				}
				return errFault
			}}
			a, d := newArchive(t, opt)
			dir = d
			s := newShelf()
			a.SetRelocate(s.relocate)
			s.add(commit(t, a, messages("c", 0, 300)...))
			fold(t, a)
			b, err := a.PutBlob(context.Background(), "x", -1, strings.NewReader("small"))
			if err != nil {
				t.Fatal(err)
			}
			r := message("c", 301)
			r.Blobs = []record.Blob{b}
			s.add(commit(t, a, append(messages("c", 400, 300), r)...))
			before := &shelf{at: clone(s.at), locs: clone(s.locs), recs: s.recs}
			armed = true
			if _, err := a.Fold(context.Background()); !errors.Is(err, errFault) {
				t.Fatalf("the fold gave %v", err)
			}
			armed = false
			if crashed == "" {
				t.Fatal("the step was never reached")
			}
			// The process lives on: the next fold repairs it.
			s.check(t, a)
			c := commit(t, a, message("c", 900))
			s.add(c)
			fold(t, a)
			s.check(t, a)
			a = reopen(t, a, Options{})
			a.SetRelocate(s.relocate)
			s.check(t, a)

			// The process died: a reopen repairs it, and the catalog is as it was
			// before or after its transaction.
			after := step == "fold.relocated"
			a2 := open(t, crashed, Options{})
			if after {
				before.at, before.locs = clone(s.at), clone(s.locs)
				delete(before.locs, key(&c.Records[0]))
				for k := range before.locs {
					if _, ok := walk(t, a2)[k]; !ok {
						t.Fatalf("lost %s", k)
					}
				}
				return
			}
			a2.SetRelocate(before.relocate)
			err = a2.Replay(context.Background(), 1, func(c *Commit) error { return nil })
			if err != nil {
				t.Fatal(err)
			}
			if err := a2.Relocate(context.Background()); err != nil {
				t.Fatal(err)
			}
			before.check(t, a2)
			fold(t, a2)
			before.check(t, a2)
			rep, err := a2.Check(context.Background(), true, nil)
			if err != nil || !rep.OK() {
				t.Errorf("check: %+v, %v", rep, err)
			}
		})
	}
}

func clone[K comparable, V any](m map[K]V) map[K]V {
	out := make(map[K]V, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}

func TestFoldLeavesCommitsTheCatalogHasNot(t *testing.T) {
	a, _ := newArchive(t, Options{})
	s := newShelf()
	a.SetRelocate(s.relocate)
	s.add(commit(t, a, messages("c", 0, 3)...))
	a.Applied(1)
	fold(t, a)
	late := commit(t, a, messages("c", 3, 3)...)
	if p := fold(t, a); p != nil {
		t.Fatalf("folded what the catalog has not: %+v", p)
	}
	s.add(late)
	a.Applied(2)
	if p := fold(t, a); p == nil || p.Seq != 2 {
		t.Fatalf("point %+v", p)
	}
	s.check(t, a)
}

func TestCommitsGoOnDuringFold(t *testing.T) {
	a, _ := newArchive(t, Options{})
	s := newShelf()
	a.SetRelocate(s.relocate)
	done := make(chan error, 4)
	for g := range 3 {
		go func() {
			for i := range 30 {
				c, err := a.Commit(context.Background(), Batch{Records: messages(fmt.Sprint("c", g), i*20, 20)})
				if err != nil {
					done <- err
					return
				}
				s.add(c)
				a.Applied(0)
			}
			done <- nil
		}()
	}
	go func() {
		for range 4 {
			// The shelf hears of a commit late; Applied 0 holds every fold back.
			if _, err := a.Fold(context.Background()); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for range 4 {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	a.Applied(a.LastSeq())
	fold(t, a)
	s.check(t, a)
	if len(s.locs) != 1800 {
		t.Errorf("%d versions", len(s.locs))
	}
	if _, err := os.Stat(filepath.Join(a.dir, movesDir)); err != nil {
		t.Error(err)
	}
}
