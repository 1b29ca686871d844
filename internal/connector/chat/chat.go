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

var (
	mediaPattern = regexp.MustCompile(`\[([^\]]*)\]\(mediaId=([^)]+)\)`)
	filePattern  = regexp.MustCompile(`fileId: ?([^\s,;]+)`)
	spacePattern = regexp.MustCompile(`spaceId: ?([^\s,;]+)`)
	namePattern  = regexp.MustCompile(`(?:fileName|名称|文件名): ?([^\n]+?)(?:\s+(?:fileId|spaceId|fileSize|size):|$)`)
)
