package archive

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"farol/internal/keys"
	"farol/internal/record"
)

// bare opens the journal alone, without the repository, which is what tests
// that open a thousand times can afford.
func bare(t testing.TB, dir string, opt Options) *Archive {
	t.Helper()
	m, err := readMarker(dir)
	if err != nil {
		t.Fatal(err)
	}
	a := &Archive{dir: dir, opt: opt.withDefaults(), cursors: map[string]string{}, sealed: map[string]sealedRef{}, held: map[string]blobRef{}, inline: map[string]*inlineBlob{}}
	a.now = a.opt.time
	id, err := repoID(filepath.Join(dir, repoDir))
	if err != nil {
		t.Fatal(err)
	}
	a.id = id
	if a.codec, err = newCodec(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.codec.close)
	log, err := openPutLog(filepath.Join(t.TempDir(), putLogName))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.close() })
	a.blobs = newBlobs(dir, log, a.opt)
	if err := a.openJournal(context.Background(), blankJournal, m.Epoch); err != nil {
		t.Fatal(err)
	}
	return a
}

func lastJournal(t testing.TB, dir string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, journalDir, "*.fj"))
	if err != nil || len(names) == 0 {
		t.Fatal("no journal file", err)
	}
	slices.Sort(names)
	return names[len(names)-1]
}

func TestTornTailIsCutAtTheLastWholeCommit(t *testing.T) {
	a, dir := newArchive(t, Options{})
	commit(t, a, messages("c", 0, 3)...)
	commit(t, a, messages("c", 3, 3)...)
	file := lastJournal(t, dir)
	before, _ := os.ReadFile(file)
	b, err := a.PutBlob(context.Background(), "x", -1, strings.NewReader("a small attachment"))
	if err != nil {
		t.Fatal(err)
	}
	r := message("c", 6)
	r.Blobs = []record.Blob{b}
	commit(t, a, r)
	whole, _ := os.ReadFile(file)
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	try := func(what string, n int, content []byte, want uint64) {
		t.Helper()
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		a := bare(t, dir, Options{})
		if a.lastSeq != want {
			t.Fatalf("%s %d: %d commits, want %d; %v", what, n, a.lastSeq, want, a.damage)
		}
		if fi, _ := os.Stat(file); want == 2 && fi.Size() != int64(len(before)) {
			t.Fatalf("%s %d: the file has %d bytes, want %d", what, n, fi.Size(), len(before))
		}
	}
	for n := len(before); n < len(whole); n++ {
		try("cut at", n, whole[:n], 2)
		zeros := append(slices.Clone(whole[:n]), make([]byte, len(whole)-n)...)
		if n%7 == 0 && !bytes.Equal(zeros, whole) {
			try("zeros from", n, zeros, 2)
		}
	}
	try("whole", len(whole), whole, 3)
	for n := range len(before) { // even the first commit may be the torn one
		if n%11 == 0 {
			if err := os.WriteFile(file, whole[:n], 0o600); err != nil {
				t.Fatal(err)
			}
			if a := bare(t, dir, Options{}); a.lastSeq > 1 {
				t.Fatalf("cut at %d: %d commits", n, a.lastSeq)
			}
		}
	}
	aside, _ := filepath.Glob(filepath.Join(dir, quarantineDir, "*"))
	if len(aside) == 0 {
		t.Error("the cut bytes were not set aside")
	}
}

func TestDamagedMiddleIsNotATornTail(t *testing.T) {
	var copies map[string][]byte
	a, dir := newArchive(t, Options{})
	for i := range 3 {
		commit(t, a, messages("c", i*3, 3)...)
	}
	first := lastJournal(t, dir)
	if err := a.j.roll(); err != nil {
		t.Fatal(err)
	}
	commit(t, a, messages("c", 9, 3)...)
	second := lastJournal(t, dir)
	refs := a.j.refs
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	copies = map[string][]byte{}
	for _, f := range []string{first, second} {
		copies[f], _ = os.ReadFile(f)
	}
	flip := func(file string, at int64) {
		t.Helper()
		b := slices.Clone(copies[file])
		b[at] ^= 0x10
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	seqs := func(a *Archive) (got []uint64, err error) {
		err = a.Replay(context.Background(), 0, func(c *Commit) error { got = append(got, c.Seq); return nil })
		return got, err
	}
	for _, c := range []struct {
		at   int64
		want []uint64
	}{
		{refs[0].off + 2, []uint64{2, 3, 4}},                  // header of the first frame
		{refs[0].off + 50, []uint64{2, 3, 4}},                 // its payload
		{refs[1].off + 14, []uint64{1, 3, 4}},                 // a length in the middle
		{refs[1].off + 80, []uint64{1, 3, 4}},                 // a payload in the middle
		{int64(len(copies[first])) - 3, []uint64{1, 2, 4}},    // the last tag of a file that is not the last
		{refs[2].off + frameHeadLen + 9, []uint64{1, 2, 4}},   // its payload
		{int64(len(copies[first])) - 1, []uint64{1, 2, 4}},    // its last byte
		{refs[0].off - fileHeaderLen + 60, []uint64{ /*4*/ }}, // the file's own header
	} {
		flip(first, c.at)
		if len(c.want) == 0 {
			break // covered by the off-site copy below
		}
		a := bare(t, dir, Options{})
		got, err := seqs(a)
		if !slices.Equal(got, c.want) || !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), filepath.Base(first)) {
			t.Errorf("flip at %d: replayed %v, %v; damage %v", c.at, got, err, a.damage)
		}
		if len(a.damage) != 1 || a.damage[0].Where != filepath.Base(first) || !a.damage[0].Lost || a.damage[0].Offset > c.at {
			t.Errorf("flip at %d: damage %v", c.at, a.damage)
		}
	}
	fetch := func(_ context.Context, name string) ([]byte, error) {
		return copies[filepath.Join(dir, name)], nil
	}
	for _, file := range []string{first, second} {
		for _, at := range []int64{10, 60, 85, 130, int64(len(copies[file])) - 1} {
			flip(file, at)
			a := bare(t, dir, Options{Fetch: fetch})
			got, err := seqs(a)
			if !slices.Equal(got, []uint64{1, 2, 3, 4}) || err != nil {
				t.Errorf("%s flipped at %d and healed: replayed %v, %v; %v", filepath.Base(file), at, got, err, a.damage)
			}
			if len(a.damage) != 1 || !a.damage[0].Healed {
				t.Errorf("damage %v", a.damage)
			}
		}
	}
}

func TestFailedAppendsCostNothingAcknowledged(t *testing.T) {
	var failing string
	var cause error
	a, _ := newArchive(t, Options{Fault: func(op string) error {
		if op == failing {
			return cause
		}
		return nil
	}})
	s := newShelf()
	s.add(commit(t, a, messages("c", 0, 3)...))
	n := 3
	for _, op := range []string{"journal.write", "journal.sync", "journal.done", "room"} {
		for _, err := range []error{errFault, unix.ENOSPC} {
			failing, cause = op, err
			_, got := a.Commit(context.Background(), Batch{Records: messages("c", n, 3)})
			if !errors.Is(got, err) || (err == unix.ENOSPC) != errors.Is(got, ErrFull) {
				t.Errorf("%s: %v gave %v", op, err, got)
			}
			failing = ""
			c := commit(t, a, messages("c", n, 3)...)
			s.add(c)
			n += 3
		}
	}
	b, err := a.PutBlob(context.Background(), "x", -1, bytes.NewReader(filler(1, 200_000)))
	if err != nil {
		t.Fatal(err)
	}
	failing, cause = "blob.put", unix.ENOSPC
	r := message("c", n)
	r.Blobs = []record.Blob{b}
	if _, err := a.Commit(context.Background(), Batch{Records: []record.Record{r}}); !errors.Is(err, ErrFull) {
		t.Errorf("a commit whose blob finds no room gave %v", err)
	}
	if _, err := a.Fold(context.Background()); !errors.Is(err, ErrFull) {
		t.Errorf("a fold without room gave %v", err)
	}
	s.check(t, a)
	failing = ""
	s.add(commit(t, a, r))
	s.check(t, a)
	if a.LastSeq() != 10 {
		t.Errorf("the last commit is %d", a.LastSeq())
	}
	a = reopen(t, a, Options{})
	s.check(t, a)
	a.SetRelocate(s.relocate)
	fold(t, a)
	s.check(t, a)
}

func TestReserveStopsNewDataOnly(t *testing.T) {
	a, _ := newArchive(t, Options{})
	c := commit(t, a, messages("c", 0, 3)...)
	a.opt.Reserve = 1 << 60
	if _, err := a.Commit(context.Background(), Batch{}); !errors.Is(err, ErrFull) {
		t.Errorf("commit: %v", err)
	}
	if _, err := a.PutBlob(context.Background(), "x", -1, strings.NewReader("x")); !errors.Is(err, ErrFull) {
		t.Errorf("put blob: %v", err)
	}
	if _, err := a.Read(context.Background(), c.Locs[0]); err != nil {
		t.Errorf("read: %v", err)
	}
	a.opt.Reserve = 0
	commit(t, a, message("c", 9))
}

func TestRefusals(t *testing.T) {
	ctx := context.Background()
	a, dir := newArchive(t, Options{})
	commit(t, a, message("c", 1))
	other, _ := keys.New()
	if _, err := Create(ctx, dir, testRoot, Options{}); !errors.Is(err, ErrForeign) {
		t.Errorf("create over an archive: %v", err)
	}
	if _, err := Open(ctx, t.TempDir(), testRoot, Options{}); !errors.Is(err, ErrMissing) {
		t.Errorf("open an empty directory: %v", err)
	}
	if _, err := Open(ctx, dir, other, Options{}); !errors.Is(err, ErrKey) {
		t.Errorf("open with another key: %v", err)
	}
	// The disk goes away under the running process.
	if err := os.Rename(filepath.Join(dir, markerName), filepath.Join(dir, "away")); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Commit(ctx, Batch{}); !errors.Is(err, ErrMissing) {
		t.Errorf("commit to a vanished disk: %v", err)
	}
	if _, err := a.Fold(ctx); !errors.Is(err, ErrMissing) {
		t.Errorf("fold on a vanished disk: %v", err)
	}
	if err := a.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if _, err := Open(ctx, dir, testRoot, Options{}); !errors.Is(err, ErrMissing) {
		t.Errorf("open a vanished disk: %v", err)
	}
	if _, err := a.Commit(ctx, Batch{}); !errors.Is(err, ErrClosed) {
		t.Errorf("commit to a closed archive: %v", err)
	}
}

// flipByte changes one byte of the middle of a file.
func flipByte(t testing.TB, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// repoFiles lists one file of each kind: packs, index, format.
func repoFiles(t testing.TB, a *Archive) map[string]string {
	t.Helper()
	out := map[string]string{}
	for e, err := range a.PutLog(0) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Deleted {
			continue
		}
		kind := e.Name[:1]
		if mutable(e.Name) {
			kind = e.Name
		}
		out[kind] = e.Name
	}
	return out
}

func TestCheckFindsAFlippedBitInEveryKindOfFile(t *testing.T) {
	ctx := context.Background()
	a, dir := newArchive(t, Options{NoParity: true})
	b, err := a.PutBlob(ctx, "x", -1, bytes.NewReader(filler(1, 300_000)))
	if err != nil {
		t.Fatal(err)
	}
	r := message("c", 0)
	r.Blobs = []record.Blob{b}
	commit(t, a, append(messages("c", 1, 500), r)...)
	fold(t, a)
	commit(t, a, messages("c", 600, 50)...)
	files := repoFiles(t, a)
	for _, kind := range []string{"p", "q", "x", "kopia.repository.f", ".shards"} {
		if files[kind] == "" {
			t.Errorf("no file of kind %s among %v", kind, files)
		}
	}
	rep, err := a.Check(ctx, true, nil)
	if err != nil || !rep.OK() || rep.Segments == 0 || rep.Blobs != 1 || rep.Points != 1 {
		t.Fatalf("untouched: %+v, %v", rep, err)
	}
	for kind, name := range files {
		path := filepath.Join(dir, repoDir, name)
		orig, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		flipByte(t, path)
		rep, err := a.Check(ctx, true, nil)
		if err != nil {
			t.Fatal(err)
		}
		found := slices.ContainsFunc(rep.Damage, func(d Damage) bool { return d.Where == name && !d.Healed })
		if !found || rep.OK() {
			t.Errorf("%s: a flipped bit in %s was not found: %v", kind, name, rep.Damage)
		}
		a.opt.Fetch = func(_ context.Context, n string) ([]byte, error) {
			if n == name {
				return orig, nil
			}
			return nil, fs.ErrNotExist
		}
		rep, err = a.Check(ctx, true, nil)
		if err != nil || !rep.OK() || len(rep.Damage) == 0 {
			t.Errorf("%s: not healed: %+v, %v", kind, rep, err)
		}
		a.opt.Fetch = nil
		if rep, _ := a.Check(ctx, true, nil); len(rep.Damage) != 0 {
			t.Errorf("%s: after healing: %v", kind, rep.Damage)
		}
	}
	file := lastJournal(t, dir)
	flipByte(t, file)
	rep, err = a.Check(ctx, false, nil)
	if err != nil || rep.OK() || rep.Damage[0].Where != filepath.Base(file) {
		t.Errorf("journal: %+v, %v", rep, err)
	}
}

func TestOpenHealsEmptyAndFlippedBlobs(t *testing.T) {
	ctx := context.Background()
	a, dir := newArchive(t, Options{NoParity: true})
	s := newShelf()
	a.SetRelocate(s.relocate)
	s.add(commit(t, a, messages("c", 0, 500)...))
	fold(t, a)
	files := repoFiles(t, a)
	copies := filepath.Join(t.TempDir(), "copy")
	copyTree(t, dir, copies)
	a.Close()
	fetch := func(_ context.Context, name string) ([]byte, error) {
		return os.ReadFile(filepath.Join(copies, repoDir, name))
	}
	for _, kind := range []string{"p", "q", "x"} {
		path := filepath.Join(dir, repoDir, files[kind])
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if kind == "x" {
			if err := os.WriteFile(path, []byte("cut"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		a := open(t, dir, Options{Fetch: fetch, NoParity: true})
		if d := a.Damage(); len(d) != 1 || !d[0].Healed || d[0].Where != files[kind] {
			t.Errorf("%s: %v", kind, d)
		}
		s.check(t, a)
		a.Close()
	}
	flipByte(t, filepath.Join(dir, repoDir, files["x"]))
	if _, err := Open(ctx, dir, testRoot, Options{NoParity: true}); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), files["x"]) {
		t.Errorf("open with a flipped index blob: %v", err)
	}
	a = open(t, dir, Options{Fetch: fetch, NoParity: true})
	s.check(t, a)
	a.Close()
	// Without a copy an empty pack is set aside; what it held is reported.
	if err := os.WriteFile(filepath.Join(dir, repoDir, files["p"]), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	a = open(t, dir, Options{NoParity: true})
	if d := a.Damage(); len(d) == 0 || d[0].Healed || !d[0].Lost {
		t.Errorf("damage %v", d)
	}
	err := a.Walk(ctx, func(record.Record, record.Loc, uint64, int) error { return nil })
	if !errors.Is(err, ErrCorrupt) {
		t.Errorf("walk over a lost pack: %v", err)
	}
}
