package archive

import (
	"context"
	"fmt"
	"time"

	"github.com/kopia/kopia/repo/object"
)

// Objects that were put but hang from no point yet look unreferenced to
// kopia's collection. It spares what is younger than a day, but an object may
// have been put again whose bytes lie there for long. So each one waits in
// a.waiting until a fold has linked it, and full maintenance, which blocks
// nobody, brings back what it marked as deleted. What was marked can be read
// and brought back for a day at least.

// waitLong is when an object that no commit named is given up.
const waitLong = 48 * time.Hour

func (a *Archive) wait(oid string) {
	a.mu.Lock()
	a.waiting[oid] = a.now()
	a.mu.Unlock()
}

// linked ends the wait of an object that the latest point holds.
func (f *folding) linked() {
	f.a.mu.Lock()
	defer f.a.mu.Unlock()
	for _, oid := range f.links {
		delete(f.a.waiting, oid)
	}
}

// bringBack undoes what maintenance did to objects that wait.
func (a *Archive) bringBack(ctx context.Context) error {
	a.mu.Lock()
	var waiting []string
	for oid, at := range a.waiting {
		if a.stale(at, waitLong) {
			delete(a.waiting, oid)
			continue
		}
		waiting = append(waiting, oid)
	}
	a.mu.Unlock()
	changed := false
	for _, oid := range waiting {
		id, err := object.ParseID(oid)
		if err != nil {
			return fmt.Errorf("object %s: %w", oid, ErrNotFound)
		}
		contents, err := a.w.VerifyObject(a.ctx(ctx), id)
		if err != nil {
			return fmt.Errorf("object %s: %w", oid, kopiaErr(err))
		}
		for _, cid := range contents {
			info, err := a.w.ContentInfo(a.ctx(ctx), cid)
			if err != nil {
				return fmt.Errorf("object %s: %w", oid, kopiaErr(err))
			}
			if !info.Deleted {
				continue
			}
			if err := a.w.ContentManager().UndeleteContent(a.ctx(ctx), cid); err != nil {
				return fmt.Errorf("object %s: %w", oid, kopiaErr(err))
			}
			changed = true
		}
	}
	if !changed {
		return nil
	}
	a.flushMu.Lock()
	defer a.flushMu.Unlock()
	if err := a.w.Flush(a.ctx(ctx)); err != nil {
		return fmt.Errorf("flush the repository: %w", full(err))
	}
	return nil
}
