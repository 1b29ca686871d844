package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"farol/internal/archive"
	"farol/internal/catalog"
	"farol/internal/record"
)

// forwardBytes bounds what waits in memory to be taken in: some 300,000
// messages. A catalog that is further behind is made anew.
const forwardBytes = 128 << 20

// bringForward brings a catalog forward that is older than folds whose moves are gone:
// one that came out of a copy, or lost its last transaction in a power cut
// after the moves were given up. Only segments that it does not know are read:
// they hold what was committed since, and what folds carried elsewhere. It
// returns archive.ErrRebuild when that does not make it whole.
func (e *Engine) bringForward(ctx context.Context) error {
	fold, err := e.d.Catalog.Fold(ctx)
	if err != nil {
		return err
	}
	st := e.d.Archive.Status()
	if fold >= st.LastFold.Fold || st.PendingMoves > 0 {
		return nil
	}
	applied, err := e.d.Catalog.Applied(ctx)
	if err != nil || applied == 0 {
		return err
	}
	e.d.Log.InfoContext(ctx, "bringing an older catalog forward", "its_fold", fold, "fold", st.LastFold.Fold)
	live, err := e.d.Archive.Segments(ctx)
	if errors.Is(err, archive.ErrCorrupt) {
		err = fmt.Errorf("%w: %w", archive.ErrRebuild, err)
	}
	if err != nil {
		return err
	}
	late, places, err := e.unheard(ctx, live, applied)
	if err == nil {
		err = e.takeIn(ctx, late)
	}
	if err != nil {
		return fmt.Errorf("bring the catalog forward: %w", err)
	}
	err = e.d.Catalog.Settle(ctx, st.LastFold.Fold, st.LastFold.Seq, places, func(seg string) bool { return live[seg] })
	if errors.Is(err, catalog.ErrBehind) {
		return fmt.Errorf("%w: %w", archive.ErrRebuild, err)
	}
	return err
}

// unheard reads the segments that the catalog does not know: late is what was
// committed after applied, places is where older records lie now.
func (e *Engine) unheard(ctx context.Context, live map[string]bool, applied uint64) (late []walked, places []catalog.Place, err error) {
	known, err := e.d.Catalog.Segments(ctx)
	if err != nil {
		return nil, nil, err
	}
	size := 0
	for seg := range live {
		if known[seg] {
			continue
		}
		err := e.d.Archive.Segment(ctx, seg, func(rec record.Record, loc record.Loc, seq uint64, index int) error {
			if seq <= applied {
				places = append(places, catalog.Place{Ref: rec.Ref, Seq: seq, Index: index, Loc: loc})
				return nil
			}
			late = append(late, walked{rec, loc, seq, index})
			if size += len(rec.Raw) + 512; size > forwardBytes {
				return fmt.Errorf("more than %d bytes were committed since: %w", forwardBytes, archive.ErrRebuild)
			}
			return ctx.Err()
		})
		if errors.Is(err, archive.ErrCorrupt) { // a rebuild takes what can be read
			err = fmt.Errorf("%w: %w", archive.ErrRebuild, err)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	return late, places, nil
}

// takeIn applies records of folded commits, in their order. Segments of which a
// part was taken in are read again if a crash comes before the catalog is settled.
func (e *Engine) takeIn(ctx context.Context, late []walked) error {
	if err := e.d.Catalog.Unsettled(ctx); err != nil {
		return err
	}
	slices.SortFunc(late, func(a, b walked) int { return cmp.Or(cmp.Compare(a.seq, b.seq), cmp.Compare(a.index, b.index)) })
	f := forward{e: e}
	for i := 0; i < len(late); {
		n := i
		c := &archive.Commit{Seq: late[i].seq}
		for ; n < len(late) && late[n].seq == c.Seq; n++ {
			c.Records, c.Locs = append(c.Records, late[n].rec), append(c.Locs, late[n].loc)
		}
		if err := f.take(ctx, c); err != nil {
			return err
		}
		i = n
	}
	return f.flush(ctx)
}

// forward brings the catalog forward by many commits at a time: they are shaped
// on every core and written in one transaction. As in [Engine.Rebuild], what
// describes something is taken in order and before the rest.
type forward struct {
	e     *Engine
	late  []walked
	rows  []catalog.Row // of late; without a name where not yet shaped
	bytes int
	seq   uint64 // last commit taken
}

const (
	forwardRows = 20_000   // of one transaction
	forwardWait = 16 << 20 // bytes of records
)

// take takes the next commit.
func (f *forward) take(ctx context.Context, c *archive.Commit) error {
	depts := false
	for i := range c.Records {
		w := walked{c.Records[i], c.Locs[i], c.Seq, i}
		var row catalog.Row
		if describes(w.rec.Ref) {
			row = f.e.shape(&w)
			depts = depts || row.OfDept != nil
			f.e.described(&row)
		}
		f.late, f.rows, f.bytes = append(f.late, w), append(f.rows, row), f.bytes+len(w.rec.Raw)
	}
	f.seq = c.Seq
	if !depts && len(f.late) < forwardRows && f.bytes < forwardWait {
		return nil
	}
	if err := f.flush(ctx); err != nil || !depts {
		return err
	}
	return f.e.loadDepts(ctx) // what follows is classed by their new names
}

// shape makes the row of a record, ready to be written.
func (e *Engine) shape(w *walked) catalog.Row {
	row := e.Row(&w.rec, w.loc, w.index)
	row.Seq = w.seq
	e.d.Catalog.Index(&row)
	return row
}

// flush writes what was taken.
func (f *forward) flush(ctx context.Context) error {
	if f.seq == 0 {
		return nil
	}
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for from := 0; from < len(f.rows); from += rebuildPart {
		g.Go(func() error {
			for i := from; i < min(from+rebuildPart, len(f.rows)); i++ {
				if f.rows[i].Ref.ID == "" {
					f.rows[i] = f.e.shape(&f.late[i])
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := f.e.d.Catalog.ApplyAll(ctx, f.seq, f.rows); err != nil {
		return err
	}
	*f = forward{e: f.e, late: f.late[:0], rows: f.rows[:0]}
	return nil
}
