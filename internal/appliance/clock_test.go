package appliance

import (
	"strings"
	"testing"
	"time"

	"farol/internal/audit"
)

func TestAJumpOfTheClockIsToldFromTimeThatPassed(t *testing.T) {
	at := time.Date(2026, 11, 3, 1, 0, 0, 0, time.UTC)
	c := clockWatch{wall: at}
	ran := time.Duration(0)
	for _, row := range []struct {
		passed, jump, want time.Duration
	}{
		{10 * time.Second, 0, 0},
		{10 * time.Second, 20 * time.Second, 0}, // being set
		{10 * time.Second, -time.Hour, -time.Hour},
		{10 * time.Second, 0, 0}, // once only
		{time.Hour, 0, 0},        // a slow machine
		{10 * time.Second, 365 * 24 * time.Hour, 365 * 24 * time.Hour},
	} {
		at, ran = at.Add(row.passed+row.jump), ran+row.passed
		if got := c.look(at, ran); got != row.want {
			t.Errorf("%v passed, jumped %v: told %v", row.passed, row.jump, got)
		}
	}
}

func TestAClockThatStandsBeforeTheLogIsAnEntryAtStart(t *testing.T) {
	t.Parallel()
	a, stop := runs(t, bench(t))
	defer stop()
	if _, err := a.audit.Append(t.Context(), audit.Event{Actor: "test", Operation: "config.change", Object: "x", Outcome: "ok"}); err != nil {
		t.Fatal(err)
	}
	drifts := func() []audit.Entry {
		es, _, err := a.audit.List(audit.Filter{Operation: "time.drift"}, 0, 10)
		if err != nil {
			t.Fatal(err)
		}
		return es
	}
	if err := a.clockAtStart(t.Context(), time.Now()); err != nil || len(drifts()) != 0 {
		t.Errorf("a right clock: %v %v", drifts(), err)
	}
	if err := a.clockAtStart(t.Context(), time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	if es := drifts(); len(es) != 1 || es[0].Detail["when"] != "start" || !strings.HasPrefix(es[0].Detail["seconds"], "-35") && es[0].Detail["seconds"] != "-3600" {
		t.Errorf("an hour back: %+v", es)
	}
}
