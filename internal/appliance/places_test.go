package appliance

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"farol/internal/archive"
	"farol/internal/i18n"
	"farol/internal/record"
	"farol/internal/replica"
	"farol/internal/web"
)

// TestPlacesAreFilledMovedAndHeal runs an appliance with two further copies,
// moves from one to the other, and lets the second give back a lost file. It
// also rebuilds the catalog, which the running appliance must prevent.
func TestPlacesAreFilledMovedAndHeal(t *testing.T) {
	dir := t.TempDir()
	cfg := DefaultConfig()
	cfg.StateDir, cfg.HostKey, cfg.Listen, cfg.Reserve = filepath.Join(dir, "state"), filepath.Join(dir, "host.key"), "127.0.0.1:0", 0
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	log := Logger("error")
	open := func() (*Appliance, func()) {
		a, err := Open(t.Context(), cfg, log)
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
		return a, func() {
			cancel()
			if err := errors.Join(<-ended, a.Close()); err != nil {
				t.Error(err)
			}
		}
	}
	a, stop := open()
	if _, err := a.archive.Commit(t.Context(), archive.Batch{Records: []record.Record{{Ref: record.Ref{Kind: record.Contacts, Container: "org", ID: "dept-1"}, Time: time.UnixMilli(1.7e12).UTC(), Raw: []byte(`{"dept_id":1,"name":"根"}`)}}}); err != nil {
		t.Fatal(err)
	}
	a.archive.Applied(a.archive.LastSeq())
	if _, err := a.archive.Fold(t.Context()); err != nil {
		t.Fatal(err)
	}
	add := func(name string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
		id, err := a.AddPlace(t.Context(), "test", replica.PlaceConfig{Kind: "dir", Path: path, Name: name, Transfer: Transfer{Country: "MO"}})
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	current := func(id string) {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			if p := a.place(id); p != nil && p.Status().State == "current" {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("not current: %+v", a.Places())
			}
		}
	}
	if _, err := a.AddPlace(t.Context(), "test", replica.PlaceConfig{Kind: "dir", Path: dir, Transfer: Transfer{Country: "CN"}}); err == nil || !strings.Contains(err.Error(), "Macau") {
		t.Fatalf("bytes may leave Macau: %v", err)
	}
	var said *i18n.Error
	if _, err := a.AddPlace(t.Context(), "test", replica.PlaceConfig{Kind: "dir", Path: t.TempDir(), Lock: Lock{Days: 30}, Transfer: Transfer{Country: "MO"}}); !errors.As(err, &said) || said.ID != "place.add.nolock" {
		t.Fatalf("a folder is to lock its files: %v", err)
	}
	one := add("one")
	current(one)
	if err := a.RetirePlace(t.Context(), "test", one, false, false); err == nil {
		t.Fatal("the only copy was retired")
	}
	two := add("two")
	current(two)
	price := record.Price{PerGB: .18, Currency: "MOP"}
	if err := a.PriceCopy(t.Context(), "test", two, price); err != nil {
		t.Fatal(err)
	}
	add("two") // given anew without a price
	if err := a.TransferCopy(t.Context(), "test", two, Transfer{Country: "MO"}); err != nil {
		t.Fatal(err)
	}
	kept := func() {
		t.Helper()
		copies, err := a.Copies(t.Context())
		if i := slices.IndexFunc(copies, func(c web.Copy) bool { return c.ID == two }); err != nil || copies[i].Price != price {
			t.Fatalf("the price is gone: %+v %v", copies, err)
		}
	}
	kept()
	current(two)
	if rep, err := a.VerifyPlace(t.Context(), "test", two); err != nil || len(rep.Damaged) > 0 || rep.Files == 0 {
		t.Fatalf("%+v %v", rep, err)
	}
	if err := a.RetirePlace(t.Context(), "test", one, true, false); err != nil {
		t.Fatal(err)
	}
	if des, err := os.ReadDir(filepath.Join(dir, "one")); err != nil || len(onlyFiles(des)) > 0 || len(a.Places()) != 1 {
		t.Fatalf("the retired place keeps %v, %v", des, err)
	}
	if _, err := RebuildCatalog(t.Context(), cfg, log, nil); !errors.Is(err, ErrRunning) {
		t.Fatalf("a catalog was rebuilt beside the running appliance: %v", err)
	}
	stop()
	lost := ""
	err := filepath.WalkDir(filepath.Join(cfg.ArchiveDir, "archive", "p"), func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			lost = path
		}
		return err
	})
	if err != nil || lost == "" {
		t.Fatal(lost, err)
	}
	if err := os.WriteFile(lost, nil, 0o600); err != nil { // as a power cut leaves it on a bad disk
		t.Fatal(err)
	}
	if r, err := RebuildCatalog(t.Context(), cfg, log, nil); err != nil || r.Records != 1 {
		t.Fatalf("rebuilt %+v, %v", r, err)
	}
	a, stop = open()
	defer stop()
	kept()
	if rep, err := a.archive.Check(t.Context(), true, nil); err != nil || !rep.OK() || rep.Records < 1 {
		t.Fatalf("not healed from the second copy: %+v %v", rep, err)
	}
}

func onlyFiles(des []os.DirEntry) (out []string) {
	for _, d := range des {
		if !d.IsDir() {
			out = append(out, d.Name())
		}
	}
	return out
}
