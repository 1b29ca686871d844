package replica

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"farol/internal/record"
)

// shipped is a pair whose archive has folded, and its vault at the node.
func shipped(t *testing.T) (p *pair, v *vault, stop func()) {
	p = newPair(t)
	commitSome(t, p.a, 0, 20)
	if _, err := p.a.Fold(t.Context()); err != nil {
		t.Fatal(err)
	}
	commitSome(t, p.a, 20, 5)
	stop = p.run()
	p.until("everything is there", 20*time.Second, caughtUp)
	return p, p.node.all()[0], stop
}

// aBlob is the path of a file of the node's whose name has a prefix.
func aBlob(t *testing.T, v *vault, prefix string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(v.dir, "blobs", prefix+"*"))
	if err != nil || len(found) == 0 {
		t.Fatalf("no blob begins with %s: %v", prefix, err)
	}
	return found[0]
}

func flip(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 4
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestTheNodeFindsWhatItsDiskLostAndTheApplianceSendsItAgain: a flipped bit in a
// pack, an index file that is gone, and kopia's own lock. Everything is to the byte
// as it came, also when it came.
func TestTheNodeFindsWhatItsDiskLostAndTheApplianceSendsItAgain(t *testing.T) {
	p, v, _ := shipped(t)
	ctx := t.Context()
	var healed atomic.Int64
	p.sender.OnHealed(func(_ context.Context, n int) { healed.Add(int64(n)) })
	if err := p.node.verify(ctx, v, 0); err != nil {
		t.Fatal(err)
	}
	held := func() Held {
		hs, err := NodeStatus(p.dir, time.Hour, time.Now())
		if err != nil || len(hs) != 1 {
			t.Fatal(hs, err)
		}
		return hs[0]
	}
	if h := held(); h.Verified.IsZero() || h.VerifiedFiles < 5 || h.Damaged > 0 || h.Alarm() {
		t.Fatalf("nothing is wrong: %+v", h)
	}
	was := map[string][]byte{}
	pack, index, lock := aBlob(t, v, "p~"), aBlob(t, v, "x~"), aBlob(t, v, "kopia.repository")
	for _, path := range []string{pack, index, lock} {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		was[path] = b
	}
	came, err := os.ReadFile(v.arrivalsPath())
	if err != nil {
		t.Fatal(err)
	}
	flip(t, pack)
	flip(t, lock)
	if err := os.Remove(index); err != nil {
		t.Fatal(err)
	}
	if err := p.node.verify(ctx, v, 0); err != nil {
		t.Fatal(err)
	}
	if h := held(); h.Damaged != 3 && healed.Load() == 0 || h.Damaged > 0 && !h.Alarm() {
		t.Errorf("%+v", h)
	}
	p.sender.Wake()
	for end := time.Now().Add(30 * time.Second); held().Damaged > 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not healed: %+v", held())
		}
	}
	for path, want := range was {
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not as it was, %v", filepath.Base(path), err)
		}
	}
	for end := time.Now().Add(5 * time.Second); healed.Load() != 3; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the appliance tells of %d files", healed.Load())
		}
	}
	if h := held(); h.Healed != 3 || h.Alarm() {
		t.Errorf("%+v", h)
	}
	now, err := os.ReadFile(v.arrivalsPath())
	if err != nil || !bytes.HasPrefix(now, came) || bytes.Contains(now[len(came):], []byte("b ")) {
		t.Errorf("what was healed is told to have come anew: %q, %v", now[len(came):], err)
	}
	if err := p.node.verify(ctx, v, 0); err != nil || held().Damaged > 0 {
		t.Errorf("%+v %v", held(), err)
	}
}

// TestOnlyTheBytesThatCameMendADamagedFile: who has the certificate can neither
// replace what is whole nor put anything else in the place of what is not.
func TestOnlyTheBytesThatCameMendADamagedFile(t *testing.T) {
	p, v, stop := shipped(t)
	stop()
	pack := aBlob(t, v, "p~")
	good, err := os.ReadFile(pack)
	if err != nil {
		t.Fatal(err)
	}
	name, _ := Deep(filepath.Base(pack))
	send := func(b []byte) error {
		return p.sender.client.blob(t.Context(), name, record.HashOf(b), b, putAt{}, nil)
	}
	bad := append(bytes.Clone(good), 1)
	if err := send(bad); !errors.Is(err, ErrConflict) {
		t.Errorf("in the place of what is whole: %v", err)
	}
	flip(t, pack)
	if err := v.verify(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if st := v.state(); len(st.Damaged) != 1 || st.Damaged[0] != filepath.Base(pack) {
		t.Fatalf("%+v", st.Damaged)
	}
	if err := send(bad); !errors.Is(err, ErrConflict) {
		t.Errorf("in the place of what is damaged: %v", err)
	}
	again, err := openVault(v.dir) // a restart keeps what is damaged
	if err != nil || len(again.state().Damaged) != 1 {
		t.Errorf("%v %v", again.state().Damaged, err)
	}
	if err := send(good); err != nil {
		t.Error(err)
	}
	if got, err := os.ReadFile(pack); err != nil || !bytes.Equal(got, good) || len(v.state().Damaged) > 0 {
		t.Errorf("not mended: %v %v", v.state().Damaged, err)
	}
}

// TestEveryDamagedFileIsAskedForInTurn: the first of very many may be those that
// nobody has.
func TestEveryDamagedFileIsAskedForInTurn(t *testing.T) {
	v := &vault{verified: verified{Damaged: map[string]record.Hash{logEntries: {}}}}
	const many = 2*mostDamagedTold + 50
	for i := range many {
		v.verified.Damaged[fmt.Sprintf("p%04d", i)] = record.Hash{}
	}
	asked := map[string]bool{}
	for turn := range 3 {
		names, all := v.damaged()
		if len(names) != mostDamagedTold || all != many {
			t.Fatalf("%d of %d names", len(names), all)
		}
		for _, n := range names {
			asked[n] = true
		}
		delete(v.verified.Damaged, v.told) // mended meanwhile
		v.verified.Damaged[fmt.Sprint("q", turn)] = record.Hash{}
	}
	for n := range v.verified.Damaged {
		if n[0] == 'p' && !asked[n] || n == logEntries && asked[n] {
			t.Errorf("%s: told %v", n, asked[n])
		}
	}
}

// TestAVaultWithoutHashesNotesThemAtTheFirstReading and finds damage at the next; a
// reading that was cut off goes on where it stood, also after a restart.
func TestAVaultWithoutHashesNotesThemAtTheFirstReading(t *testing.T) {
	p, v, stop := shipped(t)
	stop()
	p.stopNode()
	b, err := os.ReadFile(v.arrivalsPath())
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(b), "\n")
	for i, line := range lines { // as the releases before wrote them
		if f := strings.Fields(line); len(f) == 4 && f[0] == "b" {
			lines[i] = strings.Join(f[:3], " ")
		}
	}
	if err := os.WriteFile(v.arrivalsPath(), []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	if v, err = openVault(v.dir); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	v.fault = func(step, _ string) error {
		if step == "arrive" && v.verified.Pass != nil && v.verified.Pass.Files >= 2 {
			cancel()
		}
		return nil
	}
	if err := v.verify(ctx, 0); !errors.Is(err, context.Canceled) {
		t.Fatalf("cut off: %v", err)
	}
	v.mu.Lock()
	err = v.saveVerified() // half a minute later it would have
	at := v.verified.Pass.At
	v.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	if v, err = openVault(v.dir); err != nil || v.verified.Pass == nil || v.verified.Pass.At != at {
		t.Fatalf("%+v %v", v.verified, err)
	}
	if err := v.verify(t.Context(), 0); err != nil || len(v.verified.Damaged) > 0 || v.verified.Pass != nil {
		t.Fatalf("%+v %v", v.verified, err)
	}
	if v.verified.Files < 5 {
		t.Errorf("%d files were read", v.verified.Files)
	}
	flip(t, aBlob(t, v, "p~"))
	if err := v.verify(t.Context(), 0); err != nil || len(v.verified.Damaged) != 1 {
		t.Errorf("%+v %v", v.verified, err)
	}
}

// TestReadingBackIsNoFasterThanItMay: what comes in goes before.
func TestReadingBackIsNoFasterThanItMay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, make([]byte, 4<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	r := &throttle{ctx: t.Context(), rate: 8 << 20, began: began}
	if _, n, err := r.hash(path); err != nil || n != 4<<20 {
		t.Fatal(n, err)
	}
	if took := time.Since(began); took < 400*time.Millisecond {
		t.Errorf("4 MiB at 8 MiB/s took %v", took)
	}
}

// TestJournalAndLogAreComparedWithWhatTheyBeganWith, however much they grew since;
// what differs is an alarm at the node and is not asked for.
func TestJournalAndLogAreComparedWithWhatTheyBeganWith(t *testing.T) {
	p, v, _ := shipped(t)
	if _, err := p.log.Append(t.Context(), someEvent, someEvent); err != nil {
		t.Fatal(err)
	}
	p.until("the log is there", 10*time.Second, func(st Status) bool { return caughtUp(st) && st.Checkpoint == 2 })
	grow := func() {
		t.Helper()
		p.say("more", 1000)
		if _, err := p.log.Append(t.Context(), someEvent); err != nil {
			t.Fatal(err)
		}
		p.until("it grew", 10*time.Second, func(st Status) bool { return caughtUp(st) && st.Checkpoint == p.log.Size() })
	}
	for range 2 {
		if err := v.verify(t.Context(), 0); err != nil || len(v.verified.Damaged) > 0 || len(v.verified.Grown) < 2 {
			t.Fatalf("%+v %v", v.verified, err)
		}
		grow()
	}
	last := ""
	for name, n := range v.state().Journal {
		if n > 1000 {
			last = name
		}
	}
	flip(t, filepath.Join(v.dir, "journal", last))
	b, err := os.ReadFile(v.entriesPath())
	if err != nil {
		t.Fatal(err)
	}
	b[10] ^= 1
	if err := os.WriteFile(v.entriesPath(), b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := v.verify(t.Context(), 0); err != nil || len(v.verified.Damaged) != 2 {
		t.Errorf("%+v %v", v.verified.Damaged, err)
	}
	if st := v.state(); len(st.Damaged) > 0 {
		t.Errorf("the appliance is asked for %v", st.Damaged)
	}
}
