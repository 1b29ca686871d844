package simulator

import (
	"slices"
	"strconv"
	"time"
)

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
