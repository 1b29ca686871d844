// Package retention thins points in time: how long each stays, a preview of
// what would go, and forgetting that leaves an entry in the audit log.
//
// It promises that the newest point, a held point and anything beside an
// unacknowledged alarm stay, and that no point goes without its entry. It
// never deletes records: each newer point holds every version an older one
// held. What goes is the state of the tree in between.
//
// # Design
//
// [Plan] is pure. Days, weeks and months are those of Macau. A point stands
// for its day when it is the day's last, for its week when it is the week's
// last, and so on, whether or not its neighbours are of the same age: so a day
// that passes from one rule to the next always has its last point still there.
package retention

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"farol/internal/archive"
	"farol/internal/audit"
	"farol/internal/record"
)

// Rules say how long points stay, in days of age. Each rule reaches further
// back than the one before.
type Rules struct {
	All     int `json:"all_days"`     // every point
	Daily   int `json:"daily_days"`   // the last of each day
	Weekly  int `json:"weekly_days"`  // the last of each week
	Monthly int `json:"monthly_days"` // the last of each month; older ones go
	From    int `json:"from_hour"`    // the window in which points are forgotten, hours in Macau
	To      int `json:"to_hour"`      // equal to From: at any time
}

// Default keeps everything for 7 days, days for 90, weeks for 2 years and
// months for 10, and works before dawn.
var Default = Rules{All: 7, Daily: 90, Weekly: 731, Monthly: 3653, From: 3, To: 6}

// ErrRules means that rules contradict themselves.
var ErrRules = errors.New("the rules of retention do not hold together")

// ParseRules reads rules as JSON; keys that are left out have their default.
// It returns [ErrRules] for rules that contradict themselves.
func ParseRules(text string) (Rules, error) {
	r := Default
	if text == "" {
		return r, nil
	}
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return Default, fmt.Errorf("%w: %w", ErrRules, err)
	}
	return r, r.Validate()
}

// Validate returns [ErrRules] when r keeps less than a day or an older rule
// reaches less far than a younger one.
func (r Rules) Validate() error {
	if r.All < 1 || r.Daily < r.All || r.Weekly < r.Daily || r.Monthly < r.Weekly || r.Monthly > 100_000 ||
		r.From < 0 || r.From > 23 || r.To < 0 || r.To > 23 {
		return ErrRules
	}
	return nil
}

// Why a point stays or goes. Each is a message id of the catalogs below
// "retention.".
type Why string

// The reasons.
const (
	Newest  Why = "newest"
	Held    Why = "held"
	Future  Why = "future" // its time lies ahead: a clock was wrong, nobody knows its age
	All     Why = "all"
	Daily   Why = "daily"
	Weekly  Why = "weekly"
	Monthly Why = "monthly"
	Thinned Why = "thinned" // another point stands for its day, week or month
	Expired Why = "expired" // older than every rule
)

// Verdict is a point with what becomes of it.
type Verdict struct {
	archive.Point
	Why Why
}

// held reports a point that a person or a case has pinned.
func held(p *archive.Point) bool {
	for _, k := range []string{"held", "hold", "pin", "pinned"} {
		if v := p.Tags[k]; v != "" && v != "no" && v != "false" {
			return true
		}
	}
	return false
}

// Plan decides about each point, oldest first.
func Plan(points []archive.Point, r Rules, now time.Time) (keep, drop []Verdict) {
	points = slices.Clone(points)
	slices.SortStableFunc(points, func(a, b archive.Point) int { return a.Time.Compare(b.Time) })
	newest := -1 // by fold: what was folded last holds everything, whatever the clock said
	day, week, month := map[int]int{}, map[int]int{}, map[int]int{}
	for i, p := range points {
		if newest < 0 || p.Fold >= points[newest].Fold {
			newest = i
		}
		d, w, m := buckets(p.Time)
		day[d], week[w], month[m] = i, i, i
	}
	for i := range points {
		p := &points[i]
		d, w, m := buckets(p.Time)
		age := now.Sub(p.Time)
		within := func(days int) bool { return age <= time.Duration(days)*24*time.Hour }
		v := Verdict{*p, Thinned}
		switch {
		case i == newest:
			v.Why = Newest
		case held(p):
			v.Why = Held
		case age < 0:
			v.Why = Future
		case within(r.All):
			v.Why = All
		case within(r.Daily):
			if day[d] == i {
				v.Why = Daily
			}
		case within(r.Weekly):
			if week[w] == i {
				v.Why = Weekly
			}
		case within(r.Monthly):
			if month[m] == i {
				v.Why = Monthly
			}
		default:
			v.Why = Expired
		}
		if v.Why == Thinned || v.Why == Expired {
			drop = append(drop, v)
		} else {
			keep = append(keep, v)
		}
	}
	return keep, drop
}

// buckets numbers the day, the ISO week and the month of a time in Macau.
func buckets(t time.Time) (day, week, month int) {
	t = t.In(record.Macau)
	y, w := t.ISOWeek()
	return t.Year()*1000 + t.YearDay(), y*100 + w, t.Year()*100 + int(t.Month())
}

// Points is what retention needs of the archive.
type Points interface {
	Points(ctx context.Context) ([]archive.Point, error)
	Forget(ctx context.Context, ids ...string) error
}

// Log is what retention needs of the audit log.
type Log interface {
	Append(ctx context.Context, events ...audit.Event) ([]int64, error)
}

// Deps is what a sweep works with.
type Deps struct {
	Archive Points
	Audit   Log
	Rules   func(ctx context.Context) (Rules, error)
	// Alarm reports an alarm that nobody has looked at yet.
	Alarm  func(ctx context.Context) (bool, error)
	Logger *slog.Logger
	Now    func() time.Time
}

// Sweep forgets points. It is safe for concurrent use.
type Sweep struct{ d Deps }

// New returns a sweep. It starts nothing.
func New(d Deps) *Sweep {
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	return &Sweep{d}
}

// Errors of Apply: nothing was forgotten.
var (
	ErrWindow = errors.New("points are forgotten in the window of maintenance only")
	ErrSilent = errors.New("no point was made for weeks, or the clock jumped: no point goes until a few days have been lived through")
	ErrAlarm  = errors.New("an alarm has not been acknowledged: no point goes until a person has looked")
)

// Preview says what Apply would do now, window and alarms apart.
func (s *Sweep) Preview(ctx context.Context) (keep, drop []Verdict, err error) {
	r, err := s.d.Rules(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("preview retention: %w", err)
	}
	points, err := s.d.Archive.Points(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("preview retention: %w", err)
	}
	keep, drop = Plan(points, r, s.d.Now())
	return keep, drop, nil
}

// Alarmed reports that an alarm stops the sweep.
func (s *Sweep) Alarmed(ctx context.Context) (bool, error) { return s.d.Alarm(ctx) }

// silence is the longest ordinary time without a point.
const silence = 31 * 24 * time.Hour

// jumped reports that time jumped ahead within the days of which everything is
// kept: a machine that was off for months, or a clock that is wrong by a year.
// To the rules everything from before looks old at once; people get those days
// to look before anything goes.
func jumped(points []archive.Point, r Rules, now time.Time) bool {
	var times []time.Time
	for _, p := range points {
		if !p.Time.After(now) {
			times = append(times, p.Time)
		}
	}
	slices.SortFunc(times, time.Time.Compare)
	at := now
	for _, t := range slices.Backward(times) {
		if at.Sub(t) > silence {
			return true
		}
		if now.Sub(t) > time.Duration(r.All)*24*time.Hour {
			break
		}
		at = t
	}
	return false
}

// batch bounds how long the archive's snapshots are held at a time.
const batch = 50

// Apply forgets what the rules give up and returns how many points went. Each
// has its entry in the audit log before. It returns [ErrWindow] outside the
// window, [ErrSilent] after a jump of time and [ErrAlarm] while an alarm stands.
func (s *Sweep) Apply(ctx context.Context) (n int, err error) {
	r, err := s.d.Rules(ctx)
	if err != nil {
		return 0, fmt.Errorf("apply retention: %w", err)
	}
	if !r.open(s.d.Now()) {
		return 0, ErrWindow
	}
	points, err := s.d.Archive.Points(ctx)
	if err != nil {
		return 0, fmt.Errorf("apply retention: %w", err)
	}
	now := s.d.Now()
	if jumped(points, r, now) {
		return 0, ErrSilent
	}
	_, drop := Plan(points, r, now)
	for len(drop) > 0 {
		alarm, err := s.d.Alarm(ctx) // one may have come meanwhile
		if err != nil {
			return n, fmt.Errorf("apply retention: %w", err)
		}
		if alarm {
			return n, ErrAlarm
		}
		part := drop[:min(batch, len(drop))]
		drop = drop[len(part):]
		if err := s.forget(ctx, part); err != nil {
			return n, fmt.Errorf("apply retention: %w", err)
		}
		n += len(part)
	}
	return n, nil
}

func (s *Sweep) forget(ctx context.Context, part []Verdict) error {
	ids := make([]string, len(part))
	for i, v := range part {
		ids[i] = v.ID
	}
	if err := s.entries(ctx, part, "ok"); err != nil {
		return err
	}
	err := s.d.Archive.Forget(ctx, ids...)
	if err != nil {
		err = errors.Join(err, s.entries(context.WithoutCancel(ctx), part, "failed"))
	}
	return err
}

func (s *Sweep) entries(ctx context.Context, part []Verdict, outcome string) error {
	evs := make([]audit.Event, len(part))
	for i, v := range part {
		evs[i] = audit.Event{Actor: "system", Operation: "retention.expire", Object: "point/" + v.ID, Outcome: outcome,
			Detail: map[string]string{"rule": string(v.Why), "point_time": v.Time.UTC().Format(time.RFC3339), "seq": strconv.FormatUint(v.Seq, 10)}}
	}
	if _, err := s.d.Audit.Append(ctx, evs...); err != nil {
		return fmt.Errorf("write the entries of points: %w", err)
	}
	return nil
}

// open reports whether t lies in the window, which may span midnight.
func (r Rules) open(t time.Time) bool {
	h := t.In(record.Macau).Hour()
	if r.From <= r.To {
		return r.From == r.To || h >= r.From && h < r.To
	}
	return h >= r.From || h < r.To
}

// Run applies the rules once a night until ctx ends.
func (s *Sweep) Run(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Minute)
	defer tick.Stop()
	var last int
	for {
		if day, _, _ := buckets(s.d.Now()); day != last {
			n, err := s.Apply(ctx)
			switch {
			case errors.Is(err, ErrWindow):
			case err != nil && ctx.Err() == nil:
				last = day // the next night tries again
				s.d.Logger.WarnContext(ctx, "points in time were not thinned", "forgotten", n, "err", err)
			case err == nil:
				last = day
				s.d.Logger.InfoContext(ctx, "points in time thinned", "forgotten", n)
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
