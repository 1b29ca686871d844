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
	"farol/internal/connector"
	"farol/internal/record"
)

// walked is a record of the archive with where it lies.
type walked struct {
	rec   record.Record
	loc   record.Loc
	seq   uint64
	index int
}

const (
	rebuildBatch = 10_000 // rows of one transaction
	rebuildPart  = 500    // records that a worker takes at a time
)

// Rebuild makes the catalog from the archive alone, equal to the one that was
// lost. The catalog must be empty.
//
// What a row says depends on what was known when its commit came: departments
// decide its class, a conversation's description whether it is private. So the
// archive is read twice: first the few records that describe something, taken
// in the order of their commits, then all others, in whatever order they lie.
func (e *Engine) Rebuild(ctx context.Context, progress func(n int64)) error {
	into, err := e.d.Catalog.Rebuild(ctx)
	if err != nil {
		return err
	}
	books, n, err := e.rebuildKnown(ctx, into)
	if err != nil {
		return fmt.Errorf("rebuild the catalog: %w", err)
	}
	if err := e.rebuildRest(ctx, into, books, n, progress); err != nil {
		return fmt.Errorf("rebuild the catalog: %w", err)
	}
	if err := into.Finish(ctx, e.d.Archive.LastSeq(), e.d.Archive.Status().LastFold.Fold); err != nil {
		return err
	}
	return e.loadKnown(ctx)
}

// walk is Archive.WalkIf. What cannot be read is logged and left out: the rest
// must be found all the same.
func (e *Engine) walk(ctx context.Context, want func(record.Ref) bool, fn archive.WalkFunc) error {
	err := e.d.Archive.WalkIf(ctx, want, fn)
	if errors.Is(err, archive.ErrCorrupt) && ctx.Err() == nil {
		e.d.Log.ErrorContext(ctx, "part of the archive cannot be read and is missing in the catalog", "err", err)
		return nil
	}
	return err
}

func describes(ref record.Ref) bool {
	return ref.Kind == record.Contacts || connector.IsDescribing(ref)
}

// book is what the departments were called from after commit seq on.
type book struct {
	seq   uint64
	names map[int64][]string
}

// rebuildKnown takes the describing records and returns the departments as
// they were over time, and how many records it took.
func (e *Engine) rebuildKnown(ctx context.Context, into *catalog.Rebuild) (books []book, n int64, err error) {
	var all []walked
	err = e.walk(ctx, describes, func(rec record.Record, loc record.Loc, seq uint64, index int) error {
		all = append(all, walked{rec, loc, seq, index})
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	slices.SortFunc(all, func(a, b walked) int { return cmp.Or(cmp.Compare(a.seq, b.seq), cmp.Compare(a.index, b.index)) })
	// a listing is known before its records are committed
	for i := range all {
		if doc, err := e.kinds[all[i].rec.Kind].Document(&all[i].rec); err == nil && doc.Container != nil {
			e.remember([]connector.Source{{Container: *doc.Container}})
		}
	}
	depts := map[int64]record.Dept{}
	books = []book{{}}
	var rows []catalog.Row
	for i, w := range all {
		row := e.row(&w.rec, w.loc, w.index, func(id int64) []string { return books[len(books)-1].names[id] })
		row.Seq = w.seq
		rows = append(rows, row)
		if row.OfDept != nil {
			depts[row.OfDept.ID] = *row.OfDept
		}
		if i+1 == len(all) || all[i+1].seq != w.seq {
			books = appendBook(books, w.seq, depts)
		}
		if len(rows) == rebuildBatch || i+1 == len(all) {
			if err := into.Add(ctx, rows); err != nil {
				return nil, 0, err
			}
			rows = rows[:0]
		}
	}
	return books, int64(len(all)), nil
}

// appendBook adds the state after commit seq when something changed.
func appendBook(books []book, seq uint64, depts map[int64]record.Dept) []book {
	names := make(map[int64][]string, len(depts))
	for id := range depts {
		names[id] = namesUp(id, func(id int64) (record.Dept, bool) { d, ok := depts[id]; return d, ok })
	}
	last := books[len(books)-1].names
	same := len(last) == len(names)
	for id, ns := range names {
		same = same && slices.Equal(last[id], ns)
	}
	if same {
		return books
	}
	return append(books, book{seq, names})
}

// namesAt are the departments as commit seq found them.
func namesAt(books []book, seq uint64) func(int64) []string {
	i := len(books) - 1
	for i > 0 && books[i].seq >= seq {
		i--
	}
	return func(id int64) []string { return books[i].names[id] }
}

// rebuildRest takes all other records: one goroutine reads, as many as there
// are cores shape rows and blind their words, one writes.
func (e *Engine) rebuildRest(ctx context.Context, into *catalog.Rebuild, books []book, n int64, progress func(int64)) error {
	read, made := make(chan []walked, 4), make(chan []catalog.Row, rebuildBatch/rebuildPart) // a batch is made while one is written
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(read)
		var part []walked
		err := e.walk(ctx, func(ref record.Ref) bool { return !describes(ref) }, func(rec record.Record, loc record.Loc, seq uint64, index int) error {
			part = append(part, walked{rec, loc, seq, index})
			if len(part) < rebuildPart {
				return nil
			}
			full := part
			part = make([]walked, 0, rebuildPart)
			return send(ctx, read, full)
		})
		if err != nil {
			return err
		}
		return send(ctx, read, part)
	})
	workers, wctx := errgroup.WithContext(ctx)
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() error {
			for part := range read {
				rows := make([]catalog.Row, len(part))
				for i := range part {
					w := &part[i]
					rows[i] = e.row(&w.rec, w.loc, w.index, namesAt(books, w.seq))
					rows[i].Seq = w.seq
					e.d.Catalog.Index(&rows[i])
				}
				if err := send(wctx, made, rows); err != nil {
					return err
				}
			}
			return nil
		})
	}
	g.Go(func() error {
		defer close(made)
		return workers.Wait()
	})
	g.Go(func() error {
		var rows []catalog.Row
		flush := func() error {
			if err := into.Add(ctx, rows); err != nil {
				return err
			}
			n += int64(len(rows))
			rows = rows[:0]
			if progress != nil {
				progress(n)
			}
			return nil
		}
		for part := range made {
			if rows = append(rows, part...); len(rows) >= rebuildBatch {
				if err := flush(); err != nil {
					return err
				}
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return flush()
	})
	return g.Wait()
}

func send[T any](ctx context.Context, ch chan<- T, v T) error {
	select {
	case ch <- v:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
