package backup

import (
	"slices"
	"sync"
	"time"
)

// lagMeter keeps how long the last events took to be committed.
type lagMeter struct {
	mu   sync.Mutex
	last []time.Duration // at most 1,000, oldest first
	n    int64
	sum  time.Duration
	upTo [len(DelayBounds)]int64 // events up to each bound
}

// DelayBounds are the bounds of [Delays].
var DelayBounds = [...]time.Duration{250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second, time.Minute, 5 * time.Minute, 30 * time.Minute}

// Delays are how long all events since the start took from birth to a durable
// commit, by [DelayBounds].
type Delays struct {
	Events int64
	Sum    time.Duration
	UpTo   [len(DelayBounds)]int64
}

// Delays counts every event since the process started.
func (e *Engine) Delays() Delays {
	e.lag.mu.Lock()
	defer e.lag.mu.Unlock()
	return Delays{e.lag.n, e.lag.sum, e.lag.upTo}
}

func (m *lagMeter) add(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.n++
	m.sum += d
	for i, b := range DelayBounds {
		if d <= b {
			m.upTo[i]++
		}
	}
	if len(m.last) == 1000 {
		m.last = m.last[1:]
	}
	m.last = append(m.last, d)
}

// Lag is how long events took from birth to a durable commit.
type Lag struct {
	Events   int64 // since the process started
	P50, P99 time.Duration
}

// Lag sums up the last thousand events.
func (e *Engine) Lag() Lag {
	e.lag.mu.Lock()
	defer e.lag.mu.Unlock()
	s := slices.Clone(e.lag.last)
	if len(s) == 0 {
		return Lag{}
	}
	slices.Sort(s)
	return Lag{Events: e.lag.n, P50: s[len(s)/2], P99: s[len(s)*99/100]}
}
