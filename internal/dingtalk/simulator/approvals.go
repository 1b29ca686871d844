package simulator

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// formPlan is a template: name, folder, memo and fields as
// "Component Label sample sample…" with samples separated by "|".
var formPlan = []struct {
	name, dir, memo string
	fields          []string
}{
	{"請假申請", "人事", "請假、補休", []string{"DDSelectField;請假類型;年假|病假|無薪假|婚假|補休", "DDDateField;開始時間;{day}", "DDDateField;結束時間;{day}", "TextareaField;請假事由;返鄉探親|睇醫生|家中有事，已安排{who}頂替|Consulta médica|Family matters|家里有事"}},
	{"採購申請", "採購", "貨品及設備採購", []string{"TextField;物料名稱;{goods} {qty} 件", "MoneyField;金額（澳門元）;{money}", "TextareaField;採購原因;{place}存量不足|{client}加單，{po}|Stock is below safety level|Reposição de {goods_pt}", "TableField;明細;", "DDAttachment;附件;"}},
	{"費用報銷", "財務", "差旅及日常費用", []string{"DDSelectField;費用類別;交通|交際|差旅|辦公用品|維修", "MoneyField;金額（澳門元）;{money}", "TextareaField;說明;往{place}送貨的士及泊車|請{client}午飯|Taxi to {port} for customs clearance|Material de escritório", "DDAttachment;單據;"}},
	{"用印申請", "法務", "公司印章", []string{"DDSelectField;印章;公司章|合同章|財務章", "TextField;文件名稱;{client} 銷售合同|{client} 供貨協議 {po}|Acordo com a {client_en}", "TextareaField;用途;簽署合同|銀行開戶|向海關提交文件", "DDAttachment;待蓋章文件;"}},
	{"出差申請", "人事", "外地公幹", []string{"TextField;目的地;珠海|中山|香港|里斯本|廣州|Lisboa|Porto", "DDDateField;出發日期;{day}", "NumberField;天數;{n}", "TextareaField;事由;拜訪{client}|驗廠，{goods}|Visita à {client_en}|参加广交会"}},
	{"合同審批", "法務", "對外合同", []string{"TextField;合同名稱;{client}供貨合同|Contrato de fornecimento - {client_en}|Supply agreement with {client_en}", "MoneyField;合同金額;{money}", "DDDateField;簽約日期;{day}", "TextareaField;主要條款;月結 {days} 天，{goods} {qty} 件|Pagamento a {days} dias|Payment within {days} days, delivery to {port}|逾期每日千分之三违约金", "DDAttachment;合同文本;"}},
}

var remarks = []string{"同意", "同意，請盡快到貨", "OK", "Approved.", "De acordo.", "同意，注意預算", "金額偏高，請下次先比價", "批，單據補返", "同意，麻烦财务安排", "Pode avançar.", ""}

// addApprovals makes 300 approvals on six forms within the last 350 days.
func (t *tenant) addApprovals() {
	r := newRand(t.seed, "approvals")
	for i, p := range formPlan {
		d := digest(t.seed, "form", i)
		f := &form{code: fmt.Sprintf("PROC-%X-%X-%X-%X-%X", d[:4], d[4:6], d[6:8], d[8:10], d[10:16]), uuid: fmt.Sprintf("FORM-%X-%X-%X-%X-%X", d[16:20], d[20:22], d[22:24], d[24:26], d[26:32]),
			name: p.name, memo: p.memo, dirID: strconv.Itoa(12347899 + i/2), dirName: p.dir}
		for k, field := range p.fields {
			part := strings.SplitN(field, ";", 3)
			it := formItem{Component: part[0], Props: formProps{ID: fmt.Sprintf("%s-%X", part[0], d[k:k+4]), Label: part[1], Required: k < 2}}
			if part[0] == "DDSelectField" {
				it.Props.Options = strings.Split(part[2], "|")
			}
			if part[0] == "TableField" {
				it.Children = []formItem{{Component: "TextField", Props: formProps{ID: fmt.Sprintf("TextField-%X", d[20:24]), Label: "規格"}}}
			}
			f.items = append(f.items, it)
		}
		t.forms = append(t.forms, f)
	}
	all := t.working()
	start := t.epoch.Add(-350 * 24 * time.Hour).UnixMilli()
	step := (t.epoch.UnixMilli() - start - 3600000) / 300
	for i := range 300 {
		at := workingHour(r, start+int64(i)*step)
		at = min(at, t.epoch.UnixMilli()-int64(300-i)*61000)
		in := t.makeInstance(r, t.forms[i%len(t.forms)], pick(r, all), at, i)
		t.byInst[in.ID] = in
		t.insts = append(t.insts, in)
	}
}

// makeInstance files one approval at the given time and lets its approvers
// act, unless it is too fresh for that.
func (t *tenant) makeInstance(r *rand.Rand, f *form, who *person, at int64, n int) *instance {
	in := &instance{ID: strings.NewReplacer("=", "", "+", "k").Replace(token64(15, t.seed, "instance", n)) + fmt.Sprintf("%014d", at%1e14), Code: f.code, Created: at}
	facts := newFacts(r)
	facts["day"] = time.UnixMilli(at).In(macau).AddDate(0, 0, r.IntN(14)).Format("2006-01-02")
	facts["money"] = fmt.Sprintf("%d.%02d", 50+r.IntN(90000), r.IntN(100))
	dept := t.byDept[who.depts[len(who.depts)-1]]
	b := &in.Body
	*b = instanceBody{Title: who.name + "提交的" + f.name, CreateTime: minuteTime(at), Originator: who.userID, OriginatorDept: strconv.FormatInt(dept.id, 10), OriginatorDeptN: dept.name,
		Status: "RUNNING", Approvers: []string{}, CC: []string{}, BusinessID: time.UnixMilli(at).In(macau).Format("20060102150405") + fmt.Sprintf("%07d", n),
		BizAction: "NONE", Attached: []string{}}
	for k, it := range f.items {
		b.Values = append(b.Values, t.fillField(r, it, formPlan[t.formIndex(f)].fields[k], facts))
	}
	b.Records = []opRecord{{UserID: who.userID, Date: b.CreateTime, Type: "START_PROCESS_INSTANCE", Result: "NONE", ShowName: "發起申請", ActivityID: "sid-startevent"}}
	approvers := []string{t.admin.userID}
	if len(dept.managers) > 0 && dept.managers[0] != who.userID && dept.managers[0] != t.admin.userID {
		approvers = []string{dept.managers[0], t.admin.userID}
	}
	if r.IntN(3) == 0 {
		b.CC = []string{pick(r, t.people).userID}
	}
	b.Approvers = approvers
	t.walkInstance(r, in, approvers, n)
	return in
}

func (t *tenant) formIndex(f *form) int {
	for i, x := range t.forms {
		if x == f {
			return i
		}
	}
	return 0
}

func (t *tenant) fillField(r *rand.Rand, it formItem, plan string, f facts) formValue {
	samples := strings.Split(strings.SplitN(plan, ";", 3)[2], "|")
	v := formValue{ID: it.Props.ID, Name: it.Props.Label, Component: it.Component, Value: fill(pick(r, samples), f)}
	switch it.Component {
	case "DDAttachment":
		var list []attachment
		for range 1 + r.IntN(2) {
			list = append(list, t.attach(r))
		}
		v.Value = string(mustJSON(list))
	case "TableField":
		rows := []any{}
		for range 1 + r.IntN(4) {
			x := newFacts(r)
			rows = append(rows, map[string]any{"rowValue": []any{map[string]any{"componentType": "TextField", "key": it.Children[0].Props.ID, "label": "規格", "value": x["goods"] + " x " + x["qty"]}}})
		}
		v.Value = string(mustJSON(rows))
	case "MoneyField":
		v.ExtValue = `{"currency":"MOP"}`
	}
	return v
}

// attach makes an attachment in the approvals' own space.
func (t *tenant) attach(r *rand.Rand) attachment {
	name := fileName(r)
	base, ext, _ := cutExt(name)
	if r.IntN(5) > 0 || ext == "adoc" {
		ext = "pdf" // most receipts are, and a size is needed now: PDFs are made fast
	}
	id := t.id()
	c := &content{kind: ext, seed: r.Uint64(), title: base}
	t.attached[id] = c
	return attachment{SpaceID: "3996960664", FileName: base + "." + ext, FileSize: strconv.FormatInt(c.length(), 10), FileType: ext, FileID: id}
}

// walkInstance lets the approvers act one after the other.
func (t *tenant) walkInstance(r *rand.Rand, in *instance, approvers []string, n int) {
	b := &in.Body
	at := in.Created
	for k, user := range approvers {
		tk := task{TaskID: 72013400000 + int64(n)*10 + int64(k), UserID: user, Status: "RUNNING", Result: "NONE", CreateTime: minuteTime(at),
			InstanceID: in.ID, ActivityID: fmt.Sprintf("6f8d_%02d", k)}
		tk.MobileURL = fmt.Sprintf("?procInsId=%s&taskId=%d", in.ID, tk.TaskID)
		tk.PCURL = tk.MobileURL
		at += int64(10+r.IntN(2000)) * 60000
		if at > t.epoch.UnixMilli()-60000 { // not yet
			b.Tasks = append(b.Tasks, tk)
			return
		}
		refused := r.IntN(14) == 0
		rec := opRecord{UserID: user, Date: minuteTime(at), Type: "EXECUTE_TASK_NORMAL", Result: "AGREE", Remark: pick(r, remarks), ActivityID: tk.ActivityID, ShowName: "審批人", CC: []string{}}
		if refused {
			rec.Result, rec.Remark = "REFUSE", pick(r, []string{"資料不齊，請補交", "Please resubmit with the invoice.", "Falta o orçamento.", "预算已用完"})
		}
		if r.IntN(8) == 0 {
			rec.Attachments = []attachment{t.attach(r)}
		}
		tk.Status, tk.Result, tk.FinishTime = "COMPLETED", rec.Result, rec.Date
		b.Tasks, b.Records = append(b.Tasks, tk), append(b.Records, rec)
		if r.IntN(6) == 0 {
			b.Records = append(b.Records, opRecord{UserID: in.Body.Originator, Date: minuteTime(at + 60000), Type: "ADD_REMARK", Result: "NONE", Remark: pick(r, []string{"多謝", "已補交單據，請查閱", "Obrigado pela rapidez", "Invoice attached."}), ActivityID: "remark", ShowName: "評論"})
		}
		if refused {
			b.Status, b.Result, b.FinishTime = "COMPLETED", "refuse", rec.Date
			return
		}
	}
	b.Status, b.Result, b.FinishTime = "COMPLETED", "agree", minuteTime(at)
	if n%41 == 40 {
		b.Status, b.Result = "TERMINATED", ""
	}
}

// newApproval files one now and raises its events.
func (s *Simulator) newApproval(user string) any {
	t := s.tenant
	who := t.user(user)
	if who == nil {
		who = pick(s.rng, t.working())
	}
	n := len(t.insts) + 1000
	r := rand.New(rand.NewPCG(s.rng.Uint64(), 7))
	at := s.now().UnixMilli()
	// Live ones carry no generated attachments: a replay could not make them.
	in := t.makeInstance(r, pick(r, t.forms[:1]), who, at, n)
	for i := range in.Body.Records {
		in.Body.Records[i].Attachments = nil
	}
	in.ID = s.newID("live") + fmt.Sprintf("%014d", at%1e14)
	s.keepInstance(in)
	s.approvalEvent(in, "start", "")
	return map[string]any{"processInstanceId": in.ID, "processCode": in.Code}
}

func (s *Simulator) keepInstance(in *instance) {
	raw, _ := json.Marshal(in)
	s.do(operation{Op: "instance", Instance: raw})
}

// advanceApproval lets the next approver of a running approval agree.
func (s *Simulator) advanceApproval() bool {
	for i := len(s.tenant.insts) - 1; i >= 0; i-- {
		in := *s.tenant.insts[i]
		if in.Body.Status != "RUNNING" {
			continue
		}
		// The body's slices are copied: what was served must not change.
		raw, _ := json.Marshal(in)
		var next instance
		json.Unmarshal(raw, &next)
		b, now := &next.Body, minuteTime(s.now().UnixMilli())
		for k := range b.Tasks {
			tk := &b.Tasks[k]
			if tk.Status == "RUNNING" {
				tk.Status, tk.Result, tk.FinishTime = "COMPLETED", "AGREE", now
				b.Records = append(b.Records, opRecord{UserID: tk.UserID, Date: now, Type: "EXECUTE_TASK_NORMAL", Result: "AGREE", Remark: pick(s.rng, remarks), ActivityID: tk.ActivityID, ShowName: "審批人"})
			}
		}
		b.Status, b.Result, b.FinishTime = "COMPLETED", "agree", now
		s.keepInstance(&next)
		s.approvalEvent(&next, "finish", "agree")
		return true
	}
	return false
}

func (s *Simulator) approvalEvent(in *instance, kind, result string) {
	data := map[string]any{"processInstanceId": in.ID, "processCode": in.Code, "businessId": in.Body.BusinessID, "bizCategoryId": "",
		"title": in.Body.Title, "type": kind, "staffId": in.Body.Originator, "createTime": in.Created,
		"url": "https://aflow.dingtalk.com/dingtalk/mobile/homepage.htm?procInstId=" + in.ID}
	if result != "" {
		data["result"], data["finishTime"] = result, s.now().UnixMilli()
	}
	s.emit("bpms_instance_change", data)
	for _, tk := range in.Body.Tasks {
		taskData := map[string]any{"processInstanceId": in.ID, "processCode": in.Code, "taskId": tk.TaskID, "businessId": in.Body.BusinessID,
			"bizCategoryId": "", "title": in.Body.Title, "type": kind, "staffId": tk.UserID, "createTime": in.Created}
		if result != "" {
			taskData["result"], taskData["finishTime"] = result, s.now().UnixMilli()
		}
		s.emit("bpms_task_change", taskData)
	}
}
