package dingtalk

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// The two servers of the members' chat gateway.
const (
	chatServer = "0a1609437385696b77fc4771c3ddaf5656b487f809966c0cc8d4755e7b1d3b74"
	imServer   = "450eede6b54d83e030140e66ec77c98a2e89a0869ef4db481f8217a98a42f821"
)

var rpcID atomic.Int64

// tool calls one MCP tool as a member and decodes its result.
func (c *Client) tool(ctx context.Context, person, server, name string, args map[string]any, out any) error {
	body := map[string]any{"jsonrpc": "2.0", "id": rpcID.Add(1), "method": "tools/call", "params": map[string]any{"name": name, "arguments": args}}
	rq := request{api: name, host: c.cfg.Hosts.Gateway, method: http.MethodPost, path: "/server/" + server, body: body, auth: gateway, person: person, free: true}
	for again := false; ; again = true {
		b, err := c.do(ctx, rq)
		if err != nil {
			return err
		}
		err = toolAnswer(name, b, out)
		if err == nil {
			return nil
		}
		// A lapsed token is reported as "the organisation has not switched
		// this on": only a fresh token tells which it is.
		if !isAuthDoubt(err) || again {
			return err
		}
		if err := c.renew(ctx, person); err != nil {
			return err
		}
	}
}

func (c *Client) renew(ctx context.Context, person string) error {
	unlock := c.cfg.People.Lock(person)
	t, err := c.cfg.People.Tokens(ctx, person)
	if err == nil {
		t.Expires = time.Time{}
		err = c.cfg.People.Save(ctx, person, t)
	}
	unlock()
	if err != nil {
		return err
	}
	_, err = c.memberToken(ctx, person, true)
	return err
}

func isAuthDoubt(err error) bool {
	e, ok := err.(*APIError)
	return ok && (e.kind == ErrNotEnabled || e.kind == ErrToken)
}

func toolAnswer(name string, b []byte, out any) error {
	var a struct {
		Result struct {
			Content []struct{ Text string }
			IsError bool
		}
		Error *struct {
			Code    int
			Message string
		}
	}
	if err := decode(name, b, &a); err != nil {
		return err
	}
	if a.Error != nil {
		return &APIError{API: name, Code: strconv.Itoa(a.Error.Code), Message: a.Error.Message, kind: ErrRefused}
	}
	if len(a.Result.Content) == 0 {
		return &APIError{API: name, kind: ErrUnreachable, Message: "the answer has no content"}
	}
	text := []byte(a.Result.Content[0].Text)
	var p struct {
		Success *bool           `json:"success"`
		Code    string          `json:"errorCode"`
		Msg     string          `json:"errorMsg"`
		Result  json.RawMessage `json:"result"`
	}
	if err := decode(name, text, &p); err != nil {
		return err
	}
	if a.Result.IsError || (p.Success != nil && !*p.Success) {
		e := &APIError{API: name, Code: p.Code, Message: p.Msg, kind: ErrRefused}
		switch {
		case p.Code == "InvalidAuthentication":
			e.kind = ErrToken
		case strings.Contains(p.Code, "NOT_ENABLED"):
			e.kind = ErrNotEnabled
		case strings.Contains(p.Code, "NOT_FOUND"), strings.Contains(p.Code, "NotExist"):
			e.kind = ErrNotFound
		case strings.Contains(p.Code, "CONSENT"):
			e.kind = ErrConsent
		case strings.Contains(p.Code, "systemError"):
			e.kind = ErrUnreachable
		}
		return e
	}
	return decode(name, p.Result, out)
}

// Conversations lists a member's conversations from cursor (0 first); next is
// -1 at the end. DingTalk is known to lose 1:1 conversations here.
func (c *Client) Conversations(ctx context.Context, person string, cursor int64) (rows []Raw, next int64, err error) {
	var a struct {
		Conversations []Raw `json:"conversations"`
		HasMore       bool  `json:"hasMore"`
		Next          int64 `json:"nextCursor"`
	}
	if err := c.tool(ctx, person, imServer, "list_all_conversations", map[string]any{"limit": 100, "cursor": cursor}, &a); err != nil {
		return nil, 0, err
	}
	if !a.HasMore || len(a.Conversations) == 0 || a.Next == cursor {
		a.Next = -1
	}
	return a.Conversations, a.Next, nil
}

// Member is one member of a conversation.
type Member struct {
	OpenID string `json:"openDingTalkId"`
	UserID string `json:"userId"`
	Name   string `json:"name"`
	Owner  bool   `json:"isOwner"`
}

// Members lists who is in a conversation, at most max of them.
func (c *Client) Members(ctx context.Context, person, conversation string, max int) ([]Member, error) {
	var out []Member
	for cursor := int64(0); len(out) < max; {
		var a struct {
			Members []Member `json:"members"`
			HasMore bool     `json:"hasMore"`
			Next    int64    `json:"nextCursor"`
		}
		if err := c.tool(ctx, person, imServer, "list_conversation_members", map[string]any{"openConversationId": conversation, "limit": 100, "cursor": cursor}, &a); err != nil {
			return nil, err
		}
		out = append(out, a.Members...)
		if !a.HasMore || len(a.Members) == 0 || a.Next == cursor {
			break
		}
		cursor = a.Next
	}
	return out, nil
}

// History is one page of a conversation.
type History struct {
	Messages []Raw  // newest first, as DingTalk gives them
	Next     string // time to go on from, "" when the page was empty
	More     bool
}

// History reads a page of messages at or after (forward) or at or before time,
// which is epoch milliseconds as text. DingTalk takes an unreadable time for
// page one, so anything else is refused here.
func (c *Client) History(ctx context.Context, person, conversation, at string, forward bool) (History, error) {
	if _, err := strconv.ParseInt(at, 10, 64); err != nil || len(at) != 13 && len(at) != 12 {
		return History{}, &APIError{API: "list_conversation_message_v2", kind: ErrRefused, Message: "the time cursor is not epoch milliseconds"}
	}
	var a struct {
		Messages []Raw  `json:"messages"`
		HasMore  bool   `json:"hasMore"`
		Next     string `json:"nextCursor"`
	}
	err := c.tool(ctx, person, chatServer, "list_conversation_message_v2", map[string]any{"openconversation_id": conversation, "time": at, "forward": forward, "limit": 100}, &a)
	if err != nil {
		return History{}, err
	}
	return History{a.Messages, a.Next, a.HasMore && a.Next != at && len(a.Messages) > 0}, nil
}

// MessagesByID reads up to 50 messages again.
func (c *Client) MessagesByID(ctx context.Context, person string, ids []string) ([]Raw, error) {
	var a struct {
		Messages []Raw `json:"messages"`
	}
	err := c.tool(ctx, person, imServer, "list_messages_by_ids", map[string]any{"openMsgIds": ids}, &a)
	return a.Messages, err
}

// Media asks where the bytes of a message's image or voice lie.
func (c *Client) Media(ctx context.Context, person, conversation, message, mediaID string) (Signed, string, error) {
	var a struct {
		URL     string            `json:"resourceUrl"`
		Headers map[string]string `json:"headers"`
		Name    string            `json:"fileName"`
	}
	err := c.tool(ctx, person, imServer, "get_resource_download_url", map[string]any{"resourceType": "mediaId", "resourceId": mediaID, "openMessageId": message, "openConversationId": conversation}, &a)
	return Signed{URLs: []string{a.URL}, Headers: a.Headers}, a.Name, err
}
