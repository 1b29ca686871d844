package appliance

import (
	"database/sql"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"farol/internal/db"
)

// makeNewer marks a database as one that a later program has migrated.
func makeNewer(t *testing.T, path string) {
	t.Helper()
	d, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, err := d.Exec("INSERT INTO goose_db_version(version_id, is_applied) VALUES(9999, 1)"); err != nil {
		t.Fatal(err)
	}
}

// TestAnOlderFarolRefusesTheDatabaseOfANewerOne: it says what to do, and the
// newer one finds everything as it was.
func TestAnOlderFarolRefusesTheDatabaseOfANewerOne(t *testing.T) {
	cfg, _, _ := lived(t)
	makeNewer(t, filepath.Join(cfg.StateDir, "control.db"))
	_, err := Open(t.Context(), cfg, Logger("error"))
	if !errors.Is(err, db.ErrNewer) {
		t.Fatalf("got %v, want db.ErrNewer", err)
	}
	if text := Words(err); !strings.Contains(text, "older than the one that last worked here") || !strings.Contains(text, cfg.StateDir) {
		t.Errorf("the words do not say what is the matter: %s", text)
	}
	if lost, err := filepath.Glob(filepath.Join(cfg.StateDir, "control.db.lost*")); err != nil || len(lost) > 0 {
		t.Errorf("the database was taken for a damaged one: %v %v", lost, err)
	}
}

// TestViewsOfANewerFarolAreMadeAnew: catalog and lookup hold nothing that
// archive and log do not, so going back to the version before needs no person.
func TestViewsOfANewerFarolAreMadeAnew(t *testing.T) {
	cfg, rows, seq := lived(t)
	makeNewer(t, filepath.Join(cfg.StateDir, "catalog.db"))
	lookups, err := filepath.Glob(filepath.Join(cfg.StateDir, "log", "*.db"))
	if err != nil || len(lookups) != 1 {
		t.Fatalf("lookups: %v %v", lookups, err)
	}
	makeNewer(t, lookups[0])
	a, stop := runs(t, cfg)
	if got := a.archive.LastSeq(); got != seq {
		t.Errorf("%d commits, were %d", got, seq)
	}
	stop()
	if got := catalogRows(t, cfg); !slices.Equal(got, rows) {
		t.Errorf("the catalog holds %d rows, held %d", len(got), len(rows))
	}
}
