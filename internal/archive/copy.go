package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/kopia/kopia/fs"
	"github.com/kopia/kopia/repo/manifest"
	"github.com/kopia/kopia/repo/object"
	"github.com/kopia/kopia/snapshot"
	"golang.org/x/sync/errgroup"
)

// A copy is a large file that can be made anew from the records, and that it
// would take long to make: the catalog. It is kept as a snapshot of its own,
// apart from the points in time, so that an older one goes when a newer one is
// there, and travels off-site with everything else.

// copySplitter cuts at fixed places: a database changes pages in the middle and
// seldom moves them.
const copySplitter = "FIXED-128K"

// copiesKept is how many copies of a name stay: one that a crash or a bad disk
// spoils has another behind it.
const copiesKept = 2

func copySource(name string) snapshot.SourceInfo {
	return snapshot.SourceInfo{Host: clientHost, UserName: clientUser, Path: "/copies/" + name}
}

// copyTag says when a copy was made, in milliseconds.
const copyTag = "copy"

func copyTime(m *manifest.EntryMetadata) time.Time {
	n, _ := strconv.ParseInt(m.Labels[copyTag], 10, 64)
	return time.UnixMilli(n).UTC()
}

// PutCopy keeps what write writes under name, as the newest copy, and lets go
// of all but the one before. It is on disk when PutCopy returns; folds wait for
// it, commits do not.
func (a *Archive) PutCopy(ctx context.Context, name string, write func(io.Writer) error) error {
	a.foldMu.Lock() // full maintenance must not run before a snapshot holds it
	defer a.foldMu.Unlock()
	if err := a.writable(); err != nil {
		return fmt.Errorf("copy %s: %w", name, err)
	}
	if err := a.room(0); err != nil {
		return fmt.Errorf("copy %s: %w", name, err)
	}
	oid, size, err := a.writeCopy(ctx, write)
	if err != nil {
		return fmt.Errorf("copy %s: %w", name, err)
	}
	now := fs.UTCTimestampFromTime(a.now())
	man := &snapshot.Manifest{Source: copySource(name), StartTime: now, EndTime: now, Tags: map[string]string{copyTag: strconv.FormatInt(a.now().UnixMilli(), 10)},
		RootEntry: &snapshot.DirEntry{Name: name, Type: snapshot.EntryTypeFile, Permissions: 0o600, FileSize: size, ModTime: now, ObjectID: oid},
		Stats:     snapshot.Stats{TotalFileCount: 1, TotalFileSize: size}}
	if _, err := snapshot.SaveSnapshot(a.ctx(ctx), a.w, man); err != nil {
		return fmt.Errorf("copy %s: %w", name, full(err))
	}
	if err := a.flushPoints(ctx); err != nil {
		return fmt.Errorf("copy %s: %w", name, full(err))
	}
	old, err := a.copies(ctx, name)
	if err != nil {
		return err
	}
	for _, m := range old[min(len(old), copiesKept):] {
		if err := a.deleteManifest(ctx, string(m.ID)); err != nil {
			return fmt.Errorf("let go of an older copy of %s: %w", name, err)
		}
	}
	if len(old) <= copiesKept {
		return nil
	}
	return a.flushPoints(ctx)
}

func (a *Archive) writeCopy(ctx context.Context, write func(io.Writer) error) (oid object.ID, size int64, err error) {
	a.direct.RLock()
	defer a.direct.RUnlock()
	w := a.w.NewObjectWriter(a.ctx(ctx), object.WriterOptions{Compressor: compressor, MetadataCompressor: compressor, Splitter: copySplitter})
	defer w.Close()
	c := &copyWriter{a: a, w: w}
	if err := write(c); err != nil {
		return oid, 0, full(err)
	}
	oid, err = w.Result()
	if err != nil {
		return oid, 0, full(err)
	}
	return oid, c.n, nil
}

// copyWriter stops before the reserve is touched.
type copyWriter struct {
	a *Archive
	w io.Writer
	n int64
}

func (c *copyWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	before := c.n
	c.n += int64(n)
	if err == nil && before>>26 != c.n>>26 { // every 64 MiB
		err = c.a.room(0)
	}
	return n, err
}

// copies lists the manifests of a name, newest first.
func (a *Archive) copies(ctx context.Context, name string) ([]*manifest.EntryMetadata, error) {
	src := copySource(name)
	a.flushMu.Lock()
	list, err := a.w.FindManifests(a.ctx(ctx), map[string]string{manifest.TypeLabelKey: snapshot.ManifestType,
		snapshot.UsernameLabel: src.UserName, snapshot.HostnameLabel: src.Host, snapshot.PathLabel: src.Path})
	a.flushMu.Unlock()
	if err != nil {
		return nil, fmt.Errorf("list the copies of %s: %w", name, kopiaErr(err))
	}
	slices.SortFunc(list, func(x, y *manifest.EntryMetadata) int { return copyTime(y).Compare(copyTime(x)) })
	return list, nil
}

// Copied is when the newest copy of a name was made, zero when there is none.
func (a *Archive) Copied(ctx context.Context, name string) (time.Time, error) {
	list, err := a.copies(ctx, name)
	if err != nil || len(list) == 0 {
		return time.Time{}, err
	}
	return copyTime(list[0]), nil
}

// TakeCopy writes the newest whole copy of a name to what begin gives, in pieces
// of 4 MiB of which several are written at once, and tells when it was made.
// begin is called before each try, so that what a damaged copy left can be
// dropped. TakeCopy returns [ErrNotFound] when there is none and [ErrCorrupt]
// when none is whole.
func (a *Archive) TakeCopy(ctx context.Context, name string, begin func() (io.WriterAt, error)) (made time.Time, err error) {
	list, err := a.copies(ctx, name)
	if err != nil {
		return made, err
	}
	if len(list) == 0 {
		return made, fmt.Errorf("a copy of %s: %w", name, ErrNotFound)
	}
	var failed error
	for _, m := range list {
		man, err := a.loadSnapshot(ctx, string(m.ID))
		if err == nil {
			err = a.readCopy(ctx, man, begin)
		}
		if err == nil {
			return copyTime(m), nil
		}
		if failed = errors.Join(failed, kopiaErr(err)); ctx.Err() != nil {
			break
		}
	}
	return made, fmt.Errorf("take the copy of %s: %w", name, failed)
}

// copyStripe is how much of a copy a core reads at a time.
const copyStripe = 4 << 20

// readCopy reads a copy on every core: deciphering and unpacking take longer than
// writing.
func (a *Archive) readCopy(ctx context.Context, man *snapshot.Manifest, begin func() (io.WriterAt, error)) error {
	w, err := begin()
	if err != nil {
		return err
	}
	size := man.RootEntry.FileSize
	var next atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	for range runtime.GOMAXPROCS(0) {
		g.Go(func() error {
			r, err := a.openObject(ctx, man.RootObjectID())
			if err != nil {
				return err
			}
			defer r.Close()
			if r.Length() != size {
				return fmt.Errorf("%d bytes of %d: %w", r.Length(), size, ErrCorrupt)
			}
			for ctx.Err() == nil {
				at := next.Add(copyStripe) - copyStripe
				if at >= size {
					return nil
				}
				if _, err := r.Seek(at, io.SeekStart); err != nil {
					return err
				}
				if _, err := io.CopyN(io.NewOffsetWriter(w, at), r, min(copyStripe, size-at)); err == io.EOF {
					return fmt.Errorf("it ends early: %w", ErrCorrupt)
				} else if err != nil {
					return err
				}
			}
			return ctx.Err()
		})
	}
	return g.Wait()
}
