package audit

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

func TestTheOffsetsAreWorkedOutAnewWhateverHappenedToThem(t *testing.T) {
	s, v, _ := testKeys(t)
	dir := t.TempDir()
	const n = 300
	l := fill(t, dir, s, v, n)
	l.Close()
	path := filepath.Join(dir, "offsets.log")
	whole, err := os.ReadFile(path)
	if err != nil || len(whole) != n*slot {
		t.Fatalf("%d bytes, %v", len(whole), err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for what, hurt := range map[string]func([]byte) []byte{
		"gone":              func([]byte) []byte { return nil },
		"cut":               func(b []byte) []byte { return b[:len(b)/2+3] },
		"a flipped bit":     func(b []byte) []byte { b[rng.IntN(len(b))] ^= 1 << rng.IntN(8); return b },
		"the last page":     func(b []byte) []byte { clear(b[len(b)-512:]); return b },
		"a page between":    func(b []byte) []byte { clear(b[512:1024]); return b },
		"all of it":         func(b []byte) []byte { clear(b); return b },
		"longer than it is": func(b []byte) []byte { return append(b, b[:80]...) },
		"another log's":     func(b []byte) []byte { return append(b[8:], b[:8]...) },
	} {
		if err := os.WriteFile(path, hurt(append([]byte(nil), whole...)), 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := Open(dir, Options{Box: plainBox{}, Signer: s, Verify: v})
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		for seq := range int64(n) {
			if e, err := l.Entry(seq); err != nil || e.Seq != seq {
				t.Errorf("%s: entry %d: %v", what, seq, err)
			}
		}
		if got, err := l.Verify(); got != n || err != nil {
			t.Errorf("%s: verified %d, %v", what, got, err)
		}
		l.Close()
	}
}

func TestALogThatCouldNotBindAnEntryTakesNoMoreUntilItIsOpenedAgain(t *testing.T) {
	s, v, _ := testKeys(t)
	dir := t.TempDir()
	l := fill(t, dir, s, v, 5)
	l.hashes.Close() // the disk fails under it
	for range 2 {
		if _, err := l.Append(t.Context(), Event{Actor: "a", Operation: "view", Outcome: "ok"}); err == nil {
			t.Fatal("an entry was acknowledged that the tree does not bind")
		}
	}
	l.Close()
	l = fill(t, dir, s, v, 3)
	defer l.Close()
	if n, err := l.Verify(); n != 9 || err != nil { // 5, the one that was on disk, 3
		t.Errorf("%d entries, %v", n, err)
	}
}
