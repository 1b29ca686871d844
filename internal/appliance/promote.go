package appliance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"farol/internal/archive"
	"farol/internal/audit"
	"farol/internal/auth"
	"farol/internal/db"
	"farol/internal/i18n"
	"farol/internal/keys"
	"farol/internal/policy"
	"farol/internal/replica"
	"farol/internal/settings"
)

// Promotion is what `farol promote` needs, on the node's own machine.
type Promotion struct {
	NodeDir  string
	Archive  string    // id or its beginning; "" where the node holds one alone
	Shares   []string  // of the recovery kit, as printed
	Account  string    // of one who may configure
	Code     string    // his one-time code
	Before   time.Time // as the node's history was then, by its clock; zero: as it is
	Rehearse bool      // do everything in a folder of its own, then take it away

	EarlierLock bool // as of a recovery
}

// Promoted tells how a take-over went.
type Promoted struct {
	Archive string        `json:"archive"`
	Epoch   uint32        `json:"epoch"`
	Commit  uint64        `json:"commit"`  // the last one that is here
	Records int64         `json:"records"` // a rehearsal counts what can be found
	Catalog time.Time     `json:"catalog"` // copy it began with, zero: made anew
	Linked  int64         `json:"linked"`  // bytes
	Copied  int64         `json:"copied"`
	Took    time.Duration `json:"took"` // a rehearsal: until the first record was read
}

// tookOver is the setting that a promotion leaves for the first start, which
// enters it into the log: JSON of takeOver.
const tookOver = "offsite.tookover"

type takeOver struct {
	Epoch uint32    `json:"epoch"`
	By    string    `json:"by"`
	Role  string    `json:"role"`
	Time  time.Time `json:"time"`
}

// Promote makes an appliance out of what a node holds, on the node's machine and
// without copying what is large. The node refuses the former appliance from then
// on. Until the person has proved himself and everything is in place, nothing is
// decided, and what fails leaves the node and the appliance as they were.
func Promote(ctx context.Context, cfg Config, p Promotion, log *slog.Logger) (r Promoted, err error) {
	start := time.Now()
	cfg.Bounds().Apply(log)
	_, root, err := combine(p.Shares)
	if err != nil {
		return r, err
	}
	all, err := replica.Standbys(p.NodeDir)
	if err != nil {
		return r, &i18n.Error{ID: "promote.nonode", Args: []any{"dir", p.NodeDir}, Err: err}
	}
	s, err := replica.Pick(all, p.Archive)
	if errors.Is(err, replica.ErrConflict) {
		return r, &i18n.Error{ID: "promote.which", Args: []any{"n", len(all)}, Err: err}
	} else if err != nil {
		return r, &i18n.Error{ID: "promote.none", Args: []any{"dir", p.NodeDir}, Err: err}
	}
	r.Archive = s.Archive
	if p.Rehearse {
		dir, err := os.MkdirTemp(p.NodeDir, "rehearsal-*")
		if err != nil {
			return r, fmt.Errorf("make a folder for the rehearsal: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
		cfg.StateDir, cfg.ArchiveDir, cfg.RunDir, cfg.HostKey = filepath.Join(dir, "state"), filepath.Join(dir, "archive"), filepath.Join(dir, "run"), filepath.Join(dir, "host.key")
		cfg.Reserve = 0 // the links take no room
	} else {
		if err := makeRoom(cfg); err != nil {
			return r, err
		}
		if err := s.Hold(time.Now()); errors.Is(err, replica.ErrTakingOver) {
			return r, &i18n.Error{ID: "promote.busy", Err: err}
		} else if err != nil {
			return r, err
		}
		stop := s.KeepHeld(ctx, log) // hashing terabytes takes longer than a fence waits
		defer func() {
			stop()
			if err != nil {
				err = errors.Join(err, s.Release(time.Now()), giveUp(cfg))
			}
		}()
	}
	fetch := filepath.Join(cfg.StateDir, "recovering")
	if err := os.MkdirAll(fetch, 0o700); err != nil {
		return r, fmt.Errorf("make the state folder: %w", err)
	}
	laid, err := s.Lay(cfg.ArchiveDir, fetch, p.Before, archive.RepoFile)
	if err != nil {
		return r, err
	}
	r.Linked, r.Copied = laid.Linked, laid.Copied
	if err := sift(ctx, cfg, root, laid.Versions, p.EarlierLock, log, nil); errors.Is(err, archive.ErrKey) || errors.Is(err, archive.ErrForeign) {
		return r, &i18n.Error{ID: "promote.otherkit", Err: err}
	} else if err != nil {
		return r, err
	}
	done, err := establish(ctx, cfg, root, fetch, laid.Epoch, log, func(d *db.DB, ring *keys.Ring, epoch uint32) error {
		by, err := vouched(ctx, d, ring, p)
		if err != nil {
			return err
		}
		return detach(ctx, settings.New(d, ring.Box(keys.LabelControl)), takeOver{epoch, by.Name, by.Role, time.Now().UTC()})
	}, func(got established) error {
		if p.Rehearse {
			return nil
		}
		err := s.Raise(got.epoch, time.Now())
		if errors.Is(err, replica.ErrLapsed) {
			return &i18n.Error{ID: "promote.lapsed", Err: err}
		}
		return err
	})
	if errors.Is(err, archive.ErrKey) || errors.Is(err, archive.ErrForeign) {
		return r, &i18n.Error{ID: "promote.otherkit", Err: err}
	} else if err != nil {
		return r, err
	}
	r.Epoch, r.Commit, r.Catalog = done.epoch, done.commit, done.catalog
	if err := errors.Join(os.RemoveAll(fetch), dropFile(filepath.Join(cfg.StateDir, promoting))); err != nil {
		log.WarnContext(ctx, "what the take-over left stays", "err", err) // it is decided
	}
	if p.Rehearse {
		r.Records, err = tryOut(ctx, cfg, log)
	}
	r.Took = time.Since(start)
	return r, err
}

// promoting marks folders that a promotion fills: until control.db stands beside
// it, everything in them is a link to or a copy of what the node has.
const promoting = "promoting"

// makeRoom refuses folders in which an appliance lives, clears what a promotion
// left that was cut off, and marks them as this one's.
func makeRoom(cfg Config) error {
	_, err := os.Stat(filepath.Join(cfg.StateDir, "control.db"))
	if err == nil {
		return &i18n.Error{ID: "promote.occupied", Args: []any{"dir", cfg.StateDir}}
	} else if !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("look whether an appliance lives here: %w", err)
	}
	if err := giveUp(cfg); err != nil {
		return err
	}
	for _, dir := range []string{cfg.StateDir, cfg.ArchiveDir} {
		ds, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("look whether an appliance lives here: %w", err)
		}
		for _, d := range ds {
			if path := filepath.Join(dir, d.Name()); path != cfg.ArchiveDir && path != cfg.RunDir {
				return &i18n.Error{ID: "promote.occupied", Args: []any{"dir", dir}}
			}
		}
	}
	if err := os.MkdirAll(cfg.StateDir, 0o700); err != nil {
		return fmt.Errorf("make the state folder: %w", err)
	}
	return writeDurable(filepath.Join(cfg.StateDir, promoting), nil)
}

// giveUp takes away what an undecided promotion laid out.
func giveUp(cfg Config) error {
	if _, err := os.Stat(filepath.Join(cfg.StateDir, promoting)); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	var errs []error
	for _, dir := range []string{cfg.ArchiveDir, cfg.StateDir} {
		ds, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
		for _, d := range ds {
			if path := filepath.Join(dir, d.Name()); path != cfg.ArchiveDir && path != cfg.RunDir && d.Name() != promoting {
				errs = append(errs, os.RemoveAll(path))
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("clear what an earlier take-over left: %w", err)
	}
	_ = os.Remove(cfg.ArchiveDir)                            // stays where it is a disk of its own
	return os.Remove(filepath.Join(cfg.StateDir, promoting)) // the mark goes last
}

// vouched checks the code of one who may configure.
func vouched(ctx context.Context, d *db.DB, ring *keys.Ring, p Promotion) (auth.User, error) {
	accounts, err := auth.New(d, ring.Box(keys.LabelControl), nil)
	if err != nil {
		return auth.User{}, err
	}
	u, err := accounts.Vouch(ctx, p.Account, p.Code, func(u auth.User) bool {
		role, ok := policy.RoleOf(u.Role)
		return ok && policy.May(policy.Subject{Grants: role.Grants}, policy.Configure, time.Now())
	})
	if errors.Is(err, auth.ErrCode) {
		return u, &i18n.Error{ID: "promote.code", Err: err}
	}
	return u, err
}

// detach takes away what belongs to the former appliance alone: its identity at
// the node and at the second witness, and the further copies, which it may still
// write to.
func detach(ctx context.Context, set *settings.Settings, t takeOver) error {
	b, err := json.Marshal(t)
	if err != nil {
		return err
	}
	return set.SetAll(ctx, map[string]string{settings.OffsiteURL: "", settings.WitnessURL: "", placesFacts: "", tookOver: string(b), settings.Superseded: ""},
		map[string]string{settings.OffsiteID: "", settings.WitnessID: "", placesSetting: ""})
}

// tryOut opens a rehearsed appliance, counts what can be found and reads the
// newest record through to its hash.
func tryOut(ctx context.Context, cfg Config, log *slog.Logger) (n int64, err error) {
	a, err := Open(ctx, cfg, log)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	counts, err := a.catalog.Counts(ctx)
	if err != nil {
		return 0, err
	}
	for _, c := range counts {
		n += c.Items
	}
	if n == 0 {
		return n, nil
	}
	loc, err := a.catalog.Newest(ctx)
	if err != nil {
		return n, err
	}
	if _, err := a.archive.Read(ctx, loc); err != nil {
		return n, fmt.Errorf("read the newest record: %w", err)
	}
	return n, nil
}

func dropFile(path string) error {
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// tellTakeOver leaves the entry that a promotion could not write.
func (a *Appliance) tellTakeOver(ctx context.Context) error {
	var t takeOver
	if ok, err := a.settings.GetJSON(ctx, tookOver, &t); err != nil || !ok {
		return err
	}
	if _, err := a.audit.Append(ctx, audit.Event{Actor: t.By, Role: t.Role, Source: "farol promote", Operation: "replication.failover", Object: "epoch/" + strconv.FormatUint(uint64(t.Epoch), 10), Outcome: "ok"}); err != nil {
		return fmt.Errorf("enter the take-over into the log: %w", err)
	}
	return a.settings.Set(ctx, map[string]string{tookOver: ""})
}
