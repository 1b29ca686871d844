package simulator

import (
	"errors"
	"slices"
	"strconv"
)

// deleteDepartment is the disaster: a department's groups, files and people
// are gone upstream, and nothing lies in a recycle bin.
func (s *Simulator) deleteDepartment(id int64) (any, error) {
	t := s.tenant
	d := t.byDept[id]
	if d == nil || d.removed || id == 1 {
		return nil, errors.New("no such department: " + strconv.FormatInt(id, 10))
	}
	ids := t.subtree(id)
	before := map[string]bool{}
	for _, p := range t.people {
		before[p.userID] = p.gone()
	}
	lost := t.applyDeleteDepartment(operation{Op: "delete-department", Dept: id, Time: s.now().UnixMilli()})
	s.journal.append(operation{Op: "delete-department", Dept: id, Time: s.now().UnixMilli()})
	stamp := strconv.FormatInt(s.now().UnixMilli(), 10)
	var left []string
	for _, p := range t.people {
		if p.gone() && !before[p.userID] {
			left = append(left, p.userID)
			s.grants.revoke(p.userID)
		}
	}
	for i := 0; i < len(left); i += 20 {
		s.emit("user_leave_org", map[string]any{"timeStamp": stamp, "userId": left[i:min(i+20, len(left))]})
	}
	s.emit("org_dept_remove", map[string]any{"timeStamp": stamp, "deptId": ids})
	lost["departments"] = len(ids)
	return lost, nil
}

func (t *tenant) applyDeleteDepartment(op operation) map[string]int {
	lost := map[string]int{}
	if d := t.byDept[op.Dept]; d == nil || d.removed {
		return lost
	}
	ids := t.subtree(op.Dept)
	inside := func(id int64) bool { return slices.Contains(ids, id) }
	t.convs = slices.DeleteFunc(t.convs, func(v *conversation) bool {
		if v.single && v.dept == 0 || !inside(v.dept) {
			return false
		}
		for _, m := range v.msgs {
			delete(t.msgs, m.id)
			if m.media != nil {
				delete(t.media, m.media.id)
				lost["media"]++
			}
		}
		lost["messages"] += len(v.msgs)
		lost["conversations"]++
		delete(t.byConv, v.id)
		delete(t.byChat, v.chatID)
		for _, p := range v.members {
			p.convs = slices.DeleteFunc(p.convs, func(x *conversation) bool { return x == v })
		}
		return true
	})
	t.spaces = slices.DeleteFunc(t.spaces, func(sp *space) bool {
		if sp.dept == 0 || !inside(sp.dept) {
			return false
		}
		for _, d := range sp.order {
			delete(t.byUUID, d.uuid)
			if !d.folder && !d.gone() {
				lost["files"]++
			}
		}
		delete(t.byUUID, sp.root.uuid)
		delete(t.bySpace, sp.id)
		return true
	})
	t.bin = slices.DeleteFunc(t.bin, func(x *recycled) bool { return t.bySpace[x.d.space.id] == nil })
	for _, p := range t.people {
		if !p.gone() && p != t.admin && slices.ContainsFunc(p.depts, inside) {
			p.left = op.Time
			lost["people"]++
		}
	}
	t.admin.depts = slices.DeleteFunc(t.admin.depts, inside)
	for _, id := range ids {
		t.byDept[id].removed = true
	}
	return lost
}
