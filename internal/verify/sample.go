package verify

import (
	"context"
	"math/rand/v2"

	"farol/internal/catalog"
	"farol/internal/record"
	"farol/internal/watch"
)

// sample reads some versions of each department and kind, holds them against
// the leaves of their commits, and compares with a fresh listing upstream.
func (v *Verifier) sample(ctx context.Context, r Run, plan Plan) (Run, error) {
	s := v.stretch(&r, plan.NightTime)
	err := v.readSample(ctx, s, plan.PerPart)
	if err == nil {
		err = v.relist(ctx, s, plan)
	}
	if err == nil {
		r.State = Done
	}
	return r, v.finish(ctx, s, err)
}

func (v *Verifier) readSample(ctx context.Context, s *stretch, perPart int) error {
	counts, err := v.d.Catalog.Counts(ctx)
	if err != nil {
		return err
	}
	// The budget may end before the last part: another is last every night.
	rand.Shuffle(len(counts), func(i, j int) { counts[i], counts[j] = counts[j], counts[i] })
	leaves := map[uint64][]record.Hash{}
	for i, c := range counts {
		if err := s.yield(ctx); err != nil {
			return err
		}
		if s.over() {
			return nil
		}
		hits, err := v.pick(ctx, c, perPart)
		if err != nil {
			return err
		}
		err = s.read(ctx, hits, func(h *catalog.Hit, rec *record.Record) error {
			ok, err := v.bound(ctx, leaves, h, rec)
			if err == nil && !ok {
				s.bad(s.r.cursor.part(h.Kind, h.Dept), h)
			}
			return err
		})
		if err != nil {
			return err
		}
		v.progress(int64(i+1), int64(len(counts)))
	}
	return nil
}

// pick chooses versions at random moments between the first and the last, so
// that an old year is as likely as this one.
func (v *Verifier) pick(ctx context.Context, c catalog.Count, n int) ([]catalog.Hit, error) {
	first, last, err := v.d.Catalog.Span(ctx, c.Kind, c.Dept)
	if err != nil || last == 0 {
		return nil, err
	}
	places := make([]int64, n)
	for i := range places {
		places[i] = first + rand.Int64N(last-first+1)
	}
	return v.d.Catalog.Sampled(ctx, c.Kind, c.Dept, places)
}

// bound reports whether a record is the leaf that its commit bound into the
// audit log.
func (v *Verifier) bound(ctx context.Context, leaves map[uint64][]record.Hash, h *catalog.Hit, rec *record.Record) (bool, error) {
	ls, known := leaves[h.Seq]
	if !known {
		var err error
		if ls, _, err = v.d.Archive.Commitment(ctx, h.Seq); err != nil {
			if ctx.Err() != nil {
				return false, ctx.Err()
			}
			return false, nil // the commit's own leaves cannot be read: nothing proves the record
		}
		if len(leaves) > 2000 {
			clear(leaves)
		}
		leaves[h.Seq] = ls
	}
	return h.Index < len(ls) && ls[h.Index] == record.LeafHash(rec.Leaf()), nil
}

// relist compares with what upstream lists now. That a listing cannot be had
// is the backup's trouble and told there.
func (v *Verifier) relist(ctx context.Context, s *stretch, plan Plan) error {
	if v.d.Relist == nil || s.over() {
		return ctx.Err()
	}
	found, err := v.d.Relist(ctx, plan.Listings, plan.Items)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		v.d.Log.WarnContext(ctx, "a fresh listing could not be had whole", "err", err)
	}
	for _, c := range found {
		s.r.Listed += c.Listed
		s.r.Missing += c.Missing
		if c.Missing > 0 {
			s.found = append(s.found, watch.Finding{Cause: watch.Missing, Kind: c.Kind, Dept: c.Dept, Container: c.Container, Seen: c.Missing, Held: c.Listed})
		}
	}
	return nil
}
