package archive

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestALookNoticesWhatIsDoneToTheFiles of a running archive, and nothing of what the
// archive itself does to them.
func TestALookNoticesWhatIsDoneToTheFiles(t *testing.T) {
	sameTime := func(path string, do func() error) error {
		fi, err := os.Stat(path)
		if err != nil {
			return err
		}
		return errors.Join(do(), os.Chtimes(path, fi.ModTime(), fi.ModTime()))
	}
	overwrite := func(path string) error {
		fi, err := os.Stat(path)
		if err != nil {
			return err
		}
		return os.WriteFile(path, make([]byte, fi.Size()), 0o600)
	}
	for name, hurt := range map[string]func(path string) error{
		"deleted":                       os.Remove,
		"cut":                           func(path string) error { return os.Truncate(path, 90) },
		"overwritten":                   overwrite,
		"overwritten, time put back":    func(path string) error { return sameTime(path, func() error { return overwrite(path) }) },
		"replaced by one of its length": func(path string) error { return errors.Join(overwrite(path+".x"), replaceBy(path)) },
	} {
		for what, find := range map[string]func(t *testing.T, dir string) string{
			"a pack":         func(t *testing.T, dir string) string { return oneFileOf(t, filepath.Join(dir, repoDir, "p")) },
			"an index":       func(t *testing.T, dir string) string { return oneFileOf(t, filepath.Join(dir, repoDir, "x")) },
			"the lock":       func(_ *testing.T, dir string) string { return filepath.Join(dir, repoDir, LockName) },
			"a journal file": func(t *testing.T, dir string) string { return oneFileOf(t, filepath.Join(dir, journalDir)) },
		} {
			t.Run(name+" "+what, func(t *testing.T) {
				var told []Damage
				a, dir := newArchive(t, Options{NoParity: true, OnDamage: func(d Damage) { told = append(told, d) }})
				ctx := context.Background()
				commit(t, a, messages("c1", 0, 5)...)
				quiet := func(after string) {
					t.Helper()
					if n, err := a.Look(ctx); n != 0 || err != nil || len(told) != 0 {
						t.Fatalf("after %s a look found %d, %v: %v", after, n, err, told)
					}
				}
				quiet("a commit")
				if _, err := a.Fold(ctx); err != nil {
					t.Fatal(err)
				}
				commit(t, a, messages("c1", 5, 5)...)
				quiet("a fold")
				// the files are older than the look's patience
				for name, info := range a.blobs.log.live {
					info.time = info.time.AddDate(0, 0, -1)
					a.blobs.log.live[name] = info
				}
				path := find(t, dir)
				if strings.Contains(name, "replaced") {
					if b, err := os.ReadFile(path); err != nil || os.WriteFile(path+".x", b, 0o600) != nil {
						t.Fatal(err)
					}
				}
				if err := hurt(path); err != nil {
					t.Fatal(err)
				}
				if n, err := a.Look(ctx); n != 1 || err != nil || len(told) != 1 || !strings.HasSuffix(path, told[0].Where) {
					t.Fatalf("a look found %d, %v: %v", n, err, told)
				}
				if _, err := a.Look(ctx); err != nil || len(told) != 1 {
					t.Errorf("the next look tells it again: %v, %v", told, err)
				}
			})
		}
	}
}

func replaceBy(path string) error { return os.Rename(path+".x", path) }

func oneFileOf(t *testing.T, dir string) (found string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			found = path // the last: of the journal it is the one that is not folded
		}
		return err
	})
	if err != nil || found == "" {
		t.Fatalf("no file in %s: %v", filepath.Base(dir), err)
	}
	return found
}

func TestALookAtADiskThatIsGoneIsDamage(t *testing.T) {
	a, dir := newArchive(t, Options{})
	if err := os.Remove(filepath.Join(dir, markerName)); err != nil {
		t.Fatal(err)
	}
	if n, err := a.Look(context.Background()); n != 1 || err != nil || len(a.Damage()) != 1 {
		t.Errorf("%d, %v, %v", n, err, a.Damage())
	}
}
