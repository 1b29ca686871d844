package watch

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"farol/internal/audit"
	"farol/internal/record"
)

// Limits are the thresholds. Each pairs a floor, below which people's ordinary
// work lies, with a comparison, so that neither a small firm's clean-up nor a
// large firm's busy day rings.
type Limits struct {
	Deletions     int64   // in one container on one day, at least
	DeletedShare  float64 // of what the container held that morning
	DeptDeletions int64   // in all containers of a department together
	DeptShare     float64 // of what those containers held

	Changes      int64 // new versions in one container on one day
	ChangedShare float64

	Times float64 // how many times the usual; the usual is the second busiest day of nine weeks

	NoiseFiles int64 // files turned into noise on one day, over all containers of a kind
	NotedFiles int64 // so many are enough beside a ransom note
	Notes      int64 // ransom notes alone

	SilentDays  int     // whole working days without a message
	SteadyDays  int     // working days before them that are looked at
	SteadyShare float64 // of these on which the department wrote
	SteadyRate  int64   // messages on the middle one of them

	ShrinkItems  int64   // fewer listed, or more missing, at least
	ShrinkListed float64 // share of the listing that is gone
	ShrinkHeld   float64 // share of the listing that is held no longer
}

// Default are the thresholds in use. The package comment says why an ordinary
// day stays below them.
var Default = Limits{
	Deletions: 30, DeletedShare: 0.25, DeptDeletions: 150, DeptShare: 0.15,
	Changes: 150, ChangedShare: 0.4,
	Times:      4,
	NoiseFiles: 5, NotedFiles: 2, Notes: 3,
	SilentDays: 3, SteadyDays: 20, SteadyShare: 0.9, SteadyRate: 20,
	ShrinkItems: 100, ShrinkListed: 0.3, ShrinkHeld: 0.05,
}

// Cause is why an alarm was raised. Each is a message id of the catalogs below
// "alarm.cause.".
type Cause string

// The causes.
const (
	Deletion Cause = "deletion" // far more tombstones than usual
	Change   Cause = "change"   // far more new versions than usual
	Ransom   Cause = "ransom"   // files turned into noise, or ransom notes
	Silence  Cause = "silence"  // a department that always wrote has stopped
	Shrink   Cause = "shrink"   // a kind is listed or held less completely
	Damage   Cause = "damage"   // what was read back differs from its hash
	Missing  Cause = "missing"  // upstream lists what is not held

	Breakglass Cause = "breakglass" // somebody signed in with the account in the envelope
	LogTamper  Cause = "logtamper"  // the audit log is not what was signed
	Refused    Cause = "refused"    // the off-site node does not take what is sent
)

// Causes lists them, worst first.
var Causes = []Cause{LogTamper, Ransom, Breakglass, Damage, Refused, Deletion, Missing, Change, Shrink, Silence}

// Finding is one unusual thing at one place.
type Finding struct {
	Cause     Cause
	Kind      record.Kind // "" when of no one kind
	Dept      int64
	Container int64  // the catalog's blind id, 0 = the department as a whole
	Seen      int64  // how many
	Usual     int64  // how many are usual
	Held      int64  // of how many
	Seq       uint64 // first commit that belongs to it, 0 = none

	Witness audit.Witness // whose word it is, "" = what this appliance found itself
}

// Activity is what one day has brought to one container so far, as far as no
// person has looked at it.
type Activity struct {
	Kind             record.Kind
	Dept, Container  int64
	Deleted, Changed int64
	Noise, Notes     int64
	Held             int64 // live items before the day began
	UsualDeleted     int64
	UsualChanged     int64
	SeqDeleted       uint64 // first commit of each; 0 = none
	SeqChanged       uint64
	SeqNoise         uint64
}

// lived are the kinds whose items change in the course of ordinary work: the
// state of an approval moves on, and a reorganisation rewrites every entry of
// the contacts. Many changes of these say nothing.
var lived = map[record.Kind]bool{record.Approvals: true, record.Contacts: true}

// over reports whether seen passes a floor, a share of what was held and the
// usual, all three.
func (l Limits) over(seen, floor, held int64, share float64, usual int64) bool {
	return seen >= floor && float64(seen) >= share*float64(held) && float64(seen) >= l.Times*float64(usual)
}

// Judge finds what is unusual in a day. The same day gives the same findings
// in the same order.
func (l Limits) Judge(day []Activity) []Finding {
	var out []Finding
	type key struct {
		kind record.Kind
		dept int64
	}
	depts := map[key]*Activity{}
	ransom := map[record.Kind][]Activity{}
	for _, a := range day {
		if l.over(a.Deleted, l.Deletions, a.Held, l.DeletedShare, a.UsualDeleted) {
			out = append(out, Finding{Deletion, a.Kind, a.Dept, a.Container, a.Deleted, a.UsualDeleted, a.Held, a.SeqDeleted, ""})
		}
		if !lived[a.Kind] && l.over(a.Changed, l.Changes, a.Held, l.ChangedShare, a.UsualChanged) {
			out = append(out, Finding{Change, a.Kind, a.Dept, a.Container, a.Changed, a.UsualChanged, a.Held, a.SeqChanged, ""})
		}
		if a.Noise+a.Notes > 0 {
			ransom[a.Kind] = append(ransom[a.Kind], a)
		}
		if a.Deleted > 0 {
			k := key{a.Kind, a.Dept}
			d := depts[k]
			if d == nil {
				d = &Activity{}
				depts[k] = d
			}
			d.Deleted += a.Deleted
			d.Held += a.Held
			d.UsualDeleted += a.UsualDeleted
			d.SeqDeleted = first(d.SeqDeleted, a.SeqDeleted)
		}
	}
	for k, d := range depts {
		already := slices.ContainsFunc(out, func(f Finding) bool { return f.Cause == Deletion && f.Kind == k.kind && f.Dept == k.dept })
		if !already && l.over(d.Deleted, l.DeptDeletions, d.Held, l.DeptShare, d.UsualDeleted) {
			out = append(out, Finding{Deletion, k.kind, k.dept, 0, d.Deleted, d.UsualDeleted, d.Held, d.SeqDeleted, ""})
		}
	}
	for _, as := range ransom {
		var noise, notes int64
		for _, a := range as {
			noise, notes = noise+a.Noise, notes+a.Notes
		}
		if noise >= l.NoiseFiles || notes >= 1 && noise >= l.NotedFiles || notes >= l.Notes {
			for _, a := range as {
				out = append(out, Finding{Ransom, a.Kind, a.Dept, a.Container, a.Noise + a.Notes, 0, a.Held, a.SeqNoise, ""})
			}
		}
	}
	slices.SortFunc(out, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(slices.Index(Causes, a.Cause), slices.Index(Causes, b.Cause)), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Dept, b.Dept), cmp.Compare(a.Container, b.Container))
	})
	return out
}

// first is the smaller of two commits; 0 is none.
func first(a, b uint64) uint64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// Rate is how many messages a department wrote on one day in Macau.
type Rate struct {
	Dept int64
	Day  string // 2006-01-02
	N    int64
}

// Quiet is a department that has fallen silent.
type Quiet struct {
	Dept  int64
	Usual int64     // messages on the middle one of its steady days
	Since time.Time // the morning of the first silent day
}

// Silent finds departments that wrote steadily and have stopped while the
// others go on. Whole days before now count, Monday to Friday, and only those
// on which the rest of the firm wrote at least half of its usual: a public
// holiday silences all. Days before since, when nobody was watching, are taken
// as they were told by the history but never as silent ones.
func (l Limits) Silent(now, since time.Time, rates []Rate) []Quiet {
	by := map[int64]map[string]int64{}
	total := map[string]int64{}
	for _, r := range rates {
		if by[r.Dept] == nil {
			by[r.Dept] = map[string]int64{}
		}
		by[r.Dept][r.Day] += r.N
		total[r.Day] += r.N
	}
	today := midnight(now)
	var out []Quiet
	for _, dept := range slices.Sorted(maps.Keys(by)) {
		own := by[dept]
		var others []int64
		var days []time.Time // working days, newest first
		for i := 1; len(days) < 2*(l.SilentDays+l.SteadyDays) && i < 120; i++ {
			d := today.AddDate(0, 0, -i)
			if wd := d.Weekday(); wd != time.Saturday && wd != time.Sunday {
				days = append(days, d)
				others = append(others, total[d.Format(time.DateOnly)]-own[d.Format(time.DateOnly)])
			}
		}
		floor := max(middle(others)/2, 1)
		days = slices.DeleteFunc(days, func(d time.Time) bool {
			return total[d.Format(time.DateOnly)]-own[d.Format(time.DateOnly)] < floor
		})
		if len(days) < l.SilentDays+l.SteadyDays {
			continue
		}
		silent, steady := days[:l.SilentDays], days[l.SilentDays:l.SilentDays+l.SteadyDays]
		if slices.ContainsFunc(silent, func(d time.Time) bool { return own[d.Format(time.DateOnly)] > 0 || d.Before(since) }) {
			continue
		}
		var wrote []int64
		on := 0
		for _, d := range steady {
			n := own[d.Format(time.DateOnly)]
			wrote = append(wrote, n)
			if n > 0 {
				on++
			}
		}
		if usual := middle(wrote); usual >= l.SteadyRate && float64(on) >= l.SteadyShare*float64(len(steady)) {
			out = append(out, Quiet{dept, usual, silent[len(silent)-1]})
		}
	}
	return out
}

// middle is the median, the lower one of two.
func middle(ns []int64) int64 {
	if len(ns) == 0 {
		return 0
	}
	ns = slices.Sorted(slices.Values(ns))
	return ns[(len(ns)-1)/2]
}

// Listing is what one whole listing of a kind showed.
type Listing struct {
	Listed int64
	Held   int64 // of these
}

// Shrunk compares two whole listings of the same scope, and says how many
// items the newer one is short of: listed no longer, or held no longer.
func (l Limits) Shrunk(was, is Listing) (short int64, yes bool) {
	if gone := was.Listed - is.Listed; gone >= l.ShrinkItems && float64(gone) >= l.ShrinkListed*float64(was.Listed) {
		return gone, true
	}
	if was.Listed == 0 || is.Listed == 0 {
		return 0, false
	}
	lack, lacked := is.Listed-is.Held, was.Listed-was.Held
	fell := float64(lack)/float64(is.Listed) - float64(lacked)/float64(was.Listed)
	return lack - lacked, lack-lacked >= l.ShrinkItems && fell >= l.ShrinkHeld
}

func midnight(t time.Time) time.Time {
	t = t.In(record.Macau)
	return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, record.Macau)
}
