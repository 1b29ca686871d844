package replica

import (
	"context"
	"io"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"farol/internal/record"
)

// Limit is how fast the appliance may send to the node, and when.
type Limit struct {
	Kbit int64          // thousands of bits a second; 0 = as fast as it goes
	Days []time.Weekday // on which it counts
	From int            // minute of the day from which it counts, in Macau
	To   int            // minute at which it ends; the same as From: all day; before it: the next day
}

// At is what counts at t: bytes a second, 0 for no limit, and when that ends.
func (l Limit) At(t time.Time) (bytes int64, until time.Time) {
	if l.Kbit <= 0 || len(l.Days) == 0 {
		return 0, time.Time{}
	}
	t = t.In(record.Macau)
	day := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, record.Macau)
	for _, d := range []time.Time{day.AddDate(0, 0, -1), day} { // a night belongs to the day it begins on
		from, to := d.Add(time.Duration(l.From)*time.Minute), d.Add(time.Duration(l.To)*time.Minute)
		if l.To <= l.From {
			to = to.AddDate(0, 0, 1)
		}
		if slices.Contains(l.Days, d.Weekday()) && !t.Before(from) && t.Before(to) {
			return max(l.Kbit*1000/8, 1), to
		}
	}
	return 0, time.Time{}
}

// pace holds what is sent to the limit. The zero value holds nothing back.
type pace struct {
	now func() time.Time

	mu      sync.Mutex // guards below
	limit   Limit
	bucket  *rate.Limiter
	bytes   int64 // a second, that the bucket is for
	changed chan struct{}
	held    time.Time // when it last made somebody wait
}

// piece is how many bytes go at once: at the least limit a fraction of a
// second's.
const piece = 16 << 10

func newPace(now func() time.Time) *pace {
	return &pace{now: now, changed: make(chan struct{})}
}

// set changes the limit; who waits for the one before waits no longer.
func (p *pace) set(l Limit) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.limit = l
	close(p.changed)
	p.changed = make(chan struct{})
}

// wait returns when n bytes may go.
func (p *pace) wait(ctx context.Context, n int) error {
	p.mu.Lock()
	bytes, _ := p.limit.At(p.now())
	if bytes == 0 {
		p.mu.Unlock()
		return ctx.Err()
	}
	if p.bucket == nil || p.bytes != bytes {
		p.bucket, p.bytes = rate.NewLimiter(rate.Limit(bytes), 2*piece), bytes
	}
	d, changed := p.bucket.ReserveN(time.Now(), n).Delay(), p.changed
	if d > 0 {
		p.held = p.now()
	}
	p.mu.Unlock()
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-changed:
	case <-t.C:
	}
	return nil
}

// slow tells the limit in force and its end, zero unless it made somebody wait
// a moment ago.
func (p *pace) slow() (kbit int64, until time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	bytes, until := p.limit.At(p.now())
	if bytes == 0 || p.held.IsZero() || p.now().Sub(p.held).Abs() > 15*time.Second {
		return 0, time.Time{}
	}
	return p.limit.Kbit, until
}

// pacedBody is a request's body at the pace allowed. before, when set, is
// called ahead of each piece: what is more urgent goes there.
type pacedBody struct {
	ctx    context.Context
	r      io.Reader
	p      *pace
	before func() error
	alive  func() // bytes moved
}

// movingBody says when bytes move.
type movingBody struct {
	io.Reader
	alive func()
}

func (b *movingBody) Read(to []byte) (int, error) {
	n, err := b.Reader.Read(to)
	if n > 0 {
		b.alive()
	}
	return n, err
}

func (b *pacedBody) Read(to []byte) (int, error) {
	if b.before != nil {
		if err := b.before(); err != nil {
			return 0, err
		}
	}
	n, err := b.r.Read(to[:min(len(to), piece)])
	if n > 0 {
		if werr := b.p.wait(b.ctx, n); werr != nil {
			return 0, werr
		}
		b.alive()
	}
	return n, err
}
