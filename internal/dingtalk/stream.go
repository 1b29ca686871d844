package dingtalk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

// Event is a hint that something changed upstream. It is never content: what
// it names is fetched over the ordinary calls.
type Event struct {
	ID   string // for telling duplicates
	Type string // "bpms_instance_change", "user_im_message_receive_group_all" …
	Born time.Time
	Data json.RawMessage
}

// Stream receives the app's events until ctx ends, reconnecting by itself.
// handle must be quick: an event is acknowledged when it returns nil and sent
// again by DingTalk when it does not. connected is told of each change.
func (c *Client) Stream(ctx context.Context, handle func(Event) error, connected func(bool)) error {
	return c.keep(ctx, connected, func() (string, error) {
		b, err := c.do(ctx, request{api: "gateway/connections/open", host: c.cfg.Hosts.API, method: http.MethodPost, path: "/v1.0/gateway/connections/open", free: true,
			body: map[string]any{"clientId": c.cfg.ClientID, "clientSecret": c.cfg.ClientSecret, "ua": "farol/1", "subscriptions": []map[string]string{{"type": "EVENT", "topic": "*"}}}})
		if err != nil {
			return "", err
		}
		return c.endpoint("gateway/connections/open", b)
	}, handle)
}

// PersonalStream receives a member's own chat events until ctx ends.
func (c *Client) PersonalStream(ctx context.Context, person string, handle func(Event) error, connected func(bool)) error {
	source := "farol-" + person
	open := func() (string, error) {
		tok, err := c.memberToken(ctx, person, false)
		if err != nil {
			return "", err
		}
		for _, key := range []string{"user_im_message_receive_group_all", "user_im_message_receive_o2o_all", "user_im_message_recall_group", "user_im_message_recall_o2o"} {
			if _, err := c.person(ctx, tok, "/dws/subscription/user", map[string]any{"clientId": c.cfg.ClientID, "sourceId": source, "eventKey": key, "deliveryPref": "realtime"}); err != nil {
				return "", err
			}
		}
		b, err := c.person(ctx, tok, "/stream/connections/ticket", map[string]any{"sourceId": source, "channelType": "personal", "mode": "stream"})
		if err != nil {
			return "", err
		}
		return c.endpoint("stream/connections/ticket", b)
	}
	return c.keep(ctx, connected, func() (string, error) {
		u, err := open()
		if errors.Is(err, ErrToken) { // ended before its time: the refresh token decides
			if err := c.renew(ctx, person); err != nil {
				return "", err
			}
			u, err = open()
		}
		return u, err
	}, handle)
}

func (c *Client) person(ctx context.Context, token, path string, body any) ([]byte, error) {
	return c.do(ctx, request{api: strings.TrimPrefix(path, "/"), host: c.cfg.Hosts.MCP, method: http.MethodPost, path: path, body: body, auth: personalHeader, person: token, free: true})
}

// endpoint is where the event stream is to be had. It is wss, or it lies on a
// plain host that was configured: an answer must not lead events out of TLS or
// into the local network.
func (c *Client) endpoint(api string, b []byte) (string, error) {
	var a struct{ Endpoint, Ticket string }
	if err := decode(api, b, &a); err != nil {
		return "", err
	}
	if a.Endpoint == "" || a.Ticket == "" {
		return "", &APIError{API: api, kind: ErrUnreachable, Message: "no endpoint in the answer"}
	}
	u, err := url.Parse(a.Endpoint)
	if err != nil || !c.streams(u) {
		return "", &APIError{API: api, kind: ErrRefused, Message: "the stream's address is not wss or leads into a private network"}
	}
	return a.Endpoint + "?ticket=" + url.QueryEscape(a.Ticket), nil
}

func (c *Client) streams(u *url.URL) bool {
	return u.Scheme == "wss" && !privateHost(u.Hostname()) || (u.Scheme == "ws" || u.Scheme == "wss") && c.configured(u)
}

// keep holds one connection open, with growing waits between tries.
func (c *Client) keep(ctx context.Context, connected func(bool), open func() (string, error), handle func(Event) error) error {
	wait := time.Second
	for ctx.Err() == nil {
		u, err := open()
		if errors.Is(err, ErrConsent) || errors.Is(err, ErrCredentials) {
			return err // nothing to retry until a person acts
		}
		if err == nil {
			began := time.Now()
			err = c.session(ctx, u, connected, handle)
			connected(false)
			if time.Since(began) > time.Minute {
				wait = time.Second
			}
		}
		c.log.DebugContext(ctx, "event stream ended", "err", err, "again_in", wait)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
		wait = min(wait*2, time.Minute)
	}
	return ctx.Err()
}

type frame struct {
	Type    string            `json:"type"`
	Headers map[string]string `json:"headers"`
	Data    string            `json:"data"`
}

type ack struct {
	Code    int               `json:"code"`
	Headers map[string]string `json:"headers"`
	Message string            `json:"message"`
	Data    string            `json:"data"`
}

func (c *Client) session(ctx context.Context, u string, connected func(bool), handle func(Event) error) error {
	dialer := *websocket.DefaultDialer
	if a, err := url.Parse(u); err == nil && !c.configured(a) && direct() {
		dialer.NetDialContext = outside
	}
	ws, _, err := dialer.DialContext(ctx, u, nil)
	if err != nil {
		return fmt.Errorf("connect event stream: %w", stripURL(err))
	}
	defer ws.Close()
	stop := context.AfterFunc(ctx, func() { ws.Close() })
	defer stop()
	connected(true)
	ws.SetReadLimit(1 << 20)
	for {
		if err := ws.SetReadDeadline(time.Now().Add(3 * time.Minute)); err != nil {
			return err
		}
		var f frame
		if err := ws.ReadJSON(&f); err != nil {
			return fmt.Errorf("read event stream: %w", err)
		}
		c.last.Store(time.Now().UnixMilli())
		if f.Type == "SYSTEM" && f.Headers["topic"] == "disconnect" {
			return nil
		}
		if err := ws.WriteJSON(answer(f, handle)); err != nil {
			return fmt.Errorf("acknowledge event: %w", err)
		}
	}
}

func answer(f frame, handle func(Event) error) ack {
	a := ack{Code: 200, Message: "OK", Headers: map[string]string{"messageId": f.Headers["messageId"], "contentType": "application/json"}}
	switch f.Type {
	case "SYSTEM":
		a.Data = f.Data
	case "EVENT":
		var born time.Time
		if d, err := time.ParseDuration(f.Headers["eventBornTime"] + "ms"); err == nil {
			born = time.UnixMilli(d.Milliseconds())
		}
		a.Data = `{"status":"SUCCESS","message":"success"}`
		if err := handle(Event{f.Headers["eventId"], f.Headers["eventType"], born, json.RawMessage(f.Data)}); err != nil {
			a.Code, a.Data = 500, `{"status":"LATER","message":"later"}`
		}
	default:
		a.Code, a.Message = 404, "not found"
	}
	return a
}
