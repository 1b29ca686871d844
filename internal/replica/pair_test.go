package replica

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"farol/internal/archive"
	"farol/internal/audit"
	"farol/internal/keys"
	"farol/internal/record"
)

// pair is an archive and a log that are shipped to a real node over TLS.
type pair struct {
	t      testing.TB
	a      *archive.Archive
	log    *audit.Log
	sender *Sender
	node   *Node
	root   keys.Root
	addr   string
	dir    string // of the node
	logKey string
	signer note.Signer
	logDir string
	arch   string // folder of the archive

	stopNode func()
	appended func(file string, off int64, b []byte) // beside the sender, when set
}

func newPair(t testing.TB) *pair {
	t.Helper()
	p := &pair{t: t, dir: filepath.Join(t.TempDir(), "node"), logDir: t.TempDir(), arch: filepath.Join(t.TempDir(), "a")}
	var err error
	if p.node, err = OpenNode(p.dir, nil, nil); err != nil {
		t.Fatal(err)
	}
	p.addr, p.stopNode = serve(t, p.node)
	p.log, p.signer, p.logKey = signedLog(t, p.logDir)
	if p.root, err = keys.New(); err != nil {
		t.Fatal(err)
	}
	opt := archive.Options{Offsite: true, NoParity: true,
		OnAppend: func(f string, off int64, b []byte) {
			if p.sender != nil {
				p.sender.Appended(f, off, b)
			}
			if p.appended != nil {
				p.appended(f, off, b)
			}
		},
		OnPut: func(archive.PutEntry) {
			if p.sender != nil {
				p.sender.Wake()
			}
		}}
	if p.a, err = archive.Create(t.Context(), p.arch, p.root, opt); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.a.Close() })
	peer, _, err := Enrol(t.Context(), p.addr, p.node.NewCode(), Enrolment{Archive: p.a.ID(), LogKey: p.logKey})
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewClient(peer)
	if err != nil {
		t.Fatal(err)
	}
	p.sender = NewSender(c, nil, nil)
	return p
}

func (p *pair) run() (stop func()) {
	ctx, cancel := context.WithCancel(p.t.Context())
	done := make(chan struct{})
	go func() { defer close(done); p.sender.Run(ctx, p.a, p.log) }()
	stop = func() { cancel(); <-done }
	p.t.Cleanup(stop)
	return stop
}

// say commits one message of n bytes that do not compress.
func (p *pair) say(id string, n int) {
	p.t.Helper()
	b := make([]byte, n/2)
	rand.Read(b)
	_, err := p.a.Commit(p.t.Context(), archive.Batch{Records: []record.Record{{Ref: record.Ref{Kind: record.Chat, Container: "c", ID: id}, Time: time.Now().UTC(), Raw: fmt.Appendf(nil, `{"text":%q}`, hex.EncodeToString(b))}}})
	if err != nil {
		p.t.Fatal(err)
	}
}

// until waits for what holds of the sender's status.
func (p *pair) until(what string, most time.Duration, ok func(Status) bool) time.Duration {
	p.t.Helper()
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		st := p.sender.Status()
		if ok(st) {
			return time.Since(began)
		}
		if time.Since(began) > most {
			p.t.Fatalf("%s: not after %v: %+v", what, most, st)
		}
	}
}

func caughtUp(st Status) bool {
	return st.Connected && st.Lag == 0 && st.Behind == 0 && !st.LastAck.IsZero()
}

var someEvent = audit.Event{Operation: "login", Outcome: "ok"}

// sameBytes compares the node's copy with the archive and the log, byte for byte.
func (p *pair) sameBytes() {
	p.t.Helper()
	vault := filepath.Join(p.dir, "vaults", p.a.ID())
	for _, f := range p.a.JournalFiles() {
		here, err := p.a.ReadJournal(f.Name, 0, int(f.Size))
		if err != nil {
			p.t.Error(err)
		}
		if there, err := os.ReadFile(filepath.Join(vault, "journal", f.Name)); err != nil || !bytes.Equal(here, there) {
			p.t.Errorf("journal %s: %d bytes here, %d there, %v", f.Name, len(here), len(there), err)
		}
	}
	live := map[string]bool{}
	for e, err := range p.a.PutLog(0) {
		if err != nil {
			p.t.Fatal(err)
		}
		if live[e.Name] = !e.Deleted; e.Deleted {
			delete(live, e.Name)
		}
	}
	for name := range live {
		here, err := p.a.ReadBlobFile(name)
		if err != nil {
			p.t.Error(err)
		}
		if there, err := os.ReadFile(filepath.Join(vault, "blobs", flat(name))); err != nil || !bytes.Equal(here, there) {
			p.t.Errorf("blob %s: %d bytes here, %d there, %v", name, len(here), len(there), err)
		}
	}
	v, err := openVault(vault)
	if err != nil {
		p.t.Fatal(err)
	}
	if v.entries != p.log.Size() {
		p.t.Errorf("log: %d entries here, %d there", p.log.Size(), v.entries)
	}
	b, err := os.ReadFile(filepath.Join(vault, "log", "entries.log"))
	if err != nil {
		p.t.Fatal(err)
	}
	es, err := p.log.Raw(0, p.log.Size())
	if err != nil {
		p.t.Fatal(err)
	}
	for i, e := range es {
		if len(b) < 4+len(e) || !bytes.Equal(b[4:4+len(e)], e) {
			p.t.Fatalf("log entry %d differs", i)
		}
		b = b[4+len(e):]
	}
}
