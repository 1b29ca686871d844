package archive

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

func put(t *testing.T, a *Archive, b []byte) {
	t.Helper()
	err := a.PutCopy(t.Context(), "view.db", func(w io.Writer) error { _, err := w.Write(b); return err })
	if err != nil {
		t.Fatal(err)
	}
}

func take(t *testing.T, a *Archive) ([]byte, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "taken")
	var f *os.File
	_, err := a.TakeCopy(t.Context(), "view.db", func() (_ io.WriterAt, err error) { f, err = os.Create(path); return f, err })
	if f == nil {
		return nil, err
	}
	defer f.Close()
	b, rerr := os.ReadFile(path)
	return b, errors.Join(err, rerr)
}

func TestTheNewestCopyComesBackAndOnlyOneOlderStays(t *testing.T) {
	a, _ := newArchive(t, Options{})
	if _, err := take(t, a); !errors.Is(err, ErrNotFound) {
		t.Fatalf("a copy nobody made: %v", err)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	b := make([]byte, 3*copyStripe+777)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	for range 4 {
		b[rng.IntN(len(b))]++
		put(t, a, b)
		commit(t, a, messages("c", int(a.LastSeq())*10, 10)...)
		fold(t, a)
	}
	list, err := a.copies(t.Context(), "view.db")
	if err != nil || len(list) != copiesKept {
		t.Fatalf("%d copies stay, %v", len(list), err)
	}
	if points, err := a.Points(t.Context()); err != nil || len(points) != 4 {
		t.Fatalf("a copy counts as a point in time: %d points, %v", len(points), err)
	}
	if err := a.Maintain(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	a = reopen(t, a, Options{})
	if got, err := take(t, a); err != nil || !bytes.Equal(got, b) {
		t.Fatalf("the newest copy came back otherwise: %d bytes, %v", len(got), err)
	}
}

// TestASecondCopyCostsWhatChanged holds what makes nightly copies affordable.
func TestASecondCopyCostsWhatChanged(t *testing.T) {
	a, dir := newArchive(t, Options{NoParity: true})
	rng := rand.New(rand.NewPCG(5, 6))
	b := make([]byte, 8<<20)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	put(t, a, b)
	first := weight(t, filepath.Join(dir, repoDir))
	copy(b[5<<20:], "another page")
	put(t, a, b)
	if more := weight(t, filepath.Join(dir, repoDir)) - first; first < 8<<20 || more > 1<<20 {
		t.Fatalf("the first copy of 8 MiB takes %d bytes, the second, with one page changed, %d more", first, more)
	}
}

func TestADamagedCopyIsPassedOverForTheOneBefore(t *testing.T) {
	a, dir := newArchive(t, Options{NoParity: true})
	rng := rand.New(rand.NewPCG(7, 8))
	fill := func() []byte {
		b := make([]byte, 2*copyStripe)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return b
	}
	older, newer := fill(), fill()
	put(t, a, older)
	before := packs(t, dir)
	put(t, a, newer)
	for name := range packs(t, dir) {
		if before[name] {
			continue
		}
		fi, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, make([]byte, fi.Size()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := take(t, a); err != nil || !bytes.Equal(got, older) {
		t.Fatalf("the copy before did not come: %d bytes, %v", len(got), err)
	}
}

// packs names the data packs of a repository.
func packs(t *testing.T, dir string) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	err := filepath.WalkDir(filepath.Join(dir, repoDir), func(path string, d os.DirEntry, err error) error {
		if rel, rerr := filepath.Rel(filepath.Join(dir, repoDir), path); err == nil && rerr == nil && !d.IsDir() && rel[0] == 'p' {
			out[path] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func weight(t *testing.T, dir string) (n int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		fi, err := d.Info()
		if err == nil {
			n += fi.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
