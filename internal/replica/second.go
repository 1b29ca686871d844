package replica

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"farol/internal/audit"
)

// Witness ships the audit log alone, sealed as it lies on disk, with its
// checkpoints, to a node of somebody else's: a partner's, the auditor's. That node
// gets nothing of the archive. With it, whoever has the appliance and the operator
// of the off-site node together still cannot write another history.
type Witness struct{ nodeLink }

// NewWitness returns what ships to a peer's node. It starts nothing.
func NewWitness(c *Client, logger *slog.Logger, now func() time.Time) *Witness {
	w := &Witness{}
	w.init(c, audit.SecondWitness, logger, now)
	// That another appliance took over, the off-site node says: the word of somebody
	// outside the house must not end the backup. It is told as a refusal.
	w.final = append(slices.Clone(refusals), ErrSuperseded)
	return w
}

// Status is how the witness stands now. Of the archive it says nothing.
func (w *Witness) Status() Status { return w.stands() }

// Run ships until ctx ends.
func (w *Witness) Run(ctx context.Context, l *audit.Log) error {
	return w.run(ctx, func(ctx context.Context) error { return w.session(ctx, l) })
}

// session ships from what the node holds until something fails. What the node asks
// of a branch is about archives, and passed over.
func (w *Witness) session(ctx context.Context, l *audit.Log) error {
	if err := w.gate(); err != nil {
		return err
	}
	st, err := w.client.State(ctx)
	if err != nil {
		return err
	}
	w.met(st)
	if err := w.sameLog(ctx, l, &st); err != nil {
		return err
	}
	for {
		if err := w.gate(); err != nil {
			return err
		}
		logged := l.Changed()
		if err := w.log(ctx, l, &st); err != nil {
			return err
		}
		w.set(func(x *Status) { x.LastAck = w.now() })
		if _, err := w.idle(ctx, logged); err != nil {
			return err
		}
	}
}
