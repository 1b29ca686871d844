package watch

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"farol/internal/archive"
	"farol/internal/audit"
	"farol/internal/db"
	"farol/internal/record"
)

// firm is a watch over a real control database; archive, catalog and log
// answer from fields.
type firm struct {
	*Watch
	now    time.Time
	db     *db.DB
	points []archive.Point
	seq    uint64
	live   map[int64]int64
	rates  []Rate
	events []audit.Event
	broken error // of the log
	counts int   // how often a container was counted
	gate   chan struct{}
}

func (f *firm) Points(context.Context) ([]archive.Point, error) { return f.points, nil }
func (f *firm) LastSeq() uint64                                 { return f.seq }
func (f *firm) Live(_ context.Context, c int64) (int64, error) {
	f.counts++
	if f.gate != nil {
		<-f.gate
	}
	return f.live[c], nil
}
func (f *firm) Written(_ context.Context, _ time.Time, fn func(int64, string, int64)) error {
	for _, r := range f.rates {
		fn(r.Dept, r.Day, r.N)
	}
	return nil
}
func (f *firm) Append(_ context.Context, evs ...audit.Event) ([]int64, error) {
	if f.broken == nil {
		f.events = append(f.events, evs...)
	}
	return nil, f.broken
}

type plain struct{}

func (plain) Seal(p, _ []byte) []byte          { return append([]byte("sealed "), p...) }
func (plain) Open(s, _ []byte) ([]byte, error) { return s[len("sealed "):], nil }

func newFirm(t *testing.T) *firm {
	t.Helper()
	f := &firm{now: time.Date(2026, 11, 26, 10, 0, 0, 0, record.Macau), live: map[int64]int64{}, seq: 100}
	var err error
	if f.db, err = db.Open(t.Context(), filepath.Join(t.TempDir(), "control.db"), db.Control, func() time.Time { return f.now }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.db.Close(); err != nil {
			t.Error(err)
		}
	})
	f.restart()
	return f
}

func (f *firm) restart() {
	f.Watch = New(Deps{Control: f.db, Archive: f, Audit: f, Catalog: f, Box: plain{}, Now: func() time.Time { return f.now }})
}

func facts(n int, f Fact) []Fact {
	out := make([]Fact, n)
	for i := range out {
		out[i] = f
	}
	return out
}

func (f *firm) commit(t *testing.T, fs []Fact) {
	t.Helper()
	f.seq++
	if err := f.Committed(t.Context(), f.seq, fs); err != nil {
		t.Fatal(err)
	}
	if err := f.Judge(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (f *firm) open(t *testing.T) (out []Alarm) {
	t.Helper()
	as, err := f.Alarms(t.Context(), 50)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range as {
		if a.Closed.IsZero() {
			out = append(out, a)
		}
	}
	return out
}

var gone = Fact{Kind: record.Files, Container: 7, Dept: 3, Held: true, Deleted: true}

func TestTheSameCauseWhileOpenIsOneAlarm(t *testing.T) {
	f := newFirm(t)
	f.live[7], f.live[8] = 40, 60
	f.points = []archive.Point{{ID: "early", Seq: 90, Time: f.now.Add(-2 * time.Hour)}, {ID: "good", Seq: 99, Time: f.now.Add(-time.Hour)}, {ID: "late", Seq: 104, Time: f.now}}
	f.commit(t, facts(20, gone)) // 101
	f.live[7] = 20
	f.restart() // the counts of 101 are lost unless they were kept
	if as := f.open(t); len(as) > 0 {
		t.Fatalf("20 deletions ring: %+v", as)
	}
	f.commit(t, facts(35, gone))
	f.commit(t, facts(40, Fact{Kind: record.Files, Container: 8, Dept: 4, Held: true, Deleted: true}))
	f.now = f.now.Add(20 * time.Minute)
	f.commit(t, facts(5, gone))
	as := f.open(t)
	if len(as) != 1 || len(as[0].Places) != 2 || len(f.events) != 1 {
		t.Fatalf("%d entries, alarms %+v", len(f.events), as)
	}
	a := as[0]
	if a.Point != "good" || a.GoodSeq >= a.BeganSeq || a.GoodSeq < 100 || !a.Updated.After(a.Opened) {
		t.Errorf("alarm %+v", a)
	}
	if seen, _, _ := a.Sums(); seen != 80 {
		t.Errorf("%d seen, want the newest figures: 40 and 40", seen)
	}
}

func TestCountsAndAlarmsSurviveARestart(t *testing.T) {
	f := newFirm(t)
	f.live[7] = 30
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- f.Run(ctx) }()
	f.commit(t, facts(20, gone))
	cancel()
	<-ended
	f.restart()
	f.commit(t, facts(15, gone))
	as := f.open(t)
	if len(as) != 1 || as[0].BeganSeq != 101 || as[0].GoodSeq != 100 {
		t.Fatalf("alarms %+v", as)
	}
	f.restart()
	if open, err := f.Open(t.Context()); err != nil || !open {
		t.Errorf("open %v, %v", open, err)
	}
	if err := f.Acknowledge(t.Context(), as[0].ID, audit.Event{Actor: "maria"}, "a clean-up"); err != nil {
		t.Fatal(err)
	}
	f.restart()
	f.commit(t, facts(5, gone))
	if as := f.open(t); len(as) > 0 {
		t.Errorf("what was looked at is judged again: %+v", as)
	}
	f.commit(t, facts(30, gone))
	if as := f.open(t); len(as) != 1 || as[0].BeganSeq != 103 {
		t.Errorf("what came after is not judged: %+v", as)
	}
}

func TestNothingOpensOrClosesWithoutItsEntry(t *testing.T) {
	f := newFirm(t)
	f.live[7] = 10
	f.broken = fmt.Errorf("the disk is full")
	f.seq++
	if err := f.Committed(t.Context(), f.seq, facts(60, gone)); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time it is still to be judged
		if f.Judge(t.Context()) == nil {
			t.Error("an alarm without an entry is no error")
		}
	}
	if as := f.open(t); len(as) > 0 {
		t.Errorf("opened without an entry: %+v", as)
	}
	f.broken = nil
	f.commit(t, facts(1, gone))
	as := f.open(t)
	if len(as) != 1 || as[0].BeganSeq != 101 {
		t.Fatalf("not opened later: %+v", as)
	}
	f.broken = fmt.Errorf("the disk is full")
	if err := f.Acknowledge(t.Context(), as[0].ID, audit.Event{Actor: "maria"}, "x"); err == nil || len(f.open(t)) != 1 {
		t.Errorf("closed without an entry: %v", err)
	}
}

func TestAFirstWalkNeverRings(t *testing.T) {
	f := newFirm(t)
	for i := range 40 { // an old share, full of what an attack left years ago
		f.commit(t, facts(50, Fact{Kind: record.Files, Container: int64(i), Dept: 3, First: true, Signs: []Signs{Noise, Noise | Named, Note, 0}[i%4]}))
	}
	if err := f.Ended(t.Context(), Report{Whole: true, Scope: "all", Kinds: map[record.Kind]Listing{record.Files: {2000, 1500}, record.Chat: {90000, 90000}}}); err != nil {
		t.Fatal(err)
	}
	if as := f.open(t); len(as) > 0 {
		t.Errorf("alarms %+v", as)
	}
}

// TestTheUsualIsTheSecondBusiestDay: a monthly clean-up rings in its first two
// months and no more; one attack is not the next one's usual.
func TestTheUsualIsTheSecondBusiestDay(t *testing.T) {
	f := newFirm(t)
	f.live[7] = 100
	for month := range 4 {
		f.commit(t, facts(90, gone))
		as := f.open(t)
		if rings := len(as) == 1; rings != (month < 2) {
			t.Errorf("month %d: %+v", month, as)
		}
		for _, a := range as {
			if err := f.Acknowledge(t.Context(), a.ID, audit.Event{Actor: "maria"}, "monthly"); err != nil {
				t.Fatal(err)
			}
		}
		f.now = f.now.AddDate(0, 0, 28)
	}
}

func TestAWholeListingIsComparedWithTheOneBeforeOfTheSameScope(t *testing.T) {
	f := newFirm(t)
	end := func(whole bool, scope string, listed, held int64) {
		t.Helper()
		f.seq++
		if err := f.Ended(t.Context(), Report{Whole: whole, Scope: scope, Kinds: map[record.Kind]Listing{record.Chat: {listed, held}}}); err != nil {
			t.Fatal(err)
		}
	}
	end(true, "all", 10000, 10000)
	end(true, "half", 4000, 4000) // a person has left half of it out
	end(false, "half", 3, 3)      // an incremental lists little
	end(true, "half", 4100, 4090)
	if as := f.open(t); len(as) > 0 {
		t.Fatalf("alarms %+v", as)
	}
	good := f.seq
	end(true, "half", 2000, 2000)
	as := f.open(t)
	if len(as) != 1 || as[0].Cause != Shrink || as[0].Kind != record.Chat || as[0].Places[0].Seen != 2100 || as[0].GoodSeq != good {
		t.Fatalf("alarms %+v, good %d", as, good)
	}
}

func TestASilentDepartmentIsToldOnce(t *testing.T) {
	f := newFirm(t)
	if err := f.Ended(t.Context(), Report{Whole: true, Kinds: map[record.Kind]Listing{record.Chat: {900, 900}}}); err != nil {
		t.Fatal(err)
	}
	f.now = f.now.AddDate(0, 0, 14)
	tell := func() {
		t.Helper()
		f.rates = year(f.now, map[int64]func(time.Time, int) int64{1: func(time.Time, int) int64 { return 60 }, 2: func(d time.Time, _ int) int64 {
			if !d.Before(time.Date(2026, 12, 4, 0, 0, 0, 0, record.Macau)) {
				return 0
			}
			return 50
		}})
		if err := f.Ended(t.Context(), Report{}); err != nil {
			t.Fatal(err)
		}
	}
	tell()
	as := f.open(t)
	if len(as) != 1 || as[0].Cause != Silence || as[0].Places[0].Dept != 2 || as[0].Places[0].Usual != 50 {
		t.Fatalf("alarms %+v", as)
	}
	if err := f.Acknowledge(t.Context(), as[0].ID, audit.Event{Actor: "maria"}, "a trip together"); err != nil {
		t.Fatal(err)
	}
	f.now = f.now.AddDate(0, 0, 1)
	tell()
	if as := f.open(t); len(as) > 0 {
		t.Errorf("the same silence is told again: %+v", as)
	}
}

// TestAnAlarmNeedsNoArchive: its day may be one without, above all that of an
// archive which somebody destroys.
func TestAnAlarmNeedsNoArchive(t *testing.T) {
	f := newFirm(t)
	f.d.Archive = lost{f}
	if err := f.Raise(t.Context(), Finding{Cause: Damage, Seen: 1}); err != nil {
		t.Fatal(err)
	}
	if as := f.open(t); len(as) != 1 || as[0].Cause != Damage || as[0].Point != "" {
		t.Fatalf("alarms %+v", as)
	}
	if err := f.Acknowledge(t.Context(), f.open(t)[0].ID, audit.Event{Actor: "maria"}, "a disk"); err != nil {
		t.Fatal(err)
	}
	f.events = nil
	for n := range int64(3) {
		if err := f.Raise(t.Context(), Finding{Cause: Breakglass, Seen: n + 1}); err != nil {
			t.Fatal(err)
		}
	}
	as := f.open(t)
	if len(as) != 1 || as[0].Places[0].Seen != 3 {
		t.Fatal(as)
	}
	if len(f.events) != 1 || f.events[0].Operation != "alarm.open" || f.events[0].Detail["cause"] != "breakglass" {
		t.Error(f.events)
	}
}

// lost is an archive that cannot be read.
type lost struct{ *firm }

func (lost) Points(context.Context) ([]archive.Point, error) { return nil, fmt.Errorf("no disk") }

// TestAFloodOfChangesIsCountedAFewTimesAndHoldsUpNoCommit: counting a container
// takes as long as it is large. Done at every commit it once slowed a busy day
// down until events waited a minute.
func TestAFloodOfChangesIsCountedAFewTimesAndHoldsUpNoCommit(t *testing.T) {
	f := newFirm(t)
	const containers = 20
	for c := range int64(containers) {
		f.live[c] = 1_000_000 // far too much for an alarm
	}
	for range 500 {
		var fs []Fact
		for c := range int64(containers) {
			fs = append(fs, Fact{Kind: record.Chat, Container: c, Dept: 3, Held: true, Deleted: true})
		}
		f.commit(t, fs)
		f.now = f.now.Add(2 * time.Second)
	}
	if f.counts > containers*20 {
		t.Errorf("500 commits over %d containers counted %d times", containers, f.counts)
	}
	if as := f.open(t); len(as) > 0 {
		t.Errorf("alarms %+v", as)
	}

	f.restart()
	f.gate = make(chan struct{})
	judged := make(chan error)
	go func() { judged <- f.Judge(t.Context()) }() // the counts were not kept: it has nothing to count
	if err := <-judged; err != nil {
		t.Fatal(err)
	}
	f.live[7], f.live[8] = 40, 40
	f.seq++
	if err := f.Committed(t.Context(), f.seq, facts(35, gone)); err != nil {
		t.Fatal(err)
	}
	go func() { judged <- f.Judge(t.Context()) }()
	for range 100 {
		f.seq++
		if err := f.Committed(t.Context(), f.seq, facts(1, Fact{Kind: record.Files, Container: 8, Dept: 4, Held: true, Deleted: true})); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case err := <-judged:
		t.Fatalf("it did not count: %v", err)
	default: // a hundred commits went by
	}
	close(f.gate)
	if err := <-judged; err != nil {
		t.Fatal(err)
	}
	if err := f.Judge(t.Context()); err != nil { // what came meanwhile
		t.Fatal(err)
	}
	if as := f.open(t); len(as) != 1 || len(as[0].Places) != 2 {
		t.Errorf("alarms %+v", as)
	}
}
