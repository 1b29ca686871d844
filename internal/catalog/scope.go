package catalog

import (
	"strings"

	"farol/internal/record"
)

// where is one alternative of a scope as SQL over rec r. Every query has it.
func where(s record.Scope, containerIDs, authorIDs []int64) (string, []any) {
	var sb strings.Builder
	var args []any
	if s.Nothing() {
		return "0", nil
	}
	in := func(col string, n int, v func(i int) any) {
		if sb.Len() > 0 {
			sb.WriteString(" AND ")
		}
		sb.WriteString(col + " IN (" + strings.TrimSuffix(strings.Repeat("?,", n), ",") + ")")
		for i := range n {
			args = append(args, v(i))
		}
	}
	in("r.kind", len(s.Kinds), func(i int) any { return kindNumber[s.Kinds[i]] })
	if !s.All {
		in("r.dept", len(s.Depts), func(i int) any { return s.Depts[i] })
	}
	sb.WriteString(" AND r.class <= ?")
	args = append(args, int(s.Class))
	if !s.Private {
		sb.WriteString(" AND (r.state & 8) = 0")
	}
	if closed := record.AllRealms &^ s.Realms; closed != 0 {
		sb.WriteString(" AND (r.state & ?) = 0")
		args = append(args, int(closed)*Finance)
	}
	if len(s.Except) > 0 {
		sb.WriteString(" AND (r.kind=? OR r.dept NOT IN (" + strings.TrimSuffix(strings.Repeat("?,", len(s.Except)), ",") + "))")
		args = append(args, kindNumber[record.Contacts])
		for _, d := range s.Except {
			args = append(args, d)
		}
	}
	if len(s.Containers) > 0 {
		in("r.container", len(containerIDs), func(i int) any { return containerIDs[i] })
	}
	if s.Own { // what describes a conversation is nobody's own
		in("r.author", len(authorIDs), func(i int) any { return authorIDs[i] })
		sb.WriteString(" AND (r.state & 4) = 0")
	}
	return sb.String(), args
}

func (c *Catalog) scope(s record.Scope) (string, []any) {
	var ors []string
	var args []any
	s.Each(func(o *record.Scope) {
		if o.Nothing() {
			return
		}
		var ids []int64
		for _, name := range o.Containers {
			for _, k := range o.Kinds {
				ids = append(ids, c.ContainerID(k, name))
			}
		}
		cond, more := where(*o, ids, c.authors(*o))
		ors, args = append(ors, cond), append(args, more...)
	})
	switch len(ors) {
	case 0:
		return "0", nil
	case 1:
		return ors[0], args
	}
	return "((" + strings.Join(ors, ") OR (") + "))", args
}

// authors are the catalog's ids of the people whose own a scope is limited to.
func (c *Catalog) authors(s record.Scope) []int64 {
	var ids []int64
	for _, key := range s.Authors {
		ids = append(ids, c.blind.name("person", key))
	}
	return ids
}

// ContainerID is the catalog's id of an upstream container.
func (c *Catalog) ContainerID(k record.Kind, id string) int64 {
	return c.blind.name("container", string(k), id)
}

// asOf restricts to what a commit saw; 0 is now.
func asOf(seq uint64) (string, []any) {
	if seq == 0 {
		return "r.until=0", nil
	}
	return "r.seq<=? AND (r.until=0 OR r.until>?)", []any{int64(seq), int64(seq)}
}

// settle gives hits the look they had at a commit: what replaced them later had
// not happened yet.
func settle(hs []Hit, seq uint64) []Hit {
	for i := range hs {
		if seq > 0 && hs[i].Until > seq {
			hs[i].Until = 0
		}
	}
	return hs
}
