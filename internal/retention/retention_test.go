package retention

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"farol/internal/archive"
	"farol/internal/audit"
	"farol/internal/record"
)

var start = time.Date(2026, 1, 1, 0, 30, 0, 0, record.Macau)

func ids(vs []Verdict) (out []string) {
	for _, v := range vs {
		out = append(out, v.ID)
	}
	return out
}

// TestPlanKeepsWhatItPromises holds random histories against the rules.
func TestPlanKeepsWhatItPromises(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 400 {
		r := Rules{All: 1 + rng.IntN(10)}
		r.Daily = r.All + rng.IntN(60)
		r.Weekly = r.Daily + rng.IntN(300)
		r.Monthly = r.Weekly + rng.IntN(1500)
		var points []archive.Point
		at := start
		for i := range 1 + rng.IntN(300) {
			p := archive.Point{ID: fmt.Sprint(i), Fold: uint64(i + 1), Time: at}
			if rng.IntN(20) == 0 {
				p.Tags = map[string]string{"held": "case 7"}
			}
			points = append(points, p)
			at = at.Add(time.Duration(rng.Int64N(int64(8 * 24 * time.Hour))))
			if rng.IntN(30) == 0 {
				at = at.Add(-36 * time.Hour) // a clock that was set back
			}
		}
		now := at.Add(time.Duration(rng.Int64N(int64(800 * 24 * time.Hour))))
		keep, drop := Plan(points, r, now)
		if len(keep)+len(drop) != len(points) {
			t.Fatal("points were lost or doubled")
		}
		if slices.Contains(ids(drop), points[len(points)-1].ID) {
			t.Fatal("the newest point goes")
		}
		kept := map[[2]int]bool{}
		for _, v := range keep {
			d, w, m := buckets(v.Time)
			kept[[2]int{1, d}], kept[[2]int{2, w}], kept[[2]int{3, m}] = true, true, true
		}
		for _, v := range drop {
			age := now.Sub(v.Time)
			days := func(n int) bool { return age <= time.Duration(n)*24*time.Hour }
			d, w, m := buckets(v.Time)
			switch {
			case v.Tags["held"] != "":
				t.Fatal("a held point goes")
			case days(r.All):
				t.Fatalf("a point of %v goes under %+v", age, r)
			case days(r.Daily) && !kept[[2]int{1, d}]:
				t.Fatalf("no point is left of a day %v ago", age)
			case days(r.Weekly) && !days(r.Daily) && !kept[[2]int{2, w}]:
				t.Fatalf("no point is left of a week %v ago", age)
			}
			_ = m
		}
		var again []archive.Point
		for _, v := range keep {
			again = append(again, v.Point)
		}
		if _, more := Plan(again, r, now); len(more) > 0 {
			t.Fatalf("a second plan drops %d more", len(more))
		}
	}
}

// TestYearsOfNightsLeaveEveryDayWeekAndMonth lives through five years of hourly
// points, thinned each night, and looks whether each period still has one.
func TestYearsOfNightsLeaveEveryDayWeekAndMonth(t *testing.T) {
	r := Default
	var points []archive.Point
	now := start
	for d := range 5 * 365 {
		for h := range 24 {
			points = append(points, archive.Point{ID: fmt.Sprint(d, "-", h), Fold: uint64(d*24 + h + 1), Time: now.Add(time.Duration(h) * time.Hour)})
		}
		now = now.Add(24 * time.Hour)
		keep, _ := Plan(points, r, now)
		points = points[:0]
		for _, v := range keep {
			points = append(points, v.Point)
		}
	}
	if n := len(points); n < 7*24+80+80+30 || n > 7*24+90+110+40 {
		t.Errorf("%d points are left", n)
	}
	days, weeks, months := map[int]bool{}, map[int]bool{}, map[int]bool{}
	for _, p := range points {
		d, w, m := buckets(p.Time)
		days[d], weeks[w], months[m] = true, true, true
	}
	for at := start.AddDate(0, 0, 7); at.Before(now.Add(-24 * time.Hour)); at = at.AddDate(0, 0, 1) {
		d, w, m := buckets(at)
		age := int(now.Sub(at) / (24 * time.Hour))
		if age < 89 && !days[d] || age < 700 && !weeks[w] || age > 760 && !months[m] {
			t.Fatalf("nothing is left of %s", at.Format(time.DateOnly))
		}
	}
}

func TestRulesAreReadStrictly(t *testing.T) {
	if r, err := ParseRules(`{"daily_days":30}`); err != nil || r.Daily != 30 || r.All != 7 {
		t.Error(r, err)
	}
	for _, text := range []string{`{`, `{"all_days":0}`, `{"all_days":100}`, `{"monthly_days":3}`, `{"from_hour":24}`} {
		if _, err := ParseRules(text); !errors.Is(err, ErrRules) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// shelf stands in for archive and log and notes the order of what happens.
type shelf struct {
	points []archive.Point
	events []string
	fail   error
}

func (s *shelf) Points(context.Context) ([]archive.Point, error) { return slices.Clone(s.points), nil }

func (s *shelf) Forget(_ context.Context, ids ...string) error {
	if s.fail != nil {
		return s.fail
	}
	for _, id := range ids {
		s.events = append(s.events, "forget "+id)
		s.points = slices.DeleteFunc(s.points, func(p archive.Point) bool { return p.ID == id })
	}
	return nil
}

func (s *shelf) Append(_ context.Context, evs ...audit.Event) ([]int64, error) {
	for _, ev := range evs {
		if _, ok := audit.Operations[ev.Operation]; !ok {
			return nil, fmt.Errorf("no operation %s", ev.Operation)
		}
		s.events = append(s.events, ev.Outcome+" "+ev.Object)
	}
	return make([]int64, len(evs)), nil
}

func TestApplyWritesEntriesWaitsForTheWindowAndForPeople(t *testing.T) {
	now := time.Date(2026, 6, 1, 4, 0, 0, 0, record.Macau)
	s := &shelf{points: []archive.Point{{ID: "a", Fold: 1, Time: now.AddDate(0, 0, -20)}, {ID: "b", Fold: 2, Time: now.AddDate(0, 0, -20).Add(time.Hour)}, {ID: "c", Fold: 3, Time: now}}}
	alarm := true
	clock := now.Add(-6 * time.Hour)
	sw := New(Deps{Archive: s, Audit: s, Rules: func(context.Context) (Rules, error) { return Default, nil },
		Alarm: func(context.Context) (bool, error) { return alarm, nil }, Now: func() time.Time { return clock }})
	if _, err := sw.Apply(t.Context()); !errors.Is(err, ErrWindow) {
		t.Fatal(err)
	}
	clock = now
	if _, err := sw.Apply(t.Context()); !errors.Is(err, ErrAlarm) || len(s.events) > 0 {
		t.Fatal(err, s.events)
	}
	alarm, s.fail = false, errors.New("no")
	if _, err := sw.Apply(t.Context()); err == nil || !slices.Equal(s.events, []string{"ok point/a", "failed point/a"}) {
		t.Fatal(err, s.events)
	}
	s.fail, s.events = nil, nil
	if n, err := sw.Apply(t.Context()); err != nil || n != 1 || !slices.Equal(s.events, []string{"ok point/a", "forget a"}) {
		t.Fatal(n, err, s.events)
	}
	if n, err := sw.Apply(t.Context()); err != nil || n != 0 {
		t.Fatal(n, err)
	}
}

func TestRunWorksOnceANight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{}
		tries := 0
		refill := func() {
			s.points = []archive.Point{{ID: "old", Fold: 1, Time: time.Now().AddDate(-30, 0, 0)}, {ID: "recent", Fold: 2, Time: time.Now().AddDate(0, 0, -20)}, {ID: "new", Fold: 3, Time: time.Now()}}
		}
		refill()
		sw := New(Deps{Archive: s, Audit: s, Rules: func(context.Context) (Rules, error) { return Default, nil },
			Alarm: func(context.Context) (bool, error) { tries++; return false, nil },
			Now:   func() time.Time { refill(); return time.Now() }})
		ctx, cancel := context.WithTimeout(t.Context(), 10*24*time.Hour)
		defer cancel()
		if err := sw.Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		if tries < 9 || tries > 11 || len(s.events) != 2*tries {
			t.Errorf("%d tries in ten nights, %v", tries, s.events)
		}
	})
}

// TestAClockThatJumpsAheadForgetsNothing: under a clock that is wrong by one or
// thirty years every point looks old at once, and folds go on under it.
func TestAClockThatJumpsAheadForgetsNothing(t *testing.T) {
	for _, years := range []int{1, 30} {
		at := time.Date(2026, 6, 1, 4, 0, 0, 0, record.Macau)
		s := &shelf{}
		add := func() {
			s.points = append(s.points, archive.Point{ID: fmt.Sprint(len(s.points)), Fold: uint64(len(s.points) + 1), Time: at})
		}
		for range 60 { // two months of nights and hours
			add()
			at = at.Add(time.Hour)
			add()
			at = at.Add(23 * time.Hour)
		}
		sw := New(Deps{Archive: s, Audit: s, Rules: func(context.Context) (Rules, error) { return Default, nil }, Alarm: func(context.Context) (bool, error) { return false, nil }, Now: func() time.Time { return at }})
		if _, err := sw.Apply(t.Context()); err != nil {
			t.Fatal(err)
		}
		held := len(s.points)
		right := at
		at = at.AddDate(years, 0, 0)
		at = time.Date(at.Year(), at.Month(), at.Day(), 4, 0, 0, 0, record.Macau)
		for range 3 { // three nights under the wrong clock
			if n, err := sw.Apply(t.Context()); !errors.Is(err, ErrSilent) || n != 0 {
				t.Errorf("%d years ahead %d points went, %v", years, n, err)
			}
			add()
			at = at.Add(24 * time.Hour)
		}
		at = right // it is put right
		if n, err := sw.Apply(t.Context()); err != nil || len(s.points) != held+3 {
			t.Errorf("afterwards %d went, %v", n, err)
		}
		// A machine that was off so long thins again once a week was lived.
		at = at.AddDate(years, 0, 0)
		for range 9 {
			add()
			at = at.Add(24 * time.Hour)
		}
		at = time.Date(at.Year(), at.Month(), at.Day(), 4, 0, 0, 0, record.Macau)
		if n, err := sw.Apply(t.Context()); err != nil || n == 0 {
			t.Errorf("a week later %d went, %v", n, err)
		}
	}
}
