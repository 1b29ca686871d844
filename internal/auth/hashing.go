package auth

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/alexedwards/argon2id"
	"golang.org/x/text/unicode/norm"
)

// One argon2 runs at a time, so that log-ins cannot exhaust the memory. What
// waits is bounded too: a flood is refused at once instead of piling up, and
// one source cannot fill the queue alone.
const (
	hashesWaiting = 16
	hashesSource  = 4
	hashWait      = 3 * time.Second // about what a full queue takes
)

type hashQueue struct {
	turn chan struct{} // holds the one that runs

	mu       sync.Mutex // guards below
	waiting  int
	bySource map[string]int
	compared int // how many passwords were compared
}

func newHashQueue() *hashQueue {
	return &hashQueue{turn: make(chan struct{}, 1), bySource: map[string]int{}}
}

// enter waits for its turn. It returns [*Slow] when too many wait already.
// source is "" for what a person does who is known.
func (q *hashQueue) enter(ctx context.Context, source string) (leave func(), err error) {
	q.mu.Lock()
	if q.waiting >= hashesWaiting || source != "" && q.bySource[source] >= hashesSource {
		q.mu.Unlock()
		return nil, &Slow{hashWait}
	}
	q.waiting++
	q.bySource[source]++
	q.mu.Unlock()
	out := func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.waiting--
		if q.bySource[source]--; q.bySource[source] == 0 {
			delete(q.bySource, source)
		}
	}
	select {
	case q.turn <- struct{}{}:
		return func() { <-q.turn; out() }, nil
	case <-ctx.Done():
		out()
		return nil, ctx.Err()
	}
}

func (a *Accounts) createHash(ctx context.Context, password string) (string, error) {
	leave, err := a.queue.enter(ctx, "")
	if err != nil {
		return "", fmt.Errorf("wait to hash a password: %w", err)
	}
	defer leave()
	h, err := argon2id.CreateHash(norm.NFC.String(password), a.params)
	if err != nil {
		return "", fmt.Errorf("hash password: %w", err)
	}
	return h, nil
}

func (a *Accounts) compare(ctx context.Context, source, password, hash string) (bool, error) {
	leave, err := a.queue.enter(ctx, source)
	if err != nil {
		return false, fmt.Errorf("wait to check a password: %w", err)
	}
	defer leave()
	a.queue.mu.Lock()
	a.queue.compared++
	a.queue.mu.Unlock()
	ok, err := argon2id.ComparePasswordAndHash(norm.NFC.String(password), hash)
	if err != nil {
		return false, fmt.Errorf("check password: %w", err)
	}
	return ok, nil
}
