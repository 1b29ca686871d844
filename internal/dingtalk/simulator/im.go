package simulator

import (
	"slices"
	"strconv"
	"strings"
)

var imRoutes = []route{
	{method: "POST", pattern: "/v1.0/im/chat/{chatId}/convertToOpenConversationId", perm: "qyapi_chat_read", handle: convertChatID},
	{method: "GET", pattern: "/chat/get", perm: "qyapi_chat_read", query: "chatid!", handle: chatGet},
	{method: "GET", pattern: "/v1.0/im/innerGroups/recentLists", query: "userId!", handle: recentGroups},
	{method: "POST", pattern: "/v1.0/im/innerGroups/members/query", body: "maxResults! nextToken openConversationId! userId!", handle: innerMembers},
	{method: "POST", pattern: "/v1.0/im/conversations/recentLists/query", body: "onlyHuman onlyInnerGroup userId!", handle: recentConversations},
	{method: "POST", pattern: "/v1.0/im/chats/lastMessageTime/query", body: "openConversationId!", handle: lastMessageTime},
	{method: "GET", pattern: "/v1.0/exclusive/securities/orgGroupInfos", perm: "Custom.Group.Read", query: "createTimeEnd createTimeStart groupMembersCountEnd groupMembersCountStart groupName groupOwner lastActiveTimeEnd lastActiveTimeStart operatorUserId! pageSize! pageStart! syncToDingpan uuid!", handle: orgGroups},
	{method: "POST", pattern: "/v1.0/im/groupChats/import", body: "adminIds createAt icon importUuid! owner! templateId title! userList!", handle: importGroup},
	{method: "POST", pattern: "/v1.0/im/messages/import", body: "content! createTime! importUuid! msgReadStatusSetting msgType! openConversationId! receivers senderId!", handle: importMessage},
}

func convertChatID(c *call) (any, error) {
	v := c.s.tenant.byChat[c.path["chatId"]]
	if v == nil {
		return nil, notFound("chatNotExist", "chat not exist")
	}
	return map[string]any{"openConversationId": v.id}, nil
}

func chatGet(c *call) (any, error) {
	v := c.s.tenant.byChat[c.query.Get("chatid")]
	if v == nil {
		return nil, legacyError{code: 40035, msg: "不合法的参数: chatid"}
	}
	users := []string{}
	for _, p := range v.members {
		users = append(users, p.userID)
	}
	return map[string]any{"errcode": 0, "errmsg": "ok", "chat_info": map[string]any{
		"name": v.title, "owner": v.owner.userID, "useridlist": users, "agentidlist": []string{}, "extidlist": []string{},
		"icon": "@lADOADmaWMzazQKA", "conversationTag": 2, "chatBannedType": 0, "searchable": 0, "validationType": 0,
		"mentionAllAuthority": 0, "managementType": 0, "showHistoryType": 1, "status": 1}}, nil
}

func (c *call) member(key string, from args) (*person, error) {
	p := c.s.tenant.user(from.str(key))
	if p == nil {
		return nil, c.bad("invalidUserId", "userId is not a member of the organisation")
	}
	return p, nil
}

func recentGroups(c *call) (any, error) {
	p, err := c.member("userId", c.queryArgs())
	if err != nil {
		return nil, err
	}
	type row struct {
		ID     string `json:"openConversationId"`
		Title  string `json:"title"`
		Icon   string `json:"icon"`
		Amount string `json:"memberAmount"`
	}
	list := []row{}
	for _, v := range recent(p) {
		if !v.single {
			list = append(list, row{v.id, v.title, "@lADOADmaWMzazQKA", strconv.Itoa(len(v.members))})
		}
	}
	return map[string]any{"success": true, "groupInfos": list}, nil
}

// recent is a person's conversations, the one with the newest message first.
func recent(p *person) []*conversation {
	list := slices.Clone(p.convs)
	slices.SortStableFunc(list, func(a, b *conversation) int { return int(min(1, max(-1, b.last()-a.last()))) })
	return list
}

func (v *conversation) last() int64 {
	if len(v.msgs) == 0 {
		return v.created
	}
	return v.msgs[len(v.msgs)-1].ms
}

func innerMembers(c *call) (any, error) {
	p, err := c.member("userId", c.args)
	if err != nil {
		return nil, err
	}
	v := c.s.tenant.byConv[c.args.str("openConversationId")]
	if v == nil || !v.has(p) {
		return nil, errPermission
	}
	max, err := c.maxResults(c.args, 100)
	if err != nil {
		return nil, err
	}
	from, err := c.args.num("nextToken", 0)
	if err != nil || from < 0 {
		return nil, c.bad("invalidNextToken", "nextToken")
	}
	a := min(int(from), len(v.members))
	b := min(a+max, len(v.members))
	ids := []string{}
	for _, m := range v.members[a:b] {
		ids = append(ids, m.userID)
	}
	out := map[string]any{"hasMore": b < len(v.members), "userIds": ids}
	if b < len(v.members) {
		out["nextToken"] = strconv.Itoa(b)
	}
	return out, nil
}

func recentConversations(c *call) (any, error) {
	p, err := c.member("userId", c.args)
	if err != nil {
		return nil, err
	}
	type row struct {
		Type   int    `json:"conversationType"`
		ID     string `json:"openConversationId"`
		Title  string `json:"title,omitempty"`
		UserID string `json:"userId,omitempty"`
		Name   string `json:"name,omitempty"`
		Nick   string `json:"nickName,omitempty"`
		Icon   string `json:"icon"`
		Count  string `json:"memberCount,omitempty"`
	}
	list := []row{}
	for _, v := range recent(p) {
		switch {
		case !v.single && !c.args.flag("onlyHuman"):
			list = append(list, row{Type: 2, ID: v.id, Title: v.title, Icon: "@lADOADmaWMzazQKA", Count: strconv.Itoa(len(v.members))})
		case v.single && !c.args.flag("onlyInnerGroup"):
			for _, o := range v.members {
				if o != p {
					list = append(list, row{Type: 1, ID: v.id, UserID: o.userID, Name: o.name, Nick: o.name})
				}
			}
		}
	}
	return map[string]any{"success": true, "result": map[string]any{"conversationList": list}}, nil
}

func lastMessageTime(c *call) (any, error) {
	v := c.s.tenant.byConv[c.args.str("openConversationId")]
	if v == nil {
		return nil, notFound("conversationNotExist", "conversation not exist")
	}
	return map[string]any{"success": true, "result": map[string]any{"time": v.last()}}, nil
}

// orgGroups is the inventory of an exclusive organisation's groups.
func orgGroups(c *call) (any, error) {
	if c.s.opt.Edition != "exclusive" {
		return nil, apiError{status: 400, code: "org.no.function", msg: "the organisation has no exclusive edition"}
	}
	q := c.queryArgs()
	if _, err := c.member("operatorUserId", q); err != nil {
		return nil, err
	}
	page, err1 := q.num("pageStart", 0)
	size, err2 := q.num("pageSize", 0)
	since, err3 := q.num("lastActiveTimeStart", 0)
	if err1 != nil || err2 != nil || err3 != nil || page < 1 || size < 1 || size > 200 {
		return nil, c.bad("invalidParameter", "pageStart from 1, pageSize 1 to 200")
	}
	list := []any{}
	for _, v := range c.s.tenant.convs {
		if !v.single && v.last() >= since && strings.Contains(v.title, q.str("groupName")) {
			list = append(list, map[string]any{"openConversationId": v.id, "groupName": v.title, "groupOwner": v.owner.name, "groupOwnerUserId": v.owner.userID,
				"groupMembersCount": len(v.members), "groupCreateTime": v.created, "groupLastActiveTime": v.last(), "status": 1, "groupAdminsCount": 1})
		}
	}
	a := min(int((page-1)*size), len(list))
	b := min(a+int(size), len(list))
	return map[string]any{"itemCount": b - a, "totalCount": len(list), "items": list[a:b]}, nil
}

// importGroup makes a group for what a backup gives back. The same importUuid
// answers the same group.
func importGroup(c *call) (any, error) {
	t := c.s.tenant
	uuid, owner := c.args.str("importUuid"), c.args.str("owner")
	if made := t.imported[uuid]; made != "" {
		return importAnswer("openConversationId", made), nil
	}
	if t.user(owner) == nil {
		return nil, c.bad("invalidUserId", "owner is not a member of the organisation")
	}
	users := []string{owner}
	for id := range c.args.obj("userList") {
		if t.user(id) == nil {
			return nil, c.bad("invalidUserId", "userList names nobody of the organisation: "+id)
		}
		users = append(users, id)
	}
	slices.Sort(users[1:])
	at, err := c.args.num("createAt", c.s.now().UnixMilli())
	if err != nil {
		return nil, c.bad("invalidCreateAt", "createAt")
	}
	c.s.do(operation{Op: "import-group", Token: uuid, Text: c.args.str("title"), Users: slices.Compact(users), Time: at})
	return importAnswer("openConversationId", t.imported[uuid]), nil
}

func importAnswer(key, id string) any {
	return map[string]any{"result": map[string]any{key: id}, "success": "true"}
}

// importMessage puts one message of the past into a group. The same
// importUuid makes one message, however often it comes.
func importMessage(c *call) (any, error) {
	t := c.s.tenant
	uuid := c.args.str("importUuid")
	if t.imported[uuid] != "" {
		return importAnswer("openTaskId", "task"+uuid), nil
	}
	v := t.byConv[c.args.str("openConversationId")]
	if v == nil {
		return nil, notFound("conversationNotExist", "conversation not exist")
	}
	at, err := c.args.num("createTime", 0)
	if err != nil || at <= 0 || at > c.s.now().UnixMilli() {
		return nil, c.bad("invalidCreateTime", "createTime must be epoch ms of the past")
	}
	kind := c.args.str("msgType")
	if !slices.Contains([]string{"text", "markdown", "image", "voice", "file", "link"}, kind) {
		return nil, c.bad("invalidMsgType", "msgType")
	}
	if len(c.args.str("content")) > 20000 {
		return nil, c.bad("invalidContent", "content is over 20,000 bytes")
	}
	c.s.do(operation{Op: "import-message", Token: uuid, ID: c.s.newID("msg") + "==", Conv: v.id, User: c.args.str("senderId"),
		Kind: kind, Text: c.args.str("content"), Time: at})
	return importAnswer("openTaskId", "task"+uuid), nil
}
