package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"farol/internal/record"
)

// segmentCache keeps the plaintext of the few segments read last.
type segmentCache struct {
	mu   sync.Mutex
	list []cachedSegment // newest last
	size int
}

type cachedSegment struct {
	seg   string
	plain []byte
}

const maxCache = 4 << 20

func (c *segmentCache) get(seg string) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, s := range c.list {
		if s.seg == seg {
			c.list = append(slices.Delete(c.list, i, i+1), s)
			return s.plain
		}
	}
	return nil
}

func (c *segmentCache) put(seg string, plain []byte) {
	if len(plain) > maxCache/2 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = append(c.list, cachedSegment{seg, plain})
	c.size += len(plain)
	for c.size > maxCache {
		c.size -= len(c.list[0].plain)
		c.list = slices.Delete(c.list, 0, 1)
	}
}

// load returns the plaintext of a segment or of a journal frame.
func (a *Archive) load(ctx context.Context, seg string) ([]byte, error) {
	if b := a.cache.get(seg); b != nil {
		return b, nil
	}
	b, err := a.loadCold(ctx, seg)
	if err != nil {
		return nil, err
	}
	a.cache.put(seg, b)
	return b, nil
}

func (a *Archive) loadCold(ctx context.Context, seg string) ([]byte, error) {
	name, off, ok := parseJournalSeg(seg)
	if !ok {
		return a.readObject(ctx, seg)
	}
	f := a.j.find(name)
	if f == nil {
		return nil, fmt.Errorf("journal %s, folded since or never there: %w", name, ErrNotFound)
	}
	fr, err := a.j.readAt(f, off)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("journal %s, folded since: %w", name, ErrNotFound)
	}
	return fr.plain, err
}

func cut(plain []byte, loc record.Loc) (entry, error) {
	if loc.Off < 0 || loc.Len < 0 || loc.Off+loc.Len > int64(len(plain)) {
		return entry{}, fmt.Errorf("the address lies outside its segment: %w", ErrNotFound)
	}
	return parseLine(plain[loc.Off : loc.Off+loc.Len])
}

// Read returns the record at loc, wherever it lies, after comparing it with
// its hash. It returns [ErrCorrupt] when it differs or cannot be read and
// [ErrNotFound] when nothing lies there; a fold may have moved it since the
// address was looked up, so ask the catalog again once.
func (a *Archive) Read(ctx context.Context, loc record.Loc) (record.Record, error) {
	plain, err := a.load(ctx, loc.Seg)
	if err != nil {
		return record.Record{}, fmt.Errorf("read a record of segment %s: %w", loc.Seg, err)
	}
	e, err := cut(plain, loc)
	if err != nil {
		return record.Record{}, fmt.Errorf("read a record of segment %s: %w", loc.Seg, err)
	}
	return e.rec, nil
}

// ReadMany reads records segment by segment, each segment once, in the order
// in which the segments first occur in locs; fn gets the position i in locs.
// It stops at the first error, fn's own included.
func (a *Archive) ReadMany(ctx context.Context, locs []record.Loc, fn func(i int, r record.Record) error) error {
	var order []string
	by := map[string][]int{}
	for i, l := range locs {
		if _, ok := by[l.Seg]; !ok {
			order = append(order, l.Seg)
		}
		by[l.Seg] = append(by[l.Seg], i)
	}
	for _, seg := range order {
		if err := ctx.Err(); err != nil {
			return err
		}
		plain, err := a.load(ctx, seg)
		if err != nil {
			return fmt.Errorf("read %d records of segment %s: %w", len(by[seg]), seg, err)
		}
		for _, i := range by[seg] {
			e, err := cut(plain, locs[i])
			if err != nil {
				return fmt.Errorf("read a record of segment %s: %w", seg, err)
			}
			if err := fn(i, e.rec); err != nil {
				return err
			}
		}
	}
	return nil
}

// WalkFunc gets one record, its address, its commit and its place in it.
type WalkFunc func(rec record.Record, loc record.Loc, commit uint64, leafIndex int) error

// Walk calls fn for every record: first the segments of the latest point in
// time, container by container and in order of time, then the journal that is
// not folded. What cannot be read is passed over and returned at the end as an
// error that wraps [ErrCorrupt]; an error of fn ends the walk.
func (a *Archive) Walk(ctx context.Context, fn WalkFunc) error { return a.WalkIf(ctx, nil, fn) }

// WalkIf is Walk for the records whose name want accepts; the others are not
// even compared with their hash. A nil want takes all.
func (a *Archive) WalkIf(ctx context.Context, want func(record.Ref) bool, fn WalkFunc) error {
	a.keep.RLock()
	defer a.keep.RUnlock()
	a.mu.Lock()
	point := a.point
	a.mu.Unlock()
	a.j.mu.Lock()
	refs := slices.Clone(a.j.refs)
	a.j.mu.Unlock()

	var bad []error
	if point != nil {
		errs, err := a.walkTree(ctx, point, want, fn)
		if err != nil {
			return err
		}
		bad = append(bad, errs...)
		refs = slices.DeleteFunc(refs, func(r commitRef) bool { return r.seq <= point.Seq })
	}
	errs, err := a.eachCommit(ctx, refs, func(g *group) error {
		var damaged error
		err := g.lines(func(line []byte, loc record.Loc) error {
			e, ok, err := parseWanted(line, want)
			if err != nil {
				damaged = errors.Join(damaged, err)
			}
			if err != nil || !ok {
				return nil
			}
			return fn(e.rec, loc, e.commit, e.index)
		})
		if damaged != nil {
			bad = append(bad, damaged)
		}
		return err
	})
	if err != nil {
		return err
	}
	return errors.Join(append(bad, errs...)...)
}

// eachCommit scans the journal for refs, in order. Damage is collected, an
// error of fn ends it.
func (a *Archive) eachCommit(ctx context.Context, refs []commitRef, fn func(*group) error) (bad []error, err error) {
	for i := 0; i < len(refs); {
		file := refs[i].file
		n := i
		for n < len(refs) && refs[n].file == file {
			n++
		}
		last := refs[n-1].seq
		first := refs[i].seq
		_, err := a.j.scan(ctx, file, refs[i].off, nil, func(g *group) error {
			if g.sealed != nil || g.head.Seq < first {
				return nil
			}
			if g.head.Seq > last {
				return errStop
			}
			return fn(g)
		})
		if err != nil && err != errStop {
			return bad, err
		}
		if file.bad {
			bad = append(bad, fmt.Errorf("journal %s: %w", file.name, ErrCorrupt))
		}
		i = n
	}
	return bad, nil
}

var errStop = errors.New("stop")

// Replay calls fn for the commits after number after, in order, so that the
// catalog can take in what it missed. Relocations that are still pending
// belong after it: see [Archive.Relocate]. It returns [ErrRebuild] when a
// commit it should begin with is no longer in the journal, and an error
// wrapping [ErrCorrupt], after all readable commits, when some were not.
func (a *Archive) Replay(ctx context.Context, after uint64, fn func(*Commit) error) error {
	a.keep.RLock()
	defer a.keep.RUnlock()
	a.j.mu.Lock()
	a.mu.Lock()
	last, folded := a.lastSeq, a.pointer.Seq
	a.mu.Unlock()
	refs := slices.Clone(a.j.refs) // of the same moment: a fold may come to its end meanwhile
	a.j.mu.Unlock()
	if after >= last {
		return nil
	}
	oldest := a.replayable()
	if after < oldest {
		return fmt.Errorf("replay after commit %d, the journal begins after %d: %w", after, oldest, ErrRebuild)
	}
	give := func(g *group) error {
		if g.sealed != nil || g.head.Seq <= after {
			return nil
		}
		c, err := g.commit()
		if err != nil {
			return err
		}
		after = c.Seq
		return fn(c)
	}
	var bad []error
	// Folded files whose moves the catalog has not taken are replayed first.
	for _, f := range a.j.list() {
		if !f.folded || after >= folded { // days of journal are kept: read them only for what is in them
			continue
		}
		if _, err := a.j.scan(ctx, f, 0, nil, give); err != nil {
			return err
		}
	}
	refs = slices.DeleteFunc(refs, func(r commitRef) bool { return r.seq <= after })
	errs, err := a.eachCommit(ctx, refs, give)
	if err != nil {
		return err
	}
	return errors.Join(append(bad, errs...)...)
}

// replayable is the number after which every commit can be replayed.
func (a *Archive) replayable() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.moves) > 0 {
		return a.moves[0].After
	}
	return a.pointer.Seq
}

// commit turns a scanned group into a Commit.
func (g *group) commit() (*Commit, error) {
	c := &Commit{Seq: g.head.Seq, Time: g.head.Time, Note: g.head.Note, Root: g.head.Root, Cursors: g.head.Cursors}
	err := g.lines(func(line []byte, loc record.Loc) error {
		e, err := parseLine(line)
		if err != nil {
			return err
		}
		c.Records = append(c.Records, e.rec)
		c.Leaves = append(c.Leaves, leafHash(&e.rec, e.hash))
		c.Locs = append(c.Locs, loc)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("commit %d: %w", g.head.Seq, err)
	}
	if len(c.Records) != g.head.Records || record.Root(c.Leaves) != c.Root {
		return nil, fmt.Errorf("commit %d differs from its root: %w", g.head.Seq, ErrCorrupt)
	}
	return c, nil
}

// Commitment returns the leaf hashes of a commit, in order, and their Merkle
// root, whether it was folded or not. It returns [ErrNotFound] for a number
// that was never given and [ErrCorrupt] when the leaves do not make the root.
func (a *Archive) Commitment(ctx context.Context, seq uint64) (leaves []record.Hash, root record.Hash, err error) {
	a.keep.RLock()
	defer a.keep.RUnlock()
	a.j.mu.Lock()
	i, ok := slices.BinarySearchFunc(a.j.refs, seq, func(r commitRef, s uint64) int {
		switch {
		case r.seq < s:
			return -1
		case r.seq > s:
			return 1
		}
		return 0
	})
	var ref commitRef
	if ok {
		ref = a.j.refs[i]
	}
	a.j.mu.Unlock()
	if !ok {
		return a.foldedCommitment(ctx, seq)
	}
	var c *Commit
	_, err = a.j.scan(ctx, ref.file, ref.off, nil, func(g *group) error {
		if g.sealed != nil || g.head.Seq != seq {
			return errStop
		}
		var err error
		if c, err = g.commit(); err != nil {
			return err
		}
		return errStop
	})
	if err != nil && err != errStop {
		return nil, root, fmt.Errorf("commitment of commit %d: %w", seq, err)
	}
	if c == nil {
		return nil, root, fmt.Errorf("commitment of commit %d: %w", seq, ErrCorrupt)
	}
	return c.Leaves, c.Root, nil
}
