package verify

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"farol/internal/archive"
	"farol/internal/audit"
	"farol/internal/catalog"
	"farol/internal/db"
	"farol/internal/keys"
	"farol/internal/record"
	"farol/internal/watch"
)

// shelf is an archive with its catalog, control database and log, all real.
type shelf struct {
	*Verifier
	now     time.Time
	dir     string
	arch    *archive.Archive
	cat     *catalog.Catalog
	control *db.DB
	log     *audit.Log
	alarms  *watch.Watch
	copies  map[string][]byte // the off-site copy of the archive's files
	n       int
}

func newShelf(t *testing.T) *shelf {
	t.Helper()
	s := &shelf{now: time.Date(2026, 11, 26, 12, 0, 0, 0, record.Macau), dir: t.TempDir(), copies: map[string][]byte{}}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx := t.Context()
	root, err := keys.New()
	must(err)
	box := keys.NewBox(root.Derive("control"))
	clock := func() time.Time { return s.now }
	s.control, err = db.Open(ctx, filepath.Join(s.dir, "control.db"), db.Control, clock)
	must(err)
	sk, vk, err := note.GenerateKey(rand.Reader, "farol.test")
	must(err)
	signer, err := note.NewSigner(sk)
	must(err)
	verifier, err := note.NewVerifier(vk)
	must(err)
	s.log, err = audit.Open(filepath.Join(s.dir, "log"), audit.Options{Box: box, Signer: signer, Verify: verifier})
	must(err)
	s.arch, err = archive.Create(ctx, filepath.Join(s.dir, "archive"), root, archive.Options{Fetch: func(_ context.Context, name string) ([]byte, error) {
		if b, ok := s.copies[name]; ok {
			return b, nil
		}
		return nil, errors.New("no such copy")
	}})
	must(err)
	s.cat, err = catalog.Open(ctx, filepath.Join(s.dir, "catalog.db"), catalog.Keys{Words: root.Derive("search"), Names: root.Derive("names")}, box, clock)
	must(err)
	s.arch.SetRelocate(func(ctx context.Context, m archive.Moves) error {
		return s.cat.Relocate(ctx, m.Fold, func(yield func(catalog.Move) bool) {
			for mv, err := range m.All() {
				if err != nil || !yield(catalog.Move{From: mv.From, To: mv.To}) {
					return
				}
			}
		})
	})
	s.alarms = watch.New(watch.Deps{Control: s.control, Archive: s.arch, Audit: s.log, Catalog: s.cat, Box: box, Now: clock})
	_, err = s.log.Append(ctx, audit.Event{Actor: "system", Operation: "setup.claim", Outcome: "ok"})
	must(err)
	s.again(nil)
	t.Cleanup(func() {
		must(errors.Join(s.cat.Close(), s.arch.Close(), s.log.Close(), s.control.Close()))
	})
	return s
}

// again is a restart of the verifier.
func (s *shelf) again(change func(*Deps)) {
	d := Deps{Control: s.control, Archive: s.arch, Catalog: s.cat, Audit: s.log, Alarms: s.alarms, Now: func() time.Time { return s.now }}
	if change != nil {
		change(&d)
	}
	s.Verifier = New(d)
}

// fill commits n records of a kind and department, some with a file.
func (s *shelf) fill(t *testing.T, kind record.Kind, dept int64, container string, n int) {
	t.Helper()
	ctx := t.Context()
	var recs []record.Record
	for range n {
		s.n++
		r := record.Record{Ref: record.Ref{Kind: kind, Container: container, ID: fmt.Sprint("i", s.n)}, Time: s.now.Add(time.Duration(s.n) * time.Minute).UTC(), Dept: dept, Raw: fmt.Appendf(nil, `{"n":%d,"text":"%s"}`, s.n, rand.Text())}
		if kind == record.Files {
			body := make([]byte, 1000+s.n*7000)
			rand.Read(body)
			b, err := s.arch.PutBlob(ctx, "f.bin", int64(len(body)), bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			r.Blobs = []record.Blob{b}
		}
		recs = append(recs, r)
	}
	c, err := s.arch.Commit(ctx, archive.Batch{Records: recs})
	if err != nil {
		t.Fatal(err)
	}
	rows := make([]catalog.Row, len(recs))
	for i := range c.Records {
		r := &c.Records[i]
		rows[i] = catalog.Row{Ref: r.Ref, Ver: record.HashOf(r.Raw), Time: r.Time, Index: i, Loc: c.Locs[i], Dept: dept}
	}
	if err := s.cat.Apply(ctx, c.Seq, rows); err != nil {
		t.Fatal(err)
	}
	s.arch.Applied(c.Seq)
}

func (s *shelf) stock(t *testing.T) {
	t.Helper()
	for i := range 4 {
		s.fill(t, record.Chat, 1, "g1", 30)
		s.fill(t, record.Chat, 2, "g2", 20)
		s.fill(t, record.Files, 2, "s2", 6)
		if i == 1 {
			if _, err := s.arch.Fold(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// packs are the archive's data files by name.
func (s *shelf) packs(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for e, err := range s.arch.PutLog(0) {
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(e.Name, "p") {
			out[e.Name] = filepath.Join(s.dir, "archive", "archive", e.Name)
		}
	}
	if len(out) == 0 {
		t.Fatal("the archive has no data file")
	}
	return out
}

func (s *shelf) logged(t *testing.T, op string) int {
	t.Helper()
	es, _, err := s.log.List(audit.Filter{Operation: op}, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return len(es)
}

func TestEverythingIsReadAndNamedByARootPerDepartmentAndKind(t *testing.T) {
	s := newShelf(t)
	s.stock(t)
	r, err := s.Now(t.Context(), "maria")
	if err != nil || r.State != Done || r.Records != 224 || r.Files != 24 || r.Bad != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	parts, err := s.Parts(t.Context(), r.ID)
	if err != nil || len(parts) != 3 {
		t.Fatalf("%d parts: %v", len(parts), err)
	}
	want := map[string][]record.Hash{} // computed by another way: one by one, in the order of the catalog
	var hits []catalog.Hit
	var container, id int64 = -1 << 63, 0
	for {
		next, err := s.cat.Every(t.Context(), container, id, 7)
		if err != nil {
			t.Fatal(err)
		}
		if len(next) == 0 {
			break
		}
		hits = append(hits, next...)
		container, id = next[len(next)-1].Container, next[len(next)-1].ID
	}
	for _, h := range hits {
		rec, err := s.arch.Read(t.Context(), h.Loc)
		if err != nil {
			t.Fatal(err)
		}
		key := fmt.Sprint(h.Kind, h.Dept)
		want[key] = append(want[key], record.LeafHash(rec.Leaf()))
	}
	for _, p := range parts {
		if w := want[fmt.Sprint(p.Kind, p.Dept)]; p.Root != record.Root(w).String() || p.Records != int64(len(w)) {
			t.Errorf("%s of %d: %d records, root %s", p.Kind, p.Dept, p.Records, p.Root)
		}
	}
	if s.logged(t, "integrity.verify") != 1 {
		t.Error("the reading has no entry")
	}
	s.again(nil) // a restart
	last, ok, err := s.Last(t.Context(), All)
	if err != nil || !ok || last.ID != r.ID || last.Records != r.Records {
		t.Errorf("after a restart the last reading is %+v, %v, %v", last, ok, err)
	}
}

// TestAnUnfinishedReadingGoesOnOverNightsAndRestarts lets the budget end after
// every batch and the process end between.
func TestAnUnfinishedReadingGoesOnOverNightsAndRestarts(t *testing.T) {
	s := newShelf(t)
	for range 12 {
		s.fill(t, record.Chat, 1, "g1", 130)
	}
	if _, err := s.arch.Fold(t.Context()); err != nil {
		t.Fatal(err)
	}
	whole, err := s.Now(t.Context(), "system")
	if err != nil {
		t.Fatal(err)
	}
	parts, _ := s.Parts(t.Context(), whole.ID)
	s.now = time.Date(2026, 11, 28, 2, 0, 30, 0, record.Macau) // Saturday
	nights, waited := 0, 0
	for {
		s.again(func(d *Deps) {
			d.Plan = func(context.Context) (Plan, error) {
				p := Default
				p.WeekTime = time.Nanosecond
				return p, nil
			}
			d.Now = func() time.Time { s.now = s.now.Add(time.Second); return s.now }
		})
		if nights == 0 {
			s.started = s.now.AddDate(0, 0, -1)
		}
		what, err := s.Due(t.Context())
		if err != nil || what != All {
			t.Fatalf("night %d: %q, %v", nights, what, err)
		}
		rs, err := s.runs(t.Context(), "WHERE what=? ORDER BY id DESC LIMIT 1", All)
		if err != nil {
			t.Fatal(err)
		}
		if rs[0].State == Done {
			if rs[0].Records != whole.Records || rs[0].ID == whole.ID {
				t.Errorf("%+v over nights, %+v in one go", rs[0], whole)
			}
			over, _ := s.Parts(t.Context(), rs[0].ID)
			if len(over) != 1 || over[0].Root != parts[0].Root {
				t.Errorf("another root over nights: %+v, %+v", over, parts)
			}
			break
		}
		waited++
		if rs[0].State != Waiting {
			t.Fatalf("night %d ends %s", nights, rs[0].State)
		}
		if again, err := s.Due(t.Context()); again == All || err != nil {
			t.Fatalf("its time is over, but it goes on the same night: %q %v", again, err)
		}
		if nights++; nights > 60 {
			t.Fatal("it never ends")
		}
		s.now = s.now.AddDate(0, 0, 1).Truncate(24 * time.Hour).Add(18*time.Hour + time.Minute) // 02:01 in Macau
	}
	if waited < 3 {
		t.Errorf("it was interrupted %d times only", waited)
	}
}

func TestADamagedFileIsHealedFromTheOtherPlaceAndRings(t *testing.T) {
	s := newShelf(t)
	s.stock(t)
	if _, err := s.arch.Fold(t.Context()); err != nil {
		t.Fatal(err)
	}
	var hurt string
	for name, path := range s.packs(t) {
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		s.copies[name], hurt = good, path
	}
	good, _ := os.ReadFile(hurt)
	bad := slices.Clone(good)
	bad[len(bad)/2] ^= 1
	if err := os.WriteFile(hurt, bad, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := s.Now(t.Context(), "system")
	if err != nil || r.State != Done || r.Healed != 1 || r.Bad != 0 || r.Records != 224 {
		t.Fatalf("%+v, %v", r, err)
	}
	if now, _ := os.ReadFile(hurt); !bytes.Equal(now, good) {
		t.Error("the file is not as it was")
	}
	if s.logged(t, "integrity.heal") != 1 || s.logged(t, "alarm.open") != 1 {
		t.Errorf("%d entries of healing, %d alarms", s.logged(t, "integrity.heal"), s.logged(t, "alarm.open"))
	}
	as, err := s.alarms.Alarms(t.Context(), 5)
	if err != nil || len(as) != 1 || as[0].Cause != watch.Damage || as[0].PointSeq == 0 {
		t.Errorf("alarms %+v, %v", as, err)
	}
}

func TestWhatCannotBeHealedIsCountedWhereItBelongs(t *testing.T) {
	s := newShelf(t)
	s.stock(t)
	if _, err := s.arch.Fold(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, path := range s.packs(t) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for i := range b {
			b[i] ^= 0x55
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r, err := s.Now(t.Context(), "system")
	if err != nil || r.State != Done || r.Healed != 0 || r.Bad == 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	parts, err := s.Parts(t.Context(), r.ID)
	if err != nil {
		t.Fatal(err)
	}
	bad := int64(0)
	for _, p := range parts {
		bad += p.Bad
	}
	if bad == 0 || s.logged(t, "integrity.fail") != 1 {
		t.Errorf("%d bad in the parts, %d entries", bad, s.logged(t, "integrity.fail"))
	}
	if open, err := s.alarms.Open(t.Context()); err != nil || !open {
		t.Errorf("alarm open: %v, %v", open, err)
	}
}

func TestANightlySampleComparesWithTheLogAndAFreshListing(t *testing.T) {
	s := newShelf(t)
	s.stock(t)
	missing := int64(0)
	s.again(func(d *Deps) {
		d.Relist = func(_ context.Context, containers, items int) ([]Compared, error) {
			return []Compared{{Kind: record.Chat, Dept: 1, Container: 5, Listed: 200, Missing: missing}}, nil
		}
	})
	if what, err := s.Due(t.Context()); what != "" || err != nil {
		t.Fatalf("at noon %q is due: %v", what, err)
	}
	s.now = time.Date(2026, 11, 27, 5, 31, 0, 0, record.Macau) // Friday
	if what, err := s.Due(t.Context()); what != Sample || err != nil {
		t.Fatalf("at 05:31 %q is due: %v", what, err)
	}
	r, ok, err := s.Last(t.Context(), Sample)
	if err != nil || !ok || r.Records < 40 || r.Records > 120 || r.Files == 0 || r.Bad != 0 || r.Listed != 200 || r.Missing != 0 {
		t.Fatalf("%+v, %v, %v", r, ok, err)
	}
	if what, _ := s.Due(t.Context()); what != "" {
		t.Errorf("%q is due twice", what)
	}
	if open, _ := s.alarms.Open(t.Context()); open {
		t.Error("a clean sample rings")
	}
	missing = 3
	s.now = s.now.AddDate(0, 0, 2) // Sunday: Saturday's reading of everything was missed, and is made up for first
	for _, want := range []string{All, Sample} {
		if what, err := s.Due(t.Context()); what != want || err != nil {
			t.Fatalf("%q is due, want %s: %v", what, want, err)
		}
	}
	as, err := s.alarms.Alarms(t.Context(), 5)
	if err != nil || len(as) != 1 || as[0].Cause != watch.Missing || as[0].Kind != record.Chat {
		t.Errorf("alarms %+v, %v", as, err)
	}
}

func TestARecordThatIsNotTheOneOfItsCommitIsFound(t *testing.T) {
	s := newShelf(t)
	s.stock(t)
	hits, err := s.cat.Every(t.Context(), -1<<63, 0, 3)
	if err != nil {
		t.Fatal(err)
	}
	rec, err := s.arch.Read(t.Context(), hits[0].Loc)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(h *catalog.Hit){"as it is": func(*catalog.Hit) {}, "another leaf": func(h *catalog.Hit) { h.Index++ }, "another commit": func(h *catalog.Hit) { h.Seq++ }, "none": func(h *catalog.Hit) { h.Seq = 9999 }} {
		h := hits[0]
		change(&h)
		if ok, err := s.bound(t.Context(), map[uint64][]record.Hash{}, &h, &rec); err != nil || ok != (name == "as it is") {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
	}
}

func TestTwoNeverOverlapAndABackupComesFirst(t *testing.T) {
	s := newShelf(t)
	s.stock(t)
	busy := true
	s.again(func(d *Deps) { d.Busy = func() bool { return busy } })
	s.now = time.Date(2026, 11, 28, 6, 0, 0, 0, record.Macau)
	if what, err := s.Due(t.Context()); what != "" || err != nil {
		t.Errorf("during a full backup %q was done: %v", what, err)
	}
	busy = false
	_, err := s.exclusive(All, func() (Run, error) {
		if _, err := s.Now(t.Context(), "maria"); !errors.Is(err, ErrRunning) {
			t.Errorf("a second one: %v", err)
		}
		if err := s.Start(t.Context(), "maria"); !errors.Is(err, ErrRunning) {
			t.Errorf("a second one in the background: %v", err)
		}
		if p := s.Under(); p == nil || p.What != All {
			t.Errorf("under way: %+v", p)
		}
		return Run{}, nil
	})
	if err != nil || s.Under() != nil {
		t.Errorf("afterwards: %+v, %v", s.Under(), err)
	}
}

func TestAPlanThatChangesIsKeptFromTheNextMinuteOn(t *testing.T) {
	s := newShelf(t)
	s.fill(t, record.Chat, 1, "g1", 5)
	plan := Default
	s.again(func(d *Deps) { d.Plan = func(context.Context) (Plan, error) { return plan, nil } })
	s.now = time.Date(2026, 11, 24, 12, 0, 0, 0, record.Macau) // Tuesday noon
	s.started = s.now
	due := func(want string) {
		t.Helper()
		if what, err := s.Due(t.Context()); err != nil || what != want {
			t.Fatalf("at %s: %q, %v, want %q", s.now.Format("15:04"), what, err, want)
		}
	}
	s.now = s.now.Add(2 * time.Hour)
	due("")
	plan.Night = "30 13 * * *"
	due(Sample)
	due("")
	plan.Week = "0 13 * * 2"
	due(All)
	due("")
}
