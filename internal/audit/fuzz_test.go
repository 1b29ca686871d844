package audit

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"farol/internal/keys"
	"farol/internal/record"
)

// fuzzLog is a small log whose key does not change between runs, so that the
// seeds stay what they are.
func fuzzLog(f *testing.F, dir string, box Box) (*Log, note.Verifier, string) {
	f.Helper()
	sk, vk, err := note.GenerateKey(bytes.NewReader(make([]byte, 64)), "farol.fuzz")
	if err != nil {
		f.Fatal(err)
	}
	s, err := note.NewSigner(sk)
	if err != nil {
		f.Fatal(err)
	}
	v, err := note.NewVerifier(vk)
	if err != nil {
		f.Fatal(err)
	}
	l, err := Open(dir, Options{Box: box, Signer: s, Verify: v, Key: vk, LookupKey: []byte("k")})
	if err != nil {
		f.Fatal(err)
	}
	for range 5 {
		if _, err := l.Append(f.Context(), Event{Actor: "a", Operation: "view", Object: "record/1", Outcome: "ok"}); err != nil {
			f.Fatal(err)
		}
	}
	return l, v, vk
}

// FuzzCheckpoint: what is read as a checkpoint is written back as the same.
func FuzzCheckpoint(f *testing.F) {
	l, v, _ := fuzzLog(f, f.TempDir(), plainBox{})
	f.Add(l.Checkpoint())
	f.Add([]byte("farol.fuzz\n5\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"))
	f.Add([]byte("farol.fuzz\n05\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\nmore\n\n— farol.fuzz AAAA\n"))
	f.Add([]byte("\n-1\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		tree, err := parseCheckpoint(string(b))
		if err == nil {
			if tree.N < 0 {
				t.Fatalf("a size of %d", tree.N)
			}
			origin, _, _ := bytes.Cut(b, []byte("\n"))
			if text := checkpointText(string(origin), tree); !bytes.HasPrefix(b, []byte(text)) {
				t.Fatalf("%q is read as %q", b, text)
			}
		}
		if signed, err := OpenCheckpoint(b, v); err == nil && signed.N > 5 {
			t.Fatal("a size that was never signed")
		}
	})
}

// FuzzProof: nothing but what was logged is accepted.
func FuzzProof(f *testing.F) {
	l, _, key := fuzzLog(f, f.TempDir(), plainBox{})
	rec := record.Record{Ref: record.Ref{Kind: record.Chat, Container: "c", ID: "1"}, Time: time.UnixMilli(1).UTC(), Raw: []byte(`{"n":1}`)}
	leaves := []record.Hash{record.LeafHash(rec.Leaf())}
	seqs, err := l.Append(f.Context(), Event{Actor: "system", Operation: OperationCommit, Object: "commit/1", Hash: record.Root(leaves).String(), Outcome: "ok"})
	if err != nil {
		f.Fatal(err)
	}
	p := Proof{Format: ProofFormat, Kind: record.Chat, Group: "c", ID: "1", Time: rec.Time, SHA256: rec.Hash(), Raw: rec.Raw, Key: key}
	p.Commit.Seq, p.Commit.Leaves, p.Commit.Root, p.Commit.Path = 1, 1, record.Root(leaves), record.Path(leaves, 0)
	ep, err := l.Inclusion(seqs[0])
	if err != nil {
		f.Fatal(err)
	}
	p.Log = *ep
	whole, err := json.Marshal(p)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add([]byte(`{"format":"farol-proof/1","commit":{"leaves":-1,"index":-5,"path":[]},"log":{"seq":-1,"path":["x"]}}`))
	p.Commit.Leaves = 1<<63 - 1 // once a loop without end
	endless, err := json.Marshal(p)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(endless)
	f.Fuzz(func(t *testing.T, b []byte) {
		var got Proof
		if json.Unmarshal(b, &got) != nil {
			return
		}
		if e, err := VerifyProof(&got, key); err == nil && (got.ID != "1" || !bytes.Equal(got.Raw, rec.Raw) || e.Seq != seqs[0]) {
			t.Fatalf("%q was accepted", b)
		}
	})
}

// FuzzEntriesFile: no bytes in entries.log open as a log that differs from what
// was signed, and none of them panic.
func FuzzEntriesFile(f *testing.F) {
	dir := f.TempDir()
	box := keys.NewBox(make([]byte, 32))
	l, v, _ := fuzzLog(f, dir, box)
	l.Close()
	whole, err := os.ReadFile(filepath.Join(dir, "entries.log"))
	if err != nil {
		f.Fatal(err)
	}
	hashes, err := os.ReadFile(filepath.Join(dir, "hashes.log"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole, hashes)
	f.Add(whole[:len(whole)-3], hashes[:40])
	f.Add(append(binary.BigEndian.AppendUint32(nil, 12), append([]byte(tombMark), 0xff, 0xff, 0, 0)...), []byte{})
	f.Add(binary.BigEndian.AppendUint32(nil, 1<<31), hashes)
	f.Fuzz(func(t *testing.T, entries, hashes []byte) {
		at := t.TempDir()
		cp, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(os.WriteFile(filepath.Join(at, "entries.log"), entries, 0o600), os.WriteFile(filepath.Join(at, "hashes.log"), hashes, 0o600), os.WriteFile(filepath.Join(at, "checkpoint"), cp, 0o600)); err != nil {
			t.Fatal(err)
		}
		n, err := Inspect(at, box, v)
		if err == nil && (n != 5 || !bytes.HasPrefix(entries, whole)) {
			t.Fatalf("%d bytes pass for the log", len(entries))
		}
		if err != nil && !errors.Is(err, ErrTampered) {
			t.Fatal(err)
		}
	})
}

// FuzzOffsets: whatever offsets.log holds, every entry is found where it is.
func FuzzOffsets(f *testing.F) {
	dir := f.TempDir()
	l, _, _ := fuzzLog(f, dir, plainBox{})
	var want []int64
	for i := range l.Size() {
		off, err := l.offsets.at(i, l.end)
		if err != nil {
			f.Fatal(err)
		}
		want = append(want, off)
	}
	size := l.end
	l.Close()
	whole, err := os.ReadFile(filepath.Join(dir, "offsets.log"))
	if err != nil {
		f.Fatal(err)
	}
	entries, err := os.ReadFile(filepath.Join(dir, "entries.log"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:11])
	f.Add(append(whole[8:16:16], whole...))
	f.Add(bytes.Repeat([]byte{0xff}, 64))
	f.Fuzz(func(t *testing.T, b []byte) {
		at := t.TempDir()
		if err := os.WriteFile(filepath.Join(at, "offsets.log"), b, 0o600); err != nil {
			t.Fatal(err)
		}
		o, err := openOffsets(at, bytes.NewReader(entries))
		if err != nil {
			t.Fatal(err)
		}
		defer o.f.Close()
		end, err := o.follow(size)
		if err != nil || end > size {
			t.Fatal(end, err)
		}
		if forged(b, want) {
			return // slots that lie with a right checksum: the tree finds that out
		}
		if end != size || o.n != int64(len(want)) {
			t.Fatalf("%d entries up to %d", o.n, end)
		}
		for i, off := range want {
			if got, err := o.at(int64(i), size); err != nil || got != off {
				t.Fatalf("entry %d at %d, want %d, %v", i, got, off, err)
			}
		}
	})
}

// forged reports slots with a checksum that holds and another place.
func forged(b []byte, want []int64) bool {
	for i := 0; (i+1)*slot <= len(b); i++ {
		v := binary.BigEndian.Uint64(b[i*slot:])
		off := int64(v >> 24)
		if v&(1<<24-1) == check(int64(i), off) && (i >= len(want) || off != want[i]) {
			return true
		}
	}
	return false
}

// FuzzExpiryList: what is read is what would be written.
func FuzzExpiryList(f *testing.F) {
	x := expiryList{at: 9, graves: []grave{{seq: 3, tomb: []byte("tomb"), refs: []int64{-1, 7}}, {seq: 4, tomb: []byte{}}}}
	f.Add(x.encode())
	f.Add([]byte{})
	f.Add(append(make([]byte, 7), 9, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff))
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := decodeExpiryList(b)
		if err == nil && !bytes.Equal(x.encode(), b) {
			t.Fatalf("%x is read as %x", b, x.encode())
		}
	})
}

// FuzzTomb: only what this log sealed is a tomb.
func FuzzTomb(f *testing.F) {
	l := &Log{box: keys.NewBox(make([]byte, 32))}
	tomb, err := l.tomb(4, make([]byte, 32), Expiry{Time: time.UnixMilli(1), At: time.UnixMilli(2), Class: "auth"}, 300)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(tomb)
	f.Add([]byte(tombMark))
	f.Add([]byte(tombMark + "\x00\x01x"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if !bytes.HasPrefix(b, []byte(tombMark)) {
			return
		}
		o, err := l.open(4, b)
		if err == nil && (o.gone == nil || o.gone.Class != "auth" || !bytes.Equal(o.leaf, make([]byte, 32))) {
			t.Fatalf("%x is taken for a tomb", b)
		}
		if err != nil && !errors.Is(err, ErrTampered) {
			t.Fatal(err)
		}
	})
}

// FuzzPeriod: what is read is written as a period of the same length.
func FuzzPeriod(f *testing.F) {
	for _, s := range []string{"P2Y", "P6M", "P1Y6M10D", "P2W", "P", "PT1H", "P0D", "P9999Y"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePeriod(s)
		if err != nil {
			return
		}
		again, err := ParsePeriod(p.String())
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		if p.Days <= 9999 && (err != nil || again != p) || !p.Before(now).Before(now) {
			t.Fatalf("%q: %+v, then %+v, %v", s, p, again, err)
		}
	})
}

// FuzzHashes: a hash file of any bytes proves nothing that is not so.
func FuzzHashes(f *testing.F) {
	dir := f.TempDir()
	l, v, _ := fuzzLog(f, dir, plainBox{})
	tree, err := OpenCheckpoint(l.Checkpoint(), v)
	if err != nil {
		f.Fatal(err)
	}
	l.Close()
	whole, err := os.ReadFile(filepath.Join(dir, "hashes.log"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:100])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := hashFile{bytes.NewReader(b)}
		root, err := tlog.TreeHash(tree.N, r)
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatal(err)
			}
			return
		}
		if got := compareHeads(r, tree.N, []tlog.Tree{tree}); (got == nil) != (root == tree.Hash) {
			t.Fatal(got)
		}
	})
}
