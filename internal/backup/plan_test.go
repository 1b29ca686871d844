package backup

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"farol/internal/record"
)

func TestAPlanIsReadStrictly(t *testing.T) {
	for text, want := range map[string]error{"30 4 * * *": nil, " 30  4 * *  * ": nil, "*/15 * * * *": nil, "0 3 1 * *": nil, "0 3 * * SUN": nil, "": ErrPlan, "every night": ErrPlan, "30 4 * *": ErrPlan, "61 4 * * *": ErrPlan,
		"0 3 * * 8": ErrPlan, "@daily": ErrPlan, "@every 1m": ErrPlan, "TZ=UTC 0 3 * *": ErrPlan, "CRON_TZ=UTC 0 3 * * *": ErrPlan, "0 3 30 2 *": ErrNever, "0 3 31 4,6 *": ErrNever} {
		if _, err := ParsePlan(text); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", text, err, want)
		}
	}
}

func TestAWeeklyPlanComesBackAsItWasChosen(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 9))
	for range 500 {
		var days []time.Weekday
		for _, d := range Weekdays {
			if rng.IntN(2) == 0 {
				days = append(days, d)
			}
		}
		h, m := rng.IntN(24), rng.IntN(60)
		text := WeeklyPlan(days, h, m).Text
		p, err := ParsePlan(text)
		if len(days) == 0 {
			if err == nil {
				t.Fatalf("no day became %q", text)
			}
			continue
		}
		if err != nil || !p.Simple || p.Hour != h || p.Minute != m || !slices.Equal(p.Days, days) {
			t.Fatalf("%v %d:%d became %q and %+v, %v", days, h, m, text, p, err)
		}
		now := time.Date(2026, 11, 24, rng.IntN(24), rng.IntN(60), 0, 0, time.UTC)
		last := now
		for _, d := range p.Dates(now, 3) {
			d = d.In(record.Macau)
			if !d.After(last) || d.Hour() != h || d.Minute() != m || !slices.Contains(days, d.Weekday()) || d.Sub(last) > 8*24*time.Hour {
				t.Fatalf("%q after %v gives %v", text, last, d)
			}
			last = d
		}
	}
}

func TestWhatIsNoWeeklyPlanIsNotCalledOne(t *testing.T) {
	for _, text := range []string{"*/15 * * * *", "0 3 1 * *", "0 3,15 * * *", "0 3 * 12 *"} {
		if p, err := ParsePlan(text); err != nil || p.Simple {
			t.Errorf("%q: %+v %v", text, p, err)
		}
	}
	if p := WeeklyPlan([]time.Weekday{time.Sunday}, 3, 0); p.Text != DefaultWeek {
		t.Errorf("%q", p.Text)
	}
	if p := WeeklyPlan(Weekdays, 4, 30); p.Text != DefaultNight {
		t.Errorf("%q", p.Text)
	}
}
