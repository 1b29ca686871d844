package replica

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"farol/internal/audit"
	"farol/internal/record"
)

// nodeLink is what sending to a node has in common, whether it gets the archive
// ([Sender]) or the log alone ([Witness]): trying again, the way out of Macau, and
// the log with its checkpoints.
type nodeLink struct {
	client *Client
	as     audit.Witness
	logger *slog.Logger
	now    func() time.Time
	wake   chan struct{}
	retry  time.Duration // how long it waits after the first failure
	final  []error       // the node's answers that no waiting mends

	superseded func(context.Context)        // called whenever the node says so
	refused    func(context.Context, error) // called whenever the node refuses what is sent

	mu       sync.Mutex // guards below
	status   Status
	transfer record.Transfer
}

// refusals are the node's answers that no waiting mends.
var refusals = []error{ErrConflict, ErrRolledBack, ErrNodeFull, ErrQuota}

// init fills a link that nothing uses yet.
func (k *nodeLink) init(c *Client, as audit.Witness, logger *slog.Logger, now func() time.Time) {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	if now == nil {
		now = time.Now
	}
	k.client, k.as, k.logger, k.now, k.wake, k.retry, k.final = c, as, logger, now, make(chan struct{}, 1), time.Second, refusals
}

// OnRefused sets what is done when the node refuses what is sent, because it holds
// other bytes or has no room. Call it before Run; fn may be called again and again.
func (k *nodeLink) OnRefused(fn func(context.Context, error)) { k.refused = fn }

// Wake makes it look for something to send now.
func (k *nodeLink) Wake() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// SetLimit changes how fast it may send, at once.
func (k *nodeLink) SetLimit(l Limit) { k.client.pace.set(l) }

func (k *nodeLink) set(fn func(*Status)) {
	k.mu.Lock()
	fn(&k.status)
	k.mu.Unlock()
}

func (k *nodeLink) stands() Status {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.status
}

// run holds sessions until ctx ends, with a pause after each that failed.
func (k *nodeLink) run(ctx context.Context, session func(context.Context) error) error {
	wait := k.retry
	for ctx.Err() == nil {
		began := k.now()
		err := session(ctx)
		k.set(func(st *Status) { st.Connected, st.Err = false, err })
		if errors.Is(err, ErrSuperseded) && k.superseded != nil {
			k.superseded(ctx)
		}
		if ctx.Err() != nil {
			break
		}
		if k.refused != nil && slices.ContainsFunc(k.final, func(e error) bool { return errors.Is(err, e) }) {
			k.refused(ctx, err)
		}
		if k.stands().LastAck.After(began) { // it worked meanwhile: what fails now is something else
			wait = k.retry
		}
		k.logger.WarnContext(ctx, "what goes to a node waits", "to", k.as, "err", err, "again_in", wait)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
		wait = min(wait*2, 30*k.retry)
	}
	return ctx.Err()
}

// met notes what a node that answers says it holds.
func (k *nodeLink) met(st State) {
	k.set(func(x *Status) {
		x.Connected, x.Err, x.DiskFree, x.DiskSize, x.Entries, x.Checkpoint = true, nil, st.DiskFree, st.DiskSize, st.Entries, st.Size
		x.Verified, x.VerifiedFiles, x.Damaged = st.Verified, st.VerifiedFiles, st.DamagedFiles
	})
}

// idle waits for something to send. After ten seconds the node is asked whether it
// is still there, how full it is, and which files it asks for.
func (k *nodeLink) idle(ctx context.Context, logged <-chan struct{}) (damaged []string, err error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-k.wake:
	case <-logged:
	case <-time.After(10 * time.Second):
		again, err := k.client.State(ctx)
		if err != nil {
			return nil, err
		}
		k.set(func(x *Status) {
			x.DiskFree, x.DiskSize, x.Verified, x.VerifiedFiles, x.Damaged = again.DiskFree, again.DiskSize, again.Verified, again.VerifiedFiles, again.DamagedFiles
		})
		return again.Damaged, nil
	}
	return nil, nil
}

// sameLog asks the node to sign again what it signed last, before it is sent any
// entry. A log that was set back, forked or begun anew is refused here, and adds
// nothing to what the node holds of the true one.
func (k *nodeLink) sameLog(ctx context.Context, l *audit.Log, st *State) error {
	if size := l.Size(); st.Entries > size || st.Size > size {
		if size > 0 { // the node refuses it and alarms its people too
			if _, err := k.client.cosign(ctx, l.Checkpoint(), nil); errors.Is(err, ErrLogAnew) {
				return err
			} else if err == nil || !errors.Is(err, ErrRolledBack) {
				k.logger.WarnContext(ctx, "the node was shown a log that is shorter than what it holds", "err", err)
			}
		}
		return fmt.Errorf("the node holds %d entries, this log has %d: %w", max(st.Entries, st.Size), size, ErrRolledBack)
	}
	if st.Size == 0 {
		return nil
	}
	cp, err := l.CheckpointAt(st.Size)
	if err != nil {
		return err
	}
	_, err = k.client.cosign(ctx, cp, nil)
	return err
}

// log sends what the node lacks of the log, and keeps the checkpoint it signs.
func (k *nodeLink) log(ctx context.Context, l *audit.Log, st *State) error {
	size := l.Size()
	if !st.compared { // what nobody has witnessed may be anybody's: the node compares
		st.Entries, st.compared = min(st.Entries, max(st.Size, st.Entries-manyEnds/2)), true
	}
	if err := k.entries(ctx, l, st, size); err != nil || size == 0 || st.Size >= size {
		return err
	}
	// the log may have grown since its entries were sent: what comes with the
	// checkpoint is held before the checkpoint is, or the log that comes home one
	// day would look cut
	cp, size, proof, err := l.Since(st.Size)
	if err != nil {
		return err
	}
	if err := k.entries(ctx, l, st, size); err != nil {
		return err
	}
	signed, err := k.client.cosign(ctx, cp, proof)
	if err != nil {
		return err
	}
	if err := l.Cosigned(k.as, k.client.signs, signed); err != nil {
		return err
	}
	st.Size = size
	k.set(func(x *Status) { x.Checkpoint, x.Entries = size, st.Entries })
	return nil
}

// entries sends the log's entries up to size.
func (k *nodeLink) entries(ctx context.Context, l *audit.Log, st *State, size int64) error {
	for st.Entries < size {
		es, err := l.Raw(st.Entries, min(st.Entries+500, size))
		if err != nil {
			return err
		}
		if err := k.client.entries(ctx, st.Entries, es); err != nil {
			return err
		}
		st.Entries += int64(len(es))
	}
	return nil
}
