package replica

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"
)

// verifyAll reads each vault back once a week until ctx ends.
func (n *Node) verifyAll(ctx context.Context) {
	t := time.NewTicker(time.Hour)
	defer t.Stop()
	for {
		for _, v := range n.all() {
			v.mu.Lock()
			id, due := v.about.Archive, v.verified.Pass != nil || n.now().Sub(v.verified.Ended) >= verifyEvery
			v.mu.Unlock()
			if !due {
				continue
			}
			if err := n.verify(ctx, v, verifyRate); err != nil && ctx.Err() == nil {
				n.log.ErrorContext(ctx, "read back what the node holds", "archive", id, "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

func (n *Node) verify(ctx context.Context, v *vault, rate int64) error {
	if err := v.verify(ctx, rate); err != nil {
		return err
	}
	v.mu.Lock()
	id, r := v.about.Archive, v.verified
	bad := len(r.Damaged)
	v.mu.Unlock()
	if bad > 0 {
		n.log.ErrorContext(ctx, "files are not as they came, or gone: look at this machine's disk; the appliance is asked for them", "archive", id, "files", bad)
		return nil
	}
	n.log.InfoContext(ctx, "everything that is held was read back and is as it came", "archive", id, "files", r.Files, "mb", r.Bytes>>20)
	return nil
}

// all are the vaults there are now.
func (n *Node) all() []*vault {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Collect(maps.Values(n.vaults))
}

// Verify reads back everything that a node holds, as fast as the disk gives it. The
// node must not be serving: what is damaged it asks for once it serves again.
func (n *Node) Verify(ctx context.Context) error {
	var errs []error
	for _, v := range n.all() {
		v.mu.Lock()
		v.verified.Pass = nil // from the beginning
		v.mu.Unlock()
		errs = append(errs, n.verify(ctx, v, 0))
	}
	return errors.Join(errs...)
}
