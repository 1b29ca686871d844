package db

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestADatabaseOfANewerFarolIsLeftAlone: an older program that wrote into
// tables it does not know would spoil them for both.
func TestADatabaseOfANewerFarolIsLeftAlone(t *testing.T) {
	for _, set := range []Set{Control, Catalog, Log} {
		path := filepath.Join(t.TempDir(), "x.db")
		d, err := Open(t.Context(), path, set, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Update(t.Context(), func(tx *Tx) error {
			_, err := tx.Exec("INSERT INTO goose_db_version(version_id, is_applied) VALUES(9999, 1)")
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if d, err := Open(t.Context(), path, set, nil); !errors.Is(err, ErrNewer) || errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v, want ErrNewer", set, err)
			if err == nil {
				d.Close()
			}
		}
		if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
			t.Errorf("%s: the file was changed (%v)", set, err)
		}
	}
}
