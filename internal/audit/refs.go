package audit

import "strings"

// refKeys are the keys of Detail that hold references: what an entry is about
// beside its object. A value is one id, or several with commas between. Asked
// for as "dept/12", "person/…", "record/…", "container/…", "matter/…".
var refKeys = []string{"dept", "person", "record", "container", "matter"}

// maxRefs bounds what one entry can be found by: an entry about more says how
// many in its detail, and is about the whole.
const maxRefs = 64

// Refs are the references that an entry can be found by, its object first.
func (e *Entry) Refs() []string {
	var out []string
	add := func(ref string) {
		for _, r := range out {
			if r == ref {
				return
			}
		}
		if len(out) < maxRefs {
			out = append(out, ref)
		}
	}
	if e.Object != "" {
		add(e.Object)
	}
	if e.Session != "" {
		add("session/" + e.Session)
	}
	for _, key := range refKeys {
		for id := range strings.SplitSeq(e.Detail[key], ",") {
			if id = strings.TrimSpace(id); id != "" {
				add(key + "/" + id)
			}
		}
	}
	return out
}
