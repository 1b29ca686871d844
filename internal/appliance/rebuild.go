package appliance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"farol/internal/archive"
	"farol/internal/backup"
	"farol/internal/catalog"
	"farol/internal/connector/all"
	"farol/internal/db"
	"farol/internal/dingtalk"
	"farol/internal/keys"
	"farol/internal/settings"
)

// Rebuilt is what a rebuild did.
type Rebuilt struct {
	Records int64         `json:"records"`
	Took    time.Duration `json:"took"`
	Rate    float64       `json:"records_per_second"`
}

// ErrRunning means that the daemon has the archive open.
var ErrRunning = errors.New("farol is running: stop it first, for example with `systemctl stop farol`")

// RebuildCatalog makes catalog.db from the archive alone. The old file stays
// until the new one is complete. It returns [ErrRunning] while the daemon runs.
func RebuildCatalog(ctx context.Context, cfg Config, log *slog.Logger, progress func(n int64)) (r Rebuilt, err error) {
	cfg.Bounds().Apply(log)
	if _, err := os.Stat(filepath.Join(cfg.StateDir, "control.db")); err != nil {
		return r, fmt.Errorf("no appliance in %s: %w", cfg.StateDir, err)
	}
	a := &Appliance{cfg: cfg, log: log}
	if err := a.lockState(); errors.Is(err, ErrInUse) {
		return r, ErrRunning
	} else if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, a.unlockState()) }()
	if err := a.openKeys(); err != nil {
		return r, err
	}
	if err := a.openRing(ctx); err != nil {
		return r, err
	}
	if a.control, err = db.Open(ctx, filepath.Join(cfg.StateDir, "control.db"), db.Control, nil); err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, a.control.Close()) }()
	a.settings = settings.New(a.control, a.box)
	if err := errors.Join(a.openSender(ctx), a.openPlaces(ctx)); err != nil { // a damaged file comes back from them
		return r, err
	}
	a.archive, err = archive.Open(ctx, cfg.ArchiveDir, a.root, archive.Options{Log: log, NoParity: !cfg.Parity, Reserve: cfg.Reserve, Offsite: true, Fetch: a.fetch})
	if errors.Is(err, archive.ErrLocked) {
		return r, ErrRunning
	} else if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, a.archive.Close()) }()
	ring := a.ring.Reindexed() // what is built anew lies under the newest key
	name := "catalog.db.new"
	if err := a.drop(name); err != nil {
		return r, fmt.Errorf("clear what an earlier try left: %w", err)
	}
	a.catalog, err = catalog.Open(ctx, filepath.Join(cfg.StateDir, name), catalogKeys(ring), a.ring.Box("catalog"), nil)
	if err != nil {
		return r, err
	}
	e := backup.New(backup.Deps{Archive: a.archive, Catalog: a.catalog, Connectors: all.Connectors(), Client: func() *dingtalk.Client { return nil }, Log: log})
	start := time.Now()
	err = e.Rebuild(ctx, func(n int64) {
		r.Records = n
		if progress != nil {
			progress(n)
		}
	})
	r.Took = time.Since(start)
	r.Rate = float64(r.Records) / r.Took.Seconds()
	if err = errors.Join(err, a.catalog.Close()); err != nil {
		return r, errors.Join(err, a.drop(name))
	}
	if err := a.reindex(ctx, ring); err != nil {
		return r, err
	}
	if err := a.dropCatalog(); err != nil {
		return r, fmt.Errorf("remove the old catalog: %w", err)
	}
	if err := os.Rename(filepath.Join(cfg.StateDir, name), filepath.Join(cfg.StateDir, "catalog.db")); err != nil {
		return r, fmt.Errorf("put the new catalog in place: %w", err)
	}
	return r, nil
}

// reindex notes that the index lies under another key of the ring. A start that
// finds the old index with it builds it anew; the log's lookup does so anyway.
func (a *Appliance) reindex(ctx context.Context, ring *keys.Ring) error {
	if a.ring.Current() {
		return nil
	}
	if err := a.copyRing(ctx, ring, nil); err != nil {
		return err
	}
	return keys.StoreRing(a.cfg.StateDir, a.root, ring)
}
