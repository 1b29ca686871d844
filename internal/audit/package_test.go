package audit

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
)

func unpack(t *testing.T, b []byte) string {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, z); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestARegulatorChecksAPackageAlone(t *testing.T) {
	a := oldLog(t)
	l := a.open(t)
	defer l.Close()
	if _, err := l.Expire(t.Context(), rules(t)); err != nil {
		t.Fatal(err)
	}
	// A witness signs what there is, a second one later, then the log grows on.
	wkey := witnessed(t, l, a.opt.Verify, NodeWitness)
	if _, err := l.Append(t.Context(), agedKinds[0]); err != nil {
		t.Fatal(err)
	}
	wkey2 := witnessed(t, l, a.opt.Verify, SecondWitness)
	if _, err := l.Append(t.Context(), agedKinds...); err != nil {
		t.Fatal(err)
	}
	from, to := time.Date(2023, 6, 1, 0, 0, 0, 0, time.UTC), time.Date(2025, 3, 1, 0, 0, 0, 0, time.UTC)
	var zipped bytes.Buffer
	p, err := l.WritePackage(t.Context(), &zipped, from, to)
	if err != nil {
		t.Fatal(err)
	}
	if p.End-p.First < 200 || p.Expired == 0 || p.Size != l.Size() {
		t.Fatalf("%+v", p)
	}
	for i, want := range map[int64]bool{p.First - 1: false, p.First: true, p.End - 1: true, p.End: false} {
		if e, err := l.Entry(i); err != nil || (!e.Time.Before(from) && e.Time.Before(to)) != want {
			t.Errorf("entry %d of %s, %v", i, e.Time, err)
		}
	}
	fresh := func() string { return unpack(t, zipped.Bytes()) }
	dir := fresh()
	for _, name := range []string{"README.zh-Hant.md", "README.pt.md", "README.en.md", "verifier/main.go", "verifier/go.mod", "verifier/go.sum", "log-key.txt", "witness-key.txt", "witness-key.2.txt"} {
		if b, err := os.ReadFile(filepath.Join(dir, name)); err != nil || len(b) == 0 || p.Files[name] == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, keys := range [][]string{{}, {"-witness", wkey}, {"-witness", wkey2}, {"-witness", wkey, "-witness", wkey2}, {"-witness", filepath.Join(dir, "witness-key.2.txt"), "-witness", filepath.Join(dir, "witness-key.txt")}} {
		args := append(append([]string{"-key", filepath.Join(dir, "log-key.txt")}, keys...), "package", dir)
		if ok, words := outside(t, args...); !ok || !strings.Contains(words, "none left out") {
			t.Fatalf("an honest package, asked with %q: %s", keys, words)
		}
	}
	change := func(name string, fn func([]byte) []byte, alsoManifest bool) string {
		dir := fresh()
		path := filepath.Join(dir, name)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		b = fn(b)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if alsoManifest { // a liar knows how to hash
			h, err := sha256File(path)
			if err != nil {
				t.Fatal(err)
			}
			m, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
			if err != nil {
				t.Fatal(err)
			}
			m = bytes.ReplaceAll(m, []byte(p.Files[name]), []byte(h))
			if err := os.WriteFile(filepath.Join(dir, "manifest.json"), m, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	lines := func(b []byte) [][]byte { return bytes.SplitAfter(b, []byte("\n")) }
	for lie, dir := range map[string]string{
		"a file that the manifest does not know": change("checkpoint", func(b []byte) []byte { return append(b, '\n') }, false),
		"a removed entry":                        change("entries.ndjson", func(b []byte) []byte { l := lines(b); return bytes.Join(append(l[:7:7], l[8:]...), nil) }, true),
		"the last entry cut off":                 change("entries.ndjson", func(b []byte) []byte { l := lines(b); return bytes.Join(l[:len(l)-2], nil) }, true),
		"two entries in another order":           change("entries.ndjson", func(b []byte) []byte { l := lines(b); l[3], l[4] = l[4], l[3]; return bytes.Join(l, nil) }, true),
		"a changed salt": change("entries.ndjson", func(b []byte) []byte {
			l := lines(b)
			var e EntryProof
			last := l[len(l)-2]
			if err := json.Unmarshal(last, &e); err != nil {
				t.Fatal(err)
			}
			e.Salt[0] ^= 1
			l[len(l)-2], _ = json.Marshal(e)
			l[len(l)-2] = append(l[len(l)-2], '\n')
			return bytes.Join(l, nil)
		}, true),
		"another first checkpoint":                     change("checkpoint.first", func([]byte) []byte { return l.Checkpoint() }, true),
		"a hash of the growth":                         change("consistency.json", func(b []byte) []byte { return []byte("[]") }, true),
		"a growth from what the node signed":           change("consistency.cosigned.json", func(b []byte) []byte { return []byte("[]") }, true),
		"a growth from what the second witness signed": change("consistency.cosigned.2.json", func(b []byte) []byte { return []byte("[]") }, true),
	} {
		if ok, words := outside(t, "-key", a.key, "package", dir); ok {
			t.Errorf("%s was accepted: %s", lie, words)
		}
	}
	_, _, other := testKeys(t)
	if ok, _ := outside(t, "-key", other, "package", dir); ok {
		t.Error("another log's key was accepted")
	}
	for _, keys := range [][]string{{"-witness", other}, {"-witness", wkey, "-witness", other}, {"-witness", other, "-witness", wkey2}} {
		if ok, _ := outside(t, append(append([]string{"-key", a.key}, keys...), "package", dir)...); ok {
			t.Errorf("another witness's key was accepted: %q", keys)
		}
	}
	for w, name := range map[string]string{wkey: "checkpoint.cosigned", wkey2: "checkpoint.cosigned.2"} { // the log's own signature in its place
		dir := change(name, func([]byte) []byte { b, _ := l.CheckpointAt(p.First + 1); return b }, true)
		if ok, _ := outside(t, "-key", a.key, "-witness", w, "package", dir); ok {
			t.Errorf("%s was accepted without its witness", name)
		}
	}
	if _, err := l.WritePackage(t.Context(), io.Discard, to.AddDate(10, 0, 0), to.AddDate(11, 0, 0)); !errors.Is(err, ErrEmptyPeriod) {
		t.Errorf("a period without an entry: %v", err)
	}
}

// witnessed has what there is signed by a witness of that kind.
func witnessed(t *testing.T, l *Log, v note.Verifier, w Witness) (key string) {
	t.Helper()
	signer, _, key := testKeys(t)
	n, err := note.Open(l.Checkpoint(), note.VerifierList(v))
	if err != nil {
		t.Fatal(err)
	}
	cosigned, err := note.Sign(n, signer)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Cosigned(w, key, cosigned); err != nil {
		t.Fatal(err)
	}
	return key
}

// TestOnlyWhatAWitnessSignedIsKeptAsItsWord: a node that answers with anything else
// would leave a file that looks like a witness and is none.
func TestOnlyWhatAWitnessSignedIsKeptAsItsWord(t *testing.T) {
	s, v, _ := testKeys(t)
	dir := t.TempDir()
	l := fill(t, dir, s, v, 3)
	defer l.Close()
	_, _, key := testKeys(t)
	if err := l.Cosigned(SecondWitness, key, l.Checkpoint()); err == nil {
		t.Error("a checkpoint that the witness did not sign was kept")
	}
	if got, err := CosignedTree(dir, SecondWitness, v); err != nil || got.N != 0 {
		t.Errorf("kept %d, %v", got.N, err)
	}
	witnessed(t, l, v, NodeWitness)
	if _, err := l.Append(t.Context(), Event{Operation: "login", Outcome: "ok"}); err != nil {
		t.Fatal(err)
	}
	witnessed(t, l, v, SecondWitness)
	for w, want := range map[Witness]int64{NodeWitness: 3, SecondWitness: 4} {
		if got, err := CosignedTree(dir, w, v); err != nil || got.N != want {
			t.Errorf("of the %s %d is kept, want %d, %v", w, got.N, want, err)
		}
	}
}

func sha256File(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	return hex.EncodeToString(sha(b)), nil
}

// A period of any length must not be held in memory: what is written comes out
// while entries are still being read.
func TestAPackageIsStreamed(t *testing.T) {
	s, v, _ := testKeys(t)
	l := fill(t, t.TempDir(), s, v, 0)
	defer l.Close()
	evs := make([]Event, 1000)
	for i := range evs {
		evs[i] = Event{Actor: "a", Operation: "view", Object: "record/x", Outcome: "ok"}
	}
	for range 4 {
		if _, err := l.Append(t.Context(), evs...); err != nil {
			t.Fatal(err)
		}
	}
	stop := errors.New("the reader has gone")
	w := &shortWriter{left: 200_000, err: stop}
	if _, err := l.WritePackage(t.Context(), w, time.Now().Add(-time.Hour), time.Now().Add(time.Hour)); !errors.Is(err, stop) {
		t.Fatalf("got %v", err)
	}
	if w.largest > 1<<20 {
		t.Errorf("%d bytes were written at once", w.largest)
	}
}

type shortWriter struct {
	left, largest int
	err           error
}

func (w *shortWriter) Write(b []byte) (int, error) {
	w.largest = max(w.largest, len(b))
	if w.left -= len(b); w.left < 0 {
		return 0, w.err
	}
	return len(b), nil
}

func sha(b []byte) []byte {
	sum := sha256.Sum256(b)
	return sum[:]
}
