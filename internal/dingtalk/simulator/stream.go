package simulator

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// hub knows the stream connections: the app's (user "") and the members'.
type hub struct {
	tickets map[string]ticket
	conns   map[*streamConn]bool
	storage map[string]bool // "ORG:corpId" or "SPACE:id": storage events asked for
	subs    []*subscription
	pushes  int
}

type ticket struct {
	user  string
	until time.Time
}

func newHub() hub {
	return hub{tickets: map[string]ticket{}, conns: map[*streamConn]bool{}, storage: map[string]bool{}}
}

func (h *hub) closeAll() {
	for c := range h.conns {
		c.ws.Close()
	}
}

// streamConn is one open WebSocket. Its reader settles acknowledgements; any
// goroutine may send.
type streamConn struct {
	ws     *websocket.Conn
	user   string
	id     string
	write  sync.Mutex
	mu     sync.Mutex
	waits  map[string]chan ack
	closed chan struct{}
}

type frame struct {
	SpecVersion string            `json:"specVersion"`
	Type        string            `json:"type"`
	Headers     map[string]string `json:"headers"` // every value is text, or the SDK cannot read the frame
	Data        string            `json:"data"`
}

type ack struct {
	Code    int               `json:"code"`
	Headers map[string]string `json:"headers"`
	Message string            `json:"message"`
	Data    string            `json:"data"`
}

var streamRoutes = []route{
	{method: "POST", pattern: "/v1.0/gateway/connections/open", auth: noAuth, exempt: true, body: "clientId! clientSecret! subscriptions! ua localIp extras", handle: openConnection},
}

func openConnection(c *call) (any, error) {
	if !c.s.credentials(c.args.str("clientId"), c.args.str("clientSecret")) {
		return nil, apiError{status: 401, code: "authFailed", msg: "invalid clientId or clientSecret"}
	}
	subs, _ := c.args["subscriptions"].([]any)
	if len(subs) == 0 {
		return nil, c.bad("invalidSubscriptions", "subscriptions must not be empty")
	}
	for _, x := range subs {
		sub, _ := x.(map[string]any)
		kind, topic := args(sub).str("type"), args(sub).str("topic")
		if !slices.Contains([]string{"EVENT", "CALLBACK", "SYSTEM"}, kind) || kind == "EVENT" && topic != "*" || topic == "" {
			return nil, c.bad("invalidSubscriptions", "a subscription is EVENT with topic *, CALLBACK or SYSTEM")
		}
	}
	return c.s.newTicket(c.r, ""), nil
}

type ticketJSON struct {
	Endpoint string `json:"endpoint"`
	Ticket   string `json:"ticket"`
}

// newTicket opens one connection within 90 seconds.
func (s *Simulator) newTicket(r *http.Request, user string) ticketJSON {
	t := secret("t-")
	s.hub.tickets[t] = ticket{user, s.now().Add(90 * time.Second)}
	return ticketJSON{"ws" + strings.TrimPrefix(origin(s, r), "http") + "/connect", t}
}

var upgrader = websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}

func (s *Simulator) serveWebSocket(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	key := r.URL.Query().Get("ticket")
	t, ok := s.hub.tickets[key]
	delete(s.hub.tickets, key)
	if !ok || !s.now().Before(t.until) {
		s.violate(r, "stream ticket unknown, used or lapsed")
		s.mu.Unlock()
		writeBody(w, http.StatusUnauthorized, mustJSON(map[string]any{"code": "invalidTicket", "message": "invalid ticket"}))
		return
	}
	s.mu.Unlock()
	ws, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	c := &streamConn{ws: ws, user: t.user, id: secret(""), waits: map[string]chan ack{}, closed: make(chan struct{})}
	s.mu.Lock()
	if s.ctx.Err() != nil {
		s.mu.Unlock()
		ws.Close()
		return
	}
	s.hub.conns[c] = true
	s.mu.Unlock()
	go s.pingLoop(c)
	s.readLoop(c)
	s.mu.Lock()
	delete(s.hub.conns, c)
	s.mu.Unlock()
	close(c.closed)
	ws.Close()
}

func (s *Simulator) readLoop(c *streamConn) {
	for {
		kind, body, err := c.ws.ReadMessage()
		if err != nil {
			return
		}
		var a ack
		if kind != websocket.TextMessage || json.Unmarshal(body, &a) != nil {
			continue
		}
		c.mu.Lock()
		if ch := c.waits[a.Headers["messageId"]]; ch != nil {
			delete(c.waits, a.Headers["messageId"])
			ch <- a
		}
		c.mu.Unlock()
	}
}

// send pushes a frame and returns where its acknowledgement will arrive.
func (c *streamConn) send(f frame) (chan ack, error) {
	ch := make(chan ack, 1)
	c.mu.Lock()
	c.waits[f.Headers["messageId"]] = ch
	c.mu.Unlock()
	c.write.Lock()
	defer c.write.Unlock()
	c.ws.SetWriteDeadline(time.Now().Add(10 * time.Second))
	return ch, c.ws.WriteMessage(websocket.TextMessage, mustJSON(f))
}

// pingLoop sends the application's pings and holds the answer to the rule:
// the same data must come back.
func (s *Simulator) pingLoop(c *streamConn) {
	tick := time.NewTicker(s.opt.PingEvery)
	defer tick.Stop()
	for {
		select {
		case <-c.closed:
			return
		case <-s.ctx.Done():
			return
		case <-tick.C:
		}
		data := `{"opaque":"` + secret("") + `"}`
		ch, err := c.send(s.frame("SYSTEM", "ping", data))
		if err != nil {
			return
		}
		select {
		case a := <-ch:
			if a.Data != data {
				s.mu.Lock()
				s.wrongs = append(s.wrongs, violation{s.now(), "WS", "/connect", "ping was answered with other data"})
				s.mu.Unlock()
			}
		case <-time.After(s.opt.PingEvery):
		case <-c.closed:
			return
		case <-s.ctx.Done():
			return
		}
	}
}

func (s *Simulator) frame(kind, topic, data string) frame {
	return frame{"1.0", kind, map[string]string{"topic": topic, "contentType": "application/json",
		"messageId": fmt.Sprintf("213d841d_%d_%s", rand.Uint32()%1000, secret("")[:16]),
		"time":      strconv.FormatInt(time.Now().UnixMilli(), 10)}, data}
}

// emit pushes an event of the app to one of its connections. Callers hold mu.
func (s *Simulator) emit(event string, data any) { s.push("", event, data) }

// push delivers at least once while somebody listens: twice more, 10 s and
// 30 s later, when no SUCCESS came. After that, and while nobody is
// connected at any of the three moments, the event is gone for good.
func (s *Simulator) push(user, event string, data any) {
	if s.faults.take(s, "lose_event", event) != nil {
		return
	}
	times := 1
	if s.faults.take(s, "dup_event", event) != nil {
		times = 2
	}
	s.hub.pushes++
	born := s.now().UnixMilli()
	id := secret("")[:27]
	body := string(mustJSON(data))
	for range times {
		go s.deliver(user, func() frame {
			f := s.frame("EVENT", "*", body)
			f.Headers["eventId"], f.Headers["eventType"] = id, event
			f.Headers["eventCorpId"], f.Headers["eventBornTime"] = s.tenant.corpID, strconv.FormatInt(born, 10)
			f.Headers["eventUnifiedAppId"] = "7c1e9b52-3d4f-4a86-9f10-2b6d8e5a7c31"
			return f
		})
	}
}

func (s *Simulator) deliver(user string, make func() frame) {
	for try := 0; ; try++ {
		if s.tryDeliver(user, make()) || try >= len(s.opt.RetryAfter) {
			return
		}
		select {
		case <-time.After(s.opt.RetryAfter[try]):
		case <-s.ctx.Done():
			return
		}
	}
}

func (s *Simulator) tryDeliver(user string, f frame) bool {
	s.mu.Lock()
	var open []*streamConn
	for c := range s.hub.conns {
		if c.user == user {
			open = append(open, c)
		}
	}
	s.mu.Unlock()
	if len(open) == 0 {
		return false
	}
	c := open[rand.IntN(len(open))]
	ch, err := c.send(f)
	if err != nil {
		return false
	}
	select {
	case a := <-ch:
		var verdict struct {
			Status string `json:"status"`
		}
		json.Unmarshal([]byte(a.Data), &verdict)
		return verdict.Status == "SUCCESS"
	case <-time.After(5 * time.Second):
		return false
	case <-c.closed:
		return false
	case <-s.ctx.Done():
		return true
	}
}

// Disconnect asks every stream client to reconnect, as the gateway does now
// and then, and closes the connections after the wait.
func (s *Simulator) Disconnect(wait time.Duration) {
	s.mu.Lock()
	var list []*streamConn
	for c := range s.hub.conns {
		list = append(list, c)
	}
	s.mu.Unlock()
	for _, c := range list {
		f := s.frame("SYSTEM", "disconnect", `{"reason":"connection is expired"}`)
		c.send(f)
		time.AfterFunc(wait, func() { c.ws.Close() })
	}
}
