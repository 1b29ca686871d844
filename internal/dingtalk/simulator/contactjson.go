package simulator

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
