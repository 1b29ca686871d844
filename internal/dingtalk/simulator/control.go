package simulator

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// serveControl is /_sim/: what a test or a demonstration may ask of the
// simulator itself. It has no login, so it answers this machine only. Bodies
// and answers are JSON.
//
//	GET    health, info, calls, violations, faults
//	GET    expected?kind=chat|files|approvals|contacts   NDJSON, see truth
//	DELETE violations                                    start the list anew
//	DELETE faults {id}                                   one, or all without id
//	POST   faults {match, kind, count, probability, days}
//	POST   clock {advanceSeconds}
//	POST   quota {monthlyCalls, used, qps}
//	POST   permissions {grant, revoke}                   "cli" is the organisation's switch of route A
//	POST   consent/revoke {userId}
//	POST   disconnect {waitSeconds}                      every stream has to reconnect
//	POST   send {conversationId, senderUserId, text, kind: text|image|voice|file}
//	POST   edit {messageId, text}    recall {messageId}
//	POST   upload {spaceId, userId, name, base64}    delete-file {spaceId, dentryId}
//	POST   approval {userId}    approval/advance
//	POST   rename-group {conversationId, text}
//	POST   modify-user {userId, text}    leave {userId}
//	POST   delete-department {deptId}
func (s *Simulator) serveControl(w http.ResponseWriter, r *http.Request) {
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	if ip := net.ParseIP(host); !s.opt.OpenControlToPeer && (ip == nil || !ip.IsLoopback()) {
		http.Error(w, "loopback only", http.StatusForbidden)
		return
	}
	raw, err := io.ReadAll(io.LimitReader(r.Body, 64<<20))
	if err != nil {
		return
	}
	if r.Method == http.MethodGet && r.URL.Path == "/_sim/expected" {
		s.serveExpected(w, r)
		return
	}
	v, err := s.control(r.Method+" "+r.URL.Path, raw)
	if err != nil {
		writeBody(w, http.StatusBadRequest, mustJSON(map[string]any{"error": err.Error()}))
		return
	}
	writeBody(w, http.StatusOK, mustJSON(v))
}

type controlBody struct {
	AdvanceSeconds int64    `json:"advanceSeconds"`
	Grant          []string `json:"grant"`
	Revoke         []string `json:"revoke"`
	UserID         string   `json:"userId"`
	DeptID         int64    `json:"deptId"`
	ConversationID string   `json:"conversationId"`
	SenderUserID   string   `json:"senderUserId"`
	Text           string   `json:"text"`
	Kind           string   `json:"kind"`
	MessageID      string   `json:"messageId"`
	SpaceID        string   `json:"spaceId"`
	DentryID       string   `json:"dentryId"`
	Name           string   `json:"name"`
	Base64         string   `json:"base64"`
	WaitSeconds    int      `json:"waitSeconds"`
	ID             int      `json:"id"`
	MonthlyCalls   *int     `json:"monthlyCalls"`
	Used           *int     `json:"used"`
	QPS            *int     `json:"qps"`
}

func (s *Simulator) control(op string, raw []byte) (any, error) {
	var b controlBody
	if len(bytes.TrimSpace(raw)) > 0 && op != "POST /_sim/faults" {
		if err := json.Unmarshal(raw, &b); err != nil {
			return nil, fmt.Errorf("read body: %w", err)
		}
	}
	if op == "POST /_sim/disconnect" {
		s.Disconnect(time.Duration(b.WaitSeconds) * time.Second)
		return map[string]any{"ok": true}, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch op {
	case "GET /_sim/health":
		return map[string]any{"ok": true, "now": s.now()}, nil
	case "GET /_sim/info":
		return s.info(), nil
	case "GET /_sim/calls":
		return map[string]any{"calls": s.limits.calls, "month": s.limits.month, "monthUsed": s.limits.used, "monthLimit": s.monthlyCalls(),
			"pushes": s.hub.pushes, "connections": len(s.hub.conns)}, nil
	case "GET /_sim/violations":
		return map[string]any{"violations": append([]violation{}, s.wrongs...)}, nil
	case "DELETE /_sim/violations":
		s.wrongs = nil
	case "POST /_sim/clock":
		s.skew += time.Duration(b.AdvanceSeconds) * time.Second
		return map[string]any{"now": s.now()}, nil
	case "POST /_sim/faults":
		return s.addFault(raw)
	case "GET /_sim/faults":
		return map[string]any{"faults": append([]*fault{}, s.faults.list...), "kinds": faultKinds}, nil
	case "DELETE /_sim/faults":
		s.faults.list = slices.DeleteFunc(s.faults.list, func(f *fault) bool { return b.ID == 0 || f.ID == b.ID })
	case "POST /_sim/permissions":
		for _, p := range b.Revoke {
			s.refused[p] = true
		}
		for _, p := range b.Grant {
			delete(s.refused, p)
		}
	case "POST /_sim/quota":
		if b.MonthlyCalls != nil {
			s.opt.MonthlyCalls = *b.MonthlyCalls
		}
		if b.Used != nil {
			s.limits.month, s.limits.used = s.now().In(macau).Format("2006-01"), *b.Used
		}
		if b.QPS != nil {
			s.opt.QPS = *b.QPS
		}
	case "POST /_sim/consent/revoke":
		if s.tenant.byUser[b.UserID] == nil {
			return nil, errors.New("no such user")
		}
		s.do(operation{Op: "consent-revoked", User: b.UserID})
	case "POST /_sim/delete-department":
		return s.deleteDepartment(b.DeptID)
	case "POST /_sim/send":
		return s.send(b)
	case "POST /_sim/edit":
		return s.edit(b.MessageID, b.Text)
	case "POST /_sim/recall":
		return s.recall(b.MessageID)
	case "POST /_sim/upload":
		return s.controlUpload(b)
	case "POST /_sim/delete-file":
		return s.controlDelete(b)
	case "POST /_sim/approval":
		return s.newApproval(b.UserID), nil
	case "POST /_sim/approval/advance":
		return map[string]any{"advanced": s.advanceApproval()}, nil
	case "POST /_sim/rename-group":
		return s.renameGroup(b.ConversationID, b.Text)
	case "POST /_sim/leave":
		return s.leave(b.UserID)
	case "POST /_sim/modify-user":
		return s.modifyUser(b.UserID, b.Text)
	default:
		return nil, errors.New("no such control operation: " + op)
	}
	return map[string]any{"ok": true}, nil
}

func (s *Simulator) addFault(raw []byte) (any, error) {
	f := &fault{}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(f); err != nil {
		return nil, fmt.Errorf("read fault: %w", err)
	}
	if faultKinds[f.Kind] == "" {
		return nil, fmt.Errorf("unknown kind %q", f.Kind)
	}
	re, err := regexp.Compile(f.Match)
	if err != nil {
		return nil, fmt.Errorf("read match: %w", err)
	}
	s.faults.next++
	f.re, f.ID, f.Hits = re, s.faults.next, 0
	s.faults.list = append(s.faults.list, f)
	return f, nil
}

type deptInfo struct {
	ID     int64  `json:"id"`
	Parent int64  `json:"parentId"`
	Name   string `json:"name"`
	People int    `json:"people"`
	Groups int    `json:"groups"`
}

func (s *Simulator) info() map[string]any {
	t := s.tenant
	var depts []deptInfo
	for _, d := range t.depts {
		if d.removed {
			continue
		}
		x := deptInfo{d.id, d.parent, d.name, len(t.staff(d.id)), 0}
		for _, v := range t.convs {
			if v.dept == d.id {
				x.Groups++
			}
		}
		depts = append(depts, x)
	}
	files := 0
	for _, sp := range t.spaces {
		for _, d := range sp.order {
			if !d.folder && !d.gone() {
				files++
			}
		}
	}
	groups := 0
	for _, v := range t.convs {
		if !v.single {
			groups++
		}
	}
	return map[string]any{"corpId": t.corpID, "corpName": t.corpName, "clientId": s.opt.ClientID, "clientSecret": s.opt.ClientSecret,
		"adminUserId": t.admin.userID, "adminUnionId": t.admin.unionID, "edition": s.opt.Edition, "now": s.now(), "epoch": s.epoch, "seed": s.opt.Seed, "departments": depts,
		"counts": map[string]int{"people": len(t.working()), "conversations": len(t.convs), "groups": groups, "messages": len(t.msgs),
			"media": len(t.media), "spaces": len(t.spaces), "files": files, "approvals": len(t.insts), "forms": len(t.forms)}}
}

// Send makes one message now, in any or the named conversation, by any or the
// named member, and tells the members' streams.
func (s *Simulator) send(b controlBody) (any, error) {
	t := s.tenant
	v := t.byConv[b.ConversationID]
	if b.ConversationID == "" && len(t.convs) > 0 {
		v = t.convs[s.rng.IntN(len(t.convs))]
	}
	if v == nil {
		return nil, errors.New("no such conversation")
	}
	who := t.user(b.SenderUserID)
	if b.SenderUserID == "" {
		who = v.members[s.rng.IntN(len(v.members))]
	}
	if who == nil || !v.has(who) {
		return nil, errors.New("the sender is not in the conversation")
	}
	if b.Kind == "file" {
		s.shareFile(v, who)
		m := v.msgs[len(v.msgs)-1]
		return map[string]any{"messageId": m.id, "conversationId": v.id, "senderUserId": who.userID, "ms": m.ms, "createTime": textTime(m.ms)}, nil
	}
	if b.Kind != "image" && b.Kind != "voice" {
		b.Kind = "text"
	}
	m := s.say(v, who, b.Kind, b.Text, nil)
	return map[string]any{"messageId": m.id, "conversationId": v.id, "senderUserId": who.userID, "ms": m.ms, "createTime": textTime(m.ms)}, nil
}

// say adds one live message and raises its events.
func (s *Simulator) say(v *conversation, who *person, kind, text string, quote *message) *message {
	op := operation{Op: "message", ID: s.newID("msg") + "==", Conv: v.id, User: who.userID, Kind: kind, Text: text, Time: s.now().UnixMilli()}
	if text == "" {
		op.Text = liveLine(s.rng)
	}
	if quote != nil {
		op.Quote = quote.id
	}
	if kind == "image" || kind == "voice" {
		op.Media, op.Seed = s.newID("$iAEIAq"), s.rng.Uint64()
		op.Text = mediaText(kind, op.Media)
	}
	s.do(op)
	m := s.tenant.msgs[op.ID]
	s.tellMembers("receive", m, who, nil)
	return m
}

func mediaText(kind, id string) string {
	if kind == "voice" {
		return "[语音消息](mediaId=" + id + ")"
	}
	return "[图片消息](mediaId=" + id + ")"
}

func (s *Simulator) liveMessage(id string) (*message, error) {
	m := s.tenant.msgs[id]
	if m == nil || m.recalled {
		return nil, errors.New("no such message, or it was recalled")
	}
	return m, nil
}

func (s *Simulator) edit(id, text string) (any, error) {
	m, err := s.liveMessage(id)
	if err != nil {
		return nil, err
	}
	if text == "" {
		text = m.text + "（更正）"
	}
	s.do(operation{Op: "edit", ID: id, Text: text, Time: s.now().UnixMilli()})
	s.tellMembers("edit", m, m.sender, nil)
	return map[string]any{"messageId": id, "conversationId": m.conv.id}, nil
}

func (s *Simulator) recall(id string) (any, error) {
	m, err := s.liveMessage(id)
	if err != nil {
		return nil, err
	}
	s.do(operation{Op: "recall", ID: id, Time: s.now().UnixMilli()})
	s.tellMembers("recall", m, m.sender, map[string]any{"recaller_open_dingtalk_id": m.sender.openID, "recall_time": s.now().UnixMilli()})
	return map[string]any{"messageId": id, "conversationId": m.conv.id}, nil
}

func (s *Simulator) controlUpload(b controlBody) (any, error) {
	sp := s.tenant.bySpace[b.SpaceID]
	if b.SpaceID == "" && len(s.tenant.spaces) > 0 {
		sp = s.tenant.spaces[0]
	}
	data, err := base64.StdEncoding.DecodeString(b.Base64)
	if sp == nil || err != nil || !legalName(b.Name) {
		return nil, errors.New("spaceId, name and base64 are needed")
	}
	who := s.tenant.admin
	if p := s.tenant.user(b.UserID); p != nil {
		who = p
	}
	c := &call{s: s, r: &http.Request{}}
	d, err := c.place(sp.root, who, b.Name, "", "", data)
	if err != nil {
		return nil, err
	}
	return d.json(0), nil
}

func (s *Simulator) controlDelete(b controlBody) (any, error) {
	sp := s.tenant.bySpace[b.SpaceID]
	if sp == nil || sp.find(b.DentryID) == nil || b.DentryID == "0" {
		return nil, errors.New("no such file")
	}
	d := sp.find(b.DentryID)
	s.do(operation{Op: "delete-dentry", ID: d.id, Space: sp.id, User: s.tenant.admin.unionID, Time: s.now().UnixMilli(), Token: s.tenant.id()})
	s.storageEvent("storage_dentry_delete", d, s.tenant.admin)
	return map[string]any{"ok": true}, nil
}

func (s *Simulator) stamp() string { return strconv.FormatInt(s.now().UnixMilli(), 10) }

func (s *Simulator) renameGroup(id, title string) (any, error) {
	v := s.tenant.byConv[id]
	if v == nil || v.single || title == "" {
		return nil, errors.New("a group's conversationId and a text are needed")
	}
	s.do(operation{Op: "retitle", Conv: id, Text: title})
	s.emit("chat_update_title", map[string]any{"timeStamp": s.now().UnixMilli(), "chatId": v.chatID, "openConversationId": v.id,
		"corpId": s.tenant.corpID, "title": title, "operator": v.owner.userID, "operatorUnionId": v.owner.unionID})
	return map[string]any{"ok": true}, nil
}

// leave lets one person go.
func (s *Simulator) leave(user string) (any, error) {
	p := s.tenant.user(user)
	if p == nil || p == s.tenant.admin {
		return nil, errors.New("no such user")
	}
	s.do(operation{Op: "leave", User: user, Time: s.now().UnixMilli()})
	s.grants.revoke(user)
	s.emit("user_leave_org", map[string]any{"timeStamp": s.stamp(), "userId": []string{user}})
	return map[string]any{"ok": true}, nil
}

func (s *Simulator) modifyUser(user, title string) (any, error) {
	p := s.tenant.user(user)
	if p == nil || title == "" {
		return nil, errors.New("userId and the new title as text are needed")
	}
	s.do(operation{Op: "user-title", User: user, Text: title})
	s.emit("user_modify_org", map[string]any{"timeStamp": s.stamp(), "userId": []string{user}, "diffInfo": map[string]any{"prev": map[string]any{}, "curr": map[string]any{"name": p.name}, "userid": user}})
	return map[string]any{"ok": true}, nil
}

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
