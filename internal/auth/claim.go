package auth

import (
	"crypto/rand"
	"crypto/subtle"
	"strings"
	"sync"
)

// Claim guards the set-up: whoever reads the code on the machine's own
// terminal may claim the appliance. Each start makes a new code.
type Claim struct {
	mu    sync.Mutex
	code  string
	tries int
}

const claimTries = 10

// NewClaim makes a fresh code.
func NewClaim() *Claim {
	t := rand.Text()
	return &Claim{code: t[:4] + "-" + t[4:8] + "-" + t[8:12], tries: claimTries}
}

// Code is the code to show on the terminal.
func (c *Claim) Code() string { return c.code }

// Check compares what was typed. It returns [ErrSetup], and [ErrNoTries] after
// ten wrong ones.
func (c *Claim) Check(typed string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tries == 0 {
		return ErrNoTries
	}
	if subtle.ConstantTimeCompare([]byte(squeeze(typed)), []byte(squeeze(c.code))) == 1 {
		return nil
	}
	if c.tries--; c.tries == 0 {
		return ErrNoTries
	}
	return ErrSetup
}

func squeeze(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '2' && r <= '7':
			return r
		}
		return -1
	}, s)
}
