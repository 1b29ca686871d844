package replica

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"farol/internal/archive"
	"farol/internal/audit"
	"farol/internal/keys"
	"farol/internal/record"
)

var workdays = []time.Weekday{time.Monday, time.Tuesday, time.Wednesday, time.Thursday, time.Friday}

func TestALimitCountsInItsHours(t *testing.T) {
	day := Limit{Kbit: 2000, Days: workdays, From: 8 * 60, To: 20 * 60}
	night := Limit{Kbit: 800, Days: []time.Weekday{time.Friday}, From: 22 * 60, To: 6 * 60}
	always := Limit{Kbit: 100, Days: []time.Weekday{time.Saturday}}
	for _, k := range []struct {
		l     Limit
		at    string // in Macau; 2026-11-27 is a Friday
		bytes int64
		until string
	}{
		{day, "2026-11-27 07:59", 0, ""}, {day, "2026-11-27 08:00", 250000, "2026-11-27 20:00"}, {day, "2026-11-27 19:59", 250000, "2026-11-27 20:00"},
		{day, "2026-11-27 20:00", 0, ""}, {day, "2026-11-28 12:00", 0, ""},
		{night, "2026-11-27 21:59", 0, ""}, {night, "2026-11-27 23:00", 100000, "2026-11-28 06:00"}, {night, "2026-11-28 05:59", 100000, "2026-11-28 06:00"},
		{night, "2026-11-28 06:00", 0, ""}, {night, "2026-11-28 23:00", 0, ""}, {night, "2026-11-27 05:00", 0, ""},
		{always, "2026-11-28 00:00", 12500, "2026-11-29 00:00"}, {always, "2026-11-28 23:59", 12500, "2026-11-29 00:00"}, {always, "2026-11-29 00:00", 0, ""},
		{Limit{}, "2026-11-27 12:00", 0, ""},
	} {
		at, err := time.ParseInLocation("2006-01-02 15:04", k.at, record.Macau)
		if err != nil {
			t.Fatal(err)
		}
		bytes, until := k.l.At(at.UTC())
		got := ""
		if !until.IsZero() {
			got = until.In(record.Macau).Format("2006-01-02 15:04")
		}
		if bytes != k.bytes || got != k.until {
			t.Errorf("%+v at %s: %d bytes/s until %q, want %d until %q", k.l, k.at, bytes, got, k.bytes, k.until)
		}
	}
}

// pair is an archive and a log that are shipped to a real node over TLS.
type pair struct {
	t      *testing.T
	a      *archive.Archive
	log    *audit.Log
	sender *Sender
	node   *Node
	root   keys.Root
	addr   string
}

func newPair(t *testing.T) *pair {
	t.Helper()
	p := &pair{t: t}
	p.node, p.addr = startNode(t, filepath.Join(t.TempDir(), "node"))
	var vk string
	p.log, vk = newLog(t, t.TempDir())
	var err error
	if p.root, err = keys.New(); err != nil {
		t.Fatal(err)
	}
	opt := archive.Options{Offsite: true, NoParity: true,
		OnAppend: func(f string, off int64, b []byte) {
			if p.sender != nil {
				p.sender.Appended(f, off, b)
			}
		},
		OnPut: func(archive.PutEntry) {
			if p.sender != nil {
				p.sender.Wake()
			}
		}}
	if p.a, err = archive.Create(t.Context(), filepath.Join(t.TempDir(), "a"), p.root, opt); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.a.Close() })
	peer, _, err := Enrol(t.Context(), p.addr, p.node.NewCode(), p.a.ID(), vk, false)
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewClient(peer)
	if err != nil {
		t.Fatal(err)
	}
	p.sender = NewSender(c, nil, nil)
	return p
}

func (p *pair) run() (stop func()) {
	ctx, cancel := context.WithCancel(p.t.Context())
	done := make(chan struct{})
	go func() { defer close(done); p.sender.Run(ctx, p.a, p.log) }()
	stop = func() { cancel(); <-done }
	p.t.Cleanup(stop)
	return stop
}

// say commits one message of n bytes that do not compress.
func (p *pair) say(id string, n int) {
	p.t.Helper()
	b := make([]byte, n/2)
	rand.Read(b)
	_, err := p.a.Commit(p.t.Context(), archive.Batch{Records: []record.Record{{Ref: record.Ref{Kind: record.Chat, Container: "c", ID: id}, Time: time.Now().UTC(), Raw: fmt.Appendf(nil, `{"text":%q}`, hex.EncodeToString(b))}}})
	if err != nil {
		p.t.Fatal(err)
	}
}

// until waits for what holds of the sender's status.
func (p *pair) until(what string, most time.Duration, ok func(Status) bool) time.Duration {
	p.t.Helper()
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		st := p.sender.Status()
		if ok(st) {
			return time.Since(began)
		}
		if time.Since(began) > most {
			p.t.Fatalf("%s: not after %v: %+v", what, most, st)
		}
	}
}

func caughtUp(st Status) bool {
	return st.Connected && st.Lag == 0 && st.Behind == 0 && !st.LastAck.IsZero()
}

func TestShippingKeepsToTheLimitAndSaysWhenThatIsWhyItLags(t *testing.T) {
	p := newPair(t)
	p.run()
	p.until("the empty archive", 20*time.Second, caughtUp)
	every := []time.Weekday{0, 1, 2, 3, 4, 5, 6}
	p.sender.SetLimit(Limit{Kbit: 2000, Days: every})
	p.say("one", 1<<19)
	p.until("the limit is told", 2*time.Second, func(st Status) bool { return st.SlowKbit == 2000 && st.SlowUntil.After(time.Now()) && st.Lag > 0 })
	took := p.until("one message at the limit", 20*time.Second, caughtUp)
	if st := p.sender.Status(); took < 1500*time.Millisecond || st.SlowKbit != 0 || st.Worst < 1500*time.Millisecond {
		t.Errorf("512 KiB at 2 Mbit/s took %v; %+v", took, st)
	}
	// another limit counts at once, also for what is under way
	p.sender.SetLimit(Limit{Kbit: 100, Days: every})
	p.say("two", 1<<19)
	p.until("it waits", 2*time.Second, func(st Status) bool { return st.SlowKbit == 100 })
	p.sender.SetLimit(Limit{})
	if took := p.until("without a limit", 20*time.Second, caughtUp); took > 10*time.Second {
		t.Errorf("it went on for %v", took)
	}
}

// TestNewMessagesOvertakeAFold: what a fold wrote is only another form of what
// the node has, and a new message does not wait for it.
func TestNewMessagesOvertakeAFold(t *testing.T) {
	p := newPair(t)
	p.run()
	p.say("many", 8<<20)
	p.until("the journal", 20*time.Second, caughtUp)
	p.sender.SetLimit(Limit{Kbit: 3000, Days: []time.Weekday{0, 1, 2, 3, 4, 5, 6}})
	if _, err := p.a.Fold(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.until("the fold is being sent", 20*time.Second, func(st Status) bool { return st.Behind > 2<<20 && st.SlowKbit > 0 })
	p.say("new", 100)
	took := p.until("the new message", 5*time.Second, func(st Status) bool { return st.Lag == 0 })
	if st := p.sender.Status(); st.Behind < 1<<20 {
		t.Errorf("the fold was sent before: %d bytes left after %v", st.Behind, took)
	}
	p.sender.SetLimit(Limit{})
	p.until("all", 20*time.Second, caughtUp)
}
