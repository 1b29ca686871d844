package simulator

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
)

// subscription is one event key a member's client listens to.
type subscription struct {
	ID       string `json:"subId"`
	User     string `json:"-"`
	ClientID string `json:"clientId"`
	SourceID string `json:"sourceId"`
	EventKey string `json:"eventKey"`
}

var eventKeys = []string{"user_im_message_receive_at", "user_im_message_receive_o2o", "user_im_message_receive_group", "user_im_message_receive_user",
	"user_im_message_receive_o2o_all", "user_im_message_receive_group_all", "user_im_message_read_o2o", "user_im_message_read_group",
	"user_im_message_recall_o2o", "user_im_message_recall_group", "user_im_message_edit_o2o", "user_im_message_edit_group",
	"user_im_message_reaction_o2o", "user_im_message_reaction_group",
	"user_im_group_updated", "user_im_group_member_added", "user_im_group_member_exited", "user_im_group_disbanded",
	"user_oa_approval_task_created", "user_oa_approval_task_finished", "user_oa_approval_task_redirected",
	"user_oa_approval_instance_started", "user_oa_approval_instance_terminated", "user_oa_approval_instance_finished"}

// isGateway reports whether a path belongs to mcp.dingtalk.com.
func isGateway(p string) bool {
	return slices.Contains([]string{"/stream/connections/ticket", "/dws/subscription/user", "/dws/event/sublist", "/dws/subscription/cancel", "/cli/cliAuthEnabled"}, p)
}

// servePersonal is the members' own event stream: tickets and subscriptions.
func (s *Simulator) servePersonal(w http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		return
	}
	s.mu.Lock()
	status, body := s.answerPersonal(r, raw)
	s.mu.Unlock()
	writeBody(w, status, mustJSON(body))
}

func personalError(code, msg string) map[string]any {
	return map[string]any{"success": false, "errorCode": code, "errorMsg": msg}
}

func (s *Simulator) answerPersonal(r *http.Request, raw []byte) (int, any) {
	s.limits.called(r.Method + " " + r.URL.Path)
	who := s.tokens.member(r.Header.Get("x-user-access-token"), s.now())
	if who == nil {
		return http.StatusUnauthorized, personalError("InvalidAuthentication", "用户 token 无效或已过期")
	}
	if s.limits.over(r.URL.Path, s.opt.QPS, s.now()) {
		return http.StatusTooManyRequests, personalError("systemBusy", "system busy")
	}
	var body args
	if r.Method == http.MethodPost && json.Unmarshal(raw, &body) != nil {
		s.violate(r, "body is not a JSON object")
		return http.StatusBadRequest, personalError("PARAM_ERROR", "body is not JSON")
	}
	switch r.Method + " " + r.URL.Path {
	case "GET /cli/cliAuthEnabled":
		return 200, map[string]any{"success": true, "result": map[string]any{"cliAuthEnabled": !s.refused["cli"]}}
	case "POST /stream/connections/ticket":
		if body.str("sourceId") == "" || body.str("channelType") == "" || body.str("mode") == "" {
			s.violate(r, "sourceId, channelType and mode are required")
			return http.StatusBadRequest, personalError("PARAM_ERROR", "sourceId, channelType, mode")
		}
		return 200, s.newTicket(r, who.userID)
	case "POST /dws/subscription/user":
		return s.subscribe(r, who, body)
	case "GET /dws/event/sublist":
		list := []*subscription{}
		for _, x := range s.hub.subs {
			if x.User == who.userID {
				list = append(list, x)
			}
		}
		return 200, map[string]any{"success": true, "result": list}
	case "POST /dws/subscription/cancel":
		s.hub.subs = slices.DeleteFunc(s.hub.subs, func(x *subscription) bool { return x.ID == body.str("subId") && x.User == who.userID })
		return 200, map[string]any{"success": true}
	}
	s.violate(r, "no such operation")
	return http.StatusMethodNotAllowed, personalError("METHOD_NOT_ALLOWED", "method not allowed")
}

func (s *Simulator) subscribe(r *http.Request, who *person, body args) (int, any) {
	key := body.str("eventKey")
	if !slices.Contains(eventKeys, key) || body.str("sourceId") == "" {
		s.violate(r, "unknown eventKey or no sourceId")
		return http.StatusBadRequest, personalError("PARAM_ERROR", "eventKey")
	}
	for _, x := range s.hub.subs {
		if x.User == who.userID && x.EventKey == key && x.SourceID == body.str("sourceId") {
			return 200, map[string]any{"success": true, "result": map[string]any{"subId": x.ID}}
		}
	}
	x := &subscription{ID: secret("sub"), User: who.userID, ClientID: body.str("clientId"), SourceID: body.str("sourceId"), EventKey: key}
	s.hub.subs = append(s.hub.subs, x)
	return 200, map[string]any{"success": true, "result": map[string]any{"subId": x.ID}}
}

// tellMembers raises a message event for every subscribed member of the
// conversation but the one who caused it: one's own messages never come.
func (s *Simulator) tellMembers(what string, m *message, by *person, more map[string]any) {
	kind := "group"
	if m.conv.single {
		kind = "o2o"
	}
	key := "user_im_message_" + what + "_" + kind
	if what == "receive" {
		key += "_all"
	}
	for _, x := range s.hub.subs {
		if x.EventKey != key || by != nil && x.User == by.userID || !m.conv.has(s.tenant.byUser[x.User]) {
			continue
		}
		j := m.json()
		now := s.now().UnixMilli()
		data := map[string]any{"type": key, "event_id": secret("")[:20], "timestamp": now, "subscribe_id": x.ID,
			"message_id": m.id, "conversation_id": m.conv.id, "openMessageId": m.id, "openConversationId": m.conv.id,
			"sender": j.Sender.Name, "sender_open_dingtalk_id": j.Sender.OpenID, "content": j.Content,
			"create_time": j.CreateTime, "event_time": now}
		if j.Quoted != nil {
			data["quoted_message"] = j.Quoted
		}
		for k, v := range more {
			data[k] = v
		}
		s.push(x.User, key, data)
	}
}
