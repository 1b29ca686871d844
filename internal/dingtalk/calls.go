package dingtalk

import (
	"errors"
	"sync/atomic"
	"time"
)

// Outcomes are the words by which [Client.Calls] counts, the first for a call
// that was answered.
var Outcomes = [...]string{"ok", "unreachable", "throttled", "quota", "permission", "token", "credentials", "consent", "unavailable", "thawing", "refused"}

// outcomes are the errors of the words after the first, in their order.
var outcomes = [len(Outcomes) - 1]error{ErrUnreachable, ErrThrottled, ErrQuota, ErrPermission, ErrToken, ErrCredentials, ErrConsent, ErrUnavailable, ErrThawing, ErrRefused}

// noWait is how long a call passes the limiter without having waited for it.
const noWait = 2 * time.Millisecond

// calls counts since the client was made.
type calls struct {
	by    [len(Outcomes)]atomic.Int64
	waits atomic.Int64
	wait  atomic.Int64 // nanoseconds
}

func (c *calls) waited(d time.Duration) {
	if d > noWait {
		c.waits.Add(1)
		c.wait.Add(int64(d))
	}
}

func (c *calls) ended(err error) {
	word := len(Outcomes) - 1
	if err == nil {
		word = 0
	}
	for i, kind := range outcomes {
		if err != nil && errors.Is(err, kind) {
			word = i + 1
			break
		}
	}
	c.by[word].Add(1)
}

// Calls is what became of the API calls since the client was made, each try
// for itself.
type Calls struct {
	By     [len(Outcomes)]int64 // in the order of Outcomes
	Waits  int64                // calls that our own limit held back
	Waited time.Duration        // all of them together
}

// Calls counts the API calls.
func (c *Client) Calls() Calls {
	out := Calls{Waits: c.calls.waits.Load(), Waited: time.Duration(c.calls.wait.Load())}
	for i := range c.calls.by {
		out.By[i] = c.calls.by[i].Load()
	}
	return out
}
