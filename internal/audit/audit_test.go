package audit

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"farol/internal/record"
)

// plainBox keeps the bytes readable so that tests can damage them on purpose.
type plainBox struct{}

func (plainBox) Seal(p, _ []byte) []byte          { return p }
func (plainBox) Open(s, _ []byte) ([]byte, error) { return s, nil }

func testKeys(t *testing.T) (note.Signer, note.Verifier, string) {
	t.Helper()
	sk, vk, err := note.GenerateKey(rand.Reader, "farol.test")
	if err != nil {
		t.Fatal(err)
	}
	s, err := note.NewSigner(sk)
	if err != nil {
		t.Fatal(err)
	}
	v, err := note.NewVerifier(vk)
	if err != nil {
		t.Fatal(err)
	}
	return s, v, vk
}

func fill(t *testing.T, dir string, s note.Signer, v note.Verifier, n int) *Log {
	t.Helper()
	l, err := Open(dir, Options{Box: plainBox{}, Signer: s, Verify: v})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if _, err := l.Append(t.Context(), Event{Actor: "a", Operation: "login", Outcome: "ok", Object: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

func TestEveryEntryIsProvedAfterReopening(t *testing.T) {
	s, v, _ := testKeys(t)
	dir := t.TempDir()
	fill(t, dir, s, v, 9).Close()
	l := fill(t, dir, s, v, 4)
	defer l.Close()
	if n, err := l.Verify(); n != 13 || err != nil {
		t.Fatalf("%d %v", n, err)
	}
	es, next, err := l.List(Filter{Operation: "login"}, 0, 10)
	if err != nil || len(es) != 10 || next != 3 || es[0].Object != "3" || len(es[0].Laws) == 0 {
		t.Fatalf("%d entries, next %d, %v", len(es), next, err)
	}
}

func TestACrashAtAnyByteLosesNoSignedEntry(t *testing.T) {
	s, v, _ := testKeys(t)
	dir := t.TempDir()
	l := fill(t, dir, s, v, 5)
	before := map[string][]byte{}
	for _, f := range []string{"entries.log", "hashes.log", "checkpoint"} {
		before[f], _ = os.ReadFile(filepath.Join(dir, f))
	}
	if _, err := l.Append(t.Context(), Event{Actor: "a", Operation: "view", Outcome: "ok"}); err != nil {
		t.Fatal(err)
	}
	l.Close()
	entries, _ := os.ReadFile(filepath.Join(dir, "entries.log"))
	hashes, _ := os.ReadFile(filepath.Join(dir, "hashes.log"))
	for cut := len(before["entries.log"]); cut <= len(entries); cut += 7 {
		for _, h := range []int{len(before["hashes.log"]), len(before["hashes.log"]) + 5, len(hashes)} {
			os.WriteFile(filepath.Join(dir, "entries.log"), entries[:cut], 0o600)
			os.WriteFile(filepath.Join(dir, "hashes.log"), hashes[:h], 0o600)
			os.WriteFile(filepath.Join(dir, "checkpoint"), before["checkpoint"], 0o600)
			l, err := Open(dir, Options{Box: plainBox{}, Signer: s, Verify: v})
			if err != nil {
				t.Fatalf("cut %d, hashes %d: %v", cut, h, err)
			}
			if n, err := l.Verify(); n < 5 || err != nil {
				t.Fatalf("cut %d: %d entries, %v", cut, n, err)
			}
			l.Close()
		}
	}
}

func TestAChangedEntryIsFound(t *testing.T) {
	s, v, _ := testKeys(t)
	dir := t.TempDir()
	l := fill(t, dir, s, v, 20)
	defer l.Close()
	path := filepath.Join(dir, "entries.log")
	b, _ := os.ReadFile(path)
	i := bytes.Index(b, []byte(`"object_ref":"7"`))
	b[i+15] = '8'
	os.WriteFile(path, b, 0o600)
	if _, err := l.Verify(); !errors.Is(err, ErrTampered) {
		t.Fatalf("got %v", err)
	}
	os.Truncate(path, int64(len(b)/2))
	if _, err := Open(dir, Options{Box: plainBox{}, Signer: s, Verify: v}); !errors.Is(err, ErrTampered) {
		t.Fatalf("a shortened log opened: %v", err)
	}
}

func TestAProofHoldsAloneAndBreaksWithAnyField(t *testing.T) {
	s, v, vk := testKeys(t)
	l := fill(t, t.TempDir(), s, v, 6)
	defer l.Close()
	var recs []record.Record
	var leaves []record.Hash
	for i := range 5 {
		r := record.Record{Ref: record.Ref{Kind: record.Chat, Container: "c", ID: fmt.Sprint(i)}, Time: time.UnixMilli(int64(i)).UTC(), Raw: fmt.Appendf(nil, `{"n":%d}`, i)}
		recs = append(recs, r)
		leaves = append(leaves, record.LeafHash(r.Leaf()))
	}
	root := record.Root(leaves)
	seqs, err := l.Append(t.Context(), Event{Actor: "system", Operation: OperationCommit, Object: "commit/1", Hash: root.String(), Outcome: "ok"})
	if err != nil {
		t.Fatal(err)
	}
	fresh := func() *Proof {
		p := &Proof{Format: ProofFormat, Kind: record.Chat, Group: "c", ID: "3", Time: recs[3].Time, SHA256: recs[3].Hash(), Raw: recs[3].Raw, Key: vk}
		p.Commit.Seq, p.Commit.Leaves, p.Commit.Index, p.Commit.Root, p.Commit.Path = 1, 5, 3, root, record.Path(leaves, 3)
		ep, err := l.Inclusion(seqs[0])
		if err != nil {
			t.Fatal(err)
		}
		p.Log = *ep
		b, _ := json.Marshal(p)
		var out Proof
		if err := json.Unmarshal(b, &out); err != nil {
			t.Fatal(err)
		}
		return &out
	}
	if _, err := VerifyProof(fresh(), vk); err != nil {
		t.Fatal(err)
	}
	_, _, other := testKeys(t)
	for name, c := range map[string]struct {
		change func(*Proof)
		key    string
		want   error
	}{
		"content": {func(p *Proof) { p.Raw = []byte(`{"n":4}`) }, vk, ErrContent},
		"id":      {func(p *Proof) { p.ID = "4" }, vk, ErrCommit},
		"time":    {func(p *Proof) { p.Time = p.Time.Add(time.Millisecond) }, vk, ErrCommit},
		"root":    {func(p *Proof) { p.Commit.Root[0] ^= 1 }, vk, ErrCommit},
		"entry":   {func(p *Proof) { p.Log.Entry = bytes.Replace(p.Log.Entry, []byte("system"), []byte("nobody"), 1) }, vk, ErrLog},
		"salt":    {func(p *Proof) { p.Log.Salt[0] ^= 1 }, vk, ErrLog},
		"key":     {func(*Proof) {}, other, ErrKey},
		"format":  {func(p *Proof) { p.Format = "x" }, vk, ErrFormat},
	} {
		p := fresh()
		c.change(p)
		if _, err := VerifyProof(p, c.key); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
}

func TestTimeNeverGoesBackwards(t *testing.T) {
	s, v, _ := testKeys(t)
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	l, err := Open(t.TempDir(), Options{Box: plainBox{}, Signer: s, Verify: v, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.Append(t.Context(), Event{Operation: "login"})
	now = now.Add(-time.Hour)
	l.Append(t.Context(), Event{Operation: "login"})
	e, err := l.Entry(1)
	if err != nil || e.Skew != 3600000 || e.Time.Hour() != 12 {
		t.Fatalf("%+v %v", e, err)
	}
}

// TestALogThatTakesNoEntrySaysSoBeforeOneComes: what a health check asks.
func TestALogThatTakesNoEntrySaysSoBeforeOneComes(t *testing.T) {
	s, v, _ := testKeys(t)
	l := fill(t, t.TempDir(), s, v, 2)
	if err := l.Ready(); err != nil {
		t.Fatal(err)
	}
	if err := l.hashes.Close(); err != nil { // as when the disk below goes
		t.Fatal(err)
	}
	if _, err := l.Append(t.Context(), Event{Operation: "login"}); err == nil {
		t.Fatal("an entry was bound without its hash")
	}
	if l.Ready() == nil {
		t.Error("it says that it takes entries")
	}
}
