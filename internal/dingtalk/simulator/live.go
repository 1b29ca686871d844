package simulator

import (
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
)

// send makes one message now, in any or the named conversation, by any or the
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
