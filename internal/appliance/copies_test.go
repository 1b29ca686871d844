package appliance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"farol/internal/archive"
	"farol/internal/audit"
	"farol/internal/i18n"
	"farol/internal/record"
	"farol/internal/web"
)

// bench is a configuration in a folder of the test's.
func bench(t testing.TB) Config {
	t.Helper()
	dir := t.TempDir()
	cfg := DefaultConfig()
	cfg.StateDir, cfg.HostKey, cfg.RunDir, cfg.Listen, cfg.Reserve = filepath.Join(dir, "state"), filepath.Join(dir, "host.key"), filepath.Join(dir, "run"), "127.0.0.1:0", 0
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	return cfg
}

// runs opens and runs an appliance; the function stops it.
func runs(t testing.TB, cfg Config) (*Appliance, func()) {
	t.Helper()
	a, err := Open(t.Context(), cfg, Logger("error"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	select {
	case <-a.ready:
	case err := <-ended:
		t.Fatal(err)
	}
	return a, sync.OnceFunc(func() {
		cancel()
		if err := errors.Join(<-ended, a.Close()); err != nil {
			t.Error(err)
		}
	})
}

func commitOne(t *testing.T, a *Appliance, id string) {
	t.Helper()
	raw := fmt.Sprintf(`{"dept_id":1,"name":%q}`, id)
	if _, err := a.archive.Commit(t.Context(), archive.Batch{Records: []record.Record{{Ref: record.Ref{Kind: record.Contacts, Container: "org", ID: id}, Time: time.UnixMilli(1.7e12).UTC(), Raw: []byte(raw)}}}); err != nil {
		t.Fatal(err)
	}
	a.archive.Applied(a.archive.LastSeq())
}

// eventually asks until ok says yes.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

func copyNamed(t *testing.T, a *Appliance, name string) web.Copy {
	t.Helper()
	cs, err := a.Copies(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cs {
		if c.Name == name {
			return c
		}
	}
	return web.Copy{}
}

// TestTheConsoleAddsVerifiesAndRetiresPlaces through what a page calls.
func TestTheConsoleAddsVerifiesAndRetiresPlaces(t *testing.T) {
	cfg := bench(t)
	a, stop := runs(t, cfg)
	defer func() { stop() }()
	commitOne(t, a, "dept-1")
	dir := filepath.Dir(cfg.StateDir)
	refused := func(n web.NewCopy, id string) {
		t.Helper()
		var ie *i18n.Error
		if err := a.AddCopy(t.Context(), "maria", n); !errors.As(err, &ie) || ie.ID != id {
			t.Errorf("%+v: %v, want %s", n, err, id)
		}
	}
	refused(web.NewCopy{Kind: "dir", Path: "nas", Transfer: record.Transfer{Country: "MO"}}, "place.add.relative")
	refused(web.NewCopy{Kind: "dir", Path: filepath.Join(cfg.ArchiveDir, "x"), Transfer: record.Transfer{Country: "MO"}}, "place.add.inside")
	refused(web.NewCopy{Kind: "dir", Path: filepath.Join(dir, "absent"), Transfer: record.Transfer{Country: "MO"}}, "place.add.gone")
	refused(web.NewCopy{Kind: "dir", Path: dir, Transfer: record.Transfer{Country: "MO"}}, "place.add.foreign")
	refused(web.NewCopy{Kind: "dir", Path: dir, Transfer: record.Transfer{Country: "CN"}}, "place.add.abroad")
	refused(web.NewCopy{Kind: "sftp", Path: "/x", Host: "127.0.0.1:1", HostKey: "nonsense", Secret: "s", Transfer: record.Transfer{Country: "MO"}}, "place.add.key")
	if cs, err := a.Copies(t.Context()); err != nil || len(cs) > 0 {
		t.Fatalf("a refused place stays: %+v %v", cs, err)
	}
	for _, name := range []string{"one", "two"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := a.AddCopy(t.Context(), "maria", web.NewCopy{Kind: "dir", Path: filepath.Join(dir, name), Name: name, Secret: "hush-hush", Transfer: record.Transfer{Country: "MO"}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"one", "two"} {
		eventually(t, name+" is whole", func() bool { return copyNamed(t, a, name).State == "current" })
	}
	one, two := copyNamed(t, a, "one"), copyNamed(t, a, "two")
	if s := fmt.Sprintf("%+v", one); strings.Contains(s, "hush") || !one.SameDisk || one.Answer.IsZero() || one.Whole.IsZero() {
		t.Errorf("%s", s)
	}
	if err := a.VerifyCopy(t.Context(), "maria", one.ID); err != nil {
		t.Fatal(err)
	}
	eventually(t, "verified", func() bool { c := copyNamed(t, a, "one"); return c.Work == "" && !c.Verified.IsZero() })

	// added again, as after a new secret: one place with the new settings
	if err := a.AddCopy(t.Context(), "maria", web.NewCopy{Kind: "dir", Path: filepath.Join(dir, "two"), Name: "two", Secret: "newer", Transfer: record.Transfer{Country: "MO"}}); err != nil {
		t.Fatal(err)
	}
	if cs, err := a.Copies(t.Context()); err != nil || len(cs) != 2 || a.place(two.ID) == nil || a.place(two.ID).Config().Secret != "newer" {
		t.Errorf("%+v %v", cs, err)
	}
	eventually(t, "two is whole again", func() bool { return copyNamed(t, a, "two").State == "current" })

	// both at once: neither may stand in for the other, and one may go
	var wg sync.WaitGroup
	errs := make([]error, 2)
	for range 20_000 {
		var begun [2]*placeRun
		var there atomic.Int32
		for i, id := range []string{one.ID, two.ID} {
			wg.Go(func() {
				for there.Add(1); there.Load() < 2; {
					runtime.Gosched()
				}
				begun[i], errs[i] = a.beginRetire(id, false)
			})
		}
		wg.Wait()
		if (errs[0] == nil) == (errs[1] == nil) {
			t.Fatalf("of two that are retired at once: %v", errs)
		}
		for _, p := range begun {
			if p != nil {
				a.end(p, nil)
			}
		}
	}
	for i, id := range []string{one.ID, two.ID} {
		wg.Go(func() { errs[i] = a.RetireCopy(t.Context(), "maria", id, true, false) })
	}
	wg.Wait()
	eventually(t, "the retiring ends", func() bool { return copyNamed(t, a, "one").Work == "" && copyNamed(t, a, "two").Work == "" })
	left := 0
	for _, name := range []string{"one", "two"} {
		if c := copyNamed(t, a, name); c.State != "retired" {
			left++
		} else if files, err := os.ReadDir(filepath.Join(dir, name)); err != nil || len(onlyFiles(files)) > 0 || !c.Erased || c.Ended.IsZero() {
			t.Errorf("%+v keeps %v %v", c, files, err)
		}
	}
	if left != 1 {
		t.Fatalf("%d of two copies are left: %v", left, errs)
	}
	name := "one"
	if copyNamed(t, a, name).State == "retired" {
		name = "two"
	}
	if err := a.RetireCopy(t.Context(), "maria", copyNamed(t, a, name).ID, false, true); err == nil {
		t.Error("a copy that answers was forgotten")
	}
	// what is known of a place outlives the process, and a vanished one is gone
	stop()
	if err := os.Rename(filepath.Join(dir, name), filepath.Join(dir, "unplugged")); err != nil {
		t.Fatal(err)
	}
	a, stop = runs(t, cfg)
	eventually(t, "gone", func() bool { return copyNamed(t, a, name).Problem == "place.gone" })
	if c := copyNamed(t, a, name); c.Answer.IsZero() && name == "one" || c.State != "waiting" || c.Done != 0 {
		t.Errorf("%+v", c)
	}
	if _, err := os.Stat(filepath.Join(dir, name)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something was written where the place was: %v", err)
	}
	if err := a.RetireCopy(t.Context(), "maria", copyNamed(t, a, name).ID, false, true); err != nil {
		t.Fatal(err)
	}
	eventually(t, "forgotten", func() bool { return copyNamed(t, a, name).State == "retired" })
	es, _, err := a.audit.List(audit.Filter{Operation: "replication.policy.change"}, 0, 100)
	if err != nil || len(es) != 5 {
		t.Errorf("%d entries, %v", len(es), err)
	}
	for _, e := range es {
		if e.Actor != "maria" {
			t.Errorf("%+v", e)
		}
	}
	cfgs, err := a.placeConfigs(t.Context())
	for _, c := range cfgs {
		if c.Retired && c.Secret != "" {
			t.Errorf("the secret of a retired place is kept: %v", err)
		}
	}
}
