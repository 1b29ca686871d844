package record

// Class is how secret a record is, 0 (public inside the firm) to 3 (secret).
type Class int

// The four classes.
const (
	Open Class = iota
	Internal
	Confidential
	Secret
)

// Dept is one department of the tenant.
type Dept struct {
	ID     int64
	Parent int64 // 0 for the root
	Name   string
}

// Container is what holds items upstream: a conversation, a space, a form,
// the organisation itself.
type Container struct {
	Kind    Kind
	ID      string
	Title   string
	Dept    int64    // owning department
	Private bool     // a 1:1 conversation: readable for legal purposes only
	Members []string // person keys, where the listing tells
}

// Realms is a set of closed circles: records that only the people named for
// them may see, whatever else they may see.
type Realms uint8

// The closed circles.
const (
	Finance   Realms = 1 << iota // money: accounts, payments, invoices
	Personnel                    // people: pay, contracts, conduct
	AllRealms = Finance | Personnel
)

// Scope is what a reader may see. Its zero value sees nothing. The catalog
// takes it as an argument of every query, so none can be written without one.
type Scope struct {
	All        bool     // every department
	Depts      []int64  // with all their sub-departments, already expanded
	Kinds      []Kind   // empty: none
	Class      Class    // highest class readable
	Private    bool     // 1:1 conversations too
	Realms     Realms   // closed circles that are open to the reader
	Except     []int64  // departments that belong to the others; contacts apart, nothing of theirs is seen
	Containers []string // when set, only these containers
	Own        bool     // only what Authors wrote; nobody's without an author
	Authors    []string // the person keys of one person, see [Record.Author]
	Or         []Scope  // further scopes, none of them with an Or: what one of all shows is seen
}

// Nothing reports whether the scope can match no record at all.
func (s Scope) Nothing() bool {
	for _, o := range s.Or {
		if !o.Nothing() {
			return false
		}
	}
	return len(s.Kinds) == 0 || (!s.All && len(s.Depts) == 0) || (s.Own && len(s.Authors) == 0)
}

// Each returns the scope with every one of its alternatives changed by fn;
// those that then match nothing are left out.
func (s Scope) Each(fn func(*Scope)) Scope {
	var out Scope
	for i, o := range append([]Scope{s}, s.Or...) {
		if i == 0 {
			o.Or = nil
		}
		if fn(&o); !o.Nothing() {
			out = out.With(o)
		}
	}
	return out
}

// With returns a scope that sees what either sees. o has no Or.
func (s Scope) With(o Scope) Scope {
	if s.Nothing() {
		return o
	}
	s.Or = append(s.Or[:len(s.Or):len(s.Or)], o)
	return s
}

// One returns the first alternative alone that fn holds for; ok is false when
// there is none.
func (s Scope) One(fn func(Scope) bool) (Scope, bool) {
	for i, o := range append([]Scope{s}, s.Or...) {
		if i == 0 {
			o.Or = nil
		}
		if !o.Nothing() && fn(o) {
			return o, true
		}
	}
	return Scope{}, false
}
