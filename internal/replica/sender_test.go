package replica

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"farol/internal/archive"
	"farol/internal/audit"
	"farol/internal/keys"
	"farol/internal/record"
)

func commitSome(t *testing.T, a *archive.Archive, from, n int) {
	t.Helper()
	var b archive.Batch
	for i := from; i < from+n; i++ {
		blob, err := a.PutBlob(t.Context(), "f.bin", -1, bytes.NewReader(bytes.Repeat([]byte{byte(i)}, 1000+200000*(i%2))))
		if err != nil {
			t.Fatal(err)
		}
		b.Records = append(b.Records, record.Record{Ref: record.Ref{Kind: record.Chat, Container: "c", ID: fmt.Sprint(i)}, Time: time.UnixMilli(1.7e12 + int64(i)*1000).UTC(), Raw: fmt.Appendf(nil, `{"n":%d}`, i), Blobs: []record.Blob{blob}})
	}
	if _, err := a.Commit(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

// TestALostDiskComesBackFromTheNode ships an archive with folded and unfolded
// parts, throws the disk away and adopts what the node holds.
func TestALostDiskComesBackFromTheNode(t *testing.T) {
	n, addr := startNode(t, t.TempDir())
	log, vk := newLog(t, t.TempDir())
	root, err := keys.New()
	if err != nil {
		t.Fatal(err)
	}
	var sender *Sender
	opt := archive.Options{Offsite: true, OnAppend: func(f string, off int64, b []byte) {
		if sender != nil {
			sender.Appended(f, off, b)
		}
	}}
	a, err := archive.Create(t.Context(), filepath.Join(t.TempDir(), "a"), root, opt)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	p, _, err := Enrol(t.Context(), addr, n.NewCode(), Enrolment{Archive: a.ID(), LogKey: vk})
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewClient(p)
	if err != nil {
		t.Fatal(err)
	}
	sender = NewSender(c, nil, nil)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); sender.Run(ctx, a, log) }()
	defer func() { cancel(); <-done }()
	commitSome(t, a, 0, 20)
	if _, err := a.Fold(t.Context()); err != nil {
		t.Fatal(err)
	}
	commitSome(t, a, 20, 10)
	if err := a.PutSealed(t.Context(), "control.db", []byte("settings")); err != nil {
		t.Fatal(err)
	}
	if _, err := log.Append(t.Context(), audit.Event{Operation: "login", Outcome: "ok"}); err != nil {
		t.Fatal(err)
	}
	sender.Wake()
	from := time.Now()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		st := sender.Status()
		if st.LastAck.After(from.Add(300*time.Millisecond)) && st.Lag == 0 && st.Checkpoint == 1 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("not caught up: %+v", st)
		}
		sender.Wake()
	}
	b := adopted(t, n, addr, root)
	seen := map[string]bool{}
	if err := b.Walk(t.Context(), func(r record.Record, _ record.Loc, _ uint64, _ int) error { seen[r.ID] = true; return nil }); err != nil {
		t.Fatal(err)
	}
	if len(seen) != 30 || b.ID() != a.ID() {
		t.Fatalf("%d of 30 records, archive %s", len(seen), b.ID())
	}
	if s, err := b.LatestSealed(t.Context(), "control.db"); err != nil || string(s) != "settings" {
		t.Fatalf("%q %v", s, err)
	}
	rep, err := b.Check(t.Context(), true, nil)
	if err != nil || !rep.OK() || rep.Records < 30 {
		t.Fatalf("%+v %v", rep, err)
	}
}

// adopted is an archive on another machine: only the node and the root key are
// left.
func adopted(t *testing.T, n *Node, addr string, root keys.Root) *archive.Archive {
	t.Helper()
	p2, ids, err := Enrol(t.Context(), addr, n.NewCode(), Enrolment{Recover: true})
	if err != nil || len(ids) != 1 {
		t.Fatal(ids, err)
	}
	c2, err := NewClient(p2)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "new")
	for what, sub := range map[string]string{"journal": "journal", "blobs": "archive"} {
		names, err := c2.List(t.Context(), what)
		if err != nil {
			t.Fatal(err)
		}
		for name := range names {
			local := name
			if what == "blobs" {
				var current bool
				if local, current = Deep(name); !current {
					continue
				}
			}
			path := filepath.Join(dir, sub, local)
			os.MkdirAll(filepath.Dir(path), 0o700)
			var buf bytes.Buffer
			if err := c2.Get(t.Context(), what, name, &buf); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, buf.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	b, err := archive.Adopt(t.Context(), dir, root, archive.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}
