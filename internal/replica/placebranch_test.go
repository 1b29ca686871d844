package replica

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"farol/internal/archive"
	"farol/internal/audit"
	"farol/internal/record"
)

// recordsOf is what an archive holds: commit, id and hash.
func recordsOf(t *testing.T, a *archive.Archive) map[string]record.Hash {
	t.Helper()
	out := map[string]record.Hash{}
	err := a.Walk(t.Context(), func(r record.Record, _ record.Loc, commit uint64, _ int) error {
		out[fmt.Sprint(commit, " ", r.ID)] = r.Hash()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestAPlaceIsTakenUpByWhoGoesOnFromAnEarlierMoment: an appliance comes home from a
// place as it was; the one before copies on. Once the new one has copied, the place
// brings its history home and no other, the files of the other lie aside, and the
// one before copies nothing there any more.
func TestAPlaceIsTakenUpByWhoGoesOnFromAnEarlierMoment(t *testing.T) {
	for _, kind := range []struct {
		name string
		make func(t *testing.T) (cfg PlaceConfig, dir string)
	}{{"folder", func(t *testing.T) (PlaceConfig, string) {
		dir := t.TempDir()
		return PlaceConfig{Kind: "dir", Path: dir}, dir
	}}, {"s3", startS3}, {"sftp", startSFTP}} {
		t.Run(kind.name, func(t *testing.T) {
			ctx := t.Context()
			cfg, _ := kind.make(t)
			c := newCopied(t)
			logDir := t.TempDir()
			log, signer, vk := signedLog(t, logDir)
			c.log = log
			cfg, err := AddPlace(ctx, cfg, c.a.ID())
			if err != nil {
				t.Fatal(err)
			}
			former := NewPlace(cfg, nil, nil)
			defer former.Close()
			c.live(t, 0)
			if err := former.Sync(ctx, c.a, c.log); err != nil {
				t.Fatal(err)
			}
			fetched := func() (*archive.Archive, *audit.Log) {
				t.Helper()
				dir, logs := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "log")
				if _, err := FetchPlace(ctx, cfg, time.Time{}, dir, logs, nil); err != nil {
					t.Fatal(err)
				}
				a, err := archive.Adopt(ctx, dir, c.root, archive.Options{KeepJournal: 1})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { a.Close() })
				v, err := note.NewVerifier(vk)
				if err != nil {
					t.Fatal(err)
				}
				l, err := audit.Open(logs, audit.Options{Box: plainBox{}, Signer: signer, Verify: v})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { l.Close() })
				return a, l
			}
			b, blog := fetched()
			if b.Epoch() != 2 || len(recordsOf(t, b)) != 30 {
				t.Fatalf("epoch %d, %d records", b.Epoch(), len(recordsOf(t, b)))
			}
			c.live(t, 30) // in other journal files, in the repository and in the log
			commitSome(t, c.a, 60, 3)
			if err := former.Sync(ctx, c.a, c.log); err != nil {
				t.Fatal(err)
			}
			commitSome(t, b, 100, 5)
			for range 3 {
				if _, err := blog.Append(ctx, audit.Event{Operation: "logout", Outcome: "ok"}); err != nil {
					t.Fatal(err)
				}
			}
			now := NewPlace(cfg, nil, nil)
			defer now.Close()
			if err := now.Sync(ctx, b, blog); err != nil {
				t.Fatal(err)
			}
			if err := former.Sync(ctx, c.a, c.log); !errors.Is(err, ErrSuperseded) {
				t.Errorf("the one before copies on: %v", err)
			}
			if _, err := former.Verify(ctx, c.a, nil); !errors.Is(err, ErrSuperseded) {
				t.Errorf("the one before heals what is not its own: %v", err)
			}
			if rep, err := now.Verify(ctx, b, nil); err != nil || len(rep.Damaged) > 0 {
				t.Errorf("%+v %v", rep, err)
			}
			commitSome(t, b, 105, 1)
			if _, err := b.Fold(ctx); err != nil {
				t.Fatal(err)
			}
			now.Close() // what it holds is asked of the place
			if err := now.Sync(ctx, b, blog); err != nil {
				t.Fatal(err)
			}
			d, dlog := fetched()
			if got, want := recordsOf(t, d), recordsOf(t, b); !maps.Equal(got, want) {
				t.Errorf("%d records came home, the archive has %d", len(got), len(want))
			}
			if n, err := dlog.Verify(); err != nil || n != blog.Size() {
				t.Errorf("%d entries of %d, %v", n, blog.Size(), err)
			}
			if rep, err := d.Check(ctx, true, nil); err != nil || !rep.OK() {
				t.Errorf("%+v %v", rep, err)
			}
			aside := map[string]int{}
			if err := now.t.list(ctx, formerDir+"2/", func(name string, _ int64) error {
				aside[strings.Split(name, "/")[1]]++
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			if aside["archive"] == 0 || aside["journal"] == 0 || aside["log"] == 0 {
				t.Errorf("what the one before copied is not kept aside: %v", aside)
			}
		})
	}
}
