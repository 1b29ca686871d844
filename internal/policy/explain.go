package policy

import (
	"slices"
	"time"

	"farol/internal/record"
)

// Target is a record as far as a decision looks at it.
type Target struct {
	Kind    record.Kind
	Depts   []int64 // its department and those above
	Class   record.Class
	Realms  record.Realms
	Private bool
	Author  string // person key
}

// Want is what a grant lacks for an act.
type Want string

// The wants, in the order they are looked at.
const (
	WantAction  Want = "action"
	WantLive    Want = "live" // the grant has ended
	WantPurpose Want = "purpose"
	WantKind    Want = "kind"
	WantDept    Want = "dept"
	WantClass   Want = "class"
	WantRealm   Want = "realm"
	WantPrivate Want = "private"
	WantOwn     Want = "own" // somebody else wrote it
)

// Why is one grant's part in a decision; it covers the act when it wants
// nothing.
type Why struct {
	Grant Grant
	Wants []Want
}

// Explain says of each grant of a subject why it covers an act on a record or
// what it lacks. It decides exactly as [Allow] does.
func Explain(s Subject, a Action, p Purpose, t Target, now time.Time) (allowed bool, why []Why) {
	for _, g := range s.Grants {
		w := Why{Grant: g}
		lacks := func(bad bool, x Want) {
			if bad {
				w.Wants = append(w.Wants, x)
			}
		}
		lacks(!slices.Contains(g.Actions, a), WantAction)
		lacks(!g.live(now), WantLive)
		if a.Content() {
			lacks(!slices.Contains(g.Purposes, p), WantPurpose)
			lacks(!slices.Contains(g.Kinds, t.Kind), WantKind)
			lacks(!g.All && !slices.ContainsFunc(t.Depts, func(d int64) bool { return slices.Contains(g.Depts, d) }), WantDept)
			lacks(t.Class > g.Class, WantClass)
			lacks(t.Realms&^g.Realms != 0, WantRealm)
			lacks(t.Private && !g.Custody && !(g.Private && p.Legal()), WantPrivate)
			lacks(g.Own && (t.Author == "" || !slices.Contains(g.Names, t.Author)), WantOwn)
		}
		allowed = allowed || len(w.Wants) == 0
		why = append(why, w)
	}
	return allowed, why
}
