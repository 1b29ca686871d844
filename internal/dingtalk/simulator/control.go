package simulator

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
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
//	POST   ransom, mass-delete {spaceId, count, userId}  strike a space's first files, all without a count
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
	Count          int      `json:"count"`
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
	case "POST /_sim/ransom":
		return s.ransom(b)
	case "POST /_sim/mass-delete":
		return s.massDelete(b)
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
