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

// Scope is what a reader may see. Its zero value sees nothing. The catalog
// takes it as an argument of every query, so none can be written without one.
type Scope struct {
	All        bool     // every department
	Depts      []int64  // with all their sub-departments, already expanded
	Kinds      []Kind   // empty: none
	Class      Class    // highest class readable
	Private    bool     // 1:1 conversations too
	Containers []string // when set, only these containers
}

// Nothing reports whether the scope can match no record at all.
func (s Scope) Nothing() bool { return len(s.Kinds) == 0 || (!s.All && len(s.Depts) == 0) }
