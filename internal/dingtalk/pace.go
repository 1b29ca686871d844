package dingtalk

import (
	"context"
	"slices"
	"sync"

	"golang.org/x/time/rate"
)

type urgentKey struct{}

// Urgent marks the calls made under ctx as those somebody waits for: what an
// event told of goes before a listing of everything, which has all night.
func Urgent(ctx context.Context) context.Context {
	return context.WithValue(ctx, urgentKey{}, true)
}

// pace lets the calls of one API go one after another at its rate. Urgent
// calls go first; every fourth turn belongs to the others, so that a day full
// of events cannot starve a listing.
type pace struct {
	limit *rate.Limiter

	mu      sync.Mutex // guards below
	held    bool       // somebody has the turn
	turns   int
	waiting struct{ urgent, calm []chan struct{} }
}

// ofCalm is how many turns there are for each that belongs to calm calls.
const ofCalm = 4

func newPace(qps int) *pace {
	// one at a time: a burst on top of the rate would pass 20 in a second
	return &pace{limit: rate.NewLimiter(rate.Limit(qps), 1)}
}

// wait returns when the call may go.
func (p *pace) wait(ctx context.Context) error {
	if err := p.turn(ctx); err != nil {
		return err
	}
	defer p.next()
	return p.limit.Wait(ctx)
}

// turn waits until this call is the one that may ask the limiter.
func (p *pace) turn(ctx context.Context) error {
	p.mu.Lock()
	if !p.held {
		p.held = true
		p.mu.Unlock()
		return nil
	}
	mine := make(chan struct{})
	queue := &p.waiting.calm
	if ctx.Value(urgentKey{}) != nil {
		queue = &p.waiting.urgent
	}
	*queue = append(*queue, mine)
	p.mu.Unlock()
	select {
	case <-mine:
		return nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	i := slices.Index(*queue, mine)
	if i >= 0 {
		*queue = slices.Delete(*queue, i, i+1)
	}
	p.mu.Unlock()
	if i < 0 { // it came in the same moment: hand it on
		p.next()
	}
	return ctx.Err()
}

// next gives the turn to whoever comes next.
func (p *pace) next() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.turns++
	queue := &p.waiting.urgent
	if len(*queue) == 0 || p.turns%ofCalm == 0 && len(p.waiting.calm) > 0 {
		queue = &p.waiting.calm
	}
	if len(*queue) == 0 {
		p.held = false
		return
	}
	close((*queue)[0])
	*queue = slices.Delete(*queue, 0, 1)
}
