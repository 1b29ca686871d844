package growth

import (
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"farol/internal/db"
	"farol/internal/record"
)

var first = time.Date(2026, 1, 1, 0, 0, 0, 0, record.Macau)

const gb = int64(1e9)

// steady is n days that grow by each, from a start.
func steady(n int, start, each int64) (out []Day) {
	for i := range n {
		out = append(out, Day{first.AddDate(0, 0, i), start + int64(i)*each})
	}
	return out
}

func TestAnOutlookNeverSaysMoreThanWasMeasured(t *testing.T) {
	gap := append(steady(3, 0, gb), Day{first.AddDate(0, 0, 40), 41 * gb})
	shrinking := steady(30, 900*gb, -gb)
	for _, k := range []struct {
		name string
		days []Day
		room int64
		want Outlook
	}{
		{"no day yet", nil, gb, Outlook{State: TooEarly}},
		{"six days", steady(6, 0, gb), 100 * gb, Outlook{State: TooEarly, Days: 6}},
		{"few measures over many days", gap, 100 * gb, Outlook{State: TooEarly, Days: 41}},
		{"a week", steady(7, 0, gb), 100 * gb, Outlook{State: Until, Left: 100 * day, PerDay: gb, Days: 7}},
		{"a week reaches twenty weeks ahead", steady(7, 0, gb), 1000 * gb, Outlook{State: Beyond, Left: 140 * day, PerDay: gb, Days: 7}},
		{"three years and nine months", steady(90, 0, gb), 1370 * gb, Outlook{State: Until, Left: 1370 * day, PerDay: gb, Days: 90}},
		{"flat", steady(30, gb, 0), gb, Outlook{State: Never, Days: 30}},
		{"shrinking", shrinking, gb, Outlook{State: Never, PerDay: -gb, Days: 30}},
		{"no room left", steady(3, 0, gb), 0, Outlook{State: Full, Days: 3}},
		{"no room left and growing", steady(30, 0, gb), -5, Outlook{State: Full, Days: 30}},
	} {
		if got := Look(k.days, k.room); got != k.want {
			t.Errorf("%s: %+v, want %+v", k.name, got, k.want)
		}
	}
}

func TestNothingIsSaidOfATimeTooFarAway(t *testing.T) {
	const year = 365 * day
	for n, want := range map[int]int64{6: 0, 7: 0, 18: 0, 19: 365 * gb, 90: 365 * gb} { // twenty times the days looked at
		got, ok := Look(steady(n, 0, gb), 1e15).After(year)
		if got != want || ok != (want > 0) {
			t.Errorf("%d days: %d more in a year, %v", n, got, ok)
		}
	}
	if got, ok := Look(steady(90, 900*gb, -gb), 1e15).After(year); ok {
		t.Errorf("an archive that shrinks has %d more in a year", got)
	}
}

// TestOneJumpDoesNotMoveTheDate: a first backup or a compaction.
func TestOneJumpDoesNotMoveTheDate(t *testing.T) {
	plain := Look(steady(60, 0, gb), 500*gb)
	for _, jump := range []int64{800 * gb, -20 * gb} {
		days := steady(60, 0, gb)
		for i := 5; i < len(days); i++ {
			days[i].Bytes += jump
		}
		got := Look(days, 500*gb)
		if got.State != Until || got.Left < plain.Left*8/10 || got.Left > plain.Left*12/10 {
			t.Errorf("a jump of %d moves %v to %+v", jump, plain.Left, got)
		}
	}
}

// TestRandomPacesAreFound holds noisy weeks, with quiet week-ends, against the
// pace they were made with.
func TestRandomPacesAreFound(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 5))
	for range 200 {
		pace := 1e6 + rng.Float64()*5e9
		n := 28 + rng.IntN(120)
		days, sum := make([]Day, n), 0.0
		for i := range days {
			if i%7 < 5 {
				sum += pace * 7 / 5 * (.7 + .6*rng.Float64())
			}
			days[i] = Day{first.AddDate(0, 0, i), int64(sum)}
		}
		room := int64(pace * float64(n) * 3)
		got := Look(days, room)
		want := float64(n) * 3
		if left := got.Left.Hours() / 24; got.State != Until || left < want*.85 || left > want*1.15 {
			t.Fatalf("pace %.0f over %d days: %+v, want about %.0f days", pace, n, got, want)
		}
	}
}

func TestTheLastMeasureOfADayStays(t *testing.T) {
	d, err := db.Open(t.Context(), filepath.Join(t.TempDir(), "control.db"), db.Control, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	now := time.Date(2026, 11, 24, 1, 0, 0, 0, record.Macau)
	for i, at := range []time.Time{now.AddDate(0, 0, -Window-1), now.AddDate(0, 0, -2), now.Add(-90 * time.Minute), now.Add(-61 * time.Minute), now, now.Add(22 * time.Hour)} {
		if err := Note(t.Context(), d, at, int64(i)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Days(t.Context(), d, now)
	if err != nil || len(got) != 3 || got[0].Bytes != 1 || got[1].Bytes != 3 || got[2].Bytes != 5 || !got[2].Day.Equal(time.Date(2026, 11, 24, 0, 0, 0, 0, record.Macau)) {
		t.Errorf("%+v %v", got, err)
	}
}
