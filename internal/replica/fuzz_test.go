package replica

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"farol/internal/audit"
	"farol/internal/record"
)

func fuzzVault(t *testing.T) *vault {
	t.Helper()
	v, err := openVault(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// FuzzEntries: what an appliance sends as entries is held as it was sent, or not
// at all, and a restart counts the same.
func FuzzEntries(f *testing.F) {
	f.Add(int64(0), []byte(`["YQ==","YmI="]`))
	f.Add(int64(1), []byte(`["YQ=="]`))
	f.Add(int64(-1), []byte(`["YQ==","YQ=="]`))
	f.Add(int64(0), []byte(`["YQ==","","YQ=="]`))
	f.Add(int64(0), []byte(`[null]`))
	f.Add(int64(9223372036854775807), []byte(`{}`))
	f.Fuzz(func(t *testing.T, from int64, body []byte) {
		v := fuzzVault(t)
		if _, err := v.appendEntries(0, [][]byte{[]byte("one that is held")}); err != nil {
			t.Fatal(err)
		}
		var es [][]byte
		if json.Unmarshal(body, &es) != nil {
			return
		}
		n, err := v.appendEntries(from, es)
		if err != nil && !errors.Is(err, ErrConflict) {
			t.Fatal(err)
		}
		again, rerr := openVault(v.dir)
		if rerr != nil || again.entries != n || n != v.entries || again.entEnd != v.entEnd {
			t.Fatalf("%d entries, after a restart %d, %v", n, again.entries, rerr)
		}
		b, rerr := os.ReadFile(v.entriesPath())
		if rerr != nil || !bytes.HasPrefix(b[4:], []byte("one that is held")) {
			t.Fatalf("what was held was changed, %v", rerr)
		}
	})
}

// FuzzEntriesFileOfTheNode: a file of any bytes is counted and cut at its last
// whole entry.
func FuzzEntriesFileOfTheNode(f *testing.F) {
	one := append(binary.BigEndian.AppendUint32(nil, 3), "abc"...)
	f.Add(one)
	f.Add(append(bytes.Clone(one), one[:5]...))
	f.Add([]byte{0, 0, 0, 0, 1})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		v := fuzzVault(t)
		if err := os.WriteFile(v.entriesPath(), b, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := openVault(v.dir)
		if err != nil {
			t.Fatal(err)
		}
		kept, err := os.ReadFile(v.entriesPath())
		if err != nil || int64(len(kept)) != got.entEnd || !bytes.HasPrefix(b, kept) {
			t.Fatalf("%d of %d bytes are kept, %d are counted, %v", len(kept), len(b), got.entEnd, err)
		}
		again, err := openVault(v.dir)
		if err != nil || again.entries != got.entries {
			t.Fatalf("%d entries, then %d, %v", got.entries, again.entries, err)
		}
	})
}

// FuzzWitness: the node never signs a log that does not extend what it signed.
func FuzzWitness(f *testing.F) {
	sk, vk, err := note.GenerateKey(bytes.NewReader(make([]byte, 64)), "farol.fuzz")
	if err != nil {
		f.Fatal(err)
	}
	signer, err := note.NewSigner(sk)
	if err != nil {
		f.Fatal(err)
	}
	verify, err := note.NewVerifier(vk)
	if err != nil {
		f.Fatal(err)
	}
	wk, _, err := note.GenerateKey(bytes.NewReader(bytes.Repeat([]byte{1}, 64)), "node.fuzz")
	if err != nil {
		f.Fatal(err)
	}
	witness, err := note.NewSigner(wk)
	if err != nil {
		f.Fatal(err)
	}
	l, err := audit.Open(f.TempDir(), audit.Options{Box: plainBox{}, Signer: signer, Verify: verify})
	if err != nil {
		f.Fatal(err)
	}
	grow := func(n int) []byte {
		for range n {
			if _, err := l.Append(f.Context(), audit.Event{Actor: "a", Operation: "view", Outcome: "ok"}); err != nil {
				f.Fatal(err)
			}
		}
		return l.Checkpoint()
	}
	early := grow(3)
	mid := grow(4)
	late := grow(4)
	path, err := l.Consistency(7)
	if err != nil {
		f.Fatal(err)
	}
	for _, rq := range []checkpointRequest{{late, path}, {early, nil}, {mid, nil}, {late, nil}, {append(bytes.Clone(late), '\n'), path}} {
		b, err := json.Marshal(rq)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"checkpoint":"","proof":["AAAA"]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		v := fuzzVault(t)
		v.about.LogKey = vk
		if _, err := v.cosign(t.Context(), mid, nil, witness); err != nil {
			t.Fatal(err)
		}
		n := &Node{signer: witness, log: slog.New(slog.DiscardHandler), now: time.Now}
		w := httptest.NewRecorder()
		err := n.checkpoint(w, httptest.NewRequest(http.MethodPost, "/v1/checkpoint", bytes.NewReader(body)), v)
		held, rerr := os.ReadFile(filepath.Join(v.dir, "log", "checkpoint"))
		if rerr != nil {
			t.Fatal(rerr)
		}
		tree, rerr := audit.OpenCheckpoint(held, verify)
		if rerr != nil || tree.N != 7 && tree.N != 11 || err == nil && tree.N < 7 {
			t.Fatalf("the node now holds a log of %d, %v", tree.N, rerr)
		}
	})
}

// FuzzNames: no name that a client sends leads out of the vault.
func FuzzNames(f *testing.F) {
	for _, s := range []string{"p01", "../../etc/passwd", "a~..~..~x", "~etc", "x.tmp", ".", "..", "a/b", "", strings.Repeat("a", 300)} {
		f.Add(s, []byte("bytes"))
	}
	f.Fuzz(func(t *testing.T, name string, b []byte) {
		v := fuzzVault(t)
		size, err := v.appendJournal(name, 0, b)
		if err == nil && size != int64(len(b)) {
			t.Fatal(size)
		}
		err = filepath.WalkDir(filepath.Dir(v.dir), func(path string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() && !strings.HasPrefix(path, v.dir+string(filepath.Separator)) {
				t.Errorf("%q was written to %s", name, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzBranch: whatever an appliance says is of a branch, what the node then tells
// names only its own files, and never more of one than there is.
func FuzzBranch(f *testing.F) {
	f.Add([]byte(`{"epoch":2,"journal":{"1-1.fj":3},"blobs":["p01"]}`))
	f.Add([]byte(`{"epoch":2,"journal":{"1-1.fj":-3,"../1-1.fj":1,"1-1.fj\nx 1 p02":1},"blobs":["../../vault.json","kopia.repository","p01\nx 1 p02","p99",""]}`))
	f.Add([]byte(`{"epoch":3}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, body []byte) {
		v := fuzzVault(t)
		if _, err := v.appendJournal("1-1.fj", 0, []byte("hello")); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"p01", "p02", "kopia.repository"} {
			if err := v.putBlob(name, record.HashOf([]byte(name)), strings.NewReader(name), 0, putAt{}); err != nil {
				t.Fatal(err)
			}
		}
		v.about.Branch = 2
		n := &Node{log: slog.New(slog.DiscardHandler), now: time.Now}
		err := n.takeBranch(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/v1/branch", bytes.NewReader(body)), v)
		m, merr := Standby{dir: v.dir}.moment(time.Time{})
		if merr != nil {
			t.Fatal(merr)
		}
		for name := range m.out {
			if name != "p01" && name != "p02" || err != nil {
				t.Errorf("%q counts no more, %v", name, err)
			}
		}
		for name, size := range m.cut {
			if name != "1-1.fj" || size < 0 || size >= 5 || err != nil {
				t.Errorf("of %q only %d bytes count, %v", name, size, err)
			}
		}
		if again, oerr := openVault(v.dir); oerr != nil || len(again.came.out) != len(m.out) || len(v.came.out) != len(m.out) {
			t.Errorf("after a restart %d files count no more, %d before, %v", len(again.came.out), len(m.out), oerr)
		}
	})
}
