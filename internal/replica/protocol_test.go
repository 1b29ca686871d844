package replica

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// oldNode speaks as the first releases did: no version, the plain mux's answer
// to what it does not know, and one write at a time, held while bytes arrive.
func oldNode(t *testing.T, n *Node) string {
	t.Helper()
	var one sync.Mutex
	mux := n.routes()
	return serveTLS(t, n, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del(putAtHeader)
		if r.Header.Del(protocolHeader); r.Method != http.MethodGet && r.URL.Path != "/v1/enrol" {
			one.Lock()
			defer one.Unlock()
		}
		mux.ServeHTTP(w, r)
	}))
}

func serveTLS(t *testing.T, n *Node, h http.Handler) string {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{n.cert}, ClientAuth: tls.RequestClientCert}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv.URL
}

// oldAppliance speaks as the first releases did: it says no version and sees none.
type oldAppliance struct{ http.RoundTripper }

func (o oldAppliance) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Del(protocolHeader)
	r.Header.Del(putAtHeader)
	resp, err := o.RoundTripper.RoundTrip(r)
	if err == nil {
		resp.Header.Del(protocolHeader)
	}
	return resp, err
}

// shipsWhole ships journal, a fold at a limit, new messages meanwhile and the
// log, and ends when the node has all.
func (p *pair) shipsWhole() {
	p.t.Helper()
	p.run()
	p.say("many", 2<<20)
	p.until("the journal", 20*time.Second, caughtUp)
	p.sender.SetLimit(Limit{Kbit: 8000, Days: []time.Weekday{0, 1, 2, 3, 4, 5, 6}})
	if _, err := p.a.Fold(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
	p.say("new", 100)
	if _, err := p.log.Append(p.t.Context(), someEvent); err != nil {
		p.t.Fatal(err)
	}
	p.until("all", 30*time.Second, func(st Status) bool { return caughtUp(st) && st.Checkpoint == p.log.Size() })
	p.sameBytes()
}

func TestAnOlderNodeAndANewerApplianceWorkTogether(t *testing.T) {
	p := newPair(t)
	addr := oldNode(t, p.node)
	peer, _, err := Enrol(t.Context(), addr, p.node.NewCode(), Enrolment{Archive: p.a.ID(), LogKey: p.logKey})
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewClient(peer)
	if err != nil {
		t.Fatal(err)
	}
	p.sender = NewSender(c, nil, nil)
	p.shipsWhole()
	if c.Protocol() != 1 {
		t.Errorf("they agreed on %d", c.Protocol())
	}
	if err := c.do(t.Context(), http.MethodGet, "/v1/later", nil, nil, nil); !errors.Is(err, ErrNotOffered) {
		t.Errorf("a request that it does not know: %v", err)
	}
	if err := c.Get(t.Context(), "journal", "none", io.Discard); !errors.Is(err, ErrUnknown) {
		t.Errorf("a file that it does not have: %v", err)
	}
	c.oldest = 2
	if _, err := c.State(t.Context()); !errors.Is(err, ErrNodeTooOld) {
		t.Errorf("a node that is too old: %v", err)
	}
}

func TestAnOlderApplianceAndANewerNodeWorkTogether(t *testing.T) {
	p := newPair(t)
	c := p.sender.client
	c.http.Transport = oldAppliance{c.http.Transport}
	p.shipsWhole()
}

func TestBothSidesOfThisReleaseAgree(t *testing.T) {
	p := newPair(t)
	p.shipsWhole()
	c := p.sender.client
	if c.Protocol() != Protocol {
		t.Errorf("they agreed on %d", c.Protocol())
	}
	if err := c.do(t.Context(), http.MethodGet, "/v1/later", nil, nil, nil); !errors.Is(err, ErrNotOffered) {
		t.Errorf("a request that it does not know: %v", err)
	}
	if err := c.Get(t.Context(), "journal", "none", io.Discard); !errors.Is(err, ErrUnknown) {
		t.Errorf("a file that it does not have: %v", err)
	}
	// a later release says more than this one knows
	later := serveTLS(t, p.node, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(protocolHeader, "9")
		io.WriteString(w, `{"journal":{"1-1.fj":7},"entries":3,"later":{"a":[1]}}`)
	}))
	c.base = later
	if st, err := c.State(t.Context()); err != nil || st.Entries != 3 || st.Journal["1-1.fj"] != 7 || c.Protocol() != Protocol {
		t.Errorf("%+v %v, agreed on %d", st, err, c.Protocol())
	}
}

func TestAnApplianceThatIsTooOldIsToldSoOnBothSides(t *testing.T) {
	var lines bytes.Buffer
	n, err := OpenNode(filepath.Join(t.TempDir(), "node"), slog.New(slog.NewTextHandler(&lines, nil)), nil)
	if err != nil {
		t.Fatal(err)
	}
	n.oldest = Protocol + 1
	addr := serveTLS(t, n, n.handler())
	_, vk := newLog(t, t.TempDir())
	if _, _, err := Enrol(t.Context(), addr, n.NewCode(), Enrolment{Archive: "a1", LogKey: vk}); !errors.Is(err, ErrTooOld) {
		t.Errorf("enrolment: %v", err)
	}
	n.oldest = oldest
	c := enrolled(t, n, addr, vk)
	n.oldest = Protocol + 1
	s := NewSender(c, nil, nil)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx, nil, nil) }()
	for end := time.Now().Add(10 * time.Second); !errors.Is(s.Status().Err, ErrTooOld); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%+v", s.Status())
		}
	}
	cancel()
	<-done
	if !strings.Contains(lines.String(), "too old") {
		t.Errorf("the node's log says nothing: %s", lines.String())
	}
}
