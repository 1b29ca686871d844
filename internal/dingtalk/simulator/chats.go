package simulator

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"
)

// conversation is a group or a pair. Its messages ascend strictly by ms: no
// two messages of one conversation share an internal millisecond, which is
// what lets a millisecond cursor page through a busy second.
type conversation struct {
	id, chatID string
	title      string
	single     bool
	dept       int64 // the department it belongs to; 0 for none
	owner      *person
	members    []*person
	created    int64
	space      *space
	msgs       []*message
	topic      int // what its people talk about
}

func (v *conversation) has(p *person) bool { return slices.Contains(v.members, p) }

// name is the title as one member sees it: a pair is named after the other.
func (v *conversation) name(viewer *person) string {
	if !v.single {
		return v.title
	}
	for _, p := range v.members {
		if p != viewer {
			return p.name
		}
	}
	return v.title
}

// since is the index of the first message with ms >= t.
func (v *conversation) since(t int64) int {
	return sort.Search(len(v.msgs), func(i int) bool { return v.msgs[i].ms >= t })
}

type message struct {
	id       string
	conv     *conversation
	ms       int64
	sender   *person
	kind     string // text, image, voice or file
	text     string
	media    *media
	quote    *quotedJSON // the quoted message as it was when it was quoted
	thread   string
	reacts   []reaction
	edited   int64
	recalled bool
}

type reaction struct {
	Emoji string   `json:"emoji"`
	Users []string `json:"openDingTalkIds"`
	Count int      `json:"count"`
}

type senderJSON struct {
	Name       string `json:"name"`
	OpenID     string `json:"openDingTalkId"`
	SenderType string `json:"senderType"`
}

type quotedJSON struct {
	OpenMessageID string     `json:"openMessageId"`
	Sender        senderJSON `json:"sender"`
	MsgType       string     `json:"msgType"`
	Content       string     `json:"content"`
}

type messageJSON struct {
	OpenMessageID      string      `json:"openMessageId"`
	OpenConversationID string      `json:"openConversationId"`
	OpenConvThreadID   string      `json:"openConvThreadId,omitempty"`
	Sender             senderJSON  `json:"sender"`
	MsgType            string      `json:"msgType"`
	Content            string      `json:"content"`
	CreateTime         string      `json:"createTime"`
	Edited             bool        `json:"edited,omitempty"`
	EditTime           string      `json:"editTime,omitempty"`
	Quoted             *quotedJSON `json:"quotedMessage,omitempty"`
	Reactions          []reaction  `json:"reactions,omitempty"`
}

const chatTime = "2006-01-02 15:04:05"

func textTime(ms int64) string { return time.UnixMilli(ms).In(macau).Format(chatTime) }

func (p *person) senderJSON() senderJSON {
	kind := "user"
	if p.external {
		kind = "external"
	}
	return senderJSON{p.name, p.openID, kind}
}

// json is the message as every tool serves it. A recalled one has lost its
// text, its media, its edits and its reactions.
func (m *message) json() messageJSON {
	j := messageJSON{OpenMessageID: m.id, OpenConversationID: m.conv.id, OpenConvThreadID: m.thread,
		Sender: m.sender.senderJSON(), MsgType: m.kind, Content: m.text, CreateTime: textTime(m.ms)}
	if m.recalled {
		j.MsgType, j.Content = "recall", ""
		return j
	}
	if m.edited != 0 {
		j.Edited, j.EditTime = true, textTime(m.edited)
	}
	j.Quoted = m.quote
	j.Reactions = m.reacts
	return j
}

// quoting is what a reply keeps of the message it answers. It does not change
// when the original is edited or recalled later.
func quoting(m *message) *quotedJSON {
	return &quotedJSON{m.id, m.sender.senderJSON(), m.kind, m.text}
}

// add appends a message, later than the last one by at least 1 ms.
func (t *tenant) add(m *message) {
	v := m.conv
	if n := len(v.msgs); n > 0 && m.ms <= v.msgs[n-1].ms {
		m.ms = v.msgs[n-1].ms + 1
	}
	v.msgs = append(v.msgs, m)
	t.msgs[m.id] = m
}

// insert puts an imported message where its time belongs, at the first free
// millisecond from there on.
func (t *tenant) insert(m *message) {
	v := m.conv
	i := v.since(m.ms)
	for i < len(v.msgs) && v.msgs[i].ms == m.ms {
		m.ms++
		i++
	}
	v.msgs = slices.Insert(v.msgs, i, m)
	t.msgs[m.id] = m
}

func (t *tenant) newConversation(label string, n int, title string, members []*person) *conversation {
	v := &conversation{
		id:     "cid" + token64(16, t.seed, "conv:"+label, n),
		chatID: fmt.Sprintf("chat%x", digest(t.seed, "chat:"+label, n))[:36],
		title:  title, owner: members[0],
	}
	for _, p := range members {
		if !v.has(p) {
			v.members = append(v.members, p)
			p.convs = append(p.convs, v)
		}
	}
	t.convs = append(t.convs, v)
	t.byConv[v.id], t.byChat[v.chatID] = v, v
	return v
}

var groupTopics = []string{"協調群", "報價跟進", "出貨通知", "客戶服務", "Shipping", "每日匯報", "Operações", "週會", "供應商聯絡", "緊急事項", "項目群", "閒聊"}

// addGroups makes the department groups, topic groups and pairs.
func (t *tenant) addGroups(opt Options) {
	r := newRand(t.seed, "groups")
	start := t.epoch.Add(-300 * 24 * time.Hour).UnixMilli()
	var big *department
	for _, d := range t.depts {
		if d.name == "國際貿易部" {
			big = d
		}
	}
	all := t.working()
	t.newConversation("all", 0, "濠江貿易全體同事", all).created = start
	for i, d := range t.depts[1:] {
		staff := t.staff(d.id)
		if len(staff) == 0 {
			continue
		}
		v := t.newConversation("dept", i, d.name, append(slices.Clone(staff), t.admin))
		v.dept, v.created, v.topic, d.group = d.id, start, i, v
	}
	for i := len(t.convs); i < 60; i++ {
		d := t.depts[1+r.IntN(len(t.depts)-1)]
		members := slices.Clone(t.staff(d.id))
		for range 3 + r.IntN(8) {
			members = append(members, pick(r, all))
		}
		if i%2 == 0 {
			members = append(members, t.admin)
		}
		if len(t.staff(d.id)) == 0 {
			d = t.byDept[members[0].depts[0]]
		}
		v := t.newConversation("topic", i, pick(r, shortNames(d))+pick(r, groupTopics), members)
		v.dept, v.created, v.topic = d.id, start+int64(r.IntN(60*86400000)), i
	}
	if opt.BigDepartment {
		// Owned by the department's head, so that a client that goes by the
		// owner puts them there too.
		head := t.staff(big.id)[0]
		for _, v := range t.convs {
			if !v.has(head) {
				v.members, head.convs = append(v.members, head), append(head.convs, v)
			}
			v.dept, v.owner = big.id, head
		}
	}
	for i := range 80 {
		a, b := pick(r, all), pick(r, all)
		if i%4 == 0 {
			a = t.admin
		}
		if a == b {
			b = all[(slices.Index(all, a)+1)%len(all)]
		}
		v := t.newConversation("pair", i, "", []*person{a, b})
		v.single, v.created, v.topic = true, start, i
		if opt.BigDepartment {
			v.dept = big.id
		}
	}
}

func (t *tenant) working() []*person {
	var all []*person
	for _, p := range t.people {
		if !p.gone() {
			all = append(all, p)
		}
	}
	return all
}

func shortNames(d *department) []string {
	n := strings.NewReplacer("部", "", "組", "", "隊", "").Replace(d.name)
	return []string{n, d.name, n + "·"}
}
