package db

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestOnlyBrokenBytesAreCalledDamage: whoever hears of damage throws the file
// away or sets it aside, so a start that was interrupted must not say it.
func TestOnlyBrokenBytesAreCalledDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	d, err := Open(t.Context(), path, Control, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ended, path, Control, nil); !errors.Is(err, context.Canceled) || errors.Is(err, ErrDamaged) {
		t.Errorf("an interrupted start: %v", err)
	}
	if _, err := Open(t.Context(), t.TempDir(), Control, nil); err == nil || errors.Is(err, ErrDamaged) {
		t.Errorf("a folder: %v", err)
	}
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for what, b := range map[string][]byte{"half of it": sound[:len(sound)/2], "a page": sound[:4096], "300 bytes": sound[:300], "zeros": make([]byte, 9000)} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if d, err := Open(t.Context(), path, Control, nil); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", what, err)
			if err == nil {
				d.Close()
			}
		}
	}
}
