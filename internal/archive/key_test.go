package archive

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"farol/internal/keys"
)

// TestAChangedKeyOpensWhatLayUnderTheFormer changes the key with commits in the
// journal and in the repository, also where the machine stops right after the
// lock was written.
func TestAChangedKeyOpensWhatLayUnderTheFormer(t *testing.T) {
	next, err := keys.New()
	if err != nil {
		t.Fatal(err)
	}
	for _, cut := range []bool{false, true} {
		stops := false
		a, dir := newArchive(t, Options{Fault: func(op string) error {
			if stops && op == "key.lock" {
				return errors.New("the power goes")
			}
			return nil
		}})
		commit(t, a, messages("c", 0, 10)...)
		fold(t, a)
		commit(t, a, messages("c", 10, 10)...)
		data := filler(1, 3*maxInline)
		b, err := a.PutBlob(t.Context(), "x", -1, bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		r := message("c", 50)
		r.Blobs = append(r.Blobs, b)
		commit(t, a, r)
		before := walk(t, a)
		former, err := a.Lock()
		if err != nil {
			t.Fatal(err)
		}
		stops = cut
		if err := a.ChangeKey(t.Context(), next); (err != nil) != cut {
			t.Fatal(err)
		}
		if !cut {
			commit(t, a, messages("d", 0, 5)...)
			fold(t, a)
			if rep, err := a.Check(t.Context(), true, nil); err != nil || !rep.OK() {
				t.Fatalf("%+v %v", rep, err)
			}
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), dir, testRoot, Options{}); !errors.Is(err, ErrKey) {
			t.Fatalf("the former key opens it: %v", err)
		}
		if _, err := os.Stat(filepath.Join(dir, repoDir, emptySettings)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("a second file lies under the key: %v", err)
		}
		a, err = Open(t.Context(), dir, next, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for k := range before {
			if _, ok := walk(t, a)[k]; !ok {
				t.Fatalf("%s is lost", k)
			}
		}
		if rep, err := a.Check(t.Context(), true, nil); err != nil || !rep.OK() {
			t.Fatalf("%+v %v", rep, err)
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		// A copy that the new lock has not reached opens whole with the former.
		old := filepath.Join(t.TempDir(), "copy")
		copyTree(t, filepath.Join(dir, repoDir), filepath.Join(old, repoDir))
		copyTree(t, filepath.Join(dir, journalDir), filepath.Join(old, journalDir))
		if err := os.WriteFile(filepath.Join(old, repoDir, LockName), former, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Adopt(t.Context(), old, testRoot, Options{})
		if err != nil {
			t.Fatal(err)
		}
		got := walk(t, c)
		for k := range before {
			if _, ok := got[k]; !ok {
				t.Fatalf("the copy with the former lock lacks %s", k)
			}
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
