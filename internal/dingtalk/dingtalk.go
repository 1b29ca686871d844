// Package dingtalk speaks to the DingTalk Open API: the new and the legacy
// host, the members' chat gateway (route A), signed file transfers and the
// event stream. It keeps the documented limits, refreshes tokens, retries what
// may be retried, and names every refusal by what can be done about it.
//
// Answers are handed on as the bytes that arrived: they are the evidence.
// Nothing here stores anything but counters.
package dingtalk

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Hosts are the base addresses, without a trailing slash. International
// tenants and the simulator have their own.
type Hosts struct {
	API     string // https://api.dingtalk.com
	OAPI    string // https://oapi.dingtalk.com
	Login   string // https://login.dingtalk.com
	Gateway string // https://mcp-gw.dingtalk.com, route A
	MCP     string // https://mcp.dingtalk.com, route A's events
}

// China are the hosts of mainland tenants.
var China = Hosts{"https://api.dingtalk.com", "https://oapi.dingtalk.com", "https://login.dingtalk.com", "https://mcp-gw.dingtalk.com", "https://mcp.dingtalk.com"}

// International are the hosts of international tenants.
var International = Hosts{"https://api.dingtalk.io", "https://oapi.dingtalk.io", "https://login.dingtalk.io", "https://mcp-gw.dingtalk.io", "https://mcp.dingtalk.io"}

// SameHost points every host at one address, as the simulator serves them.
func SameHost(base string) Hosts {
	base = strings.TrimRight(base, "/")
	return Hosts{base, base, base, base, base}
}

// Config of a [Client].
type Config struct {
	Hosts        Hosts
	ClientID     string // AppKey
	ClientSecret string
	People       PeopleTokens  // members' tokens, for route A; may be nil
	HTTP         *http.Client  // nil: a client with sane timeouts
	QPS          int           // own limit per API, 0: 19, one below DingTalk's
	Backoff      time.Duration // first wait after a failure, 0: 500 ms
	Log          *slog.Logger
}

// Client calls one tenant as one app. It is safe for concurrent use.
type Client struct {
	cfg   Config
	http  *http.Client
	files *http.Client // for addresses that an answer named
	log   *slog.Logger

	mu      sync.Mutex // guards below
	limits  map[string]*pace
	token   string
	expires time.Time

	counted atomic.Int64 // calls that count against the monthly quota
	calls   calls
	last    atomic.Int64 // when upstream last answered, unix ms
}

// New returns a client. It connects to nothing.
func New(cfg Config) *Client {
	files := cfg.HTTP
	if cfg.HTTP == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.ResponseHeaderTimeout = 30 * time.Second
		t.MaxIdleConnsPerHost = 16
		cfg.HTTP = &http.Client{Transport: t, CheckRedirect: refuseRedirect}
		files = cfg.HTTP
		if direct() {
			t = t.Clone()
			t.DialContext = outside
			files = &http.Client{Transport: t, CheckRedirect: refuseRedirect}
		}
	}
	if cfg.QPS == 0 {
		cfg.QPS = 19
	}
	if cfg.Backoff == 0 {
		cfg.Backoff = 500 * time.Millisecond
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Client{cfg: cfg, http: cfg.HTTP, files: files, log: cfg.Log, limits: map[string]*pace{}}
}

// refuseRedirect keeps tokens from following a redirect to another host.
func refuseRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// Counted is the number of quota-counted calls since the client was made.
func (c *Client) Counted() int64 { return c.counted.Load() }

// LastAnswer is when upstream last answered anything, zero if never.
func (c *Client) LastAnswer() time.Time {
	if ms := c.last.Load(); ms > 0 {
		return time.UnixMilli(ms)
	}
	return time.Time{}
}

// request is one call to be made, perhaps several times.
type request struct {
	api    string // the documented name, for the limiter and for messages
	host   string
	method string
	path   string // already escaped
	query  url.Values
	body   any
	auth   auth
	person string // whose token, for route A
	free   bool   // not counted in the monthly quota
}

type auth int

const (
	noAuth         auth = iota
	appHeader           // x-acs-dingtalk-access-token: app
	appQuery            // access_token=: app, legacy host
	userHeader          // x-acs-dingtalk-access-token: the token in person
	gateway             // route A: both headers, the member's token
	personalHeader      // x-user-access-token: the token in person
)

// transfer is the limiter's name for fetching bytes from a signed address.
const transfer = "download"

const (
	maxTries  = 6
	maxAnswer = 64 << 20
)

// do makes the call until it succeeds, may not be repeated, or ctx ends. The
// answer is the body as received. Errors are [*APIError].
func (c *Client) do(ctx context.Context, rq request) ([]byte, error) {
	var refreshed bool
	for try := 1; ; try++ {
		asked := time.Now()
		if err := c.pace(rq.api).wait(ctx); err != nil {
			return nil, fmt.Errorf("call %s: %w", rq.api, err)
		}
		c.calls.waited(time.Since(asked))
		body, err := c.once(ctx, rq, refreshed)
		if ctx.Err() == nil { // one that was given up says nothing of upstream
			c.calls.ended(err)
		}
		if err == nil {
			return body, nil
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("call %s: %w", rq.api, ctx.Err())
		}
		var ae *APIError
		if !errors.As(err, &ae) {
			return nil, err
		}
		wait, again := c.retry(ae, try, refreshed)
		if !again {
			return nil, err
		}
		refreshed = refreshed || errors.Is(ae, ErrToken)
		c.log.DebugContext(ctx, "retrying a call", "api", rq.api, "try", try, "code", ae.Code)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, fmt.Errorf("call %s: %w", rq.api, ctx.Err())
		}
	}
}

// retry decides whether a refused call may be made again, and when.
func (c *Client) retry(e *APIError, try int, refreshed bool) (time.Duration, bool) {
	if try >= maxTries {
		return 0, false
	}
	grow := min(c.cfg.Backoff<<(try-1), 30*time.Second)
	switch e.kind {
	case ErrThrottled:
		return c.cfg.Backoff + time.Second/2 + rand.N(c.cfg.Backoff), true
	case ErrToken:
		return 0, !refreshed
	case ErrUnreachable:
		return grow/2 + rand.N(grow), true
	}
	return 0, false
}

func (c *Client) pace(api string) *pace {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, ok := c.limits[api]
	if !ok {
		qps := c.cfg.QPS
		if api == transfer {
			qps *= 10 // file servers have no limit per API, only the address's 10,000 in 20 s
		}
		p = newPace(qps)
		c.limits[api] = p
	}
	return p
}

func (c *Client) once(ctx context.Context, rq request, fresh bool) ([]byte, error) {
	q := url.Values{}
	for k, v := range rq.query {
		q[k] = v
	}
	h := http.Header{"Accept": {"application/json"}}
	switch rq.auth {
	case appHeader, appQuery:
		tok, err := c.appToken(ctx, fresh)
		if err != nil {
			return nil, err
		}
		if rq.auth == appQuery {
			q.Set("access_token", tok)
		} else {
			h.Set("x-acs-dingtalk-access-token", tok)
		}
	case userHeader:
		h.Set("x-acs-dingtalk-access-token", rq.person)
	case personalHeader:
		h.Set("x-user-access-token", rq.person)
	case gateway:
		tok, err := c.memberToken(ctx, rq.person, fresh)
		if err != nil {
			return nil, err
		}
		h.Set("Authorization", "Bearer "+tok)
		h.Set("x-user-access-token", tok)
		h.Set("X-Cli-Source", "farol")
		h.Set("X-Cli-Version", "1")
	}
	var rd io.Reader
	if rq.body != nil {
		b, err := json.Marshal(rq.body)
		if err != nil {
			return nil, fmt.Errorf("encode %s: %w", rq.api, err)
		}
		rd = bytes.NewReader(b)
		h.Set("Content-Type", "application/json")
	}
	u := rq.host + rq.path
	if len(q) > 0 {
		u += "?" + q.Encode()
	}
	hr, err := http.NewRequestWithContext(ctx, rq.method, u, rd)
	if err != nil {
		return nil, fmt.Errorf("build %s: %w", rq.api, stripURL(err))
	}
	hr.Header = h
	resp, err := c.http.Do(hr)
	if err != nil {
		return nil, &APIError{API: rq.api, kind: ErrUnreachable, Message: stripURL(err).Error()}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, &APIError{API: rq.api, Status: resp.StatusCode, kind: ErrUnreachable, Message: "the answer broke off"}
	}
	c.last.Store(time.Now().UnixMilli())
	if err := answerError(rq.api, resp.StatusCode, b); err != nil {
		return nil, err
	}
	if !rq.free {
		c.counted.Add(1)
	}
	return b, nil
}

// stripURL removes the address from a transport error: it may hold a token.
func stripURL(err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		return ue.Err
	}
	return err
}
