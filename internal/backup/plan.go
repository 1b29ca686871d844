package backup

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"farol/internal/record"
)

// Plan is a schedule: five fields of cron in Macau time. Most are a time on
// some days of the week; those have Days, Hour and Minute.
type Plan struct {
	Text   string
	Days   []time.Weekday // when Simple, Monday first
	Hour   int
	Minute int
	Simple bool

	cron cron.Schedule
}

// Errors of ParsePlan.
var (
	ErrPlan  = errors.New("not a schedule")
	ErrNever = errors.New("a schedule that never comes")
)

// Weekdays are the days of the week, Monday first.
var Weekdays = []time.Weekday{time.Monday, time.Tuesday, time.Wednesday, time.Thursday, time.Friday, time.Saturday, time.Sunday}

// ParsePlan reads five fields of cron. It returns [ErrPlan] for anything else
// and [ErrNever] for a day that no year has.
func ParsePlan(text string) (Plan, error) {
	fields := strings.Fields(text)
	p := Plan{Text: strings.Join(fields, " ")}
	if len(fields) != 5 || strings.ContainsAny(text, "=@") { // a zone of its own, or @every, says nothing of Macau's nights
		return p, ErrPlan
	}
	var err error
	if p.cron, err = cron.ParseStandard(p.Text); err != nil {
		return p, fmt.Errorf("%w: %w", ErrPlan, err)
	}
	if p.cron.Next(time.Date(2026, 1, 1, 0, 0, 0, 0, record.Macau)).IsZero() {
		return p, ErrNever
	}
	p.simple(fields)
	return p, nil
}

// simple finds the time and the days of a weekly schedule.
func (p *Plan) simple(f []string) {
	m, merr := strconv.Atoi(f[0])
	h, herr := strconv.Atoi(f[1])
	if merr != nil || herr != nil || !star(f[2]) || !star(f[3]) {
		return
	}
	s, ok := p.cron.(*cron.SpecSchedule)
	if !ok {
		return
	}
	p.Hour, p.Minute, p.Simple = h, m, true
	for _, d := range Weekdays {
		if s.Dow&(1<<uint(d)) != 0 {
			p.Days = append(p.Days, d)
		}
	}
}

func star(f string) bool { return f == "*" || f == "?" }

// WeeklyPlan is the schedule for a time on some days of the week.
func WeeklyPlan(days []time.Weekday, hour, minute int) Plan {
	p := Plan{Hour: hour, Minute: minute, Simple: true}
	var names []string
	for _, d := range Weekdays {
		if slices.Contains(days, d) {
			p.Days = append(p.Days, d)
			names = append(names, strconv.Itoa(int(d)))
		}
	}
	on := strings.Join(names, ",")
	switch {
	case len(names) == 7:
		on = "*"
	case on == "1,2,3,4,5":
		on = "1-5"
	}
	p.Text = fmt.Sprintf("%d %d * * %s", minute, hour, on)
	parsed, err := ParsePlan(p.Text)
	if err != nil {
		return p // no day or no such time; ParsePlan of the text says so again
	}
	return parsed
}

// Dates lists the next n times after t.
func (p Plan) Dates(t time.Time, n int) []time.Time {
	var out []time.Time
	for range n {
		if p.cron == nil {
			break
		}
		if t = p.cron.Next(t.In(record.Macau)); t.IsZero() {
			break
		}
		out = append(out, t)
	}
	return out
}
