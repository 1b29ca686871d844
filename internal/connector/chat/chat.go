// Package chat captures group and 1:1 conversations by route A: reading as
// members who consented. Nothing is seen of a conversation none of whose
// members consented. DingTalk may change or close this route.
//
// The cursor is the gateway's own millisecond cursor. Edits and recalls change
// messages silently, so a full pull reads everything again; a message that is
// no longer in a window is never taken for deleted.
package chat

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"farol/internal/connector"
	"farol/internal/dingtalk"
	"farol/internal/record"
)

// Chat is the connector.
type Chat struct{}

// New returns the connector.
func New() Chat { return Chat{} }

// Kind is chat.
func (Chat) Kind() record.Kind { return record.Chat }

type conversation struct {
	ID      string `json:"openConversationId"`
	Title   string `json:"title"`
	Type    int    `json:"conversationType"`
	Members int    `json:"memberCount"`
}

const single = 1

// parallel calls while listing; the client's own rate limit decides the pace.
const parallel = 4

// Sources lists the conversations of every member who consented.
func (Chat) Sources(ctx context.Context, env *connector.Env, found func(connector.Source) error) error {
	type listed struct {
		row conversation
		raw dingtalk.Raw
		via []string
	}
	lists := make([]map[string]listed, len(env.Readers))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	errs := make([]error, len(env.Readers))
	for i, person := range env.Readers {
		g.Go(func() error {
			lists[i] = map[string]listed{}
			for cursor := int64(0); cursor >= 0; {
				rows, next, err := env.Client.Conversations(gctx, person, cursor)
				if err != nil {
					errs[i] = fmt.Errorf("list a member's conversations: %w", err)
					return gctx.Err() // one member's failure must not lose the others'
				}
				for _, raw := range rows {
					var row conversation
					if err := json.Unmarshal(raw, &row); err != nil || row.ID == "" {
						continue
					}
					lists[i][row.ID] = listed{row: row, raw: raw}
				}
				cursor = next
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	all := map[string]*listed{}
	for i, list := range lists {
		for id, f := range list {
			if all[id] == nil {
				all[id] = &f // the first reader's row: for 1:1 the title depends on who asks
			}
			all[id].via = append(all[id].via, env.Readers[i])
		}
	}
	ids := make([]string, 0, len(all))
	for id := range all {
		ids = append(ids, id)
	}
	sort.Strings(ids)
	var one sync.Mutex // found is called one at a time
	g, gctx = errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for _, id := range ids {
		f := all[id]
		g.Go(func() error {
			src, err := describe(gctx, env, f.row, f.raw, f.via)
			if err != nil {
				return err
			}
			one.Lock()
			defer one.Unlock()
			return found(src)
		})
	}
	return errors.Join(g.Wait(), errors.Join(errs...))
}

// describe finds who owns a conversation. A group belongs to its owner's
// department, a 1:1 conversation to the department of its first member.
func describe(ctx context.Context, env *connector.Env, row conversation, raw dingtalk.Raw, via []string) (connector.Source, error) {
	src := connector.Source{Container: record.Container{Kind: record.Chat, ID: row.ID, Title: row.Title, Private: row.Type == single}, Via: via}
	members, err := env.Client.Members(ctx, via[0], row.ID, 500)
	if err != nil && ctx.Err() != nil {
		return src, err
	}
	slices.SortFunc(members, func(a, b dingtalk.Member) int { return strings.Compare(a.UserID, b.UserID) })
	for _, m := range members {
		u, known := env.People.User(m.UserID)
		if known && (m.Owner || src.Dept == 0) {
			src.Dept = u.Dept
		}
		src.Members = append(src.Members, m.UserID)
	}
	src.Describe = []record.Record{{Ref: record.Ref{Kind: record.Chat, Container: row.ID, ID: "@"}, Time: epoch, Dept: src.Dept, Raw: raw}}
	if len(members) > 0 {
		b, err := json.Marshal(members)
		if err != nil {
			return src, err
		}
		src.Describe = append(src.Describe, record.Record{Ref: record.Ref{Kind: record.Chat, Container: row.ID, ID: "@members"}, Time: epoch, Dept: src.Dept, Raw: b})
	}
	return src, nil
}

var epoch = time.Date(2010, 1, 1, 0, 0, 0, 0, time.UTC)

// first is the earliest cursor the gateway reads as a time.
const first = "100000000000"

// Pull reads the conversation forward.
func (Chat) Pull(ctx context.Context, env *connector.Env, src connector.Source, cursor string, emit func(connector.Page) error) error {
	if cursor == "" {
		cursor = first
	}
	var began int64 // first message's time
	for {
		asked := env.Now()
		h, via, err := history(ctx, env, src, cursor)
		if err != nil {
			return err
		}
		page := connector.Page{Cursor: h.Next, Walked: !h.More, Asked: asked}
		for _, raw := range slices.Backward(h.Messages) {
			it, err := item(env, src, via, raw)
			if err != nil {
				page.Lost = append(page.Lost, connector.Lost{ID: "?", Err: err})
				continue
			}
			page.Items = append(page.Items, it)
		}
		if n := len(page.Items); n > 0 {
			if began == 0 {
				began = page.Items[0].Rec.Time.UnixMilli()
			}
			if span := env.Now().UnixMilli() - began; span > 0 {
				page.Done = float64(page.Items[n-1].Rec.Time.UnixMilli()-began) / float64(span)
			}
		}
		if err := emit(page); err != nil || !h.More {
			return err
		}
		cursor = h.Next
	}
}

// history reads as the first member whose consent still works.
func history(ctx context.Context, env *connector.Env, src connector.Source, cursor string) (dingtalk.History, string, error) {
	err := error(&dingtalk.APIError{API: "list_conversation_message_v2"})
	for _, person := range src.Via {
		var h dingtalk.History
		if h, err = env.Client.History(ctx, person, src.ID, cursor, true); err == nil {
			return h, person, nil
		}
		if !errors.Is(err, dingtalk.ErrConsent) && !errors.Is(err, dingtalk.ErrNotFound) && !errors.Is(err, dingtalk.ErrNotEnabled) {
			break
		}
	}
	return dingtalk.History{}, "", fmt.Errorf("read a conversation: %w", err)
}

type message struct {
	ID     string          `json:"openMessageId"`
	Sender json.RawMessage `json:"sender"`
	Type   string          `json:"msgType"`
	Text   string          `json:"content"`
	Time   string          `json:"createTime"`
	Edited bool            `json:"edited"`
	EditAt string          `json:"editTime"`
	Quoted *struct {
		Sender json.RawMessage `json:"sender"`
		Text   string          `json:"content"`
	} `json:"quotedMessage"`
}

type sender struct {
	Name string `json:"name"`
	Open string `json:"openDingTalkId"`
}

// who reads a sender, which is an object or plain text.
func who(raw json.RawMessage) sender {
	var s sender
	if json.Unmarshal(raw, &s) != nil {
		var name string
		if json.Unmarshal(raw, &name) == nil {
			s.Name = name
		}
	}
	return s
}

var zone = time.FixedZone("UTC+8", 8*3600)

func parse(raw []byte) (message, time.Time, error) {
	var m message
	if err := json.Unmarshal(raw, &m); err != nil || m.ID == "" {
		return m, time.Time{}, fmt.Errorf("read a message: %w", errors.Join(err, errShape))
	}
	at, err := time.ParseInLocation(time.DateTime, m.Time, zone)
	if err != nil {
		return m, time.Time{}, fmt.Errorf("read a message's time: %w", errShape)
	}
	return m, at.UTC(), nil
}

var errShape = errors.New("the item has an unknown shape")

func item(env *connector.Env, src connector.Source, via string, raw []byte) (connector.Item, error) {
	m, at, err := parse(raw)
	if err != nil {
		return connector.Item{}, err
	}
	it := connector.Item{Rec: record.Record{Ref: record.Ref{Kind: record.Chat, Container: src.ID, ID: m.ID}, Time: at, Author: who(m.Sender).Open, Dept: src.Dept, Raw: raw}}
	for _, a := range attachments(m) {
		it.Attach = append(it.Attach, connector.Attachment{Key: a.key(), Name: a.name, Size: -1, Open: func(ctx context.Context) (io.ReadCloser, int64, error) {
			s, err := a.locate(ctx, env, src, via, m.ID)
			if err != nil {
				return nil, 0, err
			}
			return env.Client.Fetch(ctx, s)
		}})
	}
	return it, nil
}

// attachment is what a message's text names: a medium by id or a file by space
// and id.
type attachment struct{ media, space, file, name string }

func (a attachment) key() string { return a.media + a.file }

func (a attachment) locate(ctx context.Context, env *connector.Env, src connector.Source, via, message string) (dingtalk.Signed, error) {
	if a.media != "" {
		s, _, err := env.Client.Media(ctx, via, src.ID, message, a.media)
		return s, err
	}
	operator := env.Operator
	if u, ok := env.People.User(via); ok && u.UnionID != "" {
		operator = u.UnionID // a member may read the group's space
	}
	return env.Client.DownloadInfo(ctx, operator, a.space, a.file, 0)
}

var (
	mediaPattern = regexp.MustCompile(`\[([^\]]*)\]\(mediaId=([^)]+)\)`)
	filePattern  = regexp.MustCompile(`fileId: ?([^\s,;]+)`)
	spacePattern = regexp.MustCompile(`spaceId: ?([^\s,;]+)`)
	namePattern  = regexp.MustCompile(`(?:fileName|名称|文件名): ?([^\n]+?)(?:\s+(?:fileId|spaceId|fileSize|size):|$)`)
)

var mediaNames = map[string]string{"image": "image.png", "voice": "voice.amr", "audio": "voice.amr", "video": "video.mp4"}

func attachments(m message) []attachment {
	var out []attachment
	if m.Type == "text" || m.Type == "recall" {
		return nil // people may type such words themselves
	}
	for _, x := range mediaPattern.FindAllStringSubmatch(m.Text, -1) {
		name := mediaNames[m.Type]
		if name == "" {
			name = "media"
		}
		out = append(out, attachment{media: x[2], name: name})
	}
	f, s := filePattern.FindStringSubmatch(m.Text), spacePattern.FindStringSubmatch(m.Text)
	if f != nil && s != nil {
		a := attachment{file: f[1], space: s[1], name: "file"}
		if n := namePattern.FindStringSubmatch(m.Text); n != nil {
			a.name = n[1]
		}
		out = append(out, a)
	}
	return out
}

// Members reads the "@members" record of a conversation.
func Members(rec *record.Record) ([]dingtalk.Member, error) {
	var ms []dingtalk.Member
	if err := json.Unmarshal(rec.Raw, &ms); err != nil {
		return nil, fmt.Errorf("read a conversation's members: %w", err)
	}
	return ms, nil
}

// Document shows a message, or the conversation that an "@" record describes.
func (Chat) Document(rec *record.Record) (connector.Document, error) {
	switch rec.ID {
	case "@":
		var c conversation
		if err := json.Unmarshal(rec.Raw, &c); err != nil {
			return connector.Document{}, fmt.Errorf("read a conversation: %w", err)
		}
		return connector.Document{Title: c.Title, Container: &record.Container{Kind: record.Chat, ID: c.ID, Title: c.Title, Dept: rec.Dept, Private: c.Type == single}}, nil
	case "@members":
		return connector.Document{}, nil // read as data by whoever restores the group
	}
	m, at, err := parse(rec.Raw)
	if err != nil {
		return connector.Document{}, err
	}
	s := who(m.Sender)
	doc := connector.Document{Body: m.Text, Author: connector.Person{Key: s.Open, Name: s.Name}, Time: at}
	if files := attachments(m); len(files) > 0 {
		doc.Body = strings.TrimSpace(mediaPattern.ReplaceAllString(doc.Body, ""))
		if files[0].file != "" {
			doc.Body = ""
		}
		for _, a := range files {
			doc.Files = append(doc.Files, a.name)
		}
	}
	if m.Edited {
		doc.State.Edited = at
		if t, err := time.ParseInLocation(time.DateTime, m.EditAt, zone); err == nil {
			doc.State.Edited = t.UTC()
		}
	}
	doc.State.Recalled = m.Type == "recall"
	if m.Quoted != nil {
		doc.Reply = &connector.Quote{Author: who(m.Quoted.Sender).Name, Text: m.Quoted.Text}
	}
	return doc, nil
}

// Hint answers the members' personal events.
func (Chat) Hint(ev dingtalk.Event) (connector.Hint, bool) {
	if !strings.HasPrefix(ev.Type, "user_im_message_") && !strings.HasPrefix(ev.Type, "chat_") {
		return connector.Hint{}, false
	}
	var d struct {
		Conversation string `json:"openConversationId"`
		Message      string `json:"openMessageId"`
	}
	if json.Unmarshal(ev.Data, &d) != nil || d.Conversation == "" {
		return connector.Hint{}, false
	}
	// Not new: an edit or recall of something already captured.
	return connector.Hint{Container: d.Conversation, Item: d.Message, Fresh: d.Message != "" && strings.Contains(ev.Type, "_receive_")}, true
}

// PullItem reads one message again.
func (Chat) PullItem(ctx context.Context, env *connector.Env, src connector.Source, id string) (connector.Item, error) {
	if len(src.Via) == 0 {
		return connector.Item{}, dingtalk.ErrConsent
	}
	raws, err := env.Client.MessagesByID(ctx, src.Via[0], []string{id})
	if err != nil {
		return connector.Item{}, err
	}
	if len(raws) == 0 {
		return connector.Item{}, dingtalk.ErrNotFound
	}
	return item(env, src, src.Via[0], raws[0])
}
