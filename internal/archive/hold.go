package archive

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/kopia/kopia/snapshot"
)

// heldTag carries the reason why a point must stay.
const heldTag = "held"

// heldPin is what stock kopia sees: its own retention leaves such a snapshot.
const heldPin = "farol-hold"

// Held is why the point must stay, "" when it need not.
func (p *Point) Held() string { return p.Tags[heldTag] }

// Hold marks a point as one that must stay, with the reason, and returns it
// under its new id. The data is not touched. It returns [ErrNotFound] for an
// unknown id.
//
// The marked snapshot is on disk before the plain one is deleted: what a crash
// leaves between the two is one held point, and the next open deletes the twin.
func (a *Archive) Hold(ctx context.Context, id, reason string) (Point, error) {
	if reason == "" {
		return Point{}, errors.New("hold a point: without a reason")
	}
	return a.retag(ctx, id, "hold", func(m *snapshot.Manifest) {
		m.Tags[heldTag] = reason
		m.UpdatePins([]string{heldPin}, nil)
	})
}

// Unhold lets a point go the way of the rules again, and returns it under its
// new id. After a crash in between it is held still.
func (a *Archive) Unhold(ctx context.Context, id string) (Point, error) {
	return a.retag(ctx, id, "unhold", func(m *snapshot.Manifest) {
		delete(m.Tags, heldTag)
		m.UpdatePins(nil, []string{heldPin})
	})
}

func (a *Archive) retag(ctx context.Context, id, what string, change func(*snapshot.Manifest)) (Point, error) {
	fail := func(err error) (Point, error) { return Point{}, fmt.Errorf("%s the point %s: %w", what, id, err) }
	a.foldMu.Lock()
	defer a.foldMu.Unlock()
	points, twins, err := a.manifests(ctx)
	if err != nil {
		return fail(err)
	}
	var p Point
	for _, q := range points {
		if q.ID == id {
			p = q
		}
	}
	if p.ID == "" {
		return fail(ErrNotFound)
	}
	m, err := a.loadSnapshot(ctx, id)
	if err != nil {
		return fail(kopiaErr(err))
	}
	m.Tags = maps.Clone(m.Tags)
	change(m)
	fresh, err := snapshot.SaveSnapshot(a.ctx(ctx), a.w, m)
	if err == nil {
		err = a.flushPoints(ctx)
	}
	if err != nil {
		if fresh != "" { // never on disk, or the next flush takes it away
			err = errors.Join(err, a.deleteManifest(ctx, string(fresh)))
		}
		return fail(full(err))
	}
	if err := a.opt.Fault(what + ".saved"); err != nil {
		return fail(err)
	}
	p.ID, p.Tags, p.made = string(fresh), maps.Clone(p.Tags), time.Now().UTC()
	delete(p.Tags, heldTag)
	if r := m.Tags[heldTag]; r != "" {
		p.Tags[heldTag] = r
	}
	a.renamePoint(p)
	old := []string{id}
	for _, t := range twins {
		if t.Fold == p.Fold {
			old = append(old, t.ID)
		}
	}
	if err := a.deletePoints(ctx, old); err != nil {
		return fail(err)
	}
	return p, nil
}

// renamePoint lets the latest point be known under its new id.
func (a *Archive) renamePoint(p Point) {
	a.j.mu.Lock()
	a.mu.Lock()
	defer a.j.mu.Unlock()
	defer a.mu.Unlock()
	if a.point == nil || a.point.Fold != p.Fold {
		return
	}
	q := *a.point
	q.ID, q.Tags = p.ID, maps.Clone(p.Tags)
	a.point = &q
}

func (a *Archive) deletePoints(ctx context.Context, ids []string) error {
	for _, id := range ids {
		if err := a.deleteManifest(ctx, id); err != nil {
			return fmt.Errorf("delete the snapshot %s: %w", id, err)
		}
	}
	return a.flushPoints(ctx)
}

func (a *Archive) flushPoints(ctx context.Context) error {
	a.flushMu.Lock()
	defer a.flushMu.Unlock()
	return a.w.Flush(a.ctx(ctx))
}
