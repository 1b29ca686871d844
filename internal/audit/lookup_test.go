package audit

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// stepped is a clock that goes on and sometimes back.
func stepped(rng *rand.Rand) func() time.Time {
	t := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	return func() time.Time {
		t = t.Add(time.Duration(rng.IntN(2000)-200) * time.Millisecond)
		return t
	}
}

func someEvent(rng *rand.Rand, objects int) Event {
	ev := Event{Actor: []string{"system", "system", "system", "ka.chan", "auditor"}[rng.IntN(5)], Operation: []string{"backup.commit", "view", "search", "export"}[rng.IntN(4)],
		Object: fmt.Sprint("record/", rng.IntN(objects)), Outcome: []string{"ok", "ok", "ok", "ok", "denied", "failed"}[rng.IntN(6)]}
	if ev.Actor != "system" { // what people do is about somebody
		ev.Purpose, ev.Session = []string{"", "dispute", "request"}[rng.IntN(3)], fmt.Sprint("s", rng.IntN(9))
		ev.Detail = map[string]string{"dept": fmt.Sprint(rng.IntN(20)), "container": fmt.Sprint(rng.IntN(50)), "person": fmt.Sprintf("%d,%d", rng.IntN(40), rng.IntN(40))}
	}
	return ev
}

// someRef is something an event can be asked for by.
func someRef(rng *rand.Rand, ev Event) string {
	e := Entry{Event: ev}
	refs := e.Refs()
	return refs[rng.IntN(len(refs))]
}

// scan is what List promises, worked out by reading every entry.
func scan(t *testing.T, l *Log, f Filter, before int64, n int) (out []int64) {
	t.Helper()
	if before <= 0 {
		before = l.Size()
	}
	for i := before - 1; i >= 0 && len(out) < n; i-- {
		e, err := l.Entry(i)
		if err != nil {
			t.Fatal(err)
		}
		if f.match(&e) {
			out = append(out, e.Seq)
		}
	}
	return out
}

func TestEveryQuestionIsAnsweredAsReadingTheWholeLogWould(t *testing.T) {
	s, v, _ := testKeys(t)
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(7, 8))
	open := func(key string) *Log {
		l, err := Open(dir, Options{Box: plainBox{}, Signer: s, Verify: v, Now: stepped(rng), LookupKey: []byte(key)})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	defer func(n int) { lookRows = n }(lookRows)
	l := open("k")
	ask := func(what string) {
		t.Helper()
		for range 150 {
			ev := someEvent(rng, 60)
			var f Filter
			for i, set := range []func(){func() { f.Actor = ev.Actor }, func() { f.Operation = ev.Operation }, func() { f.Object = someRef(rng, ev) }, func() { f.Outcome = ev.Outcome }, func() { f.Purpose = ev.Purpose },
				func() { f.From = time.Date(2026, 1, 1, 0, rng.IntN(20), 0, 0, time.UTC) }, func() { f.To = time.Date(2026, 1, 1, 0, rng.IntN(20), 0, 0, time.UTC) }} {
				if rng.IntN(3) == i%3 {
					set()
				}
			}
			before, n := rng.Int64N(l.Size()+1), 1+rng.IntN(20)
			lookRows = []int{3, 50, 1000}[rng.IntN(3)]
			es, next, err := l.List(f, before, n)
			for err == nil && len(es) < n && next > 0 { // the look was bounded: the reader goes on
				var more []Entry
				more, next, err = l.List(f, next, n-len(es))
				es = append(es, more...)
			}
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			var got []int64
			for _, e := range es {
				got = append(got, e.Seq)
			}
			if want := scan(t, l, f, before, n); !slices.Equal(got, want) {
				t.Fatalf("%s: %+v before %d gives %v, the log says %v", what, f, before, got, want)
			}
			if next != 0 && next != got[len(got)-1] {
				t.Fatalf("%s: goes on from %d after %v", what, next, got)
			}
		}
	}
	add := func(n int) {
		for range n {
			var evs []Event
			for range 1 + rng.IntN(4) {
				evs = append(evs, someEvent(rng, 60))
			}
			if _, err := l.Append(t.Context(), evs...); err != nil {
				t.Fatal(err)
			}
		}
	}
	add(150)
	ask("written one by one")
	path := filepath.Join(dir, lookupFile)
	for what, hurt := range map[string]func() error{
		"gone": func() error { return os.Remove(path) },
		"no database": func() error {
			return os.WriteFile(path, []byte("what is this, no database at all, and long enough to be one"), 0o600)
		},
		"cut":      func() error { return os.Truncate(path, 5000) },
		"as it is": func() error { return nil },
		"a page zeroed": func() error {
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = f.WriteAt(make([]byte, 4096), 8192)
			return err
		},
	} {
		l.Close()
		if err := hurt(); err != nil {
			t.Fatal(err)
		}
		l = open("k")
		add(5)
		ask(what)
	}
	l.Close()
	l = open("another key")
	ask("another key")
	l.Close()
}

func TestNoNameIsReadableInTheLookup(t *testing.T) {
	s, v, _ := testKeys(t)
	dir := t.TempDir()
	l, err := Open(dir, Options{Box: plainBox{}, Signer: s, Verify: v, LookupKey: []byte("k")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(t.Context(), Event{Actor: "ka.chan-the-actor", Operation: "view", Object: "record/the-object", Outcome: "ok"}); err != nil {
		t.Fatal(err)
	}
	l.Close()
	for _, end := range []string{"", "-wal"} {
		b, _ := os.ReadFile(filepath.Join(dir, lookupFile+end))
		for _, word := range []string{"ka.chan", "the-object"} {
			if bytes.Contains(b, []byte(word)) {
				t.Errorf("%q is in %s%s", word, lookupFile, end)
			}
		}
	}
}

// BenchmarkManyEntries is the auditor's page over FAROL_BENCH_ENTRIES entries
// (200,000; the promise is for 10,000,000).
func BenchmarkManyEntries(b *testing.B) {
	n := 200_000
	if _, err := fmt.Sscan(os.Getenv("FAROL_BENCH_ENTRIES"), &n); err != nil {
		n = 200_000
	}
	sk, vk, err := note.GenerateKey(nil, "farol.bench")
	if err != nil {
		b.Fatal(err)
	}
	s, _ := note.NewSigner(sk)
	v, _ := note.NewVerifier(vk)
	dir := b.TempDir()
	rng := rand.New(rand.NewPCG(9, 9))
	opt := Options{Box: plainBox{}, Signer: s, Verify: v, LookupKey: []byte("k")}
	l, err := Open(dir, opt)
	if err != nil {
		b.Fatal(err)
	}
	const batch = 1000
	began := time.Now()
	evs := make([]Event, batch)
	for k := range n / batch {
		for i := range evs {
			evs[i] = someEvent(rng, n/10)
		}
		if _, err := l.Append(b.Context(), evs...); err != nil {
			b.Fatal(err)
		}
		if done := (k + 1) * batch; done%500_000 == 0 {
			fmt.Fprintf(os.Stderr, "  %d entries, %.0f a second so far\n", done, float64(done)/time.Since(began).Seconds())
		}
	}
	appended := time.Since(began)
	l.Close()
	began = time.Now()
	if l, err = Open(dir, opt); err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	opened := time.Since(began)
	var looks, proofs []time.Duration
	for i := range 1000 {
		ev := someEvent(rng, n/10)
		f := []Filter{{Actor: ev.Actor}, {Object: ev.Object}, {Actor: ev.Actor, Operation: ev.Operation}, {Outcome: "denied", Actor: ev.Actor},
			{Actor: ev.Actor, From: time.Now().Add(-time.Duration(rng.IntN(int(appended)))), To: time.Now()}, {Object: someRef(rng, ev)},
			{Object: "dept/7", Actor: "ka.chan", Operation: "view", Purpose: "dispute"}, {Object: "dept/7", Actor: "nobody.at.all"}, {Object: "person/3", Purpose: "request", Outcome: "failed"}}[i%9]
		start := time.Now()
		es, _, err := l.List(f, 0, 50)
		looks = append(looks, time.Since(start))
		if err != nil {
			b.Fatal(err)
		}
		if len(es) == 0 {
			continue
		}
		start = time.Now()
		if _, err := l.Inclusion(es[len(es)-1].Seq); err != nil {
			b.Fatal(err)
		}
		proofs = append(proofs, time.Since(start))
	}
	began = time.Now()
	if got, err := l.Verify(); err != nil || got != int64(n/batch*batch) {
		b.Fatal(got, err)
	}
	verified := time.Since(began)
	slices.Sort(looks)
	slices.Sort(proofs)
	b.ReportMetric(float64(n)/appended.Seconds(), "appended/s")
	b.ReportMetric(float64(opened.Milliseconds()), "ms-open")
	b.ReportMetric(float64(looks[len(looks)*99/100].Microseconds())/1000, "ms-lookup-p99")
	b.ReportMetric(float64(proofs[len(proofs)*99/100].Microseconds())/1000, "ms-proof-p99")
	b.ReportMetric(float64(n)/verified.Seconds(), "verified/s")
	b.ReportMetric(0, "ns/op")
}

func TestTheLastCommitIsTheHighestAlsoWhenLanesEnterOutOfOrder(t *testing.T) {
	s, v, _ := testKeys(t)
	l := fill(t, t.TempDir(), s, v, 0)
	defer l.Close()
	for _, n := range []int{1, 2, 5, 3, 4} {
		if _, err := l.Append(t.Context(), Event{Actor: "system", Operation: OperationCommit, Object: fmt.Sprint("commit/", n), Outcome: "ok"}); err != nil {
			t.Fatal(err)
		}
		if n == 4 {
			if last, err := l.LastCommit(); err != nil || last != 5 {
				t.Errorf("last commit %d, %v", last, err)
			}
		}
	}
}
