package appliance

import (
	"context"
	"errors"
	"farol/internal/access"
	"farol/internal/approval"
	"farol/internal/matter"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"farol/internal/archive"
	"farol/internal/audit"
	"farol/internal/auth"
	"farol/internal/db"
	"farol/internal/i18n"
	"farol/internal/keys"
	"farol/internal/kit"
	"farol/internal/member"
	"farol/internal/settings"
)

// What is lost beside what is left decides how a start goes on. An appliance
// that has lived never starts as if it were new: an empty control database
// beside a full archive would offer the set-up to whoever comes first.

// Errors of a start that cannot go on. Each comes in words that name what is
// safe and what to do.
var (
	ErrKeyLost     = errors.New("the root key is gone, what it opens is there")
	ErrControlLost = errors.New("the control database is lost and no sealed copy of it can be had")
)

// archiveMade is the setting that says when the archive was made: from then on
// an empty folder is a disk that is not mounted.
const archiveMade = "archive.made"

// Mended is a database that this start made anew.
type Mended struct {
	What string    `json:"what"` // catalog or control
	Why  string    `json:"why"`
	From string    `json:"from"`
	Time time.Time `json:"time"`
}

func (a *Appliance) mend(ctx context.Context, what, why, from string) {
	m := Mended{what, why, from, time.Now().UTC()}
	a.mended = append(a.mended, m)
	a.log.WarnContext(ctx, "a database was lost and is made anew", "what", m.What, "why", m.Why, "from", m.From)
}

// openKeys loads the root key, or makes it at the very first start.
func (a *Appliance) openKeys() error {
	src := a.cfg.keySource()
	var err error
	a.root, err = keys.Load(src)
	if !errors.Is(err, keys.ErrNoKey) {
		return err
	}
	for _, left := range []string{filepath.Join(a.cfg.StateDir, "control.db"), a.logFile(), filepath.Join(a.cfg.ArchiveDir, archive.MarkerName)} {
		if _, serr := os.Stat(left); serr == nil {
			return &i18n.Error{ID: "start.keylost", Args: []any{"dir", a.cfg.ArchiveDir, "left", left}, Err: errors.Join(ErrKeyLost, err)}
		} else if !errors.Is(serr, os.ErrNotExist) {
			return fmt.Errorf("look whether an appliance lived here: %w", serr)
		}
	}
	if a.root, err = keys.New(); err != nil {
		return err
	}
	return keys.Store(src, a.root)
}

func (a *Appliance) logFile() string { return filepath.Join(a.cfg.StateDir, "log", "entries.log") }

// openControl opens the control database. One that is gone, cut to nothing or
// damaged comes back from the sealed copy in the archive, which is at most half
// a minute older; the damaged file is kept beside it.
func (a *Appliance) openControl(ctx context.Context) error {
	path := filepath.Join(a.cfg.StateDir, "control.db")
	why := ""
	switch fi, err := os.Stat(path); {
	case errors.Is(err, os.ErrNotExist):
		why = "the file was gone"
	case err != nil:
		return fmt.Errorf("look for the control database: %w", err)
	case fi.Size() == 0:
		why = "the file was empty" // SQLite takes that for a new database
	}
	if why == "" {
		err := a.useControl(ctx, path)
		if err != nil && !errors.Is(err, db.ErrDamaged) {
			return err
		}
		if err == nil {
			stray, serr := a.strayControl(ctx)
			if serr != nil || !stray {
				return serr
			}
			if err := a.control.Close(); err != nil {
				return err
			}
			a.control = nil
			why = "the file was a new one"
		} else {
			why = "the file was damaged"
		}
	}
	copied, err := a.controlCopy(ctx)
	if err != nil {
		return err
	}
	if copied == nil { // nothing lives here yet
		return a.useControl(ctx, path)
	}
	if err := setAsideControl(path); err != nil {
		return fmt.Errorf("set the lost control database aside: %w", err)
	}
	if err := writeDurable(path, copied); err != nil {
		return fmt.Errorf("write the control database: %w", err)
	}
	if err := a.useControl(ctx, path); err != nil {
		return err
	}
	// A session that was ended in the last half minute is alive in the copy.
	if err := errors.Join(a.accounts.EndAll(ctx), member.EndAll(ctx, a.control)); err != nil {
		return err
	}
	a.mend(ctx, "control", why, "the sealed copy in the archive")
	return nil
}

func (a *Appliance) useControl(ctx context.Context, path string) (err error) {
	if a.control, err = db.Open(ctx, path, db.Control, nil); errors.Is(err, db.ErrNewer) {
		return &i18n.Error{ID: "start.newer", Args: []any{"version", Version, "state", a.cfg.StateDir}, Err: err}
	} else if err != nil {
		return err
	}
	a.settings = settings.New(a.control, a.box)
	a.access, a.approvals, a.matters, a.kits = access.New(a.control), approval.New(a.control, a.box), matter.New(a.control, a.box), kit.New(a.control, a.box)
	a.accounts, err = auth.New(a.control, a.box, nil)
	return err
}

// strayControl reports a sound database that never belonged to the archive
// beside it: nobody owns it and it knows of no archive.
func (a *Appliance) strayControl(ctx context.Context) (bool, error) {
	made, err := a.settings.Get(ctx, archiveMade)
	if err != nil || made != "" {
		return false, err
	}
	n, err := a.accounts.Count(ctx)
	if err != nil || n > 0 {
		return false, err
	}
	_, err = os.Stat(filepath.Join(a.cfg.ArchiveDir, archive.MarkerName))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// controlCopy takes the sealed copy out of the archive. It is nil where no
// appliance has lived: no log, and no archive or an archive without a commit.
func (a *Appliance) controlCopy(ctx context.Context) ([]byte, error) {
	fi, err := os.Stat(a.logFile())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("look for the audit log: %w", err)
	}
	lived := err == nil && fi.Size() > 0
	arch, err := archive.Open(ctx, a.cfg.ArchiveDir, a.root, archive.Options{Log: a.log, NoParity: !a.cfg.Parity})
	if errors.Is(err, archive.ErrMissing) {
		if !lived {
			return nil, nil
		}
		return nil, &i18n.Error{ID: "start.controlaway", Args: []any{"dir", a.cfg.ArchiveDir}, Err: errors.Join(ErrControlLost, err)}
	}
	if err != nil {
		return nil, fmt.Errorf("take the control database out of the archive: %w", a.locked(err))
	}
	b, err := arch.LatestSealed(ctx, sealedControl)
	seq := arch.LastSeq()
	if cerr := arch.Close(); cerr != nil {
		return nil, fmt.Errorf("take the control database out of the archive: %w", errors.Join(err, cerr))
	}
	if err == nil {
		return b, nil
	}
	if errors.Is(err, archive.ErrNotFound) && seq == 0 && !lived {
		return nil, nil
	}
	return nil, &i18n.Error{ID: "start.controllost", Args: []any{"dir", a.cfg.ArchiveDir, "n", seq, "state", a.cfg.StateDir}, Err: errors.Join(ErrControlLost, err)}
}

// setAsideControl keeps the damaged file and takes away what SQLite left
// beside it: an old write-ahead log must not be played into the copy.
func setAsideControl(path string) error {
	at := time.Now().UTC().Format("20060102T150405.000")
	for _, ext := range []string{"", "-wal", "-shm"} {
		if err := os.Rename(path+ext, path+".lost-"+at+ext); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// tellMended leaves an entry for each database that was made anew.
func (a *Appliance) tellMended(ctx context.Context) error {
	for _, m := range a.mended {
		if _, err := a.audit.Append(ctx, audit.Event{Actor: "system", Operation: "integrity.heal", Object: m.What + ".db", Outcome: "ok"}); err != nil {
			return fmt.Errorf("enter what was made anew into the log: %w", err)
		}
	}
	return nil
}

// badCatalog is the file that tells the next start to make the catalog anew.
const badCatalog = "catalog.db.damaged"

// watchCatalog reads the catalog's file a minute after the start and once a
// day. When it is damaged, Run ends: the service manager starts again, and the
// start makes it anew.
func (a *Appliance) watchCatalog(ctx context.Context) error {
	for wait := time.Minute; ; wait = 24 * time.Hour {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
		if err := a.checkCatalog(ctx); errors.Is(err, db.ErrDamaged) {
			return err
		} else if err != nil && ctx.Err() == nil {
			a.log.WarnContext(ctx, "the catalog was not checked", "err", err)
		}
	}
}

func (a *Appliance) checkCatalog(ctx context.Context) error {
	err := a.catalog.Check(ctx)
	if !errors.Is(err, db.ErrDamaged) {
		return err
	}
	return errors.Join(fmt.Errorf("the catalog is made anew at the next start: %w", err), writeDurable(filepath.Join(a.cfg.StateDir, badCatalog), nil))
}
