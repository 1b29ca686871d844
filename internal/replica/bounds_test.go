package replica

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"farol/internal/audit"
	"farol/internal/record"
)

// TestCommitsGoOnWhileASessionBegins: what is owed is counted while the journal
// grows, and neither waits for the other's lock.
func TestCommitsGoOnWhileASessionBegins(t *testing.T) {
	p := newPair(t)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			p.sender.owed(p.a, &State{Journal: map[string]int64{}})
		}
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 200 {
			p.say(fmt.Sprint(i), 100)
		}
	}()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatal("commits wait for ever")
	}
	cancel()
	wg.Wait()
}

// TestAFloodEndsAtTheQuotaOfItsArchive: garbage from one appliance takes no
// room of another's, and what was held before stays.
func TestAFloodEndsAtTheQuotaOfItsArchive(t *testing.T) {
	dir := t.TempDir()
	n, addr := startNode(t, dir)
	n.Bound(1<<20, 0)
	_, vk := newLog(t, t.TempDir())
	c := enrolled(t, n, addr, vk)
	ctx := t.Context()
	if err := c.journal(ctx, "1-1.fj", 0, []byte("true")); err != nil {
		t.Fatal(err)
	}
	garbage := bytes.Repeat([]byte("x"), 300<<10)
	var err error
	took := 0
	for ; took < 10 && err == nil; took++ {
		err = c.blob(ctx, fmt.Sprint("p", took), record.HashOf(garbage), garbage, putAt{}, nil)
	}
	if !errors.Is(err, ErrQuota) || took != 4 {
		t.Errorf("the flood ended after %d: %v", took, err)
	}
	if err := c.journal(ctx, "1-1.fj", 4, garbage); !errors.Is(err, ErrQuota) {
		t.Errorf("the journal: %v", err)
	}
	if err := c.entries(ctx, 0, [][]byte{garbage}); !errors.Is(err, ErrQuota) {
		t.Errorf("the log: %v", err)
	}
	if st, err := c.State(ctx); err != nil || st.Used != 4+3*(300<<10) || st.Quota != 1<<20 {
		t.Errorf("%+v %v", st, err)
	}
	var got bytes.Buffer
	if err := c.Get(ctx, "journal", "1-1.fj", &got); err != nil || got.String() != "true" {
		t.Errorf("%q %v", got.String(), err)
	}
	p, _, err := Enrol(ctx, addr, n.NewCode(), Enrolment{Archive: "a2", LogKey: vk})
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewClient(p)
	if err != nil {
		t.Fatal(err)
	}
	if err := other.blob(ctx, "p1", record.HashOf(garbage), garbage, putAt{}, nil); err != nil {
		t.Errorf("another archive: %v", err)
	}
	if v, err := openVault(filepath.Join(dir, "vaults", "a1")); err != nil || v.used != 4+3*(300<<10) {
		t.Errorf("after a restart: %d used, %v", v.used, err)
	}
	old := enrolled(t, n, addr, vk) // an older appliance is told what it understands
	old.http.Transport = oldAppliance{old.http.Transport}
	if err := old.blob(ctx, "p9", record.HashOf(garbage), garbage, putAt{}, nil); !errors.Is(err, ErrNodeFull) {
		t.Errorf("an older appliance: %v", err)
	}
}

// lockedBuffer is a log that a test reads while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) has(s string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Contains(l.b.Bytes(), []byte(s))
}

func TestSilenceAndARefusedCheckpointAreAlarmsOnTheNode(t *testing.T) {
	dir := t.TempDir()
	var lines lockedBuffer
	n, err := OpenNode(dir, slog.New(slog.NewTextHandler(&lines, nil)), nil)
	if err != nil {
		t.Fatal(err)
	}
	n.Bound(0, 400*time.Millisecond)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); n.Serve(ctx, ln) }()
	defer func() { cancel(); <-done }()
	l, vk := newLog(t, t.TempDir())
	c := enrolled(t, n, "https://"+ln.Addr().String(), vk)
	if _, err := l.Append(ctx, audit.Event{Operation: "login", Outcome: "ok"}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.cosign(ctx, l.Checkpoint(), nil); err != nil {
		t.Fatal(err)
	}
	heard := time.Now()
	wait := func(what string) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); !lines.has(what); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("the node's log does not say %q", what)
			}
		}
	}
	if lines.has("silent") {
		t.Error("an alarm while the appliance is there")
	}
	wait("an appliance is silent")
	t.Logf("silence of 400 ms was noticed after %v", time.Since(heard).Round(time.Millisecond))
	status := func(at time.Time) Held {
		t.Helper()
		list, err := NodeStatus(dir, time.Minute, at)
		if err != nil || len(list) != 1 || list[0].Archive != "a1" {
			t.Fatal(list, err)
		}
		return list[0]
	}
	if h := status(time.Now()); h.Alarm() || h.Witnessed != 1 {
		t.Errorf("%+v", h)
	}
	if h := status(time.Now().Add(10 * time.Minute)); !h.Silent || !h.Alarm() {
		t.Errorf("ten minutes later: %+v", h)
	}
	forged, _ := newLog(t, t.TempDir())
	if _, err := forged.Append(ctx, audit.Event{Operation: "login", Outcome: "ok"}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.cosign(ctx, forged.Checkpoint(), nil); !errors.Is(err, ErrRolledBack) {
		t.Fatal(err)
	}
	if h := status(time.Now()); h.Refused != 1 || !h.Alarm() {
		t.Errorf("after a forged checkpoint: %+v", h)
	}
	wait("a checkpoint was refused")
	wait("heard again")
}
