package replica

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"farol/internal/audit"
	"farol/internal/record"
)

type plainBox struct{}

func (plainBox) Seal(p, _ []byte) []byte          { return p }
func (plainBox) Open(s, _ []byte) ([]byte, error) { return s, nil }

func startNode(t testing.TB, dir string) (*Node, string) {
	t.Helper()
	n, err := OpenNode(dir, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	addr, _ := serve(t, n)
	return n, addr
}

func serve(t testing.TB, n *Node) (addr string, stop func()) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); n.Serve(ctx, ln) }()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return "https://" + ln.Addr().String(), stop
}

func newLog(t testing.TB, dir string) (*audit.Log, string) {
	t.Helper()
	l, _, vk := signedLog(t, dir)
	return l, vk
}

func signedLog(t testing.TB, dir string) (*audit.Log, note.Signer, string) {
	t.Helper()
	sk, vk, err := note.GenerateKey(rand.Reader, "farol.test")
	if err != nil {
		t.Fatal(err)
	}
	s, _ := note.NewSigner(sk)
	v, _ := note.NewVerifier(vk)
	l, err := audit.Open(dir, audit.Options{Box: plainBox{}, Signer: s, Verify: v})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, s, vk
}

func enrolled(t *testing.T, n *Node, addr, logKey string) *Client {
	t.Helper()
	p, _, err := Enrol(t.Context(), addr, n.NewCode(), Enrolment{Archive: "a1", LogKey: logKey})
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewClient(p)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestACodeEnrolsOnceAndAWrongOneNever(t *testing.T) {
	n, addr := startNode(t, t.TempDir())
	_, vk := newLog(t, t.TempDir())
	code := n.NewCode()
	if _, _, err := Enrol(t.Context(), addr, "AAAA-BBBB-CCCC", Enrolment{Archive: "a1", LogKey: vk}); !errors.Is(err, ErrCode) {
		t.Fatalf("wrong code: %v", err)
	}
	if _, _, err := Enrol(t.Context(), addr, code, Enrolment{Archive: "a1", LogKey: vk}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Enrol(t.Context(), addr, code, Enrolment{Archive: "a1", LogKey: vk}); !errors.Is(err, ErrCode) {
		t.Fatalf("a used code: %v", err)
	}
}

func TestTheNodeKeepsWhatItAcknowledged(t *testing.T) {
	dir := t.TempDir()
	n, addr := startNode(t, dir)
	_, vk := newLog(t, t.TempDir())
	c := enrolled(t, n, addr, vk)
	ctx := t.Context()
	if err := c.journal(ctx, "1-1.fj", 0, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	for _, k := range []struct {
		name string
		off  int64
		b    string
		want error
	}{{"again", 0, "hello", nil}, {"overlap", 3, "lo world", nil}, {"other bytes", 0, "HELLO", ErrConflict}, {"a hole", 99, "x", ErrConflict}} {
		if err := c.journal(ctx, "1-1.fj", k.off, []byte(k.b)); !errors.Is(err, k.want) {
			t.Errorf("%s: %v", k.name, err)
		}
	}
	blob := []byte("sealed")
	if err := c.blob(ctx, "p01", record.HashOf(blob), blob, putAt{}, nil); err != nil {
		t.Fatal(err)
	}
	if err := c.blob(ctx, "p01", record.HashOf(blob), blob, putAt{}, nil); err != nil {
		t.Fatalf("the same blob again: %v", err)
	}
	if err := c.blob(ctx, "p01", record.HashOf([]byte("other")), []byte("other"), putAt{}, nil); !errors.Is(err, ErrConflict) {
		t.Fatalf("overwritten: %v", err)
	}
	if err := c.blob(ctx, "p02", record.HashOf(blob), []byte("damaged on the way"), putAt{}, nil); err == nil {
		t.Fatal("damaged bytes were taken")
	}
	for _, name := range []string{"..", "../x", "a/../../b", "x.tmp", ""} {
		if err := c.blob(ctx, name, record.HashOf(blob), blob, putAt{}, nil); err == nil {
			t.Errorf("the name %q was taken", name)
		}
	}
	var got bytes.Buffer
	if err := c.Get(ctx, "journal", "1-1.fj", &got); err != nil || got.String() != "hello world" {
		t.Fatalf("%q %v", got.String(), err)
	}
	v, err := openVault(filepath.Join(dir, "vaults", "a1"))
	if err != nil || v.journal["1-1.fj"] != 11 || v.blobs != 1 {
		t.Fatalf("after a restart: %v %v", v, err)
	}
}

func TestARolledBackLogIsRefused(t *testing.T) {
	n, addr := startNode(t, t.TempDir())
	logDir := t.TempDir()
	l, vk := newLog(t, logDir)
	c := enrolled(t, n, addr, vk)
	ctx := t.Context()
	ship := func(l *audit.Log, old int64) error {
		cp, _, proof, err := l.Since(old)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.cosign(ctx, cp, proof)
		return err
	}
	for range 3 {
		l.Append(ctx, audit.Event{Operation: "login", Outcome: "ok"})
	}
	if err := ship(l, 0); err != nil {
		t.Fatal(err)
	}
	early := l.Checkpoint()
	for range 4 {
		l.Append(ctx, audit.Event{Operation: "view", Outcome: "ok"})
	}
	if err := ship(l, 3); err != nil {
		t.Fatal(err)
	}
	if _, err := c.cosign(ctx, early, nil); !errors.Is(err, ErrRolledBack) {
		t.Fatalf("an older checkpoint: %v", err)
	}
	other, _ := newLog(t, t.TempDir())
	other.Append(ctx, audit.Event{Operation: "login", Outcome: "ok"})
	if _, err := c.cosign(ctx, other.Checkpoint(), nil); !errors.Is(err, ErrRolledBack) {
		t.Fatalf("another log's checkpoint: %v", err)
	}
}

func TestAStrangerAndAReaderCannotWrite(t *testing.T) {
	n, addr := startNode(t, t.TempDir())
	_, vk := newLog(t, t.TempDir())
	c := enrolled(t, n, addr, vk)
	if err := c.journal(t.Context(), "1-1.fj", 0, []byte("x")); err != nil {
		t.Fatal(err)
	}
	p, ids, err := Enrol(t.Context(), addr, n.NewCode(), Enrolment{Recover: true})
	if err != nil || len(ids) != 1 || ids[0] != "a1" {
		t.Fatalf("%v %v", ids, err)
	}
	reader, err := NewClient(p)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reader.State(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := reader.journal(t.Context(), "1-1.fj", 1, []byte("y")); !errors.Is(err, ErrStranger) {
		t.Fatalf("a reader wrote: %v", err)
	}
	id, _ := NewIdentity("stranger")
	p.Identity = id
	stranger, _ := NewClient(p)
	if _, err := stranger.State(t.Context()); !errors.Is(err, ErrStranger) {
		t.Fatalf("a stranger read: %v", err)
	}
	p.NodeCert = id.Cert
	wrong, _ := NewClient(p)
	if _, err := wrong.State(t.Context()); !errors.Is(err, ErrImpostor) {
		t.Fatalf("another node's certificate passed: %v", err)
	}
}

// An appliance whose log was tampered with begins another one under another key.
// The node takes it only with a code, and keeps what it witnessed.
func TestANodeTakesAnotherLogOnlyFromAPersonAndKeepsTheOneBefore(t *testing.T) {
	dir := t.TempDir()
	n, addr := startNode(t, dir)
	ctx := t.Context()
	fill := func(l *audit.Log, k int) {
		for range k {
			if _, err := l.Append(ctx, audit.Event{Operation: "login", Outcome: "ok"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	ship := func(c *Client, l *audit.Log) error {
		st, err := c.State(ctx)
		if err != nil {
			return err
		}
		s := NewSender(c, nil, nil)
		if err := s.sameLog(ctx, l, &st); err != nil {
			return err
		}
		return s.log(ctx, l, &st)
	}
	old, oldKey := newLog(t, t.TempDir())
	fill(old, 5)
	c := enrolled(t, n, addr, oldKey)
	if err := ship(c, old); err != nil {
		t.Fatal(err)
	}
	other, otherKey := newLog(t, t.TempDir())
	for size := range 8 { // shorter, as long, longer
		fill(other, 1)
		if err := ship(c, other); !errors.Is(err, ErrRolledBack) {
			t.Fatalf("a new log of %d entries: %v", size+1, err)
		}
	}
	if st, err := c.State(ctx); err != nil || st.Entries != 5 || st.Size != 5 {
		t.Errorf("the node took entries of another log: %+v, %v", st, err)
	}
	fill(old, 1)
	if err := ship(c, old); err != nil { // the true one still goes on
		t.Error(err)
	}
	renewed := enrolled(t, n, addr, otherKey)
	if err := ship(renewed, other); err != nil {
		t.Fatal(err)
	}
	if st, err := renewed.State(ctx); err != nil || st.Size != 8 || st.Entries != 8 {
		t.Errorf("%+v, %v", st, err)
	}
	kept, err := filepath.Glob(filepath.Join(dir, "vaults", "a1", "log.kept-*"))
	if err != nil || len(kept) != 1 {
		t.Fatal(kept, err)
	}
	cp, err := os.ReadFile(filepath.Join(kept[0], "checkpoint"))
	if err != nil {
		t.Fatal(err)
	}
	v, err := note.NewVerifier(oldKey)
	if err != nil {
		t.Fatal(err)
	}
	if tree, err := audit.OpenCheckpoint(cp, v); err != nil || tree.N != 6 {
		t.Errorf("%+v, %v", tree, err)
	}
	if fi, err := os.Stat(filepath.Join(kept[0], "entries.log")); err != nil || fi.Size() == 0 {
		t.Error(err)
	}
}

// TestWhoIsRefusedIsInTheNodesLog: from where a code was guessed, and who asked
// without being known.
func TestWhoIsRefusedIsInTheNodesLog(t *testing.T) {
	var lines bytes.Buffer
	n, err := OpenNode(t.TempDir(), slog.New(slog.NewTextHandler(&lines, nil)), nil)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(n.handler())
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{n.cert}, ClientAuth: tls.RequestClientCert}
	srv.StartTLS()
	code := n.NewCode()
	if _, _, err := Enrol(t.Context(), srv.URL, "AAAA-BBBB-CCCC", Enrolment{Archive: "a1", LogKey: ""}); !errors.Is(err, ErrCode) {
		t.Error(err)
	}
	srv.Close() // every handler has ended
	for _, want := range []string{"a stranger was refused", "an enrolment was refused", "from=127.0.0.1:"} {
		if !strings.Contains(lines.String(), want) {
			t.Errorf("no %q in %s", want, lines.String())
		}
	}
	if strings.Contains(lines.String(), code) || strings.Contains(lines.String(), "AAAA") {
		t.Error("a code is in the log")
	}
}

// TestNoRedirectIsFollowed: what is meant for the node goes nowhere else, even
// if the node says so.
func TestNoRedirectIsFollowed(t *testing.T) {
	id, err := NewIdentity("node")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := id.TLS()
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked++; r.URL.Path != "/v1/state" {
			t.Errorf("%s was asked for", r.URL.Path)
		}
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	}))
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequestClientCert}
	srv.StartTLS()
	defer srv.Close()
	c, err := NewClient(Peer{Address: srv.URL, Identity: id, NodeCert: id.Cert})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.State(t.Context()); !errors.Is(err, ErrNode) || asked != 1 {
		t.Errorf("%d requests, %v", asked, err)
	}
	if _, _, err := Enrol(t.Context(), srv.URL, "AAAA-BBBB-CCCC", Enrolment{Archive: "a1", LogKey: ""}); !errors.Is(err, ErrNode) || asked != 2 {
		t.Errorf("%d requests, %v", asked, err)
	}
}
