package archive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/maintenance"
	"github.com/kopia/kopia/snapshot/snapshotmaintenance"
)

// removeFolded deletes journal files that a point covers, once the catalog
// has every moved address and either an off-site node holds file and fold or,
// without one, a day has passed.
func (a *Archive) removeFolded() error {
	a.keep.Lock()
	defer a.keep.Unlock()
	a.mu.Lock()
	pending := len(a.moves)
	ship := a.shipped
	a.mu.Unlock()
	if pending > 0 {
		return nil
	}
	gone := false
	for _, f := range a.j.list() {
		if !f.folded {
			break
		}
		if a.opt.Offsite {
			p := ship.pos
			if !(p.File > f.name || p.File == f.name && p.Off >= f.size) || p.PutLog < f.put {
				break
			}
		} else if !a.stale(f.time, a.opt.KeepJournal) {
			break
		}
		if err := a.opt.Fault("journal.remove"); err != nil {
			return fmt.Errorf("remove journal %s: %w", f.name, err)
		}
		var err error
		if f.bad {
			err = a.setAside(a.j.path(f.name)) // perhaps it can be healed one day
		} else {
			err = os.Remove(a.j.path(f.name))
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove journal %s: %w", f.name, err)
		}
		if err := a.opt.Fault("journal.removed"); err != nil {
			return fmt.Errorf("remove journal %s: %w", f.name, err)
		}
		a.j.mu.Lock()
		a.j.files = slices.DeleteFunc(a.j.files, func(x *jfile) bool { return x == f })
		a.j.mu.Unlock()
		gone = true
	}
	if gone {
		return syncDir(a.j.dir)
	}
	return nil
}

// safety is kopia's strictest, with more patience in gathering short packs.
// Until retention has thinned the points of a week, most of what lies in them
// are tails that were merged since; to carry those along at once would double
// what a day writes.
var safety = func() maintenance.SafetyParameters {
	s := maintenance.SafetyFull
	s.RewriteMinAge = 8 * 24 * time.Hour
	return s
}()

// Maintain runs kopia's upkeep: quick after a fold, full once a night. Full
// maintenance drops what no point reaches, so it folds first and brings back
// what waits for a point; commits and blobs go on meanwhile. Nothing younger
// than a day is ever dropped.
func (a *Archive) Maintain(ctx context.Context, full bool) error {
	a.foldMu.Lock()
	defer a.foldMu.Unlock()
	mode := maintenance.ModeQuick
	// without the disk, kopia would make its lock where the disk should be
	if err := cmp.Or(a.writable(), a.guard()); err != nil {
		return fmt.Errorf("%s maintenance: %w", mode, err)
	}
	if full {
		if _, err := a.foldLocked(ctx, nil); err != nil {
			return err
		}
		mode = maintenance.ModeFull
	}
	err := repo.DirectWriteSession(a.ctx(ctx), a.rep, repo.WriteSessionOptions{Purpose: "maintenance"},
		func(ctx context.Context, w repo.DirectRepositoryWriter) error {
			return snapshotmaintenance.Run(ctx, w, mode, false, safety)
		})
	if err == nil && full {
		err = a.bringBack(ctx)
	}
	if err != nil {
		return fmt.Errorf("%s maintenance: %w", mode, err)
	}
	return nil
}

// Run folds hourly or when enough waits, keeps the repository in order and
// removes journal files, until ctx ends. A step that fails is logged and
// tried again; only the end of ctx ends Run.
func (a *Archive) Run(ctx context.Context) error {
	if err := a.Relocate(ctx); err != nil {
		a.opt.Log.Error("archive relocation", "err", err)
	}
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	fold, night := a.now(), a.now()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		if a.Frozen() {
			continue
		}
		now := a.now()
		if a.unfolded() >= a.opt.FoldBytes || now.Sub(fold) >= a.opt.FoldEvery || now.Before(fold) {
			fold = now
			a.runFold(ctx)
		}
		if err := a.upkeep(ctx); err != nil {
			a.opt.Log.Error("archive upkeep", "err", err)
		}
		if now.Sub(night) >= 24*time.Hour || now.Sub(night) >= 12*time.Hour && nightly(now) || now.Before(night) {
			night = now
			start := time.Now()
			if err := a.Maintain(ctx, true); err != nil {
				a.opt.Log.Error("archive maintenance", "err", err)
			} else {
				a.opt.Log.Info("archive maintained", "took", time.Since(start))
			}
		}
	}
}

// nightly is the hour before dawn in Macau, UTC+8.
func nightly(t time.Time) bool { return t.UTC().Hour() == 20 }

func (a *Archive) runFold(ctx context.Context) {
	start := time.Now()
	p, err := a.Fold(ctx)
	if err != nil {
		a.opt.Log.Error("archive fold", "err", err)
		return
	}
	if p == nil {
		return
	}
	a.opt.Log.Info("archive folded", "seq", p.Seq, "records", p.Records, "took", time.Since(start))
	if err := a.Maintain(ctx, false); err != nil {
		a.opt.Log.Error("archive maintenance", "err", err)
	}
}

// upkeep takes what was shipped since the last fold into account.
func (a *Archive) upkeep(ctx context.Context) error {
	if !a.foldMu.TryLock() {
		return nil
	}
	defer a.foldMu.Unlock()
	if err := a.relocateLocked(ctx); err != nil {
		return err
	}
	return a.removeFolded()
}

// unfolded is the plaintext that waits for a fold, in bytes.
func (a *Archive) unfolded() (n int64) {
	a.j.mu.Lock()
	defer a.j.mu.Unlock()
	for _, f := range a.j.files {
		if !f.folded {
			n += f.plain
		}
	}
	return n
}
