package appliance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"farol/internal/archive"
	"farol/internal/audit"
	"farol/internal/db"
	"farol/internal/i18n"
	"farol/internal/keys"
	"farol/internal/record"
	"farol/internal/replica"
	"farol/internal/settings"
)

// Recovery is what `farol recover` needs.
type Recovery struct {
	Address string   // of the off-site node
	Code    string   // enrolment code that the node shows
	Shares  []string // of the recovery kit, as printed

	Place *PlaceConfig // where a further copy lies, instead of a node

	Before time.Time // as the node's, or the bucket's, history was then, by its clock; zero: as it is

	// Aside is told what the node holds that is not the archive's. It is nil when
	// nobody wants to know; nothing of it gets into the archive either way.
	Aside func(Foreign)

	EarlierLock bool // a lock before the newest may be taken: the newest is an attacker's

	InPlace bool // archive and log are whole on this machine: only the root key is lost
}

// Foreign is a file that a node holds and that is not the archive's.
type Foreign = archive.Foreign

// PlaceConfig says where a further copy lies.
type PlaceConfig = replica.PlaceConfig

// Lock is the object lock of a bucket, LockReport what its files said of it.
type (
	Lock       = replica.Lock
	LockReport = replica.LockReport
)

// Transfer says where a copy lies and what lets the bytes leave Macau.
type Transfer = record.Transfer

// ParsePrice reads what a GB costs a month at a storage place.
func ParsePrice(s string) (record.Price, error) { return record.ParsePrice(s) }

// Recover rebuilds an appliance whose disk is lost from the off-site node, or
// from a storage place, and the recovery kit: the archive is fetched and adopted, the control database
// comes out of it, the audit log goes on where it stood, and the next start
// brings the catalog's copy forward or, without one, makes the catalog anew. The state folder must be empty; a failed
// recovery leaves a folder that the next try continues.
func Recover(ctx context.Context, cfg Config, rc Recovery, log *slog.Logger, progress func(step string, done, total int64)) error {
	cfg.Bounds().Apply(log)
	_, root, err := combine(rc.Shares)
	if err != nil {
		return err
	}
	if rc.InPlace {
		return recoverKey(ctx, cfg, root, log)
	}
	if _, err := os.Stat(filepath.Join(cfg.StateDir, "control.db")); err == nil {
		return fmt.Errorf("%s holds an appliance already: recovery goes into an empty folder", cfg.StateDir)
	}
	if err := os.MkdirAll(cfg.StateDir, 0o700); err != nil {
		return fmt.Errorf("make the state folder: %w", err)
	}
	fetch := filepath.Join(cfg.StateDir, "recovering")
	var epoch uint32 // the highest that the copy knows
	if rc.Place != nil {
		epoch, err = replica.FetchPlace(ctx, *rc.Place, rc.Before, cfg.ArchiveDir, fetch, func(done, total int64) {
			if progress != nil {
				progress("copy", done, total)
			}
		})
	} else {
		var versions map[string][]string
		if versions, epoch, err = fetchNode(ctx, cfg, rc, fetch, progress); err == nil {
			err = sift(ctx, cfg, root, versions, rc.EarlierLock, log, rc.Aside)
		}
	}
	if err != nil {
		return err
	}
	// The machine that is lost may be found: two must not speak to the second witness
	// as one, and a person shows its code again.
	alone := func(d *db.DB, ring *keys.Ring, _ uint32) error {
		return dropWitness(ctx, settings.New(d, ring.Box(keys.LabelControl)))
	}
	if _, err := establish(ctx, cfg, root, fetch, epoch, log, alone, nil); err != nil {
		return err
	}
	return os.RemoveAll(fetch)
}

// sift puts aside what came from a node and is not the archive's.
func sift(ctx context.Context, cfg Config, root keys.Root, versions map[string][]string, earlier bool, log *slog.Logger, told func(Foreign)) error {
	found, err := archive.Sift(ctx, cfg.ArchiveDir, root, versions, earlier)
	for _, f := range found {
		log.WarnContext(ctx, "the node holds a file that is not the archive's: it was put aside", "file", f.Name, "why", f.Why)
		if told != nil {
			told(f)
		}
	}
	if errors.Is(err, archive.ErrKey) && !earlier {
		return &i18n.Error{ID: "recover.lock", Err: err}
	}
	return err
}

// established is an archive in its new place.
type established struct {
	epoch   uint32
	commit  uint64
	catalog time.Time // when the copy of the catalog was made, zero without one
}

// establish makes an appliance out of an archive's files and a folder with the
// log: the archive is adopted under an epoch above after, the control database and the state keys come out of
// it, and the root key is sealed for this machine. alter sees and changes the
// control database before any key rests here; decide is the last that may fail.
func establish(ctx context.Context, cfg Config, root keys.Root, fetch string, after uint32, log *slog.Logger, alter func(*db.DB, *keys.Ring, uint32) error, decide func(established) error) (e established, err error) {
	a, err := archive.Adopt(ctx, cfg.ArchiveDir, root, archive.Options{Log: log, NoParity: !cfg.Parity, EpochAfter: after})
	if err != nil {
		return e, fmt.Errorf("take over the archive: %w", err)
	}
	e.epoch, e.commit = a.Epoch(), a.LastSeq()
	control, err := a.LatestSealed(ctx, sealedControl)
	sealed, rerr := a.LatestSealed(ctx, sealedRing)
	if err = errors.Join(err, rerr); err != nil {
		return e, errors.Join(fmt.Errorf("take the control database and the state keys out of the archive: %w", err), a.Close())
	}
	e.catalog, err = takeCatalog(ctx, a, cfg.StateDir)
	if err = errors.Join(err, a.Close()); err != nil {
		return e, err
	}
	ring, err := keys.ParseRing(sealed)
	if err != nil {
		return e, err
	}
	path := filepath.Join(cfg.StateDir, "control.db")
	taken := path + ".taken"
	if err := writeDurable(taken, control); err != nil {
		return e, fmt.Errorf("write the control database: %w", err)
	}
	if alter != nil {
		d, err := db.Open(ctx, taken, db.Control, nil)
		if err != nil {
			return e, err
		}
		if err := errors.Join(alter(d, ring, e.epoch), d.Close()); err != nil {
			return e, err
		}
	}
	if err := takeLog(fetch, filepath.Join(cfg.StateDir, "log")); err != nil {
		return e, err
	}
	if cut, err := audit.CutForeign(filepath.Join(cfg.StateDir, "log"), ring.Box(keys.LabelLog)); err != nil {
		return e, err
	} else if cut > 0 {
		log.WarnContext(ctx, "behind the log that was witnessed the node holds what is none of its entries: it was put aside", "bytes", cut)
	}
	if err := errors.Join(keys.Store(cfg.keySource(), root), keys.StoreRing(cfg.StateDir, root, ring)); err != nil {
		return e, err
	}
	if err := markRecovered(cfg, ring); err != nil {
		return e, err
	}
	if decide != nil {
		if err := decide(e); err != nil {
			return e, err
		}
	}
	// control.db last: it marks the work as complete
	if err := os.Rename(taken, path); err != nil {
		return e, fmt.Errorf("put the control database in place: %w", err)
	}
	return e, syncDir(cfg.StateDir)
}

// recoverKey puts the root key back where archive and log are whole. What else
// is missing the next start makes anew: the control database from its sealed
// copy, the catalog from the archive.
func recoverKey(ctx context.Context, cfg Config, root keys.Root, log *slog.Logger) (err error) {
	a := &Appliance{cfg: cfg, log: log, root: root}
	if err := a.lockState(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.unlockState()) }()
	arch, err := archive.Open(ctx, cfg.ArchiveDir, root, archive.Options{Log: log, NoParity: !cfg.Parity})
	switch {
	case errors.Is(err, archive.ErrKey):
		return &i18n.Error{ID: "recover.otherkit", Args: []any{"dir", cfg.ArchiveDir}, Err: err}
	case errors.Is(err, archive.ErrMissing):
		return &i18n.Error{ID: "start.archiveaway", Args: []any{"dir", cfg.ArchiveDir}, Err: err}
	case err != nil:
		return fmt.Errorf("open the archive with the kit's key: %w", a.locked(err))
	}
	b, err := arch.LatestSealed(ctx, sealedRing)
	if err := arch.Close(); err != nil {
		return fmt.Errorf("open the archive with the kit's key: %w", err)
	}
	if fi, err := os.Stat(a.logFile()); err != nil || fi.Size() == 0 {
		return &i18n.Error{ID: "recover.nolog", Args: []any{"dir", cfg.ArchiveDir, "state", cfg.StateDir}, Err: err}
	}
	if _, lerr := keys.LoadRing(cfg.StateDir, root); lerr != nil { // gone with the key, or under a former one
		if err != nil {
			return fmt.Errorf("take the state keys out of the archive: %w", err)
		}
		ring, err := keys.ParseRing(b)
		if err != nil {
			return err
		}
		if err := keys.StoreRing(cfg.StateDir, root, ring); err != nil {
			return err
		}
	}
	return errors.Join(keys.Store(cfg.keySource(), root), keys.DropNext(cfg.StateDir))
}

// ArchivePassword is what stock kopia asks for, from shares of the kit.
func ArchivePassword(shares []string) (string, error) {
	_, root, err := combine(shares)
	if err != nil {
		return "", err
	}
	return archive.Password(root), nil
}

// takeLog moves the log's entries into place: they may be gigabytes. Its hashes
// are computed anew at the next start, and the checkpoint the node cosigned must
// match them.
func takeLog(from, to string) error {
	if err := os.MkdirAll(to, 0o700); err != nil {
		return fmt.Errorf("make the log folder: %w", err)
	}
	for _, name := range []string{"entries.log", "checkpoint"} {
		if err := os.Rename(filepath.Join(from, name), filepath.Join(to, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("take over the log: %w", err)
		}
	}
	return syncDir(to)
}

// markRecovered tells the next start how much of the log came home, so that it
// is not taken for one that was cut: the copy of the control database that knows
// its newest checkpoints travels ahead of the log. It is sealed: a thief of
// entries cannot write one.
func markRecovered(cfg Config, ring *keys.Ring) error {
	size := "0"
	b, err := os.ReadFile(filepath.Join(cfg.StateDir, "log", "checkpoint"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("read the recovered checkpoint: %w", err)
	}
	if lines := strings.SplitN(string(b), "\n", 3); len(lines) == 3 {
		size = lines[1]
	}
	sealed := ring.Box("log recovered").Seal([]byte(size), []byte(recoveredLog))
	if err := writeDurable(filepath.Join(cfg.StateDir, recoveredLog), sealed); err != nil {
		return fmt.Errorf("mark the log as recovered: %w", err)
	}
	return nil
}

func writeDurable(path string, b []byte) error {
	f, err := os.OpenFile(path+".tmp", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
