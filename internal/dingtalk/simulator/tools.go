package simulator

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
)

type conversationRow struct {
	OpenConversationID string `json:"openConversationId"`
	Title              string `json:"title"`
	ConversationType   int    `json:"conversationType"` // 1 single, 2 group
	MemberCount        int    `json:"memberCount"`
}

// listConversations pages over the member's conversations in the order in
// which they began, so that a new message moves nothing between two pages.
func listConversations(c *toolCall) (any, error) {
	limit, err := c.limit()
	if err != nil {
		return nil, err
	}
	from, err := c.args.num("cursor", 0)
	if err != nil || from < 0 {
		return nil, c.bad("cursor must be a number")
	}
	hide := c.s.faults.take(c.s, "hide_single", c.tool.name) != nil
	rows := []conversationRow{}
	next, more := from, false
	for i := int(from); i < len(c.who.convs); i++ {
		v := c.who.convs[i]
		if len(rows) == limit {
			more = true
			break
		}
		next = int64(i + 1)
		if v.single && hide {
			continue
		}
		row := conversationRow{v.id, v.name(c.who), 2, len(v.members)}
		if v.single {
			row.ConversationType = 1
		}
		rows = append(rows, row)
	}
	return map[string]any{"conversations": rows, "hasMore": more, "nextCursor": next}, nil
}

func listConversationMembers(c *toolCall) (any, error) {
	v, err := c.conversation("openConversationId")
	if err != nil {
		return nil, err
	}
	limit, err := c.limit()
	if err != nil {
		return nil, err
	}
	from, err := c.args.num("cursor", 0)
	if err != nil || from < 0 {
		return nil, c.bad("cursor must be a number")
	}
	type row struct {
		OpenID string `json:"openDingTalkId"`
		UserID string `json:"userId"`
		Name   string `json:"name"`
		Owner  bool   `json:"isOwner,omitempty"`
	}
	rows := []row{}
	to := min(int(from)+limit, len(v.members))
	for _, p := range v.members[min(int(from), to):to] {
		rows = append(rows, row{p.openID, p.userID, p.name, p == v.owner && !v.single})
	}
	return map[string]any{"members": rows, "hasMore": to < len(v.members), "nextCursor": to}, nil
}

type historyPage struct {
	HasMore    bool          `json:"hasMore"`
	NextCursor string        `json:"nextCursor,omitempty"`
	Messages   []messageJSON `json:"messages"`
}

// history is one page around the argument time. The rule, exactly:
//
// The time is either 13-digit epoch milliseconds as text or
// "yyyy-MM-dd HH:mm:ss" in UTC+8. Every message has its own millisecond in its
// conversation, though createTime shows only the second.
//
//   - forward=true: the oldest limit messages with ms >= time. nextCursor is
//     the last (newest) delivered ms + 1.
//   - forward=false: the newest limit messages with ms <= time; a time given
//     in seconds takes in its whole second. nextCursor is the oldest delivered
//     ms - 1.
//
// Inside a page the newest message stands first in both directions. hasMore
// says whether messages are left in that direction; nextCursor comes with
// every page that has messages, with hasMore=false too, so that a caller can
// go on from there when new ones have come. An empty page has no cursor.
//
// The trap: a time that cannot be read is no error. It counts as the
// conversation's beginning (forward) or its end, that is page one again.
func (c *toolCall) history(v *conversation) (any, error) {
	limit, err := c.limit()
	if err != nil {
		return nil, err
	}
	forward := c.args.flag("forward")
	ms, ok := cursorTime(c.args.str("time"), forward)
	if !ok {
		c.s.violate(c.r, c.tool.name+": unreadable time "+strconv.Quote(c.args.str("time")))
		if ms = 0; !forward {
			ms = 1 << 60
		}
	}
	var from, to int
	if forward {
		from = v.since(ms)
		to = min(from+limit, len(v.msgs))
	} else {
		to = v.since(ms + 1)
		from = max(0, to-limit)
	}
	if wall := c.s.faults.take(c.s, "wall", c.tool.name); wall != nil {
		oldest := v.since(c.s.now().Add(-time.Duration(wall.Days) * day).UnixMilli())
		if from < oldest && forward {
			from, to = oldest, min(oldest+limit, len(v.msgs))
		}
		from = max(from, oldest)
		to = max(from, to)
		if !forward && from == oldest && oldest > 0 {
			v = &conversation{msgs: v.msgs[oldest:]} // what lies behind is not even counted
			from, to = 0, to-oldest
		}
	}
	page := historyPage{Messages: []messageJSON{}}
	for i := to - 1; i >= from; i-- {
		page.Messages = append(page.Messages, v.msgs[i].json())
	}
	if len(page.Messages) > 0 {
		if forward {
			page.HasMore, page.NextCursor = to < len(v.msgs), strconv.FormatInt(v.msgs[to-1].ms+1, 10)
		} else {
			page.HasMore, page.NextCursor = from > 0, strconv.FormatInt(v.msgs[from].ms-1, 10)
		}
	}
	if c.s.faults.take(c.s, "reorder", c.tool.name) != nil {
		c.s.rng.Shuffle(len(page.Messages), func(i, j int) {
			page.Messages[i], page.Messages[j] = page.Messages[j], page.Messages[i]
		})
	}
	return page, nil
}

// cursorTime reads a time argument. A plain second is its beginning forwards
// and its end backwards.
func cursorTime(text string, forward bool) (int64, bool) {
	if len(text) == 13 || len(text) == 12 {
		if ms, err := strconv.ParseInt(text, 10, 64); err == nil && ms > 0 {
			return ms, true
		}
	}
	at, err := time.ParseInLocation(chatTime, text, macau)
	if err != nil {
		return 0, false
	}
	if forward {
		return at.UnixMilli(), true
	}
	return at.UnixMilli() + 999, true
}

func listConversationMessages(c *toolCall) (any, error) {
	v, err := c.conversation("openconversation_id")
	if err != nil {
		return nil, err
	}
	return c.history(v)
}

func listIndividualMessages(c *toolCall) (any, error) {
	t := c.s.tenant
	other := t.byUser[c.args.str("userId")]
	if id := c.args.str("openDingTalkId"); id != "" {
		other = t.byOpen[id]
	}
	if other == nil {
		return nil, c.bad("userId or openDingTalkId is needed")
	}
	for _, v := range c.who.convs {
		if v.single && v.has(other) && other != c.who {
			return c.history(v)
		}
	}
	return historyPage{Messages: []messageJSON{}}, nil
}

// searchMessages walks all of the member's conversations for a span of time,
// oldest first per conversation; the cursor counts messages.
func searchMessages(c *toolCall) (any, error) {
	limit, err := c.limit()
	if err != nil {
		return nil, err
	}
	start, err1 := time.Parse(time.RFC3339, c.args.str("startTime"))
	end, err2 := time.Parse(time.RFC3339, c.args.str("endTime"))
	if err1 != nil || err2 != nil || end.Before(start) {
		return nil, c.bad("startTime and endTime must be ISO-8601 in order")
	}
	skip, err := c.args.num("cursor", 0)
	if err != nil || skip < 0 {
		return nil, c.bad("cursor")
	}
	type group struct {
		OpenConversationID string        `json:"openConversationId"`
		Title              string        `json:"title"`
		Messages           []messageJSON `json:"messages"`
	}
	list := []group{}
	seen, given, more := int64(0), 0, false
walk:
	for _, v := range c.who.convs {
		g := group{v.id, v.name(c.who), nil}
		for _, m := range v.msgs[v.since(start.UnixMilli()):v.since(end.UnixMilli()+1)] {
			if seen++; seen <= skip {
				continue
			}
			if given == limit {
				more = true
				if g.Messages != nil {
					list = append(list, g)
				}
				break walk
			}
			g.Messages = append(g.Messages, m.json())
			given++
		}
		if g.Messages != nil {
			list = append(list, g)
		}
	}
	return map[string]any{"conversationMessagesList": list, "hasMore": more, "nextCursor": strconv.FormatInt(skip+int64(given), 10)}, nil
}

func listMessagesByIDs(c *toolCall) (any, error) {
	ids := c.args.strs("openMsgIds")
	if len(ids) < 1 || len(ids) > 50 {
		return nil, c.bad("openMsgIds must be 1 to 50 ids")
	}
	list := []messageJSON{}
	for _, id := range ids {
		if m := c.s.tenant.msgs[id]; m != nil && m.conv.has(c.who) {
			list = append(list, m.json())
		}
	}
	return map[string]any{"messages": list}, nil
}

func listTopicReplies(c *toolCall) (any, error) {
	thread := c.args.str("openConvThreadId")
	list := []messageJSON{}
	for _, v := range c.who.convs {
		for _, m := range v.msgs {
			if m.thread == thread {
				list = append(list, m.json())
			}
		}
	}
	slices.Reverse(list)
	return map[string]any{"messages": list, "hasMore": false}, nil
}

// resourceDownloadURL hands out a link to a picture or a voice message. The
// link lapses and wants the headers that come with it.
func resourceDownloadURL(c *toolCall) (any, error) {
	if c.args.str("resourceType") != "mediaId" {
		return nil, c.bad("resourceType must be mediaId")
	}
	v, err := c.conversation("openConversationId")
	if err != nil {
		return nil, err
	}
	m := c.s.tenant.msgs[c.args.str("openMessageId")]
	if m == nil || m.conv != v || m.media == nil || m.media.id != c.args.str("resourceId") {
		return nil, toolError{"RESOURCE_NOT_FOUND", "资源不存在或已被撤回"}
	}
	path := "/media/" + url.PathEscape(m.media.id)
	headers := c.s.sign("GET", "/media/"+m.media.id, c.s.opt.DownloadSeconds)
	return map[string]any{"resourceUrl": origin(c.s, c.r) + path, "headers": headers, "fileName": m.media.name,
		"expirationSeconds": c.s.opt.DownloadSeconds}, nil
}

func origin(s *Simulator, r *http.Request) string {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return fmt.Sprintf("%s://%s", scheme, r.Host)
}
