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
}

func (m *lagMeter) add(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.n++
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
