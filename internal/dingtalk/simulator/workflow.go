package simulator

import (
	"encoding/json"
	"slices"
	"strconv"
	"time"
)

// form is an approval template.
type form struct {
	code, uuid, name, memo string
	dirID, dirName         string
	items                  []formItem
}

type formItem struct {
	Component string     `json:"componentName"`
	Props     formProps  `json:"props"`
	Children  []formItem `json:"children,omitempty"`
}

type formProps struct {
	ID       string   `json:"id"`
	Label    string   `json:"label"`
	Required bool     `json:"required"`
	BizAlias string   `json:"bizAlias"`
	Options  []string `json:"options,omitempty"`
}

// instance is one approval. Its body is what processInstances serves.
type instance struct {
	ID      string       `json:"id"`
	Code    string       `json:"code"`
	Created int64        `json:"created"` // epoch ms
	Body    instanceBody `json:"body"`
}

type instanceBody struct {
	Title           string      `json:"title"`
	CreateTime      string      `json:"createTime"`
	FinishTime      string      `json:"finishTime,omitempty"`
	Originator      string      `json:"originatorUserId"`
	OriginatorDept  string      `json:"originatorDeptId"`
	OriginatorDeptN string      `json:"originatorDeptName"`
	Status          string      `json:"status"`
	Approvers       []string    `json:"approverUserIds"`
	CC              []string    `json:"ccUserIds"`
	Result          string      `json:"result,omitempty"`
	BusinessID      string      `json:"businessId"`
	Records         []opRecord  `json:"operationRecords"`
	Tasks           []task      `json:"tasks"`
	BizAction       string      `json:"bizAction"`
	BizData         string      `json:"bizData"`
	Attached        []string    `json:"attachedProcessInstanceIds"`
	Main            string      `json:"mainProcessInstanceId"`
	Values          []formValue `json:"formComponentValues"`
}

type opRecord struct {
	UserID      string       `json:"userId"`
	Date        string       `json:"date"`
	Type        string       `json:"type"`
	Result      string       `json:"result"`
	Remark      string       `json:"remark,omitempty"`
	Attachments []attachment `json:"attachments,omitempty"`
	CC          []string     `json:"ccUserIds,omitempty"`
	ActivityID  string       `json:"activityId"`
	ShowName    string       `json:"showName"`
	Images      []string     `json:"images,omitempty"`
}

type attachment struct {
	SpaceID  string `json:"spaceId"`
	FileName string `json:"fileName"`
	FileSize string `json:"fileSize"`
	FileType string `json:"fileType"`
	FileID   string `json:"fileId"`
}

type task struct {
	TaskID     int64  `json:"taskId"`
	UserID     string `json:"userId"`
	Status     string `json:"status"`
	Result     string `json:"result"`
	CreateTime string `json:"createTime"`
	FinishTime string `json:"finishTime,omitempty"`
	MobileURL  string `json:"mobileUrl"`
	PCURL      string `json:"pcUrl"`
	InstanceID string `json:"processInstanceId"`
	ActivityID string `json:"activityId"`
}

type formValue struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	Value     string `json:"value"`
	ExtValue  string `json:"extValue,omitempty"`
	Component string `json:"componentType"`
	BizAlias  string `json:"bizAlias"`
}

// minuteTime is how approvals write times: to the minute, with a Z, though it
// is the organisation's local time. DingTalk does not say so; a caller has to
// compare it with the event's epoch.
func minuteTime(ms int64) string { return time.UnixMilli(ms).In(macau).Format("2006-01-02T15:04Z") }

var workflowRoutes = []route{
	{method: "GET", pattern: "/v1.0/workflow/processes/userVisibilities/templates", perm: "Workflow.Form.Read", query: "maxResults! nextToken! userId", handle: visibleForms},
	{method: "GET", pattern: "/v1.0/workflow/processes/managements/templates", perm: "Workflow.Form.Read", query: "userId!", handle: managedForms},
	{method: "GET", pattern: "/v1.0/workflow/forms/schemas/processCodes", perm: "Workflow.Form.Read", query: "appUuid processCode!", handle: formSchema},
	{method: "POST", pattern: "/v1.0/workflow/processes/instanceIds/query", perm: "Workflow.Instance.Read", body: "endTime maxResults! nextToken! processCode! startTime! statuses userIds", handle: instanceIDs},
	{method: "GET", pattern: "/v1.0/workflow/processInstances", perm: "Workflow.Instance.Read", query: "processInstanceId!", handle: getInstance},
	{method: "POST", pattern: "/v1.0/workflow/processInstances/spaces/files/urls/download", perm: "Workflow.Instance.Write", body: "fileId! processInstanceId! withCommentAttatchment", handle: attachmentURL},
}

func visibleForms(c *call) (any, error) {
	q := c.queryArgs()
	max, err := q.num("maxResults", 0)
	if err != nil || max < 1 || max > 100 {
		return nil, c.bad("invalidMaxResults", "maxResults must be 1 to 100")
	}
	from, err := q.num("nextToken", 0)
	if err != nil || from < 0 {
		return nil, c.bad("invalidNextToken", "nextToken must be a number")
	}
	if id := q.str("userId"); id != "" && c.s.tenant.user(id) == nil {
		return nil, c.bad("invalidUserId", "userId")
	}
	type row struct {
		Name    string `json:"name"`
		URL     string `json:"url"`
		IconURL string `json:"iconUrl"`
		Code    string `json:"processCode"`
		DirID   string `json:"dirId"`
		DirName string `json:"dirName"`
	}
	list := []row{}
	for _, f := range c.s.tenant.forms {
		list = append(list, row{f.name, "https://aflow.dingtalk.com/dingtalk/mobile/homepage.htm?processCode=" + f.code,
			"https://gw.alicdn.com/tfs/TB1-102-102.png", f.code, f.dirID, f.dirName})
	}
	a := min(int(from), len(list))
	b := min(a+int(max), len(list))
	out := map[string]any{"processList": list[a:b]}
	if b < len(list) {
		out["nextToken"] = b
	}
	return map[string]any{"result": out}, nil
}

func managedForms(c *call) (any, error) {
	p, err := c.member("userId", c.queryArgs())
	if err != nil {
		return nil, err
	}
	list := []any{}
	for _, f := range c.s.tenant.forms {
		if p.admin {
			list = append(list, map[string]any{"iconName": "common", "flowTitle": f.name, "processCode": f.code, "newProcess": true,
				"gmtModified": "2025-02-11T17:09Z", "attendanceType": 0, "iconUrl": "https://gw.alicdn.com/tfs/TB1-112-112.png"})
		}
	}
	return map[string]any{"result": list, "success": true}, nil
}

func (t *tenant) form(code string) *form {
	for _, f := range t.forms {
		if f.code == code {
			return f
		}
	}
	return nil
}

func formSchema(c *call) (any, error) {
	f := c.s.tenant.form(c.query.Get("processCode"))
	if f == nil {
		return nil, c.bad("processCodeError", "processCode")
	}
	return map[string]any{"result": map[string]any{"creatorUserId": c.s.tenant.admin.userID, "appUuid": "", "formCode": f.code, "formUuid": f.uuid,
		"name": f.name, "memo": f.memo, "ownerIdType": "orgId", "bizType": "", "appType": 0, "procType": "inner", "engineType": 0, "listOrder": 1,
		"status": "PUBLISHED", "visibleRange": "PUBLIC", "icon": "common", "customSetting": "", "gmtCreate": "2024-11-03T09:30Z", "gmtModified": "2025-02-11T17:09Z",
		"schemaContent": map[string]any{"title": f.name, "icon": "common", "items": f.items}}}, nil
}

const day = 24 * time.Hour

// instanceIDs enforces the walls: 20 ids a page, windows of 120 days, nothing
// older than 365 days, 10,000 ids a walk. The filter is the creation time.
func instanceIDs(c *call) (any, error) {
	a, now := c.args, c.s.now()
	f := c.s.tenant.form(a.str("processCode"))
	if f == nil {
		return nil, c.bad("invalidProcessCode", "processCode")
	}
	max, err := a.num("maxResults", 0)
	if err != nil || max < 1 || max > 20 {
		return nil, c.bad("invalidMaxResults", "maxResults must be 1 to 20")
	}
	from, err := a.num("nextToken", 0)
	if _, number := a["nextToken"].(json.Number); err != nil || from < 0 || from >= 10000 || !number {
		return nil, c.bad("invalidNextToken", "nextToken must be a number below 10,000")
	}
	startMS, err1 := a.num("startTime", 0)
	endMS, err2 := a.num("endTime", now.UnixMilli())
	start, end := time.UnixMilli(startMS), time.UnixMilli(endMS)
	switch {
	case err1 != nil || now.Sub(start) > 365*day:
		return nil, c.bad("invalidInstanceListIdsStartTime", "获取审批实例ID列表，开始时间不能早于365天前")
	case a["endTime"] == nil && now.Sub(start) > 120*day:
		return nil, c.bad("invalidInstanceListIdsStartTime", "获取审批实例ID列表，不传结束时间时开始时间须在120天内")
	case err2 != nil || end.Before(start) || end.Sub(start) > 120*day:
		return nil, c.bad("invalidEndTime", "获取审批实例ID列表，审批实例结束时间不能小于开始时间；且查询时间范围不能超过120天。")
	}
	users, statuses := a.strs("userIds"), a.strs("statuses")
	if len(users) > 10 {
		return nil, c.bad("invalidUserIds", "at most 10 userIds")
	}
	for _, st := range statuses {
		if !slices.Contains([]string{"RUNNING", "TERMINATED", "COMPLETED"}, st) {
			return nil, c.bad("invalidStatuses", "statuses")
		}
	}
	ids := []string{}
	for _, in := range c.s.tenant.insts {
		if in.Code == f.code && in.Created >= startMS && in.Created <= endMS &&
			(len(users) == 0 || slices.Contains(users, in.Body.Originator)) && (len(statuses) == 0 || slices.Contains(statuses, in.Body.Status)) {
			ids = append(ids, in.ID)
		}
	}
	lo := min(int(from), len(ids))
	hi := min(lo+int(max), len(ids), 10000)
	type page struct {
		List      []string `json:"list"`
		NextToken string   `json:"nextToken,omitempty"`
	}
	out := page{List: ids[lo:hi]}
	if hi < len(ids) {
		out.NextToken = strconv.Itoa(hi)
	}
	return map[string]any{"result": out, "success": true}, nil
}

func (c *call) instance(id string) (*instance, error) {
	in := c.s.tenant.byInst[id]
	if in == nil {
		return nil, c.bad("processInstanceNotExist", "process instance not exist")
	}
	return in, nil
}

func getInstance(c *call) (any, error) {
	in, err := c.instance(c.query.Get("processInstanceId"))
	if err != nil {
		return nil, err
	}
	return map[string]any{"result": in.Body, "success": "true"}, nil
}

// attachmentURL wants the flag for files of comments, and gives a link that
// is good for 15 minutes.
func attachmentURL(c *call) (any, error) {
	in, err := c.instance(c.args.str("processInstanceId"))
	if err != nil {
		return nil, err
	}
	id := c.args.str("fileId")
	a, inComment := in.find(id)
	if a == nil || inComment && !c.args.flag("withCommentAttatchment") {
		return nil, apiError{status: 400, code: "fileIdError", msg: "the file does not belong to the instance"}
	}
	space, _ := strconv.ParseInt(a.SpaceID, 10, 64)
	type result struct {
		SpaceID     int64  `json:"spaceId"`
		FileID      string `json:"fileId"`
		DownloadURI string `json:"downloadUri"`
	}
	return map[string]any{"result": result{space, id, c.s.signedURL(origin(c.s, c.r), "/yundisk1/"+id, 15*time.Minute)}, "success": true}, nil
}

// attachments lists the files of the form and, marked, those of comments.
func (in *instance) attachments() (form, comments []attachment) {
	for _, v := range in.Body.Values {
		if v.Component == "DDAttachment" {
			var list []attachment
			json.Unmarshal([]byte(v.Value), &list)
			form = append(form, list...)
		}
	}
	for _, r := range in.Body.Records {
		comments = append(comments, r.Attachments...)
	}
	return form, comments
}

func (in *instance) find(fileID string) (*attachment, bool) {
	form, comments := in.attachments()
	for _, a := range form {
		if a.FileID == fileID {
			return &a, false
		}
	}
	for _, a := range comments {
		if a.FileID == fileID {
			return &a, true
		}
	}
	return nil, false
}

// applyInstance replaces or adds an approval as a whole.
func (t *tenant) applyInstance(op operation) {
	var in instance
	if json.Unmarshal(op.Instance, &in) != nil {
		return
	}
	if old := t.byInst[in.ID]; old != nil {
		*old = in
		return
	}
	t.byInst[in.ID] = &in
	t.insts = append(t.insts, &in)
}
