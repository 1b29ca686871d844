package simulator

import (
	"slices"
	"strconv"
	"time"
)

// The JSON shapes below are in the order in which they are marshalled, always
// by encoding/json, so an item's bytes never change unless its facts do.

type userGet struct {
	UserID       string         `json:"userid"`
	UnionID      string         `json:"unionid"`
	Name         string         `json:"name"`
	Avatar       string         `json:"avatar"`
	StateCode    string         `json:"state_code"`
	ManagerID    string         `json:"manager_userid"`
	Mobile       string         `json:"mobile"`
	HideMobile   bool           `json:"hide_mobile"`
	Telephone    string         `json:"telephone"`
	JobNumber    string         `json:"job_number"`
	Title        string         `json:"title"`
	Email        string         `json:"email"`
	WorkPlace    string         `json:"work_place"`
	Remark       string         `json:"remark"`
	LoginID      string         `json:"login_id"`
	ExclusiveTyp string         `json:"exclusive_account_type"`
	Exclusive    bool           `json:"exclusive_account"`
	OrgEmail     string         `json:"org_email"`
	OrgEmailType string         `json:"org_email_type"`
	DeptIDs      []int64        `json:"dept_id_list"`
	DeptOrders   []deptOrder    `json:"dept_order_list"`
	Positions    []deptPosition `json:"dept_position_list"`
	Extension    string         `json:"extension"`
	HiredDate    int64          `json:"hired_date"`
	Active       bool           `json:"active"`
	RealAuthed   bool           `json:"real_authed"`
	Senior       bool           `json:"senior"`
	Admin        bool           `json:"admin"`
	Boss         bool           `json:"boss"`
	Leads        []deptLeader   `json:"leader_in_dept"`
	Roles        []userRole     `json:"role_list"`
}

type deptOrder struct {
	DeptID int64 `json:"dept_id"`
	Order  int64 `json:"order"`
}

type deptPosition struct {
	DeptID    int64  `json:"dept_id"`
	Title     string `json:"title"`
	WorkPlace string `json:"work_place"`
	IsMain    bool   `json:"is_main"`
}

type deptLeader struct {
	DeptID int64 `json:"dept_id"`
	Leader bool  `json:"leader"`
}

type userRole struct {
	GroupName string `json:"group_name"`
	ID        int64  `json:"id"`
	Name      string `json:"name"`
}

type userListItem struct {
	UserID     string  `json:"userid"`
	UnionID    string  `json:"unionid"`
	Name       string  `json:"name"`
	Avatar     string  `json:"avatar"`
	StateCode  string  `json:"state_code"`
	Mobile     string  `json:"mobile"`
	HideMobile bool    `json:"hide_mobile"`
	Telephone  string  `json:"telephone"`
	JobNumber  string  `json:"job_number"`
	Title      string  `json:"title"`
	Email      string  `json:"email"`
	OrgEmail   string  `json:"org_email"`
	WorkPlace  string  `json:"work_place"`
	Remark     string  `json:"remark"`
	DeptIDs    []int64 `json:"dept_id_list"`
	DeptOrder  int64   `json:"dept_order"`
	Extension  string  `json:"extension"`
	HiredDate  int64   `json:"hired_date"`
	Active     bool    `json:"active"`
	Admin      bool    `json:"admin"`
	Boss       bool    `json:"boss"`
	Leader     bool    `json:"leader"`
	Exclusive  bool    `json:"exclusive_account"`
}

type deptGet struct {
	DeptID           int64    `json:"dept_id"`
	Name             string   `json:"name"`
	ParentID         int64    `json:"parent_id,omitempty"`
	Order            int64    `json:"order"`
	CreateDeptGroup  bool     `json:"create_dept_group"`
	AutoAddUser      bool     `json:"auto_add_user"`
	AutoApproveApply bool     `json:"auto_approve_apply"`
	FromUnionOrg     bool     `json:"from_union_org"`
	GroupContainSub  bool     `json:"group_contain_sub_dept"`
	GroupChatID      string   `json:"dept_group_chat_id,omitempty"`
	Owner            string   `json:"org_dept_owner"`
	Managers         []string `json:"dept_manager_userid_list"`
	Hide             bool     `json:"hide_dept"`
	DeptPermits      []int64  `json:"dept_permits"`
	UserPermits      []string `json:"user_permits"`
	OuterDept        bool     `json:"outer_dept"`
	OuterPermitDepts []int64  `json:"outer_permit_depts"`
	OuterPermitUsers []string `json:"outer_permit_users"`
	Brief            string   `json:"brief"`
}

type deptSub struct {
	AutoAddUser     bool   `json:"auto_add_user"`
	CreateDeptGroup bool   `json:"create_dept_group"`
	DeptID          int64  `json:"dept_id"`
	Name            string `json:"name"`
	ParentID        int64  `json:"parent_id"`
}

type roleGroup struct {
	GroupID int64  `json:"groupId"`
	Name    string `json:"name"`
	Roles   []role `json:"roles"`
}

type role struct {
	ID   int64  `json:"id"`
	Name string `json:"name"`
}

// legacyOK is the envelope of the oapi host.
type legacyOK struct {
	ErrCode   int    `json:"errcode"`
	ErrMsg    string `json:"errmsg"`
	Result    any    `json:"result"`
	RequestID string `json:"request_id"`
}

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

func listAdmin(c *call) (any, error) {
	type admin struct {
		SysLevel int64  `json:"sys_level"`
		UserID   string `json:"userid"`
	}
	list := []admin{}
	for _, p := range c.s.tenant.people {
		if p.admin && !p.gone() {
			level := int64(2)
			if p == c.s.tenant.admin {
				level = 1
			}
			list = append(list, admin{level, p.userID})
		}
	}
	return c.ok(list)
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

func roleList(c *call) (any, error) {
	offset, size, err := c.offsetSize(20, 200)
	if err != nil {
		return nil, err
	}
	all := c.s.tenant.roles
	from := min(offset, len(all))
	to := min(from+size, len(all))
	return c.ok(map[string]any{"hasMore": to < len(all), "list": append([]roleGroup{}, all[from:to]...)})
}

func roleSimpleList(c *call) (any, error) {
	id, err := c.args.num("role_id", 0)
	if err != nil {
		return nil, c.bad("", "role_id")
	}
	offset, size, err := c.offsetSize(20, 100)
	if err != nil {
		return nil, err
	}
	type scope struct {
		DeptID int64  `json:"dept_id"`
		Name   string `json:"name"`
	}
	type member struct {
		Name   string  `json:"name"`
		UserID string  `json:"userid"`
		Scopes []scope `json:"manageScopes,omitempty"`
	}
	list := []member{}
	for _, p := range c.s.tenant.people {
		if !p.gone() && slices.Contains(p.roles, id) {
			m := member{Name: p.name, UserID: p.userID}
			for _, d := range p.leads {
				m.Scopes = append(m.Scopes, scope{d, c.s.tenant.byDept[d].name})
			}
			list = append(list, m)
		}
	}
	from := min(offset, len(list))
	to := min(from+size, len(list))
	return c.ok(map[string]any{"hasMore": to < len(list), "nextCursor": to, "list": list[from:to]})
}

func authScopes(c *call) (any, error) {
	return map[string]any{"errcode": 0, "errmsg": "ok", "auth_user_field": []string{"mobile", "email", "name", "userid", "department"},
		"condition_field": []string{}, "auth_org_scopes": map[string]any{"authed_user": []string{}, "authed_dept": []int64{1}}}, nil
}

func leaveRecords(c *call) (any, error) {
	q := c.queryArgs()
	max, err := q.num("maxResults", 0)
	if err != nil || max < 1 || max > 50 {
		return nil, c.bad("invalidMaxResults", "maxResults must be 1 to 50")
	}
	const layout = "2006-01-02T15:04:05Z"
	start, err := time.Parse(layout, q.str("startTime"))
	if err != nil || c.s.now().Sub(start) > 366*24*time.Hour {
		return nil, c.bad("invalidStartTime", "startTime must be yyyy-MM-ddTHH:mm:ssZ within 365 days")
	}
	end := c.s.now()
	if text := q.str("endTime"); text != "" {
		if end, err = time.Parse(layout, text); err != nil || end.Sub(start) > 365*24*time.Hour || end.Before(start) {
			return nil, c.bad("invalidEndTime", "the window must not pass 365 days")
		}
	}
	skip, err := q.num("nextToken", 0)
	if err != nil || skip < 0 {
		return nil, c.bad("invalidNextToken", "nextToken")
	}
	type record struct {
		UserID    string `json:"userId"`
		Name      string `json:"name"`
		StateCode string `json:"stateCode"`
		Mobile    string `json:"mobile"`
		LeaveTime string `json:"leaveTime"`
		Reason    string `json:"leaveReason"`
	}
	list := []record{}
	for _, p := range c.s.tenant.people {
		if at := time.UnixMilli(p.left); p.left != 0 && !at.Before(start) && !at.After(end) {
			list = append(list, record{p.userID, p.name, "853", p.mobile[:4] + "****", at.UTC().Format(layout), "主管理員於管理後台刪除"})
		}
	}
	from := min(int(skip), len(list))
	to := min(from+int(max), len(list))
	out := map[string]any{"records": list[from:to]}
	if to < len(list) {
		out["nextToken"] = strconv.Itoa(to)
	}
	return out, nil
}
