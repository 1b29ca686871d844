package replica

import (
	"testing"
	"time"

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
