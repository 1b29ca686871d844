package replica

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"
)

// link is the way from an appliance to its node, and everything that happens to
// requests and answers on it. A fault strikes one request to come.
type link struct {
	to   *http.Transport
	told told
	late sync.WaitGroup
	dead func() bool // the node was killed

	mu     sync.Mutex // guards below
	rnd    *rand.Rand
	addr   string // where the node listens now
	conns  map[*linkConn]bool
	fault  string // that strikes next, "" for none
	skip   int    // requests that it spares first
	struck chan string
	up     int // bytes that still pass before the connection is cut, -1 for all
	down   int
	pause  time.Duration // for each kilobyte
	kept   []*http.Request
}

var linkFaults = []string{"request cut", "answer cut", "answer lost", "late", blobLate, signLate, "twice", "slow", "refused"}

// What must not come back when it is late: a file that kopia overwrites, and a
// checkpoint.
const (
	blobLate = "an older version late"
	signLate = "a checkpoint late"
)

var errCut = errors.New("the link is cut")

func newLink(c *Client, addr string, rnd *rand.Rand) *link {
	l := &link{to: c.http.Transport.(*http.Transport), rnd: rnd, addr: addr, conns: map[*linkConn]bool{}, struck: make(chan string, 1), up: -1, down: -1}
	l.told = told{journal: map[string]int64{}, blobs: map[string]bool{}}
	l.to.DialContext = l.dial
	c.http.Transport = l
	return l
}

// arm makes a fault strike one of the next requests.
func (l *link) arm(fault string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fault, l.skip = fault, l.rnd.IntN(4)
}

// heal makes the link as good as any.
func (l *link) heal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fault, l.up, l.down, l.pause = "", -1, -1, 0
}

// move leads to where the node listens now; what was connected is cut.
func (l *link) move(addr string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.addr = addr
	l.cut()
}

func (l *link) cut() {
	for c := range l.conns {
		_ = c.Conn.Close()
	}
	clear(l.conns)
}

func (l *link) tell(fault string) {
	select {
	case l.struck <- fault:
	default:
	}
}

// strikes gives the fault that this request meets.
func (l *link) strikes(r *http.Request) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.fault
	if f == "refused" { // by the dialing that this leads to
		l.cut()
		return ""
	}
	if f == "" || r.Method == http.MethodGet || f == blobLate && !strings.HasPrefix(r.URL.Path, "/v1/blobs/kopia.") || f == signLate && r.URL.Path != "/v1/checkpoint" {
		return ""
	}
	if l.skip > 0 {
		l.skip--
		return ""
	}
	l.fault = ""
	switch f {
	case "request cut":
		l.up = l.rnd.IntN(int(r.ContentLength) + 400)
	case "answer cut":
		l.down = l.rnd.IntN(300)
	case "slow":
		l.pause = time.Duration(1+l.rnd.IntN(4)) * time.Millisecond
	}
	l.tell(f)
	return f
}

func (l *link) RoundTrip(r *http.Request) (*http.Response, error) {
	switch l.strikes(r) {
	case "late", blobLate, signLate:
		again, err := again(r)
		if err != nil {
			return nil, err
		}
		l.mu.Lock()
		l.kept = append(l.kept, again())
		l.mu.Unlock()
		return nil, errCut
	case "twice":
		again, err := again(r)
		if err != nil {
			return nil, err
		}
		l.drop(again())
		return l.pass(again())
	case "answer lost":
		l.drop(r)
		return nil, errCut
	}
	return l.pass(r)
}

// again reads a request whole, so that it can be sent at any time.
func again(r *http.Request) (func() *http.Request, error) {
	var b []byte
	if r.Body != nil {
		var err error
		if b, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	return func() *http.Request {
		c := r.Clone(context.Background())
		c.Body, c.GetBody = io.NopCloser(bytes.NewReader(b)), nil
		return c
	}, nil
}

func (l *link) drop(r *http.Request) {
	if resp, err := l.to.RoundTrip(r); err == nil {
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
}

// release lets the requests arrive that are late.
func (l *link) release() {
	l.mu.Lock()
	kept := l.kept
	l.kept = nil
	l.mu.Unlock()
	for _, r := range kept {
		l.late.Go(func() { l.drop(r) })
	}
}

// pass sends a request and notes what the node says that it holds.
func (l *link) pass(r *http.Request) (*http.Response, error) {
	resp, err := l.to.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(b))
	if l.dead() { // nobody is there to answer
		return nil, errCut
	}
	if resp.StatusCode == http.StatusOK {
		l.told.note(r, b)
	}
	return resp, nil
}

func (l *link) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	l.mu.Lock()
	addr := l.addr
	refused := l.fault == "refused"
	if refused {
		l.fault = ""
		l.tell("refused")
	}
	l.mu.Unlock()
	if refused || addr == "" {
		return nil, errCut
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	lc := &linkConn{c, l}
	l.mu.Lock()
	l.conns[lc] = true
	l.mu.Unlock()
	return lc, nil
}

// linkConn is a connection that the link cuts and slows down.
type linkConn struct {
	net.Conn
	l *link
}

func (c *linkConn) Write(b []byte) (int, error) {
	n, pause := c.l.allow(&c.l.up, len(b))
	time.Sleep(pause)
	wrote, err := c.Conn.Write(b[:n])
	if err == nil && n < len(b) {
		err = errors.Join(errCut, c.Conn.Close())
	}
	return wrote, err
}

func (c *linkConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	pass, pause := c.l.allow(&c.l.down, n)
	time.Sleep(pause)
	if pass < n {
		return pass, errors.Join(errCut, c.Conn.Close())
	}
	return n, err
}

// allow tells how many of n bytes pass, and after what pause.
func (l *link) allow(left *int, n int) (int, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	pause := l.pause * time.Duration(n) / 1024
	if *left < 0 {
		return n, pause
	}
	if n <= *left {
		*left -= n
		return n, pause
	}
	n, *left = *left, -1
	return n, pause
}

// told is what the node said that it holds. It may never hold less.
type told struct {
	mu      sync.Mutex
	journal map[string]int64
	blobs   map[string]bool
	put     putAt
	entries int64
	size    int64 // of the checkpoint
}

func (h *told) note(r *http.Request, answer []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	what, name := path.Split(strings.TrimPrefix(r.URL.EscapedPath(), "/v1/"))
	name, _ = url.PathUnescape(name)
	var size struct{ Size int64 }
	switch {
	case name == "state":
		var s State
		if json.Unmarshal(answer, &s) != nil {
			return
		}
		for f, n := range s.Journal {
			h.journal[f] = max(h.journal[f], n)
		}
		if at := (putAt{s.PutEpoch, s.PutPos}); h.put.before(at) || h.put == (putAt{}) {
			h.put = at
		}
		h.entries, h.size = max(h.entries, s.Entries), max(h.size, s.Size)
	case what == "journal/":
		off, _ := strconv.ParseInt(r.URL.Query().Get("off"), 10, 64)
		h.journal[name] = max(h.journal[name], off+r.ContentLength)
	case what == "blobs/":
		h.blobs[name] = true
	case strings.HasPrefix(what, "putpos/"):
		epoch, _ := strconv.ParseUint(path.Base(what), 10, 32)
		pos, _ := strconv.ParseInt(name, 10, 64)
		if at := (putAt{uint32(epoch), pos}); h.put.before(at) || h.put == (putAt{}) {
			h.put = at
		}
	case what == "log/":
		_ = json.Unmarshal(answer, &size)
		h.entries = max(h.entries, size.Size)
	}
}
