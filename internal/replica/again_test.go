package replica

import (
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// gate passes connections on to target while it is open.
type gate struct {
	ln   net.Listener
	shut atomic.Bool
	mu   sync.Mutex
	tell chan struct{} // closed to cut what is open
}

func newGate(t *testing.T, target string) *gate {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{ln: ln, tell: make(chan struct{})}
	t.Cleanup(func() { ln.Close() })
	go func() { // ends with ln
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			if g.shut.Load() {
				c.Close()
				continue
			}
			up, err := net.Dial("tcp", target)
			if err != nil {
				c.Close()
				continue
			}
			g.mu.Lock()
			tell := g.tell
			g.mu.Unlock()
			go func() { <-tell; c.Close(); up.Close() }()
			go io.Copy(up, c)
			go io.Copy(c, up)
		}
	}()
	return g
}

func (g *gate) cut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.tell)
	g.tell = make(chan struct{})
}

// TestAnOutageAfterWorkIsTriedAgainAtOnce: the pauses grow while nothing works,
// and begin anew once something did. Else a link that fails now and then would
// keep new messages from the other place for half a minute each time.
func TestAnOutageAfterWorkIsTriedAgainAtOnce(t *testing.T) {
	p := newPair(t)
	g := newGate(t, strings.TrimPrefix(p.addr, "https://"))
	p.sender.client.base = "https://" + g.ln.Addr().String()
	p.sender.retry = 50 * time.Millisecond
	g.shut.Store(true)
	p.run()
	time.Sleep(1600 * time.Millisecond) // pauses of 50, 100, 200, 400, 800 ms, the next has 1,600
	g.shut.Store(false)
	p.until("it reaches the node", 5*time.Second, caughtUp)
	for range 3 {
		g.shut.Store(true)
		g.cut()
		if _, err := p.log.Append(t.Context(), someEvent); err != nil {
			t.Fatal(err)
		}
		p.until("it notices", 5*time.Second, func(st Status) bool { return !st.Connected })
		g.shut.Store(false)
		if took := p.until("it works again", 5*time.Second, func(st Status) bool { return caughtUp(st) && st.Checkpoint == p.log.Size() }); took > time.Second {
			t.Errorf("it paused for %v", took)
		}
	}
}

// TestALogThatWasSetBackIsAnAlarmAtTheNode: who has root on the appliance can
// silence its own alarms, not the other side's.
func TestALogThatWasSetBackIsAnAlarmAtTheNode(t *testing.T) {
	p := newPair(t)
	for range 3 {
		if _, err := p.log.Append(t.Context(), someEvent); err != nil {
			t.Fatal(err)
		}
	}
	stop := p.run()
	p.until("the log is there", 10*time.Second, func(st Status) bool { return caughtUp(st) && st.Checkpoint == 3 })
	stop()
	refused := func() int64 {
		list, err := NodeStatus(p.dir, 0, time.Now())
		if err != nil || len(list) != 1 {
			t.Fatal(list, err)
		}
		return list[0].Refused
	}
	if n := refused(); n != 0 {
		t.Fatalf("%d refusals of an honest log", n)
	}
	short, _ := newLog(t, t.TempDir())
	if _, err := short.Append(t.Context(), someEvent); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); p.sender.Run(ctx, p.a, short) }()
	for end := time.Now().Add(10 * time.Second); refused() == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the node says nothing of a log that is shorter than what it holds")
		}
	}
	cancel()
	<-ended
	if _, _, err := Enrol(t.Context(), p.addr, p.node.NewCode(), Enrolment{Archive: p.a.ID(), LogKey: p.logKey}); err != nil {
		t.Fatal(err)
	}
	if n := refused(); n != 0 {
		t.Errorf("after a person enrolled it anew %d refusals still stand", n)
	}
}
