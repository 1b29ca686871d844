package appliance

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"farol/internal/audit"
)

// TestDamageMetAtStartIsHealedLoggedAndRaised: an index file emptied by a power
// cut keeps the stock program from opening; here nobody notices but the log.
func TestDamageMetAtStartIsHealedLoggedAndRaised(t *testing.T) {
	cfg := bench(t)
	a, stop := runs(t, cfg)
	commitOne(t, a, "m1")
	if _, err := a.archive.Fold(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop()
	var hurt string
	err := filepath.WalkDir(filepath.Join(cfg.ArchiveDir, "archive"), func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.Contains(path, "/archive/x/") {
			hurt = path
		}
		return err
	})
	if err != nil || hurt == "" {
		t.Fatalf("no index file: %v", err)
	}
	if err := os.WriteFile(hurt, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	a, stop = runs(t, cfg)
	defer stop()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		entries, _, err := a.audit.List(audit.Filter{Operation: "integrity.heal", Object: "archive/" + hurt[strings.Index(hurt, "/archive/x/")+len("/archive/"):]}, 0, 10)
		if err != nil {
			t.Fatal(err)
		}
		open, err := a.watch.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) == 1 && open {
			if by := entries[0].Detail["by"]; by != "parity" {
				t.Errorf("healed by %q", by)
			}
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%+v, alarm %v", entries, open)
		}
	}
}
