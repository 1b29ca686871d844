package replica

import (
	"fmt"
	"strings"
	"time"

	"farol/internal/record"
)

// mayLeave returns [ErrGate] while nothing may leave Macau for a copy.
func mayLeave(t record.Transfer, now time.Time) error {
	if m := t.Missing(now); len(m) > 0 {
		return fmt.Errorf("%w: %s", ErrGate, strings.Join(m, ", "))
	}
	return nil
}

// SetTransfer says where the node lies and what lets the bytes leave for it. It
// counts at once.
func (k *nodeLink) SetTransfer(t record.Transfer) {
	k.mu.Lock()
	k.transfer = t
	k.mu.Unlock()
	k.Wake()
}

// gate returns [ErrGate] while nothing may be sent to the node.
func (k *nodeLink) gate() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return mayLeave(k.transfer, k.now())
}

// SetTransfer says where the place lies and what lets the bytes leave for it. It
// counts at once.
func (p *Place) SetTransfer(t record.Transfer) {
	p.mu.Lock()
	p.transfer = t
	p.mu.Unlock()
	p.Wake()
}

func (p *Place) gate() error { return mayLeave(p.Config().Transfer, p.now()) }
