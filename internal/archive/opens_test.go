package archive

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"farol/internal/keys"
)

func TestOnlyItsKeyOpensACopysLock(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a")
	root, err := keys.New()
	if err != nil {
		t.Fatal(err)
	}
	other, err := keys.New()
	if err != nil {
		t.Fatal(err)
	}
	a, err := Create(t.Context(), dir, root, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	lock, err := os.ReadFile(filepath.Join(dir, repoDir, LockName))
	if err != nil {
		t.Fatal(err)
	}
	if err := Opens(t.Context(), lock, root); err != nil {
		t.Error(err)
	}
	if err := Opens(t.Context(), lock, other); !errors.Is(err, ErrKey) {
		t.Errorf("another key: %v", err)
	}
	for what, b := range map[string][]byte{"nothing": nil, "half": lock[:len(lock)/2], "not JSON": []byte("x")} {
		if err := Opens(t.Context(), b, root); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
