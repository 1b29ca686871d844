package appliance

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"farol/internal/audit"
	"farol/internal/keys"
	"farol/internal/watch"
)

// TestALogThatWasTamperedWithIsNoticedWithoutANode does to the files of a
// stopped appliance what an attacker would, and starts it as usual.
func TestALogThatWasTamperedWithIsNoticedWithoutANode(t *testing.T) {
	t.Parallel()
	cfg, want, seq := lived(t)
	older := filepath.Join(t.TempDir(), "older")
	if err := os.CopyFS(older, os.DirFS(filepath.Join(cfg.StateDir, "log"))); err != nil {
		t.Fatal(err)
	}
	a, stop := runs(t, cfg) // the log grows past the state that was copied
	for range 5 {
		if _, err := a.audit.Append(t.Context(), audit.Event{Actor: "chan", Operation: "view", Object: "record/1", Outcome: "ok"}); err != nil {
			t.Fatal(err)
		}
	}
	size, key := a.audit.Size(), a.logKey
	stop()
	pristine := filepath.Join(t.TempDir(), "state")
	if err := os.CopyFS(pristine, os.DirFS(cfg.StateDir)); err != nil {
		t.Fatal(err)
	}
	entries := func(dir string) string { return filepath.Join(dir, "entries.log") }
	for name, c := range map[string]struct {
		hurt func(dir string) error
		why  string
		from string
	}{
		"edited in the middle": {func(dir string) error {
			b, err := os.ReadFile(entries(dir))
			if err != nil {
				return err
			}
			b[len(b)/2] ^= 1
			return os.WriteFile(entries(dir), b, 0o600)
		}, audit.Edited, ""},
		"tail cut": {func(dir string) error {
			fi, err := os.Stat(entries(dir))
			if err != nil {
				return err
			}
			return os.Truncate(entries(dir), fi.Size()-3)
		}, audit.Cut, fmt.Sprint(size - 1)},
		"removed": {os.RemoveAll, audit.Gone, "0"},
		"set back": {func(dir string) error {
			return errors.Join(os.RemoveAll(dir), os.CopyFS(dir, os.DirFS(older)))
		}, audit.RolledBack, ""},
	} {
		if err := errors.Join(os.RemoveAll(cfg.StateDir), os.CopyFS(cfg.StateDir, os.DirFS(pristine))); err != nil {
			t.Fatal(err)
		}
		log := filepath.Join(cfg.StateDir, "log")
		if err := c.hurt(log); err != nil {
			t.Fatal(err)
		}
		left := filesOf(t, log)
		a, stop := runs(t, cfg)
		e, err := a.audit.Entry(0)
		if err != nil || e.Operation != "audit.tamper" || e.Severity != "critical" || e.Detail["what"] != c.why || e.Detail["old_size"] != fmt.Sprint(size) || e.Hash == "" || c.from != "" && e.Detail["from"] != c.from {
			t.Errorf("%s: the new log begins with %+v, %v", name, e, err)
		}
		if a.logKey == key {
			t.Errorf("%s: the new log is signed with the old key", name)
		}
		if n, err := a.audit.Verify(); err != nil || n == 0 {
			t.Errorf("%s: the new log: %d, %v", name, n, err)
		}
		alarms, err := a.watch.Alarms(t.Context(), 10)
		if err != nil || len(alarms) != 1 || alarms[0].Cause != watch.LogTamper || !alarms[0].Closed.IsZero() {
			t.Errorf("%s: alarms %+v, %v", name, alarms, err)
		}
		if n := a.archive.LastSeq(); n != seq {
			t.Errorf("%s: the archive is at %d, was at %d", name, n, seq)
		}
		stop()
		kept, err := filepath.Glob(log + ".tampered-*")
		if err != nil || len(kept) != 1 && c.why != audit.Gone {
			t.Fatalf("%s: kept %v, %v", name, kept, err)
		}
		if len(kept) == 1 {
			for f, b := range left {
				if now := filesOf(t, kept[0])[f]; now != b && f != "offsets.log" && !strings.HasPrefix(f, "lookup.db") {
					t.Errorf("%s: %s was changed in what is kept", name, f)
				}
			}
		}
		// The next start is an ordinary one, and does not ring again.
		b, stop := runs(t, cfg)
		alarms, err = b.watch.Alarms(t.Context(), 10)
		again, lerr := filepath.Glob(log + ".tampered-*")
		if err != nil || lerr != nil || len(alarms) != 1 || !slices.Equal(again, kept) {
			t.Errorf("%s: at the next start %d alarms, kept %v, %v", name, len(alarms), again, errors.Join(err, lerr))
		}
		stop()
	}
	if got := catalogRows(t, cfg); !slices.Equal(got, want) {
		t.Errorf("the catalog changed: %d rows, were %d", len(got), len(want))
	}
}

func filesOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	files, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		out[f.Name()] = string(b)
	}
	return out
}

func TestARunningApplianceNoticesWhatIsDoneToItsLog(t *testing.T) {
	t.Parallel()
	cfg, _, _ := lived(t)
	a, err := Open(t.Context(), cfg, Logger("error"))
	if err != nil {
		t.Fatal(err)
	}
	if err := a.checkLog(t.Context(), true); err != nil {
		t.Errorf("an honest log: %v", err)
	}
	if err := os.Remove(filepath.Join(a.logDir(), "entries.log")); err != nil {
		t.Fatal(err)
	}
	if err := a.checkLog(t.Context(), false); !errors.Is(err, audit.ErrTampered) {
		t.Errorf("a removed file: %v", err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestARecoveredLogIsNotTakenForOneThatWasCut(t *testing.T) {
	t.Parallel()
	cfg, _, _ := lived(t)
	a, err := Open(t.Context(), cfg, Logger("error"))
	if err != nil {
		t.Fatal(err)
	}
	older := filepath.Join(t.TempDir(), "older")
	if err := os.CopyFS(older, os.DirFS(a.logDir())); err != nil {
		t.Fatal(err)
	}
	if _, err := a.audit.Append(t.Context(), audit.Event{Actor: "chan", Operation: "view", Object: "record/1", Outcome: "ok"}); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil { // the control database knows the longer log
		t.Fatal(err)
	}
	if err := errors.Join(os.RemoveAll(a.logDir()), os.CopyFS(a.logDir(), os.DirFS(older)), markRecovered(cfg, a.ring)); err != nil {
		t.Fatal(err)
	}
	b, stop := runs(t, cfg)
	if e, err := b.audit.Entry(0); err != nil || e.Operation == "audit.tamper" {
		t.Errorf("%+v, %v", e, err)
	}
	stop()
	// A mark that was not written with the key is refused, and not believed.
	forged, err := keys.NewRing()
	if err != nil {
		t.Fatal(err)
	}
	if err := markRecovered(cfg, forged); err != nil {
		t.Fatal(err)
	}
	if c, err := Open(t.Context(), cfg, Logger("error")); err == nil {
		t.Errorf("a forged mark was taken, %v", c.Close())
	}
}

func TestDamagedHashesAreMadeAnewAndAreNoAlarm(t *testing.T) {
	t.Parallel()
	cfg, _, _ := lived(t)
	hashes := filepath.Join(cfg.StateDir, "log", "hashes.log")
	for name, hurt := range map[string]func() error{
		"all of them": func() error {
			fi, err := os.Stat(hashes)
			if err != nil {
				return err
			}
			return os.WriteFile(hashes, make([]byte, fi.Size()), 0o600)
		},
		"one, noticed while running": func() error {
			f, err := os.OpenFile(hashes, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteAt([]byte("x"), 5)
			return errors.Join(err, f.Close(), writeDurable(filepath.Join(cfg.StateDir, badLog), nil))
		},
	} {
		if err := hurt(); err != nil {
			t.Fatal(err)
		}
		a, err := Open(t.Context(), cfg, Logger("error"))
		if err != nil {
			t.Fatal(err)
		}
		if e, err := a.audit.Entry(0); err != nil || e.Operation == "audit.tamper" {
			t.Errorf("%s: the log was given up: %+v, %v", name, e, err)
		}
		if err := a.checkLog(t.Context(), true); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(filepath.Join(cfg.StateDir, badLog)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the mark stays: %v", name, err)
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
