package appliance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"farol/internal/archive"
)

// copiedCatalog is the name of the catalog's copies in the archive.
const copiedCatalog = "catalog.db"

// How often the catalog is copied: by night, and without waiting for it when
// there is no copy at all or the last one is old.
const (
	copyYoung = 20 * time.Hour
	copyOld   = 26 * time.Hour
)

// keepCatalogCopy keeps a copy of the catalog in the archive, so that who takes
// over or recovers searches at once instead of making the catalog anew.
func (a *Appliance) keepCatalogCopy(ctx context.Context) error {
	for wait := 2 * time.Minute; ; wait = 10 * time.Minute {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
		last, err := a.archive.Copied(ctx, copiedCatalog)
		if err == nil && copyDue(time.Now(), last) && a.archive.LastSeq() > 0 && !a.archive.Frozen() {
			start := time.Now()
			if err = a.CopyCatalog(ctx); err == nil {
				a.log.InfoContext(ctx, "the catalog was copied into the archive", "took", time.Since(start).Round(time.Millisecond))
			}
		}
		if err != nil && ctx.Err() == nil {
			a.log.WarnContext(ctx, "the catalog was not copied into the archive", "err", err)
		}
	}
}

// copyDue says whether a copy is due. Night is the two hours before and after
// 05:00 in Macau, when the archive's own upkeep is mostly over.
func copyDue(now, last time.Time) bool {
	age := now.Sub(last).Abs() // a clock that was set back must not stop it
	hour := now.UTC().Hour()
	return age >= copyOld || age >= copyYoung && hour >= 19 && hour < 23
}

// CopyCatalog puts a copy of the catalog as it stands into the archive.
func (a *Appliance) CopyCatalog(ctx context.Context) error {
	return a.archive.PutCopy(ctx, copiedCatalog, func(w io.Writer) error { return a.catalog.Image(ctx, w) })
}

// takeCatalog puts the newest copy of the catalog into the state folder, where
// the next start brings it forward. Without a copy, or with damaged ones only,
// it does nothing: the start makes the catalog anew.
func takeCatalog(ctx context.Context, arch *archive.Archive, stateDir string) (made time.Time, err error) {
	path := filepath.Join(stateDir, "catalog.db")
	tmp := path + ".new"
	var f *os.File
	made, err = arch.TakeCopy(ctx, copiedCatalog, func() (io.WriterAt, error) {
		if f != nil {
			f.Close() // of a copy that turned out damaged
		}
		var err error
		f, err = os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
		return early{f}, err
	})
	if f != nil {
		err = errors.Join(err, f.Sync(), f.Close())
	}
	if err != nil {
		if rerr := os.Remove(tmp); rerr != nil && !errors.Is(rerr, os.ErrNotExist) {
			return time.Time{}, fmt.Errorf("clear what is left of a copy: %w", rerr)
		}
		if errors.Is(err, archive.ErrNotFound) || errors.Is(err, archive.ErrCorrupt) {
			return time.Time{}, nil
		}
		return time.Time{}, fmt.Errorf("take the catalog's copy: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return time.Time{}, fmt.Errorf("take the catalog's copy: %w", err)
	}
	return made, nil
}

// early is a large file that is put on disk while the rest of it is still made:
// gigabytes that the kernel kept until the end would be waited for then.
type early struct{ *os.File }

const earlyPiece = 4 << 20

func (e early) WriteAt(p []byte, off int64) (int, error) {
	n, err := e.File.WriteAt(p, off)
	if last := (off + int64(n)) / earlyPiece; last > off/earlyPiece {
		// It only begins to write; Sync at the end is what counts, and says what failed.
		_ = unix.SyncFileRange(int(e.Fd()), (last-1)*earlyPiece, earlyPiece, unix.SYNC_FILE_RANGE_WRITE)
	}
	return n, err
}
