package watch

import (
	"math/rand/v2"
	"testing"
	"time"

	"farol/internal/record"
)

func causes(fs []Finding) map[Cause]int {
	m := map[Cause]int{}
	for _, f := range fs {
		m[f.Cause]++
	}
	return m
}

func TestAnOrdinaryDayDoesNotRing(t *testing.T) {
	month := []Activity{}
	for i := range int64(12) { // month-end: every form's approvals move on, spreadsheets are saved all day
		month = append(month, Activity{Kind: record.Approvals, Dept: i % 4, Container: 100 + i, Changed: 400, Held: 420},
			Activity{Kind: record.Files, Dept: i % 4, Container: 200 + i, Changed: 140, Held: 60, UsualChanged: 90})
	}
	for name, day := range map[string][]Activity{
		"nothing":                          nil,
		"a clean-up of 10 files":           {{Kind: record.Files, Dept: 3, Container: 1, Deleted: 10, Held: 12}},
		"a clean-up of an old share":       {{Kind: record.Files, Dept: 3, Container: 1, Deleted: 400, Held: 4000}},
		"the monthly clean-up":             {{Kind: record.Files, Dept: 3, Container: 1, Deleted: 300, Held: 900, UsualDeleted: 280}},
		"a reorganisation of the contacts": {{Kind: record.Contacts, Dept: 1, Container: 9, Changed: 186, Held: 195}},
		"month-end":                        month,
		"one odd file in each of 4 spaces": {{Kind: record.Files, Container: 1, Noise: 1, Held: 90}, {Kind: record.Files, Container: 2, Noise: 1, Held: 90}, {Kind: record.Files, Container: 3, Noise: 1, Held: 90}, {Kind: record.Files, Container: 4, Noise: 1, Held: 90}},
		"a guide how to restore files":     {{Kind: record.Files, Container: 1, Notes: 1, Held: 90}},
		"a busy group is edited a lot":     {{Kind: record.Chat, Container: 1, Changed: 900, Held: 80000}},
		"recalls on a noisy day":           {{Kind: record.Chat, Container: 1, Deleted: 29, Held: 60}},
	} {
		if fs := Default.Judge(day); len(fs) > 0 {
			t.Errorf("%s rings: %+v", name, fs)
		}
	}
}

func TestAnAttackRingsWithItsFigures(t *testing.T) {
	for name, c := range map[string]struct {
		day  []Activity
		want Finding
	}{
		"a space is emptied":    {[]Activity{{Kind: record.Files, Dept: 3, Container: 7, Deleted: 60, Held: 61, UsualDeleted: 2, SeqDeleted: 40}}, Finding{Deletion, record.Files, 3, 7, 60, 2, 61, 40, ""}},
		"a group is taken back": {[]Activity{{Kind: record.Chat, Dept: 3, Container: 7, Deleted: 900, Held: 1000, SeqDeleted: 41}}, Finding{Deletion, record.Chat, 3, 7, 900, 0, 1000, 41, ""}},
		"everything has a new version": {[]Activity{{Kind: record.Files, Dept: 3, Container: 7, Changed: 200, Held: 200, UsualChanged: 20, SeqChanged: 42}},
			Finding{Change, record.Files, 3, 7, 200, 20, 200, 42, ""}},
		"files turn into noise": {[]Activity{{Kind: record.Files, Dept: 3, Container: 7, Noise: 5, Held: 4000, SeqNoise: 43}}, Finding{Ransom, record.Files, 3, 7, 5, 0, 4000, 43, ""}},
		"two beside a note":     {[]Activity{{Kind: record.Files, Dept: 3, Container: 7, Noise: 2, Notes: 1, Held: 4000, SeqNoise: 44}}, Finding{Ransom, record.Files, 3, 7, 3, 0, 4000, 44, ""}},
		"a department is emptied a little everywhere": {[]Activity{{Kind: record.Files, Dept: 3, Container: 7, Deleted: 90, Held: 400, SeqDeleted: 46}, {Kind: record.Files, Dept: 3, Container: 8, Deleted: 90, Held: 400, SeqDeleted: 45}},
			Finding{Deletion, record.Files, 3, 0, 180, 0, 800, 45, ""}},
	} {
		fs := Default.Judge(c.day)
		if len(fs) != 1 || fs[0] != c.want {
			t.Errorf("%s: %+v, want %+v", name, fs, c.want)
		}
	}
}

// TestJudgingIsMonotonic: an attack that goes on never silences the alarm it
// has raised, and what is usual never makes a day ring that did not.
func TestJudgingIsMonotonic(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 3000 {
		var day []Activity
		for i := range 1 + rng.IntN(6) {
			held := rng.Int64N(2000)
			day = append(day, Activity{Kind: record.Kinds[rng.IntN(4)], Dept: rng.Int64N(3), Container: int64(i + 1), Held: held, Deleted: rng.Int64N(held + 1), Changed: rng.Int64N(400), Noise: rng.Int64N(4), Notes: rng.Int64N(2),
				UsualDeleted: rng.Int64N(80), UsualChanged: rng.Int64N(80), SeqDeleted: 1 + rng.Uint64N(90), SeqChanged: 1 + rng.Uint64N(90), SeqNoise: 1 + rng.Uint64N(90)})
		}
		was := causes(Default.Judge(day))
		worse, calmer := make([]Activity, len(day)), make([]Activity, len(day))
		for i, a := range day {
			b := a
			b.Deleted = min(a.Deleted+rng.Int64N(50), a.Held)
			b.Changed, b.Noise, b.Notes = a.Changed+rng.Int64N(50), a.Noise+rng.Int64N(3), a.Notes+rng.Int64N(2)
			worse[i] = b
			b = a
			b.UsualDeleted, b.UsualChanged = a.UsualDeleted+rng.Int64N(100), a.UsualChanged+rng.Int64N(100)
			calmer[i] = b
		}
		is, less := causes(Default.Judge(worse)), causes(Default.Judge(calmer))
		for c := range was {
			if is[c] == 0 {
				t.Fatalf("%s was silenced by more of it: %+v, then %+v", c, day, worse)
			}
		}
		for c := range less {
			if was[c] == 0 {
				t.Fatalf("%s rings because more is usual: %+v", c, day)
			}
		}
	}
}

// year writes what departments wrote on the working days before now.
func year(now time.Time, depts map[int64]func(day time.Time, i int) int64) (out []Rate) {
	for i := 1; i <= 119; i++ {
		d := midnight(now).AddDate(0, 0, -i)
		if wd := d.Weekday(); wd == time.Saturday || wd == time.Sunday {
			continue
		}
		for id, fn := range depts {
			if n := fn(d, i); n > 0 {
				out = append(out, Rate{id, d.Format(time.DateOnly), n})
			}
		}
	}
	return out
}

func TestOnlyADepartmentThatStopsWhileOthersWriteIsSilent(t *testing.T) {
	now := time.Date(2026, 11, 26, 5, 0, 0, 0, record.Macau) // a Thursday before dawn
	steady := func(time.Time, int) int64 { return 60 }
	stopped := func(_ time.Time, i int) int64 { // nothing on Monday, Tuesday and Wednesday
		if i <= 3 {
			return 0
		}
		return 60
	}
	long := now.AddDate(-1, 0, 0)
	for name, c := range map[string]struct {
		depts map[int64]func(time.Time, int) int64
		since time.Time
		want  int64
	}{
		"one stops":                {map[int64]func(time.Time, int) int64{1: steady, 2: stopped}, long, 2},
		"a holiday for all":        {map[int64]func(time.Time, int) int64{1: stopped, 2: stopped, 3: stopped}, long, 0},
		"all go on":                {map[int64]func(time.Time, int) int64{1: steady, 2: steady}, long, 0},
		"one that is rarely heard": {map[int64]func(time.Time, int) int64{1: steady, 2: func(_ time.Time, i int) int64 { return int64(i%5/4) * 90 }}, long, 0},
		"one with few words":       {map[int64]func(time.Time, int) int64{1: steady, 2: func(d time.Time, i int) int64 { return min(stopped(d, i), 5) }}, long, 0},
		"one that is new": {map[int64]func(time.Time, int) int64{1: steady, 2: func(d time.Time, i int) int64 {
			if i > 15 {
				return 0
			}
			return stopped(d, i)
		}}, long, 0},
		"silent before we watched": {map[int64]func(time.Time, int) int64{1: steady, 2: stopped}, now.Add(-30 * time.Hour), 0},
		"the first full backup":    {map[int64]func(time.Time, int) int64{1: steady, 2: stopped}, now, 0},
	} {
		got := Default.Silent(now, c.since, year(now, c.depts))
		var dept int64
		if len(got) > 0 {
			dept = got[0].Dept
		}
		if len(got) > 1 || dept != c.want {
			t.Errorf("%s: %+v, want department %d", name, got, c.want)
		}
	}
	monday := Default.Silent(now, long, year(now, map[int64]func(time.Time, int) int64{1: steady, 2: stopped}))
	if len(monday) != 1 || monday[0].Usual != 60 || monday[0].Since.Format(time.DateOnly) != "2026-11-23" {
		t.Errorf("the silence is told as %+v", monday)
	}
}

func TestAListingThatFallsShortRings(t *testing.T) {
	for _, c := range []struct {
		was, is Listing
		short   int64
		yes     bool
	}{
		{Listing{1000, 1000}, Listing{1010, 1010}, 0, false},
		{Listing{1000, 1000}, Listing{950, 950}, 0, false},
		{Listing{1000, 1000}, Listing{600, 600}, 400, true},
		{Listing{90, 90}, Listing{10, 10}, 0, false},
		{Listing{10000, 9990}, Listing{10100, 9400}, 690, true},
		{Listing{10000, 9990}, Listing{10100, 10000}, 0, false},
		{Listing{0, 0}, Listing{50000, 48000}, 0, false},
		{Listing{1000, 1000}, Listing{0, 0}, 1000, true},
	} {
		short, yes := Default.Shrunk(c.was, c.is)
		if yes != c.yes || yes && short != c.short {
			t.Errorf("%+v then %+v: %d %v", c.was, c.is, short, yes)
		}
	}
}
