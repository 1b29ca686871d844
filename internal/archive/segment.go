package archive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kopia/kopia/fs"
	"github.com/kopia/kopia/repo/object"
	"github.com/kopia/kopia/snapshot"
	"golang.org/x/sync/errgroup"

	"farol/internal/record"
)

const (
	segmentSize = 256 << 10 // plaintext at which a segment ends
	tailSize    = 64 << 10  // a shorter segment is a tail: it is merged one day
	maxTails    = 12        // in one month of one container
)

// foldLine is one record on its way into a segment. Its line is carried over
// byte by byte.
type foldLine struct {
	line      []byte
	from      record.Loc
	kind      record.Kind
	container string
	id        string // of records with blobs
	time      time.Time
	commit    uint64
	index     int
	hash      record.Hash
	blobs     []record.Blob
}

func (l *foldLine) month() string { return l.time.Format("2006-01") }

func byPlace(x, y foldLine) int {
	return cmp.Or(cmp.Compare(x.kind, y.kind), cmp.Compare(x.container, y.container), byTime(x, y))
}

func byTime(x, y foldLine) int {
	return cmp.Or(x.time.Compare(y.time), cmp.Compare(x.commit, y.commit), cmp.Compare(x.index, y.index))
}

func newFoldLine(line []byte, from record.Loc) (l foldLine, e entry, err error) {
	head, _, _, err := splitLine(line)
	if err != nil {
		return l, e, err
	}
	if e, err = parseHead(head); err != nil {
		return l, e, err
	}
	l = foldLine{
		line: line, from: from, kind: e.rec.Kind, container: e.rec.Container,
		time: e.rec.Time, commit: e.commit, index: e.index, hash: e.hash, blobs: e.rec.Blobs,
	}
	if len(l.blobs) > 0 {
		l.id = e.rec.ID
	}
	return l, e, nil
}

// tails chooses the short segments of a directory that are rewritten together
// with n bytes of new lines: all of them once that fills a segment, else the
// smaller ones once there are too many. A record is so rewritten a few times
// in its life and not at every fold.
func tails(entries map[string]*snapshot.DirEntry, n int64) []*snapshot.DirEntry {
	var short []*snapshot.DirEntry
	total := n
	for _, name := range sortedNames(entries) {
		if e := entries[name]; e.FileSize < tailSize && strings.HasSuffix(name, segmentExt) {
			short = append(short, e)
			total += e.FileSize
		}
	}
	if total >= tailSize {
		return short
	}
	if len(short) < maxTails {
		return nil
	}
	slices.SortStableFunc(short, func(a, b *snapshot.DirEntry) int { return cmp.Compare(a.FileSize, b.FileSize) })
	i := 0
	for i < len(short) && (short[i].FileSize <= 2*n || i < maxTails/2) {
		n += short[i].FileSize
		i++
	}
	return short[:i]
}

// foldMonth merges lines of one month of one container into its directory.
func (f *folding) foldMonth(ctx context.Context, path []string, lines []foldLine) error {
	d, err := f.tree.dir(ctx, append(slices.Clone(path), lines[0].month())...)
	if err != nil {
		return err
	}
	lines = slices.Clone(lines)
	var size int64
	for i := range lines {
		size += int64(len(lines[i].line))
	}
	for _, e := range tails(d.entries, size) {
		oid := e.ObjectID.String()
		plain, err := f.a.readObject(ctx, oid)
		if err != nil {
			return err
		}
		err = eachLine(plain, 0, func(line []byte, off int64) error {
			l, _, err := newFoldLine(line, record.Loc{Seg: oid, Off: off, Len: int64(len(line))})
			l.blobs = nil // linked by an earlier fold
			lines = append(lines, l)
			return err
		})
		if err != nil {
			return fmt.Errorf("segment %s: %w", oid, err)
		}
		delete(d.entries, e.Name)
	}
	slices.SortStableFunc(lines, byTime)
	for len(lines) > 0 {
		n, size := 0, 0
		for n < len(lines) && (n == 0 || size+len(lines[n].line) <= segmentSize) {
			size += len(lines[n].line)
			n++
		}
		if err := f.segment(ctx, d, lines[:n], size); err != nil {
			return err
		}
		lines = lines[n:]
	}
	return nil
}

const segmentExt = ".ndjson"

// segment writes one segment and notes where its records went.
func (f *folding) segment(ctx context.Context, d *treeDir, lines []foldLine, size int) error {
	f.buf = f.buf[:0]
	for i := range lines {
		f.buf = append(f.buf, lines[i].line...)
	}
	id, err := f.a.writeObject(ctx, f.buf)
	if err != nil {
		return err
	}
	oid, off := id.String(), int64(0)
	for i := range lines {
		l := &lines[i]
		to := record.Loc{Seg: oid, Off: off, Len: int64(len(l.line))}
		off += to.Len
		if l.from != to {
			if err := f.moves.record(l.from, to, l.line); err != nil {
				return err
			}
		}
	}
	const form = "20060102T150405.000"
	first, last := lines[0].time, lines[len(lines)-1].time
	base := first.Format(form) + "-" + last.Format(form)
	name := base + segmentExt
	for n := 2; d.entries[name] != nil; n++ {
		name = fmt.Sprintf("%s-%d%s", base, n, segmentExt)
	}
	f.tree.link(d, name, id, int64(size), fs.UTCTimestampFromTime(last))
	return nil
}

// foldBlobs makes the blobs of the lines files of the tree.
func (f *folding) foldBlobs(ctx context.Context, path []string, l *foldLine) error {
	for _, b := range l.blobs {
		if b.Object == "" {
			continue
		}
		id, err := object.ParseID(b.Object)
		if err != nil {
			return fmt.Errorf("blob %s: %w", b.Object, ErrCorrupt)
		}
		if data, ok := f.blobs[b.Object]; ok && !f.written[b.Object] {
			got, err := f.a.writeObject(ctx, data)
			if err != nil {
				return err
			}
			if got != id {
				return fmt.Errorf("blob %s was stored as %s: %w", b.Object, got, ErrCorrupt)
			}
			if err := f.moves.blob(b.Object, b.SHA256); err != nil {
				return err
			}
			f.written[b.Object] = true
		}
		sub, name := blobPath(l, b)
		d, err := f.tree.dir(ctx, append(slices.Clone(path), sub...)...)
		if err != nil {
			return err
		}
		if d.entries[name] == nil {
			f.state.Blobs++
			f.state.Bytes += b.Size
		}
		f.tree.link(d, name, id, b.Size, fs.UTCTimestampFromTime(l.time))
		f.links = append(f.links, b.Object)
	}
	return nil
}

// blobPath places a blob below its container: a file by its item, one name a
// version, without a folder of its own (ADR 0013); an attachment by its hash.
func blobPath(l *foldLine, b record.Blob) (dir []string, name string) {
	sum := b.SHA256.String()
	if l.kind == record.Files {
		version := l.time.Format("20060102T150405") + "-" + l.hash.String()[:8]
		return []string{"items", shard(l.id)}, encodeUpTo(l.id, maxItem) + "-" + version + "-" + encodeName(b.Name)
	}
	return []string{"attachments", sum[:2]}, sum[:16] + "-" + encodeName(b.Name)
}

// eachSegment calls fn for every segment of a point. What cannot be read is
// collected; an error of fn ends it.
func (a *Archive) eachSegment(ctx context.Context, p *Point, fn func(e *snapshot.DirEntry) error) (bad []error, err error) {
	var descend func(dir map[string]*snapshot.DirEntry, depth int) error
	descend = func(dir map[string]*snapshot.DirEntry, depth int) error {
		names := slices.DeleteFunc(sortedNames(dir), func(name string) bool {
			return depth == 0 && name == farolDir || // ours
				depth == 4 && !isMonth(name) // attachments and files
		})
		for some := range slices.Chunk(names, dirsAhead) {
			var within []string
			for _, name := range some {
				if depth < 5 && dir[name].Type == snapshot.EntryTypeDirectory {
					within = append(within, dir[name].ObjectID.String())
				}
			}
			below, missing := a.readDirs(ctx, within)
			bad = append(bad, missing...)
			for _, name := range some {
				e := dir[name]
				if err := ctx.Err(); err != nil {
					return err
				}
				if sub := below[e.ObjectID.String()]; sub != nil {
					if err := descend(sub, depth+1); err != nil {
						return err
					}
				} else if depth == 5 && strings.HasSuffix(name, segmentExt) {
					if err := fn(e); err != nil {
						return err
					}
				}
			}
		}
		return nil
	}
	root, missing := a.readDirs(ctx, []string{p.root})
	if err := ctx.Err(); err != nil || len(missing) > 0 {
		return missing, err
	}
	err = descend(root[p.root], 0)
	return bad, err
}

// dirsAhead is how many directories are read before the first of them is gone
// through.
const dirsAhead = 64

// readDirs reads directories of the tree on every core. What cannot be read is
// collected.
func (a *Archive) readDirs(ctx context.Context, oids []string) (dirs map[string]map[string]*snapshot.DirEntry, bad []error) {
	dirs = make(map[string]map[string]*snapshot.DirEntry, len(oids))
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, oid := range oids {
		g.Go(func() error {
			if ctx.Err() != nil {
				return nil
			}
			dir, err := a.readDir(ctx, oid)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				bad = append(bad, err)
			} else {
				dirs[oid] = dir
			}
			return nil
		})
	}
	_ = g.Wait()
	return dirs, bad
}

// Segments lists the segments of the latest point in time: what a catalog may
// hold addresses in, beside the journal that is not folded.
func (a *Archive) Segments(ctx context.Context) (map[string]bool, error) {
	a.mu.Lock()
	point := a.point
	a.mu.Unlock()
	out := map[string]bool{}
	if point == nil {
		return out, nil
	}
	bad, err := a.eachSegment(ctx, point, func(e *snapshot.DirEntry) error {
		out[e.ObjectID.String()] = true
		return nil
	})
	if err = errors.Join(append(bad, err)...); err != nil {
		return nil, fmt.Errorf("list the segments: %w", err)
	}
	return out, nil
}

// Segment calls fn for every record of a segment, in order.
func (a *Archive) Segment(ctx context.Context, seg string, fn WalkFunc) error {
	plain, err := a.readObject(ctx, seg)
	if err != nil {
		return fmt.Errorf("segment %s: %w", seg, err)
	}
	return eachLine(plain, 0, func(line []byte, off int64) error {
		e, err := parseLine(line)
		if err != nil {
			return fmt.Errorf("segment %s at %d: %w", seg, off, err)
		}
		return fn(e.rec, record.Loc{Seg: seg, Off: off, Len: int64(len(line))}, e.commit, e.index)
	})
}
