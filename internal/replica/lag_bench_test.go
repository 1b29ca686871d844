package replica

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"farol/internal/archive"
	"farol/internal/record"
)

// slowLink carries connections to a node, each way with a latency and with a
// rate that all connections share.
func slowLink(t testing.TB, to string, latency time.Duration, bytesPerSecond int64) (address string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	out, back := &wire{rate: bytesPerSecond, latency: latency}, &wire{rate: bytesPerSecond, latency: latency}
	go func() { // ends when the listener closes
		for {
			near, err := ln.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				near.Close()
				continue
			}
			go out.carry(far, near)
			go back.carry(near, far)
		}
	}()
	return ln.Addr().String()
}

// wire is one direction of a link.
type wire struct {
	rate    int64
	latency time.Duration

	mu   sync.Mutex
	free time.Time // when what was taken before has left
}

// take waits until n bytes have left, and returns when they arrive.
func (w *wire) take(n int) (arrives time.Time) {
	w.mu.Lock()
	now := time.Now()
	if w.free.Before(now) {
		w.free = now
	}
	w.free = w.free.Add(time.Duration(int64(n) * int64(time.Second) / w.rate))
	left := w.free
	w.mu.Unlock()
	time.Sleep(time.Until(left))
	return left.Add(w.latency)
}

func (w *wire) carry(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	type piece struct {
		b  []byte
		at time.Time
	}
	flying := make(chan piece, 256)
	go func() {
		defer close(flying)
		for {
			b := make([]byte, 8<<10)
			n, err := from.Read(b)
			if n > 0 {
				flying <- piece{b[:n], w.take(n)}
			}
			if err != nil {
				return
			}
		}
	}()
	for p := range flying {
		time.Sleep(time.Until(p.at))
		if _, err := to.Write(p.b); err != nil {
			break
		}
	}
	from.Close() // so that the reader ends
	for range flying {
	}
}

// BenchmarkOffsiteLag commits 50 messages a second, every fiftieth with a file
// of 200 kB, folds once a minute, and tells how long it took from a commit to
// the node's disk over a link of 20 Mbit/s and 50 ms each way.
// FAROL_BENCH_SECONDS says for how long (60).
func BenchmarkOffsiteLag(b *testing.B) {
	seconds := 60
	if n, err := strconv.Atoi(os.Getenv("FAROL_BENCH_SECONDS")); err == nil && n > 0 {
		seconds = n
	}
	p := newPair(b)
	type born struct {
		file string
		end  int64
		at   time.Time
	}
	var mu sync.Mutex
	var waiting []born
	peer, _, err := Enrol(b.Context(), p.addr, p.node.NewCode(), Enrolment{Archive: p.a.ID(), Epoch: p.a.Epoch(), LogKey: p.logKey})
	if err != nil {
		b.Fatal(err)
	}
	peer.Address = "https://" + slowLink(b, strings.TrimPrefix(p.addr, "https://"), 50*time.Millisecond, 20_000_000/8)
	c, err := NewClient(peer)
	if err != nil {
		b.Fatal(err)
	}
	p.sender = NewSender(c, nil, nil)
	p.appended = func(file string, off int64, x []byte) {
		mu.Lock()
		waiting = append(waiting, born{file, off + int64(len(x)), time.Now()})
		mu.Unlock()
	}
	p.run()
	p.until("the empty archive", 30*time.Second, caughtUp)

	ctx, cancel := context.WithTimeout(b.Context(), time.Duration(seconds)*time.Second)
	defer cancel()
	latest := time.Now().Add(time.Duration(seconds)*time.Second + 2*time.Minute)
	var work sync.WaitGroup
	work.Go(func() { // people talk
		tick := time.NewTicker(time.Second / 50)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			r := record.Record{Ref: record.Ref{Kind: record.Chat, Container: fmt.Sprint(i % 40), ID: fmt.Sprint(i)}, Time: time.Now().UTC(),
				Raw: fmt.Appendf(nil, `{"openMessageId":"msg%09d==","sender":{"name":"陳大文 %d"},"msgType":"text","content":"報價單 PO-2026-%05d 已更新，請於 %d 日前確認數量及交貨期，謝謝。 lot %x"}`, i, i%186, i, i%31, uint32(i)*2654435761)}
			if i%50 == 0 {
				blob, err := p.a.PutBlob(b.Context(), "f.bin", -1, io.LimitReader(rand.Reader, 200_000))
				if err != nil {
					b.Error(err)
					return
				}
				r.Blobs = []record.Blob{blob}
			}
			if _, err := p.a.Commit(b.Context(), archive.Batch{Records: []record.Record{r}}); err != nil {
				b.Error(err)
				return
			}
			if _, err := p.log.Append(b.Context(), someEvent); err != nil {
				b.Error(err)
				return
			}
		}
	})
	work.Go(func() { // the hourly fold, sixty times as often
		tick := time.NewTicker(time.Minute)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if _, err := p.a.Fold(b.Context()); err != nil {
				b.Error(err)
			}
		}
	})
	p.node.mu.Lock()
	v := p.node.vaults[p.a.ID()]
	p.node.mu.Unlock()
	var lags []time.Duration
	for { // what is on the node's disk, looked at every 5 ms
		time.Sleep(5 * time.Millisecond)
		held := v.state().Journal
		now := time.Now()
		mu.Lock()
		rest := waiting[:0]
		for _, x := range waiting {
			if held[x.file] >= x.end {
				lags = append(lags, now.Sub(x.at))
			} else {
				rest = append(rest, x)
			}
		}
		waiting = rest
		left := len(waiting)
		mu.Unlock()
		if ctx.Err() != nil && left == 0 {
			break
		}
		if now.After(latest) {
			b.Fatalf("%d commits are still not off-site", left)
		}
	}
	work.Wait()
	if len(lags) < seconds*25 {
		b.Fatalf("only %d commits in %d s", len(lags), seconds)
	}
	slices.Sort(lags)
	at := func(q float64) float64 { return float64(lags[int(q*float64(len(lags)-1))].Milliseconds()) }
	b.ReportMetric(at(.5), "ms-p50")
	b.ReportMetric(at(.99), "ms-p99")
	b.ReportMetric(at(1), "ms-worst")
	b.ReportMetric(float64(len(lags))/float64(seconds), "commits/s")
	b.ReportMetric(0, "ns/op")
	var there bytes.Buffer
	if err := c.Get(b.Context(), "journal", p.a.JournalFiles()[0].Name, &there); err != nil || there.Len() == 0 {
		b.Errorf("read it back over the link: %d bytes, %v", there.Len(), err)
	}
}
