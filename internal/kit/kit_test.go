package kit

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"farol/internal/db"
	"farol/internal/keys"
)

func TestTheKitKnowsItsKeepersAndHoldsNoShare(t *testing.T) {
	now := time.Date(2026, 11, 24, 4, 0, 0, 0, time.UTC)
	path := filepath.Join(t.TempDir(), "control.db")
	d, err := db.Open(t.Context(), path, db.Control, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	root, err := keys.New()
	if err != nil {
		t.Fatal(err)
	}
	b, ctx := New(d, keys.NewBox(root.Derive(keys.LabelControl))), t.Context()
	ok := func() error { return nil }
	if _, err := b.Current(ctx); !errors.Is(err, ErrNone) {
		t.Fatal(err)
	}
	if err := b.See(ctx, 1, 0, ok); !errors.Is(err, ErrNone) {
		t.Error(err)
	}
	shares, err := keys.Split(root, 3, 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Replace(ctx, shares, root.Check(), "maria", ok); err != nil {
		t.Fatal(err)
	}
	if err := b.Keeper(ctx, 2, "王律師\n保險箱", ok); err != nil {
		t.Fatal(err)
	}
	look := func() Kit {
		t.Helper()
		k, err := b.Current(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	k := look()
	if k.N != 3 || k.K != 2 || len(k.Shares) != 3 || k.Due(now) != 0 || k.RehearsalDue(now) || !k.Opens() || k.Shares[1].Keeper != "王律師 保險箱" {
		t.Errorf("%+v", k)
	}
	failed := errors.New("the log is full")
	err = b.Lose(ctx, 1, func() error { return failed })
	if k = look(); !errors.Is(err, failed) || k.Left() != 3 {
		t.Errorf("without its entry a share was given up: %v", err)
	}

	now = now.Add(Presence)
	if k = look(); k.Due(now) != 3 {
		t.Errorf("%d want to be shown", k.Due(now))
	}
	if err := b.See(ctx, 1, shares[1].Mark(), ok); !errors.Is(err, ErrWords) {
		t.Errorf("another share's words: %v", err)
	}
	err = b.See(ctx, 1, shares[0].Mark(), ok)
	if k = look(); err != nil || k.Due(now) != 2 {
		t.Error(err)
	}
	if err := b.Lose(ctx, 3, ok); err != nil {
		t.Error(err)
	}
	if err := b.See(ctx, 3, shares[2].Mark(), ok); !errors.Is(err, ErrLost) {
		t.Errorf("a share that was given up counts again: %v", err)
	}
	if err := b.Lose(ctx, 3, ok); !errors.Is(err, ErrLost) {
		t.Error(err)
	}
	if k = look(); k.Left() != 2 || !k.Opens() || k.Due(now) != 1 {
		t.Errorf("%+v", k)
	}

	now = now.Add(Rehearsal)
	if k = look(); !k.RehearsalDue(now) {
		t.Error("no rehearsal is due after a year")
	}
	older, err := keys.Split(root, 3, 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Rehearsed(ctx, []keys.Share{shares[0], older[1]}, ok); err != nil {
		t.Fatal(err)
	}
	k = look()
	if k.RehearsalDue(now) || !k.Shares[0].Seen.Equal(now) || k.Shares[1].Seen.Equal(now) {
		t.Errorf("the share of an older kit was taken for this one's: %+v", k)
	}
	if err := b.Lose(ctx, 2, ok); err != nil {
		t.Error(err)
	}
	if k = look(); k.Opens() {
		t.Error("one share of two opens")
	}
	if err := b.Replace(ctx, older, root.Check(), "maria", ok); err != nil {
		t.Fatal(err)
	}
	if k = look(); k.Left() != 3 || k.Shares[1].Keeper != "" {
		t.Errorf("the new kit is the old one: %+v", k)
	}

	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(path + "*")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range append(shares, older...) {
			for _, secret := range []string{s.Text(), s.Mark().English(), s.Mark().Chinese(false), "王律師", strings.ReplaceAll(s.Text(), "-", "")} {
				if bytes.Contains(raw, []byte(secret)) {
					t.Errorf("%s holds %.12s… in clear", filepath.Base(f), secret)
				}
			}
		}
	}
}
