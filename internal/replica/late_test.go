package replica

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"farol/internal/record"
)

// failsAt is a disk that fails at one step, whenever it comes.
func failsAt(step ...string) func(string, string) error {
	return func(name, _ string) error {
		if slices.Contains(step, name) {
			return syscall.EIO
		}
		return nil
	}
}

func TestANodeThatHasStoppedWritesNothing(t *testing.T) {
	n, err := OpenNode(t.TempDir(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	addr, stop := serve(t, n)
	_, vk := newLog(t, t.TempDir())
	c := enrolled(t, n, addr, vk)
	at, goOn := make(chan struct{}), make(chan struct{})
	n.vaults["a1"].fault = func(name, _ string) error {
		if name == "sync" {
			close(at)
			<-goOn
		}
		return nil
	}
	sent := make(chan error, 1)
	go func() { sent <- c.journal(t.Context(), "1-1.fj", 0, []byte("x")) }()
	<-at
	stopped := make(chan struct{})
	go func() { defer close(stopped); stop() }()
	if err := <-sent; err == nil { // its connection is cut
		t.Error("a request was answered that cannot have been")
	}
	select {
	case <-stopped:
		t.Error("the node has stopped while a request writes")
	case <-time.After(100 * time.Millisecond):
	}
	close(goOn)
	<-stopped
}

func TestAPositionThatCouldNotBeKeptIsNotTold(t *testing.T) {
	v := fuzzVault(t)
	if err := v.setPutPos(1, 10); err != nil {
		t.Fatal(err)
	}
	v.fault = failsAt("save")
	if err := v.setPutPos(1, 20); !errors.Is(err, syscall.EIO) {
		t.Error(err)
	}
	if st := v.state(); st.PutPos != 10 || st.PutEpoch != 1 {
		t.Errorf("%+v is told", st)
	}
	v.fault = nil
	if err := v.setPutPos(1, 20); err != nil || v.state().PutPos != 20 {
		t.Error(err, v.state())
	}
}

func TestBytesThatNoFsyncConfirmedAreNotHeld(t *testing.T) {
	for _, steps := range [][]string{{"write"}, {"sync"}, {"syncdir"}, {"sync", "cut"}, {"syncdir", "cut"}} {
		t.Run(strings.Join(steps, " and "), func(t *testing.T) {
			v := fuzzVault(t)
			size := func(path string) int64 {
				info, err := os.Stat(path)
				if err != nil {
					t.Fatal(err)
				}
				return info.Size()
			}
			v.fault = failsAt(steps...)
			if n, err := v.appendJournal("1-1.fj", 0, []byte("not confirmed")); err == nil || n != 0 {
				t.Errorf("%d %v", n, err)
			}
			if n, err := v.appendEntries(0, [][]byte{[]byte("not confirmed")}); err == nil || n != 0 {
				t.Errorf("%d %v", n, err)
			}
			journal := filepath.Join(v.dir, "journal", "1-1.fj")
			if len(steps) == 1 && size(journal)+size(v.entriesPath()) != 0 {
				t.Errorf("%d and %d bytes stay", size(journal), size(v.entriesPath()))
			}
			if v.used != 0 {
				t.Errorf("%d used", v.used)
			}
			v.fault = nil
			if n, err := v.appendJournal("1-1.fj", 0, []byte("true")); err != nil || n != 4 || size(journal) != 4 {
				t.Errorf("%d %v, a file of %d", n, err, size(journal))
			}
			if n, err := v.appendEntries(0, [][]byte{[]byte("true")}); err != nil || n != 1 || size(v.entriesPath()) != 8 {
				t.Errorf("%d %v, a file of %d", n, err, size(v.entriesPath()))
			}
			if again, err := openVault(v.dir); err != nil || again.used != v.used || again.entries != 1 || again.journal["1-1.fj"] != 4 {
				t.Errorf("%+v %v", again, err)
			}
		})
	}
}

// put puts one of the names that kopia overwrites.
func put(v *vault, b string, at putAt) error {
	return v.putBlob("kopia.maintenance.f", record.HashOf([]byte(b)), strings.NewReader(b), 0, at)
}

func TestALateRequestPutsNoOlderVersionBack(t *testing.T) {
	v := fuzzVault(t)
	for i, k := range []struct {
		b    string
		at   putAt
		want string
	}{
		{"two", putAt{1, 20}, "two"},
		{"one", putAt{1, 10}, "two"}, // late
		{"two again", putAt{1, 20}, "two again"},
		{"three", putAt{1, 30}, "three"},
		{"two", putAt{1, 20}, "three"},
		{"of a later epoch", putAt{2, 5}, "of a later epoch"},
		{"three", putAt{1, 30}, "of a later epoch"},
		{"of an older appliance", putAt{}, "of an older appliance"},
		{"newest", putAt{2, 6}, "newest"},
	} {
		if err := put(v, k.b, k.at); err != nil {
			t.Fatal(i, err)
		}
		if b, err := os.ReadFile(filepath.Join(v.dir, "blobs", "kopia.maintenance.f")); err != nil || string(b) != k.want {
			t.Errorf("%d: %q is held, %v", i, b, err)
		}
		again, err := openVault(v.dir) // and a restart knows it too
		if err != nil || again.used != v.used || again.blobs != v.blobs {
			t.Fatalf("%d: %d bytes in %d blobs, after a restart %d in %d, %v", i, v.used, v.blobs, again.used, again.blobs, err)
		}
		v = again
	}
	if at := putAtOf(http.Header{putAtHeader: {putAt{3, 99}.String()}}); at != (putAt{3, 99}) {
		t.Error(at)
	}
	if at := putAtOf(http.Header{}); at != (putAt{}) {
		t.Error(at)
	}
}

func TestKopiasOwnFileIsThereAtEveryMoment(t *testing.T) {
	steps := []string{}
	v := fuzzVault(t)
	v.fault = func(name, _ string) error { steps = append(steps, name); return nil }
	for _, b := range []string{"one", "two"} {
		if err := put(v, b, putAt{}); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Contains(steps, "link") || !slices.Contains(steps, "rename") {
		t.Fatal(steps)
	}
	for _, broken := range []error{nil, syscall.EIO} { // killed there, failing there
		for _, at := range steps {
			v := fuzzVault(t)
			if err := put(v, "one", putAt{}); err != nil {
				t.Fatal(err)
			}
			v.fault = func(name, _ string) error {
				if name == at && broken == nil {
					panic(errKilled)
				} else if name == at {
					return broken
				}
				return nil
			}
			func() {
				defer func() { _ = recover() }()
				_ = put(v, "two", putAt{})
			}()
			b, err := os.ReadFile(filepath.Join(v.dir, "blobs", "kopia.maintenance.f"))
			if err != nil || string(b) != "one" && string(b) != "two" {
				t.Errorf("stopped at %q: %q %v", at, b, err)
			}
			again, err := openVault(v.dir)
			if err != nil || broken != nil && (again.used != v.used || again.blobs != v.blobs) {
				t.Errorf("failing at %q: %d bytes in %d blobs, a restart counts %d in %d, %v", at, v.used, v.blobs, again.used, again.blobs, err)
			}
			if err := put(again, "two", putAt{}); err != nil {
				t.Error(err)
			}
			if kept, err := filepath.Glob(filepath.Join(v.dir, "blobs", "kopia.maintenance.f@*")); err != nil || len(kept) == 0 {
				t.Errorf("stopped at %q: the version before is gone, %v", at, err)
			}
		}
	}
}

// readWhole is a request's body that says when all of it was read.
type readWhole struct {
	io.ReadCloser
	left int64
	done chan struct{}
}

func (b *readWhole) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left == 0 && n > 0 {
		close(b.done)
	}
	return n, err
}

func TestACheckpointOfWhoHasGoneIsDropped(t *testing.T) {
	n, err := OpenNode(t.TempDir(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	l, vk := newLog(t, t.TempDir())
	read, gone, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	h := n.handler()
	addr := serveTLS(t, n, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/checkpoint" {
			defer close(ended)
			context.AfterFunc(r.Context(), func() { close(gone) })
			r.Body = &readWhole{r.Body, r.ContentLength, read}
		}
		h.ServeHTTP(w, r)
	}))
	c := enrolled(t, n, addr, vk)
	if _, err := l.Append(t.Context(), someEvent); err != nil {
		t.Fatal(err)
	}
	v := n.vaults["a1"]
	unlock, err := lockVault(v.dir, syscall.LOCK_EX) // it has to wait, as for a take-over
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	sent := make(chan error, 1)
	go func() { _, err := c.cosign(ctx, l.Checkpoint(), nil); sent <- err }()
	<-read
	cancel()
	if err := <-sent; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	<-gone
	unlock()
	<-ended
	if st := v.state(); st.Size != 0 || v.refused.Times != 0 {
		t.Errorf("a checkpoint of %d was applied", st.Size)
	}
}

func TestUploadsAtOncePassNoQuotaAndAreNotRefusedForNothing(t *testing.T) {
	const size, fits = 40 << 10, 8
	for round := range 20 {
		v := fuzzVault(t)
		v.quota = fits * size
		garbage := bytes.Repeat([]byte{byte(round)}, size)
		var wg sync.WaitGroup
		var mu sync.Mutex
		refused := 0
		send := func(n int) {
			for i := range n {
				wg.Go(func() {
					if err := v.putBlob(fmt.Sprint("p", n, "-", i), record.HashOf(garbage), bytes.NewReader(garbage), 0, putAt{}); err != nil {
						mu.Lock()
						defer mu.Unlock()
						if refused++; !errors.Is(err, ErrQuota) {
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
		}
		if send(fits); refused != 0 {
			t.Fatalf("round %d: %d of those that fit were refused", round, refused)
		}
		if send(fits + 1); refused != fits+1 || v.used != v.quota || v.coming != 0 {
			t.Errorf("round %d: %d refused, %d used and %d coming of %d", round, refused, v.used, v.coming, v.quota)
		}
		if again, err := openVault(v.dir); err != nil || again.used != v.used {
			t.Errorf("%+v %v", again, err)
		}
	}
}

// together ends when all the others have come to their end, too.
type together struct {
	io.Reader
	all *sync.WaitGroup
}

func (r *together) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	if err == io.EOF {
		r.all.Done()
		r.all.Wait()
	}
	return n, err
}

func TestAFloodOfUploadsAtOncePassesNoQuota(t *testing.T) {
	v := fuzzVault(t)
	garbage := bytes.Repeat([]byte("x"), 1000)
	v.quota = 5000
	var all, wg sync.WaitGroup
	all.Add(20)
	for i := range 20 {
		wg.Go(func() {
			err := v.putBlob(fmt.Sprint("p", i), record.HashOf(garbage), &together{bytes.NewReader(garbage), &all}, 0, putAt{})
			if errors.Is(err, ErrQuota) {
				all.Done()
			} else if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if v.used != 5000 || v.blobs != 5 || v.coming != 0 {
		t.Errorf("%d bytes in %d blobs and %d coming, of a quota of %d", v.used, v.blobs, v.coming, v.quota)
	}
}

func TestALogBegunAnewIsCountedAsARestartCountsIt(t *testing.T) {
	v := fuzzVault(t)
	if _, err := v.appendEntries(0, [][]byte{[]byte("of the log before")}); err != nil {
		t.Fatal(err)
	}
	if err := v.renewLog("another", time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := v.appendEntries(0, [][]byte{[]byte("one")}); err != nil {
		t.Fatal(err)
	}
	if again, err := openVault(v.dir); err != nil || again.used != v.used || again.entries != 1 {
		t.Errorf("%d bytes used, a restart counts %d, %v", v.used, again.used, err)
	}
}

// TestABlobWhoseNameIsNotOnDiskIsNotAcknowledged, the first time or when it is
// sent again.
func TestABlobWhoseNameIsNotOnDiskIsNotAcknowledged(t *testing.T) {
	v := fuzzVault(t)
	send := func() error {
		return v.putBlob("p1", record.HashOf([]byte("x")), strings.NewReader("x"), 0, putAt{})
	}
	v.fault = failsAt("syncdir")
	for range 2 {
		if err := send(); !errors.Is(err, syscall.EIO) {
			t.Errorf("acknowledged, %v", err)
		}
	}
	v.fault = nil
	if err := send(); err != nil || v.used != 1 || v.blobs != 1 {
		t.Errorf("%d bytes in %d blobs, %v", v.used, v.blobs, err)
	}
}
