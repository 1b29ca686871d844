package simulator

import (
	"slices"
)

// The JSON shapes below are in the order in which they are marshalled, always
// by encoding/json, so an item's bytes never change unless its facts do.

func (c *call) ok(result any) (any, error) {
	return legacyOK{0, "ok", result, c.s.requestID()}, nil
}

var contactRoutes = []route{
	{method: "POST", pattern: "/topapi/v2/department/listsub", perm: "qyapi_get_department_list", exempt: true, body: "dept_id language", handle: listSub},
	{method: "POST", pattern: "/topapi/v2/department/listsubid", perm: "qyapi_get_department_list", exempt: true, body: "dept_id", handle: listSubID},
	{method: "POST", pattern: "/topapi/v2/department/get", perm: "qyapi_get_department_list", exempt: true, body: "dept_id! language", handle: departmentGet},
	{method: "POST", pattern: "/topapi/user/listid", perm: "qyapi_get_member", exempt: true, body: "dept_id!", handle: listUserID},
	{method: "POST", pattern: "/topapi/v2/user/list", perm: "qyapi_get_department_member", exempt: true, body: "contain_access_limit cursor! dept_id! language order_field size!", handle: userList},
	{method: "POST", pattern: "/topapi/v2/user/get", perm: "qyapi_get_member", exempt: true, body: "userid! language", handle: getUser},
	{method: "POST", pattern: "/topapi/user/getbyunionid", perm: "qyapi_get_member", exempt: true, body: "unionid!", handle: byUnionID},
	{method: "POST", pattern: "/topapi/user/listadmin", perm: "qyapi_get_member", exempt: true, handle: listAdmin},
	{method: "POST", pattern: "/topapi/role/list", perm: "qyapi_get_department_list", exempt: true, body: "offset size", handle: roleList},
	{method: "POST", pattern: "/topapi/role/simplelist", perm: "qyapi_get_department_member", exempt: true, body: "offset role_id! size", handle: roleSimpleList},
	{method: "GET", pattern: "/auth/scopes", perm: "qyapi_base", exempt: true, handle: authScopes},
	{method: "GET", pattern: "/v1.0/contact/empLeaveRecords", perm: "Contact.Common.Read", exempt: true, query: "endTime maxResults! nextToken startTime!", handle: leaveRecords},
}

// dept reads the department a legacy call names.
func (c *call) dept(def int64) (*department, error) {
	id, err := c.args.num("dept_id", def)
	if err != nil {
		return nil, c.bad("", "dept_id")
	}
	d := c.s.tenant.byDept[id]
	if d == nil || d.removed {
		return nil, legacyError{code: 60003, msg: "部门不存在"}
	}
	return d, nil
}

func listSub(c *call) (any, error) {
	d, err := c.dept(1)
	if err != nil {
		return nil, err
	}
	list := []deptSub{}
	for _, k := range c.s.tenant.children(d.id) {
		list = append(list, deptSub{k.group != nil, k.group != nil, k.id, k.name, k.parent})
	}
	return c.ok(list)
}

func listSubID(c *call) (any, error) {
	d, err := c.dept(1)
	if err != nil {
		return nil, err
	}
	ids := []int64{}
	for _, k := range c.s.tenant.children(d.id) {
		ids = append(ids, k.id)
	}
	return c.ok(map[string]any{"dept_id_list": ids})
}

func departmentGet(c *call) (any, error) {
	d, err := c.dept(1)
	if err != nil {
		return nil, err
	}
	return c.ok(c.s.tenant.deptJSON(d))
}

func (t *tenant) deptJSON(d *department) deptGet {
	g := deptGet{DeptID: d.id, Name: d.name, ParentID: d.parent, Order: d.order, Owner: t.admin.userID, Brief: d.brief,
		Managers: append([]string{}, d.managers...), DeptPermits: []int64{}, UserPermits: []string{}, OuterPermitDepts: []int64{}, OuterPermitUsers: []string{}}
	if d.group != nil {
		g.CreateDeptGroup, g.AutoAddUser, g.GroupChatID = true, true, d.group.chatID
	}
	return g
}

func listUserID(c *call) (any, error) {
	d, err := c.dept(1)
	if err != nil {
		return nil, err
	}
	ids := []string{}
	for _, p := range c.s.tenant.staff(d.id) {
		ids = append(ids, p.userID)
	}
	return c.ok(map[string]any{"userid_list": ids})
}

func userList(c *call) (any, error) {
	d, err := c.dept(1)
	if err != nil {
		return nil, err
	}
	cursor, err1 := c.args.num("cursor", 0)
	size, err2 := c.args.num("size", 0)
	if err1 != nil || err2 != nil || cursor < 0 || size < 1 || size > 100 {
		return nil, c.bad("", "cursor or size")
	}
	staff := c.s.tenant.staff(d.id)
	from := min(int(cursor), len(staff))
	to := min(from+int(size), len(staff))
	list := []userListItem{}
	for _, p := range staff[from:to] {
		list = append(list, c.s.tenant.listItem(p, d.id))
	}
	type page struct {
		HasMore    bool           `json:"has_more"`
		NextCursor int64          `json:"next_cursor,omitempty"`
		List       []userListItem `json:"list"`
	}
	out := page{HasMore: to < len(staff), List: list}
	if out.HasMore {
		out.NextCursor = int64(to)
	}
	return c.ok(out)
}

const deptOrderBase = 176320000123456512

func (t *tenant) listItem(p *person, dept int64) userListItem {
	return userListItem{UserID: p.userID, UnionID: p.unionID, Name: p.name, Avatar: p.avatar, StateCode: "853", Mobile: p.mobile,
		Telephone: "28712345", JobNumber: p.jobNumber, Title: p.title, Email: p.email, WorkPlace: "澳門", DeptIDs: p.depts,
		DeptOrder: deptOrderBase, Extension: extension(p), HiredDate: p.hired, Active: true, Admin: p.admin, Boss: p.boss,
		Leader: slices.Contains(p.leads, dept)}
}

func extension(p *person) string { return `{"入職編號":"` + p.jobNumber + `"}` }

func getUser(c *call) (any, error) {
	p := c.s.tenant.user(c.args.str("userid"))
	if p == nil {
		return nil, legacyError{code: 60121, msg: "找不到该用户"}
	}
	return c.ok(c.s.tenant.userJSON(p))
}

func byUnionID(c *call) (any, error) {
	p := c.s.tenant.byUnion[c.args.str("unionid")]
	if p == nil || p.gone() {
		return nil, legacyError{code: 60121, msg: "找不到该用户"}
	}
	return c.ok(map[string]any{"contact_type": 0, "userid": p.userID})
}

func (t *tenant) userJSON(p *person) userGet {
	u := userGet{UserID: p.userID, UnionID: p.unionID, Name: p.name, Avatar: p.avatar, StateCode: "853", Mobile: p.mobile,
		Telephone: "28712345", JobNumber: p.jobNumber, Title: p.title, Email: p.email, WorkPlace: "澳門", DeptIDs: p.depts,
		Extension: extension(p), HiredDate: p.hired, Active: true, RealAuthed: true, Admin: p.admin, Boss: p.boss,
		Leads: []deptLeader{}, Roles: []userRole{}}
	if p != t.admin {
		u.ManagerID = t.admin.userID
	}
	for i, id := range p.depts {
		u.DeptOrders = append(u.DeptOrders, deptOrder{id, deptOrderBase})
		u.Positions = append(u.Positions, deptPosition{id, p.title, "澳門", i == len(p.depts)-1})
		u.Leads = append(u.Leads, deptLeader{id, slices.Contains(p.leads, id)})
	}
	for _, id := range p.roles {
		for _, g := range t.roles {
			for _, r := range g.Roles {
				if r.ID == id {
					u.Roles = append(u.Roles, userRole{g.Name, r.ID, r.Name})
				}
			}
		}
	}
	return u
}

// offsetSize reads the offset paging, whose size works only with an offset.
func (c *call) offsetSize(def, max int64) (int, int, error) {
	offset, err1 := c.args.num("offset", 0)
	size, err2 := c.args.num("size", def)
	if err1 != nil || err2 != nil || offset < 0 || size < 1 || size > max {
		return 0, 0, c.bad("", "offset or size")
	}
	return int(offset), int(size), nil
}
