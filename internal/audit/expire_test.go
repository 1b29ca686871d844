package audit

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"farol/internal/keys"
)

// aged is a log of six years: one entry of each kind a month, then a week of
// one a day, so that the clock is believed.
type aged struct {
	dir  string
	key  string
	opt  Options
	now  time.Time
	want map[int64]bool // entries that stay
}

var agedKinds = []Event{
	{Actor: "ka.chan", Operation: "login", Object: "session/s1", Outcome: "ok"},                                                                                              // auth, 2 years
	{Actor: "ka.chan", Operation: "view", Object: "record/r1", Purpose: "dispute", Outcome: "ok", Session: "s1", Detail: map[string]string{"dept": "12", "person": "p1,p2"}}, // access, 5 years
	{Actor: "system", Operation: OperationCommit, Object: "commit/1", Outcome: "ok"},                                                                                         // stays
	{Actor: "system", Operation: "alarm.open", Object: "alarm/1", Outcome: "ok"},                                                                                             // incident, 10 years
	{Actor: "system", Operation: "no.such", Object: "what/1", Outcome: "ok"},                                                                                                 // unmapped, 10 years
}

func oldLog(t *testing.T) *aged {
	t.Helper()
	s, v, key := testKeys(t)
	a := &aged{dir: t.TempDir(), key: key, want: map[int64]bool{}, now: time.Date(2020, 1, 15, 0, 0, 0, 0, time.UTC)}
	a.opt = Options{Key: key, Box: keys.NewBox(bytes.Repeat([]byte{7}, 32)), Signer: s, Verify: v, LookupKey: []byte("k"), Now: func() time.Time { return a.now }}
	l := a.open(t)
	defer l.Close()
	end := time.Date(2026, 1, 16, 0, 0, 0, 0, time.UTC)
	for ; a.now.Before(end); a.now = a.now.AddDate(0, 0, 15) {
		if _, err := l.Append(t.Context(), agedKinds...); err != nil {
			t.Fatal(err)
		}
	}
	a.now = end
	for i := range l.Size() {
		e, err := l.Entry(i)
		if err != nil {
			t.Fatal(err)
		}
		limit := map[string]time.Time{"login": end.AddDate(-2, 0, 0), "view": end.AddDate(-5, 0, 0)}[e.Operation]
		a.want[i] = !e.Time.Before(limit)
	}
	return a
}

func (a *aged) open(t *testing.T) *Log {
	t.Helper()
	l, err := Open(a.dir, a.opt)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func rules(t *testing.T) map[string]Period {
	t.Helper()
	r, err := Rules()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// check compares the log with what has to stay and what has to be gone.
func (a *aged) check(t *testing.T, l *Log, what string) {
	t.Helper()
	for i, stays := range a.want {
		e, err := l.Entry(i)
		if err != nil {
			t.Fatalf("%s: entry %d: %v", what, i, err)
		}
		if stays != (e.Expired == nil) {
			t.Errorf("%s: entry %d (%s of %s): stays %v, gone %+v", what, i, e.Operation, e.Time, stays, e.Expired)
		}
	}
	if n, err := l.Verify(); err != nil || n != l.Size() {
		t.Errorf("%s: verified %d of %d, %v", what, n, l.Size(), err)
	}
}

func TestContentExpiresByItsClassAndEveryProofStillHolds(t *testing.T) {
	a := oldLog(t)
	l := a.open(t)
	before := l.Checkpoint()
	was, err := OpenCheckpoint(before, a.opt.Verify)
	if err != nil {
		t.Fatal(err)
	}
	content := map[int64][]byte{} // salt and entry, as they were
	for i := range was.N {
		p, err := l.Inclusion(i)
		if err != nil {
			t.Fatal(err)
		}
		content[i] = append(bytes.Clone(p.Salt), p.Entry...)
	}
	gone := 0
	for _, stays := range a.want {
		if !stays {
			gone++
		}
	}
	n, err := l.Expire(t.Context(), rules(t))
	if err != nil || n != int64(gone) || gone < 50 {
		t.Fatalf("%d expired, %d are due: %v", n, gone, err)
	}
	a.check(t, l, "after")
	if n, err := l.Expire(t.Context(), rules(t)); n != 0 || err != nil {
		t.Errorf("a second run removed %d more, %v", n, err)
	}
	es, _, err := l.List(Filter{Operation: OperationExpire}, 0, 10)
	if err != nil || len(es) != 2 { // one for each length
		t.Fatalf("%d entries say so, %v", len(es), err)
	}
	counted := 0
	for _, e := range es {
		var k int
		fmt.Sscan(e.Detail["entries"], &k)
		counted += k
		if e.Detail["size"] != fmt.Sprint(e.Seq) || e.Hash == "" || e.Object != "audit" || e.Severity != "notice" {
			t.Errorf("%+v", e)
		}
	}
	if counted != gone {
		t.Errorf("the entries speak of %d, %d went", counted, gone)
	}
	// Nothing is found by what the gone entries were about.
	for _, f := range []Filter{{Actor: "ka.chan"}, {Object: "dept/12"}, {Object: "person/p2"}, {Object: "session/s1"}, {Purpose: "dispute"}, {Operation: "login"}} {
		es, _, err := l.List(f, 0, 1000)
		if err != nil || len(es) == 0 {
			t.Errorf("%+v: %d, %v", f, len(es), err)
		}
		for _, e := range es {
			if !a.want[e.Seq] {
				t.Errorf("%+v finds entry %d, which is gone", f, e.Seq)
			}
		}
	}
	// Proofs, by the program that shares nothing with us.
	var files []string
	for i := range l.Size() {
		if i%7 == 0 || i > was.N {
			p, err := l.Inclusion(i)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, jsonFile(t, p))
		}
	}
	ok, words := outside(t, append([]string{"-key", a.key, "entry"}, files...)...)
	if !ok || !strings.Contains(words, "has expired") || strings.Count(words, "OK:") != len(files) {
		t.Errorf("the outside program: %v", words)
	}
	path, err := l.Consistency(was.N)
	if err != nil {
		t.Fatal(err)
	}
	if ok, words := outside(t, "-key", a.key, "extends", textFile(t, before), textFile(t, l.Checkpoint()), jsonFile(t, hashTexts(path))); !ok {
		t.Error(words)
	}
	if n, err := VerifyFiles(a.dir, a.opt.Box); err != nil || n != l.Size() {
		t.Errorf("offline: %d, %v", n, err)
	}
	// The lookup made anew knows no more than before.
	l.Close()
	if err := os.Remove(filepath.Join(a.dir, lookupFile)); err != nil {
		t.Fatal(err)
	}
	l = a.open(t)
	defer l.Close()
	if es, _, err := l.List(Filter{}, 0, 5000); err != nil || int64(len(es)) != l.Size() {
		t.Errorf("%d of %d entries are listed, %v", len(es), l.Size(), err)
	}
	if n, err := l.Expire(t.Context(), rules(t)); n != 0 || err != nil {
		t.Errorf("with a new lookup %d more went, %v", n, err)
	}
	a.check(t, l, "with a new lookup")
}

func TestWhatHasExpiredIsNowhereOnTheDiskAndCannotBeGuessed(t *testing.T) {
	a := oldLog(t)
	a.opt.Box = plainBox{} // the bytes as they are: sealing hides nothing from this test
	a.dir = t.TempDir()
	l := a.open(t)
	defer l.Close()
	ev := agedKinds[1]
	ev.Object = "record/the-one-that-goes"
	a.now = a.now.AddDate(-6, 0, 0)
	if _, err := l.Append(t.Context(), ev); err != nil {
		t.Fatal(err)
	}
	p, err := l.Inclusion(0)
	if err != nil {
		t.Fatal(err)
	}
	for range 150 {
		a.now = a.now.AddDate(0, 0, 15)
		if _, err := l.Append(t.Context(), agedKinds[3]); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := l.Expire(t.Context(), rules(t)); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	now, err := l.Inclusion(0)
	if err != nil || now.Expired == nil || now.Entry != nil || now.Salt != nil {
		t.Fatalf("%+v, %v", now, err)
	}
	files, err := os.ReadDir(a.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(a.dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		for what, secret := range map[string][]byte{"object": []byte("the-one-that-goes"), "salt": p.Salt, "actor": []byte("ka.chan")} {
			if bytes.Contains(b, secret) {
				t.Errorf("the %s of an expired entry is still in %s", what, f.Name())
			}
		}
	}
	// Whoever guesses every field of the entry right still lacks 128 bits.
	if len(p.Salt) != 16 {
		t.Errorf("a salt of %d bytes", len(p.Salt))
	}
	bare, salted := sha256.Sum256(p.Entry), sha256.Sum256(append(bytes.Clone(p.Salt), p.Entry...))
	if bytes.Equal(now.Leaf, bare[:]) || !bytes.Equal(now.Leaf, salted[:]) {
		t.Error("the leaf that stays is not the hash of salt and entry")
	}
	other, err := l.Inclusion(1)
	if err != nil || bytes.Equal(other.Salt, p.Salt) {
		t.Errorf("two entries share a salt, %v", err)
	}
}

// TestAnExpiryThatIsCutOffAnywhereIsFinishedAndLosesNothing lets every step fail
// once, as a kill would, and an overwriting be half on the disk.
func TestAnExpiryThatIsCutOffAnywhereIsFinishedAndLosesNothing(t *testing.T) {
	whole := oldLog(t)
	for name, nth := range map[string]int{"list": 1, "entry": 1, "overwrite": 1, "overwrite half": 40, "overwrite last": 72, "forget": 1, "drop": 1, "list of the second": 2, "drop of the second": 2} {
		for _, reopen := range []bool{true, false} {
			a := *whole
			a.dir = t.TempDir()
			if err := os.CopyFS(a.dir, os.DirFS(whole.dir)); err != nil {
				t.Fatal(err)
			}
			l := a.open(t)
			killed := errors.New("killed")
			step, _, _ := strings.Cut(name, " ")
			count := 0
			l.fault = func(s string) error {
				if s != step {
					return nil
				}
				if count++; count != nth {
					return nil
				}
				if strings.HasSuffix(name, "half") { // power went while the sectors were written
					list, err := os.ReadFile(filepath.Join(a.dir, expireList))
					if err != nil {
						return err
					}
					x, err := decodeExpiryList(list)
					if err != nil {
						return err
					}
					g := x.graves[nth-1]
					off, err := l.offsets.at(g.seq, l.end)
					if err != nil {
						return err
					}
					if _, err := l.entries.WriteAt(g.tomb[:len(g.tomb)/2], off+4); err != nil {
						return err
					}
				}
				return killed
			}
			if _, err := l.Expire(t.Context(), rules(t)); !errors.Is(err, killed) {
				t.Fatalf("%s: %v", name, err)
			}
			l.fault = nil
			if reopen {
				l.Close()
				l = a.open(t)
			} else if _, err := l.Append(t.Context(), agedKinds[0]); err != nil { // work goes on
				t.Fatalf("%s: %v", name, err)
			}
			if _, err := l.Expire(t.Context(), rules(t)); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			a.check(t, l, name)
			if _, err := os.Stat(filepath.Join(a.dir, expireList)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s: the list is still there", name)
			}
			if es, _, err := l.List(Filter{Object: "dept/12"}, 0, 1000); err != nil || slices.ContainsFunc(es, func(e Entry) bool { return !a.want[e.Seq] && e.Seq < int64(len(a.want)) }) {
				t.Errorf("%s: the lookup still knows what is gone, %v", name, err)
			}
			l.Close()
			l = a.open(t)
			a.check(t, l, name+", opened again")
			l.Close()
		}
	}
}

func TestNothingExpiresWhileTheClockCannotBeBelieved(t *testing.T) {
	a := oldLog(t)
	l := a.open(t)
	defer l.Close()
	a.now = a.now.AddDate(8, 0, 0) // the battery of the clock is dead
	if n, err := l.Expire(t.Context(), rules(t)); n != 0 || !errors.Is(err, ErrClock) {
		t.Fatal(n, err)
	}
	if _, err := l.Append(t.Context(), agedKinds[0]); err != nil { // a start writes an entry at once
		t.Fatal(err)
	}
	a.now = a.now.Add(time.Hour)
	if n, err := l.Expire(t.Context(), rules(t)); n != 0 || !errors.Is(err, ErrClock) {
		t.Fatal(n, err)
	}
	for range 9 { // but a machine that was off for years is believed after a week
		a.now = a.now.AddDate(0, 0, 1)
		if _, err := l.Append(t.Context(), agedKinds[0]); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := l.Expire(t.Context(), rules(t)); n == 0 || err != nil {
		t.Fatal(n, err)
	}
}

func TestNobodyWithoutTheKeyCanBuryAnEntry(t *testing.T) {
	a := oldLog(t)
	l := a.open(t)
	size := l.Size()
	sealed, err := l.read(5)
	if err != nil {
		t.Fatal(err)
	}
	o, err := l.open(5, sealed)
	if err != nil {
		t.Fatal(err)
	}
	off, err := l.offsets.at(5, l.end)
	if err != nil {
		t.Fatal(err)
	}
	forger := &Log{box: keys.NewBox(bytes.Repeat([]byte{8}, 32))}
	tomb, err := forger.tomb(5, o.leaf, Expiry{Time: a.now, At: a.now, Class: "auth"}, len(sealed))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.entries.WriteAt(tomb, off+4); err != nil {
		t.Fatal(err)
	}
	l.Close()
	if n, err := VerifyFiles(a.dir, a.opt.Box); !errors.Is(err, ErrTampered) || n != 5 {
		t.Errorf("%d of %d, %v", n, size, err)
	}
}

func TestPeriodsAreReadAsTheyAreWritten(t *testing.T) {
	for text, want := range map[string]Period{"P2Y": {2, 0, 0}, "P6M": {0, 6, 0}, "P1Y6M10D": {1, 6, 10}, "P2W": {0, 0, 14}} {
		if p, err := ParsePeriod(text); err != nil || p != want {
			t.Errorf("%s: %+v, %v", text, p, err)
		}
	}
	for _, text := range []string{"", "P", "2Y", "P0Y", "PY", "P1", "P1X", "P1M1Y", "P1Y1Y", "P-1Y", "PT1H", "P99999Y", "P1.5Y", "P1Y "} {
		if p, err := ParsePeriod(text); err == nil {
			t.Errorf("%q was read as %+v", text, p)
		}
	}
	leap := time.Date(2028, 2, 29, 0, 0, 0, 0, time.UTC)
	if at := (Period{Years: 2}).Before(leap); at.Year() != 2026 {
		t.Error(at)
	}
	got := slices.Sorted(maps.Keys(rules(t)))
	if len(got) < 12 || rules(t)["auth"] != (Period{Years: 2}) || rules(t)["access"] != (Period{Years: 5}) {
		t.Errorf("%v", got)
	}
}

func BenchmarkExpire(b *testing.B) {
	sk, vk, err := note.GenerateKey(nil, "farol.bench")
	if err != nil {
		b.Fatal(err)
	}
	s, _ := note.NewSigner(sk)
	v, _ := note.NewVerifier(vk)
	now := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	l, err := Open(b.TempDir(), Options{Box: keys.NewBox(make([]byte, 32)), Signer: s, Verify: v, LookupKey: []byte("k"), Now: func() time.Time { return now }})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	const n = 20_000
	evs := slices.Repeat([]Event{agedKinds[1]}, 1000)
	for range n / 1000 {
		if _, err := l.Append(b.Context(), evs...); err != nil {
			b.Fatal(err)
		}
	}
	for range 90 {
		now = now.AddDate(0, 0, 25)
		if _, err := l.Append(b.Context(), agedKinds[2]); err != nil {
			b.Fatal(err)
		}
	}
	r, err := Rules()
	if err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	if gone, err := l.Expire(b.Context(), r); err != nil || gone != n {
		b.Fatal(gone, err)
	}
	b.ReportMetric(n/time.Since(began).Seconds(), "expired/s")
	b.ReportMetric(0, "ns/op")
	if _, err := tlog.TreeHash(l.Size(), l); err != nil {
		b.Fatal(err)
	}
}
