// Package appliance puts the parts together: it reads the configuration, opens
// everything in order, runs it under one errgroup, and closes it in reverse.
// It holds no logic of its own beyond what needs several packages at once.
package appliance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"farol/internal/access"
	"farol/internal/approval"
	"farol/internal/archive"
	"farol/internal/audit"
	"farol/internal/auth"
	"farol/internal/backup"
	"farol/internal/catalog"
	"farol/internal/connector"
	"farol/internal/connector/all"
	"farol/internal/db"
	"farol/internal/dingtalk"
	"farol/internal/i18n"
	"farol/internal/keys"
	"farol/internal/kit"
	"farol/internal/matter"
	"farol/internal/record"
	"farol/internal/replica"
	"farol/internal/restore"
	"farol/internal/settings"
	"farol/internal/verify"
	"farol/internal/watch"
)

// Appliance is an open Farol.
type Appliance struct {
	cfg  Config
	log  *slog.Logger
	lock *os.File // of the state folder
	ring *keys.Ring
	box  *keys.Box // control secrets

	control   *db.DB
	settings  *settings.Settings
	accounts  *auth.Accounts
	access    *access.Book
	approvals *approval.Book
	matters   *matter.Register
	kits      *kit.Book
	claim     *auth.Claim
	archive   *archive.Archive
	audit     *audit.Log
	logKey    string
	logSign   note.Signer
	logVerify note.Verifier
	headSize  int64 // of the checkpoint kept last; of one goroutine at a time
	looks     sync.Mutex
	logSeen   tlog.Tree // the log at the last look that found it whole; guarded by looks
	catalog   *catalog.Catalog
	watch     *watch.Watch
	engine    *backup.Engine
	verify    *verify.Verifier
	door      *restore.Door
	metrics   *metrics
	mended    []Mended // by this start; fixed after Open

	damages chan archive.Damage

	mu       sync.Mutex // guards below
	client   *dingtalk.Client
	sender   *replica.Sender
	witness  *replica.Witness // the second one, nil without
	places   []*placeRun
	stop     context.CancelFunc // ends the sender's run
	states   map[string]consentState
	refusals map[refusal]time.Time // when it was raised last
	root     keys.Root
	next     keys.Root // a rotation's that did not come to its end
	rotated  bool      // the archive's lock opens with next

	kit      []keys.Share // made and not yet typed back
	kitRoot  keys.Root    // what they are shares of
	print    string       // fingerprint of the console certificate
	certEnds time.Time

	stopWitness context.CancelFunc // ends the second witness's run

	sendersCtx context.Context // lives as long as Run
	works      sync.WaitGroup  // on storage places, for the console
	factsMu    sync.Mutex      // one writer of placesFacts at a time
	kitMu      sync.Mutex      // one confirmation of a kit at a time
	broken     chan error      // ends Run
	ready      chan struct{}

	cut func(step string) error // for tests: a rotation ends before this step
}

// settings of the appliance's own.
const (
	logSigner   = "log.signer"   // sealed
	logVerifier = "log.verifier" // public
	tlsIdentity = "tls.identity" // sealed
)

// Open opens everything and repairs what a crash left. It does not serve yet.
func Open(ctx context.Context, cfg Config, log *slog.Logger) (_ *Appliance, err error) {
	a := &Appliance{cfg: cfg, log: log, claim: auth.NewClaim(), damages: make(chan archive.Damage, manyDamages), states: map[string]consentState{}, ready: make(chan struct{}), broken: make(chan error, 1)}
	for _, d := range []string{cfg.StateDir, cfg.RunDir} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fmt.Errorf("make the state folder: %w", err)
		}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Close())
		}
	}()
	if err := a.lockState(); err != nil {
		return nil, err
	}
	if err := a.openKeys(); err != nil {
		return nil, err
	}
	if err := a.openRing(ctx); err != nil {
		return nil, err
	}
	if err := a.openControl(ctx); err != nil {
		return nil, err
	}
	if err := a.settleNext(ctx); err != nil {
		return nil, err
	}
	if err := a.openAudit(ctx); err != nil {
		return nil, err
	}
	if err := a.openSender(ctx); err != nil {
		return nil, err
	}
	if err := a.openWitness(ctx); err != nil {
		return nil, err
	}
	if err := a.openPlaces(ctx); err != nil {
		return nil, err
	}
	if err := a.openArchive(ctx); err != nil {
		return nil, err
	}
	if err := a.keepRing(ctx); err != nil {
		return nil, err
	}
	if err := a.openViews(ctx); err != nil {
		return nil, err
	}
	a.metrics = newMetrics(a)
	if err := a.tellMended(ctx); err != nil {
		return nil, err
	}
	if err := a.tellTampered(ctx); err != nil {
		return nil, err
	}
	if err := a.tellTakeOver(ctx); err != nil {
		return nil, err
	}
	if err := a.keepHead(ctx); err != nil {
		return nil, err
	}
	return a, nil
}

func (a *Appliance) openArchive(ctx context.Context) (err error) {
	opt := archive.Options{Log: a.log, NoParity: !a.cfg.Parity, Reserve: a.cfg.Reserve, OnAppend: a.appended, OnPut: func(archive.PutEntry) { a.wakeSender() },
		Offsite: a.sender != nil, Fetch: a.fetch, OnDamage: a.damaged}
	a.archive, err = archive.Open(ctx, a.cfg.ArchiveDir, a.root, opt)
	made, serr := a.settings.Get(ctx, archiveMade)
	if serr != nil {
		return errors.Join(err, serr)
	}
	if errors.Is(err, archive.ErrMissing) {
		if made != "" { // it was there before: a vanished disk is not an empty one
			return &i18n.Error{ID: "start.archiveaway", Args: []any{"dir", a.cfg.ArchiveDir}, Err: err}
		}
		a.archive, err = archive.Create(ctx, a.cfg.ArchiveDir, a.root, opt)
	}
	if err != nil {
		return a.locked(err)
	}
	if at, err := a.settings.Get(ctx, settings.Superseded); err != nil {
		return err
	} else if at != "" {
		a.archive.Freeze()
	}
	if made != "" {
		return nil
	}
	// A kill between making the archive and this line leaves it for the next
	// start: without it a disk that vanishes later would be taken for new.
	return a.settings.Set(ctx, map[string]string{archiveMade: time.Now().UTC().Format(time.RFC3339)})
}

// openViews opens the catalog, rebuilding it when it is damaged or stale, and
// brings it forward.
func (a *Appliance) openViews(ctx context.Context) (err error) {
	conns := all.Connectors()
	byKind := map[record.Kind]connector.Connector{}
	for _, c := range conns {
		byKind[c.Kind()] = c
	}
	path := filepath.Join(a.cfg.StateDir, "catalog.db")
	open := func() error {
		a.catalog, err = catalog.Open(ctx, path, catalogKeys(a.ring), a.ring.Box("catalog"), nil)
		return err
	}
	why := ""
	if fi, serr := os.Stat(path); (errors.Is(serr, os.ErrNotExist) || serr == nil && fi.Size() == 0) && a.archive.LastSeq() > 0 {
		why = "the file was gone or empty"
	} else if _, serr := os.Stat(filepath.Join(a.cfg.StateDir, badCatalog)); serr == nil {
		why = "the file was damaged"
	} else if err := open(); errors.Is(err, db.ErrDamaged) {
		why = "the file was damaged"
	} else if errors.Is(err, catalog.ErrStale) {
		why = "its index was made by another version"
	} else if err != nil {
		return err
	}
	anew := func() error { // on an empty file
		a.mend(ctx, "catalog", why, "the archive")
		if a.catalog != nil {
			if err := a.catalog.Close(); err != nil {
				return err
			}
		}
		if err := errors.Join(a.dropCatalog(), a.drop(badCatalog)); err != nil {
			return err
		}
		return open()
	}
	if why != "" {
		if err := anew(); err != nil {
			return err
		}
	}
	newEngine := func() {
		a.watch = watch.New(watch.Deps{Control: a.control, Archive: a.archive, Audit: a.audit, Catalog: a.catalog, Box: a.box, Log: a.log})
		a.engine = backup.New(backup.Deps{Archive: a.archive, Audit: a.audit, Catalog: a.catalog, Control: a.control, Settings: a.settings, Connectors: conns, Client: a.Client, Watch: a.watch, Log: a.log})
	}
	newEngine()
	if why == "" {
		if err = a.engine.Repair(ctx); errors.Is(err, archive.ErrRebuild) {
			why = "the file was older than the journal"
			if err := anew(); err != nil {
				return err
			}
			newEngine()
		} else if err != nil {
			return err
		}
	}
	if why != "" {
		stillStarting()
		if err := a.engine.Rebuild(ctx, func(n int64) { a.log.InfoContext(ctx, "rebuilding the catalog", "records", n); stillStarting() }); err != nil {
			return err
		}
		if err := a.engine.Repair(ctx); err != nil {
			return err
		}
	}
	a.verify = a.newVerifier()
	a.door = restore.New(restore.Deps{Archive: a.archive, Audit: a.audit, Catalog: a.catalog, Connectors: byKind, People: a.engine.People(), Client: a.Client,
		Operator: func(ctx context.Context) (string, error) { return a.settings.Get(ctx, settings.Operator) }, Readers: a.readers, Circles: a.settings.Circles,
		Eyes: restore.Eyes{Approvals: a.approvals, Access: a.access}, LogKey: a.logKey, Log: a.log})
	return nil
}

func (a *Appliance) dropCatalog() error { return a.drop("catalog.db") }

// drop removes a database file with what SQLite keeps beside it.
func (a *Appliance) drop(name string) error {
	var errs []error
	for _, ext := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(filepath.Join(a.cfg.StateDir, name+ext)); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (a *Appliance) readers(ctx context.Context) ([]string, error) {
	cs, err := a.settings.Consents(ctx)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, c := range cs {
		if c.State == settings.Active {
			out = append(out, c.Person)
		}
	}
	return out, nil
}

// Close closes what is open, last opened first.
func (a *Appliance) Close() error {
	var errs []error
	a.works.Wait()
	if a.catalog != nil {
		errs = append(errs, a.catalog.Close())
	}
	if a.archive != nil {
		errs = append(errs, a.archive.Close())
	}
	if a.audit != nil {
		if a.control != nil {
			errs = append(errs, a.keepHead(context.Background()))
		}
		errs = append(errs, a.audit.Close())
	}
	if a.control != nil {
		errs = append(errs, a.control.Close())
	}
	errs = append(errs, a.unlockState()) // last: the next one may begin
	return errors.Join(errs...)
}
