package archive

import (
	"bytes"
	"context"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kopia/kopia/repo/object"

	"farol/internal/record"
)

func TestCommitsAndBlobsGoOnWhileFullMaintenanceRuns(t *testing.T) {
	ctx := context.Background()
	var armed atomic.Bool
	reached, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	a, _ := newArchive(t, Options{Fault: func(op string) error {
		if op == "blob.put" && armed.CompareAndSwap(true, false) {
			close(reached)
			<-release
		}
		return nil
	}})
	defer once.Do(func() { close(release) })
	s := newShelf()
	a.SetRelocate(s.relocate)
	s.add(commit(t, a, messages("c", 0, 200)...))
	fold(t, a)
	armed.Store(true)
	done := make(chan error, 1)
	go func() { done <- a.Maintain(ctx, true) }()
	<-reached // in the middle of writing something
	b, err := a.PutBlob(ctx, "big", -1, bytes.NewReader(filler(1, 400_000)))
	if err != nil {
		t.Fatal(err)
	}
	r := message("c", 1000)
	r.Blobs = []record.Blob{b}
	s.add(commit(t, a, r))
	select {
	case err := <-done:
		t.Fatalf("maintenance ended before: %v: this test shows nothing", err)
	default:
	}
	once.Do(func() { close(release) })
	must(t, <-done)
	fold(t, a)
	s.check(t, a)
}

func deleted(t *testing.T, a *Archive, oid string) bool {
	t.Helper()
	id, err := object.ParseID(oid)
	must(t, err)
	contents, err := a.w.VerifyObject(a.ctx(context.Background()), id)
	must(t, err)
	for _, cid := range contents {
		info, err := a.w.ContentInfo(a.ctx(context.Background()), cid)
		must(t, err)
		if info.Deleted {
			return true
		}
	}
	return false
}

// TestMaintenanceSparesOldBytesThatArePutAgain is the case kopia's age limit
// does not cover: the bytes lie there for days, no point holds them, and they
// have just been put for a commit to come.
func TestMaintenanceSparesOldBytesThatArePutAgain(t *testing.T) {
	ctx := context.Background()
	c := &clock{t: time.Now()}
	opt := Options{Now: c.now}
	a, _ := newArchive(t, opt)
	s := newShelf()
	a.SetRelocate(s.relocate)
	put := func(seed int) record.Blob {
		b, err := a.PutBlob(ctx, "big", -1, bytes.NewReader(filler(seed, 300_000)))
		must(t, err)
		return b
	}
	again, left := put(1), put(2)
	must(t, a.flush(ctx))
	s.add(commit(t, a, messages("c", 0, 50)...))
	fold(t, a)
	c.step(72 * time.Hour) // nobody committed them
	again = put(1)
	must(t, a.Maintain(ctx, true))
	if !deleted(t, a, left.Object) {
		t.Error("what nobody wants was not marked: this test shows nothing")
	}
	if deleted(t, a, again.Object) {
		t.Error("what was put again is marked as deleted")
	}
	r := message("c", 1000)
	r.Blobs = []record.Blob{again}
	s.add(commit(t, a, r))
	for range 6 {
		c.step(25 * time.Hour)
		must(t, a.Maintain(ctx, true))
	}
	a = reopen(t, a, opt)
	a.SetRelocate(s.relocate)
	in, err := a.OpenBlob(ctx, again)
	must(t, err)
	defer in.Close()
	got, err := io.ReadAll(in)
	if err != nil || record.HashOf(got) != again.SHA256 {
		t.Errorf("days later: %d bytes, %v", len(got), err)
	}
	s.check(t, a)
}
