package db

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestADatabaseOpensTwiceAndKeepsItsRows(t *testing.T) {
	for _, set := range []Set{Control, Catalog} {
		path := filepath.Join(t.TempDir(), "a b?.db")
		for range 2 {
			d, err := Open(t.Context(), path, set, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestADamagedFileIsNamedAsDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	if err := os.WriteFile(path, []byte("this is no database at all, but a text of some length"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), path, Control, nil); !errors.Is(err, ErrDamaged) {
		t.Fatalf("got %v, want ErrDamaged", err)
	}
}

func TestAFailedTransactionLeavesNothing(t *testing.T) {
	d, err := Open(t.Context(), filepath.Join(t.TempDir(), "x.db"), Control, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	boom := errors.New("boom")
	err = d.Update(t.Context(), func(tx *Tx) error {
		if _, err := tx.Exec("INSERT INTO quota VALUES('2026-11', 1)"); err != nil {
			return err
		}
		return boom
	})
	if !errors.Is(err, boom) {
		t.Fatal(err)
	}
	var n int
	if err := d.View(context.Background(), func(tx *Tx) error {
		return tx.QueryRow("SELECT count(*) FROM quota").Scan(&n)
	}); err != nil || n != 0 {
		t.Fatalf("%d rows, %v", n, err)
	}
}
