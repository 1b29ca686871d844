package replica

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"farol/internal/archive"
	"farol/internal/record"
)

// PlaceReport is what reading a place again found.
type PlaceReport struct {
	Files   int64
	Bytes   int64
	Damaged []string // names that were missing or differed, all written again
	Lock    LockReport
}

// Verify reads every file of the repository at the place and compares it with
// the hash taken when it was first written; what differs is written again from
// the local disk.
func (p *Place) Verify(ctx context.Context, a *archive.Archive, progress func(done, total int64)) (r PlaceReport, err error) {
	p.work.Lock()
	defer p.work.Unlock()
	fail := func(err error) (PlaceReport, error) { return r, fmt.Errorf("verify the copy: %w", err) }
	if err := p.gate(); err != nil { // what differs is sent again
		return fail(err)
	}
	if err := p.open(ctx); err != nil {
		return fail(err)
	}
	if p.mark.Epoch > a.Epoch() { // what differs is what the other one has
		return fail(ErrSuperseded)
	}
	live := map[string]archive.PutEntry{}
	var total int64
	for e, err := range a.PutLog(0) {
		if err != nil {
			return fail(err)
		}
		if e.Deleted || mutable(e.Name) {
			delete(live, e.Name)
			continue
		}
		live[e.Name] = e
	}
	for _, e := range live {
		total += e.Size
	}
	for name, e := range live {
		if err := ctx.Err(); err != nil {
			return fail(err)
		}
		b, _, err := p.t.get(ctx, "archive/"+name)
		if err != nil && !errors.Is(err, ErrUnknown) {
			return fail(err)
		}
		if err != nil || record.HashOf(b) != e.SHA256 {
			good, err := a.ReadBlobFile(name)
			if errors.Is(err, archive.ErrNotFound) {
				continue
			} else if err == nil && record.HashOf(good) != e.SHA256 {
				err = archive.ErrCorrupt
			}
			if err != nil {
				return fail(err)
			}
			if err := p.put(ctx, "archive/"+name, good, e.Time); err != nil {
				return fail(err)
			}
			r.Damaged = append(r.Damaged, name)
		}
		r.Files++
		r.Bytes += e.Size
		if progress != nil {
			progress(r.Bytes, total)
		}
	}
	slices.Sort(r.Damaged)
	if r.Lock, err = p.lockReport(ctx); err != nil {
		return fail(err)
	}
	return r, nil
}
