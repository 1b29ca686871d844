package archive

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

func TestAPackThatIsKeptOpenIsNotReadOnOnceItIsAnother(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "p")
	put := func(s string) {
		t.Helper()
		if err := os.WriteFile(path+".new", []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	var o openFiles
	read := func() (string, error) {
		f, err := o.get(path)
		if err != nil {
			return "", err
		}
		b := make([]byte, 3)
		_, err = f.ReadAt(b, 0)
		return string(b), errors.Join(err, o.put(f))
	}
	if _, err := read(); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	put("one")
	for range 2 {
		if s, err := read(); s != "one" || err != nil {
			t.Errorf("%q %v", s, err)
		}
	}
	put("two") // by somebody else
	if s, err := read(); s != "two" || err != nil {
		t.Errorf("replaced: %q %v", s, err)
	}
	if err := os.Link(path, path+".copy"); err != nil { // as on a node whose files a take-over links
		t.Fatal(err)
	}
	if _, err := read(); err != nil {
		t.Error(err)
	}
	put("two")
	put("tri")
	if s, err := read(); s != "tri" || err != nil {
		t.Errorf("replaced, and there by another name: %q %v", s, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if s, err := read(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("deleted: %q %v", s, err)
	}
	if err := o.close(); err != nil || len(o.recent) > 0 {
		t.Error(err)
	}
}

// TestManyReadersShareFewOpenFiles while files are dropped under them: each reads
// to its end, and nothing stays open.
func TestManyReadersShareFewOpenFiles(t *testing.T) {
	dir := t.TempDir()
	const files = 3 * manyOpen
	for i := range files {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), fmt.Appendf(nil, "%04d", i), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before := openHere(t)
	var o openFiles
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 2000 {
				n := (i/3*7 + g) % files
				path := filepath.Join(dir, fmt.Sprint(n))
				f, err := o.get(path)
				if err != nil {
					t.Error(err)
					return
				}
				if i%50 == 0 {
					o.drop(path)
				}
				b := make([]byte, 4)
				if _, err := f.ReadAt(b, 0); err != nil || string(b) != fmt.Sprintf("%04d", n) {
					t.Errorf("%s: %q %v", path, b, err)
				}
				if err := o.put(f); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := len(o.recent); n > manyOpen {
		t.Errorf("%d are kept open", n)
	}
	if err := o.close(); err != nil {
		t.Error(err)
	}
	if n := openHere(t); n > before {
		t.Errorf("%d files stayed open", n-before)
	}
}

// openHere is how many files the process has open.
func openHere(t *testing.T) int {
	t.Helper()
	ds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	return len(ds)
}
