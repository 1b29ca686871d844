package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"farol/internal/keys"
	"farol/internal/record"
)

var testRoot, _ = keys.RootFrom(bytes.Repeat([]byte{42}, keys.Size))

// blank is an empty archive, made once and copied: deriving kopia's key takes
// longer than most tests.
var blank = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "farol-archive-test-")
	if err != nil {
		return "", err
	}
	dir = filepath.Join(dir, "a")
	a, err := Create(context.Background(), dir, testRoot, Options{})
	if err != nil {
		return "", err
	}
	if blankJournal, err = a.rep.DeriveKey("farol journal", 32); err != nil {
		return "", err
	}
	return dir, a.Close()
})

// blankJournal is the journal's key of blank and of all its copies.
var blankJournal []byte

func TestMain(m *testing.M) {
	if dir := os.Getenv("FAROL_ARCHIVE_CHILD"); dir != "" {
		child(dir)
		return
	}
	code := m.Run()
	if dir, err := blank(); err == nil {
		os.RemoveAll(filepath.Dir(dir))
	}
	os.Exit(code)
}

func newArchive(t testing.TB, opt Options) (*Archive, string) {
	t.Helper()
	from, err := blank()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "a")
	copyTree(t, from, dir)
	return open(t, dir, opt), dir
}

func open(t testing.TB, dir string, opt Options) *Archive {
	t.Helper()
	a, err := Open(context.Background(), dir, testRoot, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

func reopen(t testing.TB, a *Archive, opt Options) *Archive {
	t.Helper()
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	return open(t, a.dir, opt)
}

func copyTree(t testing.TB, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(from, path)
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), b, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}

var day = time.Date(2026, 11, 3, 1, 2, 3, 45_000_000, time.UTC)

// message makes message i of a conversation.
func message(container string, i int) record.Record {
	salt := record.HashOf(fmt.Append(nil, container, i))
	return record.Record{
		Ref:    record.Ref{Kind: record.Chat, Container: container, ID: fmt.Sprintf("msg%07d==", i)},
		Time:   day.Add(time.Duration(i) * time.Second),
		Author: fmt.Sprintf("user%03d", i%37),
		Dept:   int64(i % 5),
		Raw: fmt.Appendf(nil, `{"msgId":"msg%07d==","senderNick":"陳大文","text":{"content":"各位同事,第 %d 號倉的盤點表請於星期五前交回 %x"},"createAt":%d,"isInAtList":false}`,
			i, i, salt[:24], 1762131723045+i),
	}
}

func messages(container string, from, n int) []record.Record {
	out := make([]record.Record, n)
	for i := range out {
		out[i] = message(container, from+i)
	}
	return out
}

func commit(t testing.TB, a *Archive, recs ...record.Record) *Commit {
	t.Helper()
	c, err := a.Commit(context.Background(), Batch{Records: recs, Cursors: map[string]string{"chat": fmt.Sprint(a.LastSeq() + 1)}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// walk lists everything the archive holds as "ref hash".
func walk(t testing.TB, a *Archive) map[string]record.Loc {
	t.Helper()
	got := map[string]record.Loc{}
	err := a.Walk(context.Background(), func(r record.Record, loc record.Loc, seq uint64, i int) error {
		key := r.Ref.String() + " " + r.Hash().String()
		if was, ok := got[key]; ok {
			t.Errorf("%s lies at %v and at %v", key, was, loc)
		}
		got[key] = loc
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func key(r *record.Record) string { return r.Ref.String() + " " + r.Hash().String() }

func equal(t testing.TB, what string, got, want record.Record) {
	t.Helper()
	if reflect.DeepEqual(want, got) {
		return
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func TestCommitReadReopen(t *testing.T) {
	a, dir := newArchive(t, Options{})
	ctx := context.Background()
	var all []record.Record
	var locs []record.Loc
	for i := range 5 {
		c := commit(t, a, messages("cid/one+=", i*10, 10)...)
		if c.Seq != uint64(i+1) {
			t.Fatalf("commit %d has number %d", i+1, c.Seq)
		}
		all = append(all, c.Records...)
		locs = append(locs, c.Locs...)
	}
	check := func() {
		t.Helper()
		n := 0
		err := a.ReadMany(ctx, locs, func(i int, r record.Record) error {
			equal(t, "read", r, all[i])
			n++
			return nil
		})
		if err != nil || n != len(all) {
			t.Fatalf("read %d of %d: %v", n, len(all), err)
		}
		for i, l := range locs {
			r, err := a.Read(ctx, l)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "read", r, all[i])
		}
		var seqs []uint64
		err = a.Replay(ctx, 2, func(c *Commit) error {
			seqs = append(seqs, c.Seq)
			if record.Root(c.Leaves) != c.Root || c.Locs[0] != locs[(c.Seq-1)*10] {
				t.Errorf("commit %d was replayed differently", c.Seq)
			}
			return nil
		})
		if err != nil || !cmp.Equal(seqs, []uint64{3, 4, 5}) {
			t.Errorf("replayed %v, %v", seqs, err)
		}
		leaves, root, err := a.Commitment(ctx, 3)
		if err != nil || len(leaves) != 10 || record.Root(leaves) != root {
			t.Errorf("commitment: %d leaves, %v", len(leaves), err)
		}
		if leaves[4] != record.LeafHash(all[24].Leaf()) {
			t.Error("a leaf is not the record's")
		}
		if got := a.Cursors(); got["chat"] != "5" {
			t.Errorf("cursors %v", got)
		}
		if got := walk(t, a); len(got) != len(all) {
			t.Errorf("walked %d of %d", len(got), len(all))
		}
	}
	check()
	if _, err := Open(ctx, dir, testRoot, Options{}); !errors.Is(err, ErrLocked) {
		t.Errorf("a second opener got %v", err)
	}
	a = reopen(t, a, Options{})
	check()
	if c := commit(t, a, message("cid/one+=", 99)); c.Seq != 6 {
		t.Errorf("after reopen came number %d", c.Seq)
	}
}

func TestBlobsSmallAndLarge(t *testing.T) {
	a, _ := newArchive(t, Options{})
	ctx := context.Background()
	for _, n := range []int{0, 1, 1000, maxInline, maxInline + 1, 3 << 20} {
		data := bytes.Repeat([]byte{byte(n), 1, 7}, n/3+1)[:n]
		b, err := a.PutBlob(ctx, "圖.png", int64(n), bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		if b.Size != int64(n) || b.SHA256 != record.HashOf(data) {
			t.Fatalf("%d bytes became %+v", n, b)
		}
		r := message("c", n)
		r.Blobs = []record.Blob{b}
		c := commit(t, a, r)
		read := func() {
			t.Helper()
			rec, err := a.Read(ctx, c.Locs[0])
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "record", rec, r)
			f, err := a.OpenBlob(ctx, rec.Blobs[0])
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			got, err := io.ReadAll(f)
			if err != nil || !bytes.Equal(got, data) {
				t.Fatalf("%d bytes read as %d, %v", n, len(got), err)
			}
			if n > 10 {
				if _, err := f.Seek(int64(n-5), io.SeekStart); err != nil {
					t.Fatal(err)
				}
				got, err = io.ReadAll(f)
				if err != nil || !bytes.Equal(got, data[n-5:]) {
					t.Fatalf("the last 5 of %d bytes: %v", n, err)
				}
			}
		}
		read()
		a = reopen(t, a, Options{})
		read()
	}
	if _, err := a.PutBlob(ctx, "x", 10, bytes.NewReader([]byte("short"))); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a short blob gave %v", err)
	}
	r := message("c", 1)
	r.Blobs = []record.Blob{{Object: "0123456789abcdef0123456789abcdef"}}
	if _, err := a.Commit(ctx, Batch{Records: []record.Record{r}}); !errors.Is(err, ErrNotFound) {
		t.Errorf("a commit with an unknown blob gave %v", err)
	}
}
