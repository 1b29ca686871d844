package appliance

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pquerna/otp/totp"

	"farol/internal/auth"
	"farol/internal/db"
	"farol/internal/member"
	"farol/internal/settings"
)

// lived is an appliance with an owner, a signed-in session, commits in segments
// and in the journal, stopped. It returns the catalog's rows as they were.
func lived(t *testing.T) (cfg Config, rows []string, seq uint64) {
	t.Helper()
	cfg = bench(t)
	a, stop := runs(t, cfg)
	secret, err := auth.NewSecret("chan")
	if err != nil {
		t.Fatal(err)
	}
	code, err := totp.GenerateCode(secret.Text, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.accounts.Create(t.Context(), auth.NewAccount{Name: "chan", Shown: "Chan", Role: "admin", Password: "a long enough pass phrase", Secret: secret, Code: code}); err != nil {
		t.Fatal(err)
	}
	if err := a.settings.Set(t.Context(), map[string]string{settings.CorpID: "ding-test"}); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		commitOne(t, a, fmt.Sprint("folded ", i))
	}
	bringForward(t, a)
	if _, err := a.archive.Fold(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		commitOne(t, a, fmt.Sprint("in the journal ", i))
	}
	bringForward(t, a)
	if _, _, err := a.members().Open(t.Context(), member.Person{UserID: "u1"}); err != nil {
		t.Fatal(err)
	}
	if err := a.sealControl(t.Context()); err != nil {
		t.Fatal(err)
	}
	seq = a.archive.LastSeq()
	stop()
	return cfg, catalogRows(t, cfg), seq
}

// bringForward applies what was committed straight to the archive.
func bringForward(t *testing.T, a *Appliance) {
	t.Helper()
	if err := a.engine.Repair(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// catalogRows is every record of a closed catalog with its address.
func catalogRows(t *testing.T, cfg Config) (rows []string) {
	t.Helper()
	d, err := db.Open(t.Context(), filepath.Join(cfg.StateDir, "catalog.db"), db.Catalog, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	err = d.View(t.Context(), func(tx *db.Tx) error {
		for _, q := range []string{
			"SELECT format('rec %d/%d container %d dept %d kind %d author %d ms %d ver %d state %d until %d bytes %d seg %s off %d len %d', seq, idx, container, dept, kind, author, ms, ver, state, until, bytes, s.name, off, len) FROM rec r LEFT JOIN seg s ON s.id=r.seg",
			"SELECT format('container %d kind %d dept %d n %d last %d', id, kind, dept, n, last) FROM container",
			"SELECT format('meta %s=%s', name, value) FROM meta",
			"SELECT format('table %s', name) FROM sqlite_master",
		} {
			rs, err := tx.Query(q)
			if err != nil {
				return err
			}
			for rs.Next() {
				var s string
				if err := rs.Scan(&s); err != nil {
					return err
				}
				rows = append(rows, s)
			}
			if err := errors.Join(rs.Err(), rs.Close()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(rows)
	return rows
}

// hurts are what happens to a database file.
var hurts = map[string]func(path string) error{
	"deleted": os.Remove,
	"deleted with its log": func(path string) error {
		return errors.Join(os.Remove(path), os.WriteFile(path+"-wal", []byte("what an old log left"), 0o600))
	},
	"emptied":       func(path string) error { return os.Truncate(path, 0) },
	"cut in half":   func(path string) error { return cut(path, 2) },
	"cut to a page": func(path string) error { return os.Truncate(path, 4096) },
	"overwritten":   func(path string) error { return scribble(path, 0, 4096) },
	"hit inside":    func(path string) error { return scribble(path, 4096+700, 9000) },
}

func cut(path string, by int64) error {
	fi, err := os.Stat(path)
	if err != nil {
		return err
	}
	return os.Truncate(path, fi.Size()/by)
}

func scribble(path string, at, n int) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for i := at; i < min(at+n, len(b)); i++ {
		b[i] = byte(i*7 + 13)
	}
	return os.WriteFile(path, b, 0o600)
}

func mendedWhat(a *Appliance) (out []string) {
	for _, m := range a.mended {
		out = append(out, m.What)
	}
	return out
}

func TestACatalogThatIsLostOrDamagedComesBackByItselfAtStart(t *testing.T) {
	t.Parallel()
	cfg, want, seq := lived(t)
	for what, hurt := range hurts {
		if err := hurt(filepath.Join(cfg.StateDir, "catalog.db")); err != nil {
			t.Fatal(err)
		}
		a, stop := runs(t, cfg)
		var st Status
		if err := Control(t.Context(), cfg, "status", nil, &st); err != nil {
			t.Fatal(err)
		}
		if len(st.Mended) != 1 || st.Mended[0].What != "catalog" || st.Mended[0].Why == "" {
			t.Errorf("%s: `farol status` says %+v", what, st.Mended)
		}
		if got := a.archive.LastSeq(); got != seq {
			t.Errorf("%s: the archive ends at %d, it was %d", what, got, seq)
		}
		stop()
		if d := cmp.Diff(want, catalogRows(t, cfg)); d != "" {
			t.Errorf("%s: the catalog differs (-was +is):\n%.3000s", what, d)
		}
	}
}

func TestACatalogThatBreaksWhileItRunsIsMadeAnewAtTheNextStart(t *testing.T) {
	t.Parallel()
	cfg, want, _ := lived(t)
	a, stop := runs(t, cfg)
	defer stop()
	if err := a.checkCatalog(t.Context()); err != nil {
		t.Fatalf("a sound catalog: %v", err)
	}
	stop()
	a, err := Open(t.Context(), cfg, Logger("error"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(cfg.StateDir, "catalog.db")
	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte(strings.Repeat("bad sector ", int(fi.Size()-4096)/11)), 4096); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Close(), a.checkCatalog(t.Context())); !errors.Is(err, db.ErrDamaged) {
		t.Fatalf("the check says %v", err)
	}
	a.Close() // says what it likes: the file is broken
	b, stopB := runs(t, cfg)
	if got := mendedWhat(b); !slices.Equal(got, []string{"catalog"}) {
		t.Errorf("made anew: %v", got)
	}
	stopB()
	if d := cmp.Diff(want, catalogRows(t, cfg)); d != "" {
		t.Errorf("the catalog differs:\n%.2000s", d)
	}
	c, stopC := runs(t, cfg)
	defer stopC()
	if len(c.mended) != 0 {
		t.Errorf("it is made anew at each start: %v", c.mended)
	}
}

func TestAControlDatabaseThatIsLostOrDamagedComesBackFromTheArchive(t *testing.T) {
	t.Parallel()
	cfg, want, _ := lived(t)
	all := map[string]func(string) error{"replaced by a new one": func(path string) error {
		other := bench(t)
		a, err := Open(t.Context(), other, Logger("error"))
		if err != nil {
			return err
		}
		if err := a.settings.Set(t.Context(), map[string]string{archiveMade: ""}); err != nil {
			return err
		}
		if err := a.Close(); err != nil {
			return err
		}
		b, err := os.ReadFile(filepath.Join(other.StateDir, "control.db"))
		if err != nil {
			return err
		}
		return os.WriteFile(path, b, 0o600)
	}}
	for what, hurt := range hurts {
		all[what] = hurt
	}
	for what, hurt := range all {
		path := filepath.Join(cfg.StateDir, "control.db")
		if err := hurt(path); err != nil {
			t.Fatal(err)
		}
		a, stop := runs(t, cfg)
		if n, err := a.accounts.Count(t.Context()); err != nil || n != 1 {
			t.Errorf("%s: %d accounts, %v: anybody could claim the machine", what, n, err)
		}
		if n, err := a.members().Count(t.Context()); err != nil || n != 0 {
			t.Errorf("%s: %d members are signed in, %v", what, n, err)
		}
		if corp, err := a.settings.Get(t.Context(), settings.CorpID); err != nil || corp != "ding-test" {
			t.Errorf("%s: the settings: %q %v", what, corp, err)
		}
		if err := Control(t.Context(), cfg, "setup-code", nil, new(any)); err == nil || !strings.Contains(err.Error(), "has an owner") {
			t.Errorf("%s: a set-up code was given: %v", what, err)
		}
		if got := mendedWhat(a); !slices.Equal(got, []string{"control"}) {
			t.Errorf("%s: made anew: %v", what, got)
		}
		stop()
		if d := cmp.Diff(want, catalogRows(t, cfg)); d != "" {
			t.Errorf("%s: the catalog changed:\n%.2000s", what, d)
		}
	}
	// The next start finds everything in order.
	a, stop := runs(t, cfg)
	defer stop()
	if len(a.mended) != 0 {
		t.Errorf("a sound appliance was mended: %v", a.mended)
	}
	if kept, _ := filepath.Glob(filepath.Join(cfg.StateDir, "control.db.lost-*")); len(kept) == 0 {
		t.Error("the damaged files were thrown away")
	}
}
