package appliance

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"farol/internal/archive"
	"farol/internal/keys"
	"farol/internal/record"
	"farol/internal/replica"
	"farol/internal/web"
)

// TestSharesOnPaperOpenTheArchiveAndEveryCopy rehearses recovery with a real
// folder and a real off-site node, and shows that a copy under another key or
// out of reach is told of.
func TestSharesOnPaperOpenTheArchiveAndEveryCopy(t *testing.T) {
	dir := t.TempDir()
	cfg := DefaultConfig()
	cfg.StateDir, cfg.HostKey, cfg.Listen, cfg.Reserve = filepath.Join(dir, "state"), filepath.Join(dir, "host.key"), "127.0.0.1:0", 0
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	a, err := Open(t.Context(), cfg, Logger("error"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	defer func() {
		cancel()
		if err := errors.Join(<-ended, a.Close()); err != nil {
			t.Error(err)
		}
	}()
	<-a.ready
	node, err := replica.OpenNode(filepath.Join(dir, "node"), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	nctx, stopNode := context.WithCancel(context.Background())
	go func() { served <- node.Serve(nctx, ln) }()
	defer stopNode()
	if err := a.Enrol(t.Context(), ln.Addr().String(), node.NewCode()); err != nil {
		t.Fatal(err)
	}
	nas := filepath.Join(dir, "nas")
	if err := os.Mkdir(nas, 0o700); err != nil {
		t.Fatal(err)
	}
	id, err := a.AddPlace(t.Context(), "test", replica.PlaceConfig{Kind: "dir", Path: nas, Name: "NAS", Transfer: Transfer{Country: "MO"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.archive.Commit(t.Context(), archive.Batch{Records: []record.Record{{Ref: record.Ref{Kind: record.Contacts, Container: "org", ID: "dept-1"}, Time: time.UnixMilli(1.7e12).UTC(), Raw: []byte(`{"dept_id":1}`)}}}); err != nil {
		t.Fatal(err)
	}
	a.archive.Applied(a.archive.LastSeq())
	if _, err := a.archive.Fold(t.Context()); err != nil {
		t.Fatal(err)
	}
	wait, done := context.WithTimeout(t.Context(), 30*time.Second)
	defer done()
	if err := a.caughtUp(wait); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(30 * time.Second); a.place(id).Status().State != "current"; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%+v", a.Places())
		}
	}

	if err := a.ConfirmKit(t.Context(), "maria", nil); err == nil {
		t.Error("a kit that was never made is proved")
	}
	earlier, err := keys.Split(a.root, 3, 2)
	if err != nil {
		t.Fatal(err)
	}
	shares, err := a.Kit(t.Context(), "maria", 3, 2)
	if err != nil {
		t.Fatal(err)
	}
	text := func(s ...keys.Share) (out []string) {
		for i := range s {
			out = append(out, s[i].Text())
		}
		return out
	}
	if err := a.ConfirmKit(t.Context(), "maria", text(earlier[0], earlier[2])); err == nil {
		t.Error("shares of an earlier kit prove the new one")
	}
	if err := a.ConfirmKit(t.Context(), "maria", text(shares[2])); err == nil {
		t.Error("one share proves the kit")
	}
	if err := a.ConfirmKit(t.Context(), "maria", text(shares[2], shares[0])); err != nil {
		t.Fatal(err)
	}

	opened := func(want ...web.Lock) {
		t.Helper()
		r, err := a.Rehearse(t.Context(), "maria", text(shares[1], shares[2]))
		if err != nil || len(r.Locks) != len(want) {
			t.Fatalf("%+v: %v", r, err)
		}
		for i, l := range r.Locks {
			if l.Opened != want[i].Opened || l.Away != want[i].Away {
				t.Errorf("lock %d: %+v, want %+v", i, l, want[i])
			}
		}
	}
	good, away := web.Lock{Opened: true}, web.Lock{Away: true}
	opened(good, good, good)
	k, err := a.kits.Current(t.Context())
	if err != nil || k.Tried.IsZero() {
		t.Errorf("%+v %v", k, err)
	}
	stranger, err := keys.New()
	if err != nil {
		t.Fatal(err)
	}
	wrong, err := keys.Split(stranger, 3, 2)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Rehearse(t.Context(), "maria", text(wrong[0], wrong[1])); err == nil {
		t.Error("another key rehearses")
	}

	stopNode()
	if err := <-served; err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	opened(good, good, away)
	foreign := filepath.Join(dir, "foreign")
	b, err := archive.Create(t.Context(), foreign, stranger, archive.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	lock, err := os.ReadFile(filepath.Join(foreign, "archive", archive.LockName))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(nas, "archive", archive.LockName), lock, 0o600); err != nil {
		t.Fatal(err)
	}
	opened(good, web.Lock{}, away)
}
