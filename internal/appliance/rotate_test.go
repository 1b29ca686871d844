package appliance

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"farol/internal/archive"
	"farol/internal/audit"
	"farol/internal/keys"
	"farol/internal/replica"
)

func shareTexts(shares []keys.Share) (out []string) {
	for i := range shares {
		out = append(out, shares[i].Text())
	}
	return out
}

// keepSecret writes a sealed setting and reads it back later.
func keepSecret(t *testing.T, a *Appliance, value string) {
	t.Helper()
	if err := a.settings.SetSecret(t.Context(), map[string]string{"rotation.test": value}); err != nil {
		t.Fatal(err)
	}
}

func hasSecret(t *testing.T, a *Appliance, want string) {
	t.Helper()
	if got, err := a.settings.Get(t.Context(), "rotation.test"); err != nil || got != want {
		t.Errorf("the sealed setting reads %q: %v", got, err)
	}
}

// wholeLog reads every entry's payload and checks the log.
func wholeLog(t *testing.T, a *Appliance) {
	t.Helper()
	if _, err := audit.Inspect(a.logDir(), a.ring.Box(keys.LabelLog), a.logVerify); err != nil {
		t.Error(err)
	}
	for seq := range a.audit.Size() {
		if e, err := a.audit.Entry(seq); err != nil || e.Operation == "" {
			t.Fatalf("entry %d: %+v %v", seq, e, err)
		}
	}
}

// TestAfterARotationOnlyTheNewSharesOpenAnything changes the root key of a
// running appliance with a copy, and loses the machine afterwards: the new
// shares bring everything back, what was sealed before and after; the former
// ones open neither this archive nor the copy.
func TestAfterARotationOnlyTheNewSharesOpenAnything(t *testing.T) {
	cfg := bench(t)
	a, stop := runs(t, cfg)
	defer func() { stop() }()
	commitOne(t, a, "before")
	keepSecret(t, a, "sealed before")
	place := replica.PlaceConfig{Kind: "dir", Path: t.TempDir(), Name: "NAS", Transfer: Transfer{Country: "MO"}}
	if _, err := a.AddPlace(t.Context(), "test", place); err != nil {
		t.Fatal(err)
	}
	former, err := a.Kit(t.Context(), "maria", 3, 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.ConfirmKit(t.Context(), "maria", shareTexts(former)[:2]); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the copy is current", func() bool { return copyNamed(t, a, "NAS").State == "current" })

	was := a.KeyCheck()
	fresh, err := a.NewKit(t.Context(), "maria", 5, 3)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.ConfirmKit(t.Context(), "maria", shareTexts(former)[:2]); err == nil || a.KeyCheck() != was {
		t.Errorf("the former shares confirm the new key: %v", err)
	}
	if err := a.ConfirmKit(t.Context(), "maria", shareTexts(fresh)[:2]); err == nil || a.KeyCheck() != was {
		t.Errorf("too few shares confirm the new key: %v", err)
	}
	if err := a.ConfirmKit(t.Context(), "maria", shareTexts(fresh)[1:4]); err != nil || a.KeyCheck() == was {
		t.Fatalf("the root key is not changed: %v", err)
	}
	if k, err := a.kits.Current(t.Context()); err != nil || k.N != 5 || k.Root != a.KeyCheck() {
		t.Errorf("%+v %v", k, err)
	}
	hasSecret(t, a, "sealed before")
	keepSecret(t, a, "sealed after")
	commitOne(t, a, "after")
	if _, err := a.archive.Fold(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := a.sealControl(t.Context()); err != nil {
		t.Fatal(err)
	}
	wholeLog(t, a)
	if _, err := a.Rehearse(t.Context(), "maria", shareTexts(former)[:2]); err == nil {
		t.Error("the former shares rehearse")
	}
	if err := a.places[0].Sync(t.Context(), a.archive, a.audit); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the copy has the new lock", func() bool {
		locks, err := a.Locks(t.Context())
		return err == nil && len(locks) == 2 && locks[1].Opened
	})
	stop()

	// a start like any other
	a, stop = runs(t, cfg)
	hasSecret(t, a, "sealed after")
	wholeLog(t, a)
	if rep, err := a.archive.Check(t.Context(), true, nil); err != nil || !rep.OK() {
		t.Errorf("%+v %v", rep, err)
	}
	stop()
	lock, err := os.ReadFile(filepath.Join(cfg.ArchiveDir, "archive", archive.LockName))
	if err != nil {
		t.Fatal(err)
	}
	_, old, err := combine(shareTexts(former))
	if err != nil {
		t.Fatal(err)
	}
	if err := archive.Opens(t.Context(), lock, old); !errors.Is(err, archive.ErrKey) {
		t.Errorf("the former key opens the archive: %v", err)
	}
	if _, err := keys.LoadRing(cfg.StateDir, old); !errors.Is(err, keys.ErrKey) {
		t.Errorf("the former key opens the state keys: %v", err)
	}
	if _, err := RebuildCatalog(t.Context(), cfg, Logger("error"), nil); err != nil {
		t.Fatal(err)
	}
	a, stop = runs(t, cfg)
	if !a.ring.Current() {
		t.Error("the rebuilt index lies under the former key")
	}
	stop()

	// the machine is lost
	empty := bench(t)
	if err := Recover(t.Context(), empty, Recovery{Shares: shareTexts(former), Place: &place}, Logger("error"), nil); err == nil {
		t.Fatal("the former shares recover")
	}
	if err := Recover(t.Context(), empty, Recovery{Shares: shareTexts(fresh)[2:], Place: &place}, Logger("error"), nil); err != nil {
		t.Fatal(err)
	}
	b, stopB := runs(t, empty)
	defer stopB()
	hasSecret(t, b, "sealed after")
	wholeLog(t, b)
	if got := b.archive.LastSeq(); got < 2 {
		t.Errorf("the last commit is %d", got)
	}
}

// TestARotationCutShortGoesOnOrNeverBegan stops before each step and starts
// again: either the former key holds as if nothing had been asked for, or the
// new one does, and nothing is unreadable.
func TestARotationCutShortGoesOnOrNeverBegan(t *testing.T) {
	for _, step := range []string{"next", "kit", "lock", "ring", "name"} {
		t.Run("before "+step, func(t *testing.T) {
			cfg := bench(t)
			a, err := Open(t.Context(), cfg, Logger("error"))
			if err != nil {
				t.Fatal(err)
			}
			commitOne(t, a, "before")
			keepSecret(t, a, "sealed")
			was := a.KeyCheck()
			shares, err := a.NewKit(t.Context(), "maria", 3, 2)
			if err != nil {
				t.Fatal(err)
			}
			a.cut = func(s string) error {
				if s == step {
					return errors.New("the power goes")
				}
				return nil
			}
			if err := a.ConfirmKit(t.Context(), "maria", shareTexts(shares)[1:]); err == nil {
				t.Fatal("it was not cut")
			}
			if err := a.Close(); err != nil {
				t.Fatal(err)
			}
			for range 2 { // a second start finds nothing left to do
				b, stop := runs(t, cfg)
				wants := shareTexts(shares)[1:]
				if step == "next" || step == "kit" {
					wants = sharesOf(t, b.root)[1:]
					if b.KeyCheck() != was {
						t.Error("a key counts whose kit was never entered")
					}
				} else if b.KeyCheck() == was {
					t.Error("the new key's kit is entered and the former key counts")
				}
				if r, err := b.Rehearse(t.Context(), "maria", wants); err != nil || !r.Locks[0].Opened {
					t.Errorf("%+v %v", r, err)
				}
				if b.ring.Len() != 2 { // one that sealed nothing is no harm
					t.Errorf("%d state keys, want 2", b.ring.Len())
				}
				hasSecret(t, b, "sealed")
				wholeLog(t, b)
				commitOne(t, b, "after")
				if rep, err := b.archive.Check(t.Context(), true, nil); err != nil || !rep.OK() {
					t.Errorf("%+v %v", rep, err)
				}
				stop()
				if _, err := os.Stat(filepath.Join(cfg.StateDir, keys.NextFile)); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("the next key still lies there: %v", err)
				}
			}
		})
	}
}

// TestStateKeysThatAreLostComeOutOfTheArchive takes the ring's file away.
func TestStateKeysThatAreLostComeOutOfTheArchive(t *testing.T) {
	cfg := bench(t)
	a, stop := runs(t, cfg)
	keepSecret(t, a, "sealed")
	stop()
	if err := os.Remove(filepath.Join(cfg.StateDir, keys.RingFile)); err != nil {
		t.Fatal(err)
	}
	a, stop = runs(t, cfg)
	defer stop()
	hasSecret(t, a, "sealed")
	wholeLog(t, a)
}

// TestAHandedOverRootKeyIsNotChangedHere refuses where the next start would be
// handed the former key again.
func TestAHandedOverRootKeyIsNotChangedHere(t *testing.T) {
	a, stop := runs(t, bench(t))
	defer stop()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, keys.CredentialName), make([]byte, keys.Size), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	if _, err := a.NewKit(t.Context(), "maria", 3, 2); err == nil {
		t.Error("a key that systemd hands over was changed")
	}
}
