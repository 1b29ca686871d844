package archive

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"farol/internal/parity"
	"farol/internal/record"
)

// parityArchive holds what every test here damages: two large attachments,
// one of several packs' size, and folded records.
func parityArchive(t *testing.T) (a *Archive, dir string, s *shelf, blobs []record.Blob) {
	t.Helper()
	a, dir = newArchive(t, Options{})
	s = newShelf()
	a.SetRelocate(s.relocate)
	r := message("c", 0)
	for i, n := range []int{300_000, 6 << 20} {
		b, err := a.PutBlob(context.Background(), "x", -1, bytes.NewReader(filler(i+1, n)))
		if err != nil {
			t.Fatal(err)
		}
		blobs = append(blobs, b)
	}
	r.Blobs = blobs
	s.add(commit(t, a, append(messages("c", 1, 800), r)...))
	fold(t, a)
	return a, dir, s, blobs
}

// overwrite changes n bytes in the middle of a file.
func overwrite(t *testing.T, path string, n int) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	from := max(0, len(b)/2-n/2)
	for i := from; i < min(len(b), from+n); i++ {
		b[i] ^= 0xa5
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestALoneDiskHealsBadSectorsInEveryKindOfFile(t *testing.T) {
	ctx := context.Background()
	a, dir, s, _ := parityArchive(t)
	for kind, name := range repoFiles(t, a) {
		path := filepath.Join(dir, repoDir, name)
		orig, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		hurts := map[string]func(){
			"a byte":      func() { overwrite(t, path, 1) },
			"64 bytes":    func() { overwrite(t, path, 64) },
			"a 4 kB part": func() { overwrite(t, path, 4096) },
		}
		if strength(name) == parity.Whole {
			hurts["emptied"] = func() { must(t, os.WriteFile(path, nil, 0o600)) }
			hurts["gone"] = func() { must(t, os.Remove(path)) }
		}
		for what, hurt := range hurts {
			hurt()
			rep, err := a.Check(ctx, true, nil)
			if err != nil || !rep.OK() {
				t.Errorf("%s, %s: %+v, %v", kind, what, rep, err)
			}
			if !slices.ContainsFunc(rep.Damage, func(d Damage) bool { return d.Where == name && d.Healed && d.By == byParity }) {
				t.Errorf("%s, %s: not said: %v", kind, what, rep.Damage)
			}
			if b, err := os.ReadFile(path); err != nil || !bytes.Equal(b, orig) {
				t.Errorf("%s, %s: the file is not as it was: %v", kind, what, err)
			}
		}
	}
	s.check(t, a)
}

func TestOpenHealsAnEmptiedIndexWithoutAnyCopy(t *testing.T) {
	a, dir, s, _ := parityArchive(t)
	files := repoFiles(t, a)
	a.Close()
	for what, hurt := range map[string]func(string) error{
		"emptied": func(p string) error { return os.WriteFile(p, nil, 0o600) },
		"gone":    os.Remove,
		"flipped": func(p string) error { overwrite(t, p, 300); return nil },
	} {
		for _, kind := range []string{"x", "kopia.repository.f"} {
			must(t, hurt(filepath.Join(dir, repoDir, files[kind])))
			a := open(t, dir, Options{})
			if d := a.Damage(); len(d) != 1 || !d[0].Healed || d[0].Lost || d[0].Where != files[kind] {
				t.Errorf("%s %s: %v", kind, what, d)
			}
			s.check(t, a)
			a.Close()
		}
	}
}

func TestReadersDoNotNoticeDamageThatCanBeHealed(t *testing.T) {
	a, dir, s, blobs := parityArchive(t)
	for e, err := range a.PutLog(0) {
		if err != nil {
			t.Fatal(err)
		}
		if !e.Deleted && (e.Name[0] == 'p' || e.Name[0] == 'q') {
			overwrite(t, filepath.Join(dir, repoDir, e.Name), min(300, int(e.Size)/64))
		}
	}
	a.cache = segmentCache{}
	s.check(t, a)
	for i, b := range blobs {
		r, err := a.OpenBlob(context.Background(), b)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || record.HashOf(got) != b.SHA256 {
			t.Errorf("attachment %d: %d bytes, %v", i, len(got), err)
		}
		r.Close()
	}
	if len(a.Damage()) == 0 {
		t.Error("the damage was healed and never named")
	}
	for _, d := range a.Damage() {
		if !d.Healed || d.By != byParity {
			t.Errorf("not healed: %v", d)
		}
	}
	if rep, err := a.Check(context.Background(), true, nil); err != nil || !rep.OK() {
		t.Errorf("afterwards: %v, %v", rep.Damage, err)
	}
}

func TestDamageBeyondParityIsFoundAndHealedFromACopyOnly(t *testing.T) {
	ctx := context.Background()
	a, dir, _, blobs := parityArchive(t)
	copies := filepath.Join(t.TempDir(), "copy")
	copyTree(t, dir, copies)
	for e, err := range a.PutLog(0) {
		if err != nil {
			t.Fatal(err)
		}
		if !e.Deleted && e.Name[0] == 'p' {
			overwrite(t, filepath.Join(dir, repoDir, e.Name), int(e.Size)/2)
		}
	}
	rep, err := a.Check(ctx, true, nil)
	if err != nil || rep.OK() {
		t.Fatalf("half of every pack is gone: %v, %v", rep.Damage, err)
	}
	r, err := a.OpenBlob(ctx, blobs[1])
	if err == nil {
		_, err = io.Copy(io.Discard, r)
		r.Close()
	}
	if !errors.Is(err, ErrCorrupt) {
		t.Errorf("reading what is lost: %v", err)
	}
	named := len(a.Damage())
	for range 3 { // whoever reads on meets it again
		if r, err := a.OpenBlob(ctx, blobs[1]); err == nil {
			_, _ = io.Copy(io.Discard, r)
			r.Close()
		}
	}
	if n := len(a.Damage()); n != named || n == 0 {
		t.Errorf("the same damage is named %d times, then %d", named, n)
	}
	a.opt.Fetch = func(_ context.Context, name string) ([]byte, error) {
		return os.ReadFile(filepath.Join(copies, repoDir, name))
	}
	rep, err = a.Check(ctx, true, nil)
	if err != nil || !rep.OK() {
		t.Errorf("with a copy: %v, %v", rep.Damage, err)
	}
	for _, d := range a.Damage() {
		if !d.Healed {
			t.Errorf("healed and still named as damaged: %v", d)
		}
	}
	for _, d := range rep.Damage {
		if d.By != byCopy {
			t.Errorf("healed by %q: %v", d.By, d)
		}
	}
}

func TestParityThatIsLostIsMadeAnewAndStrayOnesGo(t *testing.T) {
	ctx := context.Background()
	c := &clock{t: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)}
	a, dir := newArchive(t, Options{Now: c.now})
	commit(t, a, messages("c", 0, 500)...)
	fold(t, a)
	a = reopen(t, a, Options{Now: c.now}) // closing waits for the parity that is made behind the puts
	must(t, os.RemoveAll(filepath.Join(dir, parityDir)))
	rep, err := a.Check(ctx, false, nil)
	if err != nil || !rep.OK() || rep.Parity != rep.Files {
		t.Fatalf("made %d of %d anew, %v", rep.Parity, rep.Files, err)
	}
	// Damage in a parity file is found by a full check.
	overwrite(t, filepath.Join(dir, parityDir, repoFiles(t, a)["p"]), 1)
	if rep, err = a.Check(ctx, true, nil); err != nil || !rep.OK() || rep.Parity != 1 {
		t.Errorf("made %d anew, %v", rep.Parity, err)
	}
	if rep, err = a.Check(ctx, true, nil); err != nil || rep.Parity != 0 {
		t.Errorf("made %d anew once more, %v", rep.Parity, err)
	}
	stray := filepath.Join(dir, parityDir, "p", "000", "stray.f")
	must(t, os.MkdirAll(filepath.Dir(stray), 0o700))
	must(t, os.WriteFile(stray, []byte("x"), 0o600))
	if _, err := a.Check(ctx, false, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(stray); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a stray parity file stays: %v", err)
	}
	// What maintenance deletes takes its parity along.
	for i := range 40 {
		commit(t, a, messages("c", 1000+i*10, 10)...)
		fold(t, a)
		c.step(3 * time.Hour)
		must(t, a.Maintain(ctx, i%8 == 7))
	}
	deleted := 0
	for e, err := range a.PutLog(0) {
		if err != nil {
			t.Fatal(err)
		}
		if !e.Deleted {
			continue
		}
		deleted++
		if _, err := os.Stat(filepath.Join(dir, parityDir, e.Name)); !errors.Is(err, fs.ErrNotExist) && !strings.HasPrefix(e.Name, "kopia.") {
			t.Errorf("%s was deleted, its parity was not: %v", e.Name, err)
		}
	}
	if deleted == 0 {
		t.Error("maintenance deleted nothing: this test shows nothing")
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Parity is made behind the puts; a closed archive lacks none of it.
func TestAClosedArchiveHasAllItsParity(t *testing.T) {
	a, _ := newArchive(t, Options{})
	for i := range 20 {
		if _, err := a.PutBlob(context.Background(), "x", -1, bytes.NewReader(filler(i, 3<<20))); err != nil {
			t.Fatal(err)
		}
	}
	commit(t, a, messages("c", 1, 800)...)
	fold(t, a)
	must(t, a.Close())
	files := 0 // seen at once: this process would still make the rest
	for name, want := range a.blobs.log.snapshot() {
		files++
		if !a.blobs.parity.good(name, want, true) {
			t.Errorf("%s has no parity", name)
		}
	}
	if files < 5 {
		t.Fatalf("only %d files", files)
	}
}
