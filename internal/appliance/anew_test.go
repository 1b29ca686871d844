package appliance

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"farol/internal/archive"
	"farol/internal/i18n"
	"farol/internal/keys"
)

// refuses opens an appliance that must not open, and looks at its words.
func refuses(t *testing.T, cfg Config, cause error, say ...string) {
	t.Helper()
	a, err := Open(t.Context(), cfg, Logger("error"))
	if err == nil {
		n, _ := a.accounts.Count(t.Context())
		t.Fatalf("it started, with %d accounts; %v", n, a.Close())
	}
	if !errors.Is(err, cause) {
		t.Errorf("the cause is %v, want %v", err, cause)
	}
	var ie *i18n.Error
	if !errors.As(err, &ie) {
		t.Fatalf("not for people: %v", err)
	}
	for _, l := range i18n.Langs {
		for _, s := range say {
			if text := ie.Text(l); !strings.Contains(text, s) {
				t.Errorf("%s does not say %q: %s", l, s, text)
			}
		}
	}
}

func TestAnApplianceThatLivedNeverStartsAsIfNew(t *testing.T) {
	t.Parallel()
	away := func(cfg Config) func() {
		if err := os.Rename(cfg.ArchiveDir, cfg.ArchiveDir+".away"); err != nil {
			t.Fatal(err)
		}
		return func() {
			if _, err := os.Stat(cfg.ArchiveDir); !errors.Is(err, os.ErrNotExist) {
				t.Error("something was made where the archive should be mounted")
				os.RemoveAll(cfg.ArchiveDir)
			}
			if err := os.Rename(cfg.ArchiveDir+".away", cfg.ArchiveDir); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Run("control database and archive's disk are gone", func(t *testing.T) {
		cfg, _, _ := lived(t)
		back := away(cfg)
		refuses(t, cfg, archive.ErrMissing, cfg.ArchiveDir, "farol recover")
		if err := os.Remove(filepath.Join(cfg.StateDir, "control.db")); err != nil {
			t.Fatal(err)
		}
		refuses(t, cfg, ErrControlLost, cfg.ArchiveDir, "farol recover")
		back()
		a, stop := runs(t, cfg)
		defer stop()
		if n, err := a.accounts.Count(t.Context()); err != nil || n != 1 {
			t.Errorf("%d accounts, %v", n, err)
		}
	})
	t.Run("the key is gone and comes back from the kit", func(t *testing.T) {
		cfg, want, seq := lived(t)
		a, err := Open(t.Context(), cfg, Logger("error"))
		if err != nil {
			t.Fatal(err)
		}
		shares := sharesOf(t, a.root)
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{cfg.HostKey, filepath.Join(cfg.StateDir, "root-key.sealed"), filepath.Join(cfg.StateDir, "control.db"), filepath.Join(cfg.StateDir, "catalog.db")} {
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
			refuses(t, cfg, ErrKeyLost, "farol recover --in-place")
		}
		other, err := keys.New()
		if err != nil {
			t.Fatal(err)
		}
		err = Recover(t.Context(), cfg, Recovery{InPlace: true, Shares: sharesOf(t, other)[:2]}, Logger("error"), nil)
		if !errors.Is(err, archive.ErrKey) {
			t.Errorf("another kit: %v", err)
		}
		refuses(t, cfg, ErrKeyLost, "farol recover --in-place")
		if err := Recover(t.Context(), cfg, Recovery{InPlace: true, Shares: shares[1:]}, Logger("error"), nil); err != nil {
			t.Fatal(err)
		}
		b, stop := runs(t, cfg)
		if n, err := b.accounts.Count(t.Context()); err != nil || n != 1 || b.archive.LastSeq() != seq {
			t.Errorf("%d accounts, %v, commit %d of %d", n, err, b.archive.LastSeq(), seq)
		}
		stop()
		if d := cmp.Diff(want, catalogRows(t, cfg)); d != "" {
			t.Errorf("the catalog changed:\n%.2000s", d)
		}
	})
	t.Run("a start that was killed before it made the archive goes on", func(t *testing.T) {
		cfg := bench(t)
		a, err := Open(t.Context(), cfg, Logger("error"))
		if err != nil {
			t.Fatal(err)
		}
		// as a kill between the archive and its line in the settings leaves it
		if err := errors.Join(a.settings.Set(t.Context(), map[string]string{archiveMade: ""}), a.Close()); err != nil {
			t.Fatal(err)
		}
		b, stop := runs(t, cfg)
		if len(b.mended) != 0 {
			t.Errorf("mended %v", b.mended)
		}
		stop()
		defer away(cfg)()
		refuses(t, cfg, archive.ErrMissing, cfg.ArchiveDir)
	})
}
