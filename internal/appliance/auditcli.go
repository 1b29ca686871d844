package appliance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"farol/internal/audit"
	"farol/internal/db"
	"farol/internal/keys"
	"farol/internal/record"
	"farol/internal/settings"
)

// VerifyLog reads the whole audit log of a stopped or running appliance and
// compares it with its checkpoint and with those kept in the control database,
// of which it returns how many there are. It returns [ErrNotVerified], which
// wraps an [audit.Tampering] that says where.
func VerifyLog(ctx context.Context, cfg Config) (n int64, kept int, err error) {
	root, err := keys.Load(cfg.keySource())
	if err != nil {
		return 0, 0, err
	}
	a := &Appliance{cfg: cfg, root: root}
	next, err := keys.LoadNext(cfg.keySource()) // while the daemon changes the key
	if err != nil && !errors.Is(err, keys.ErrNoKey) {
		return 0, 0, err
	}
	if a.ring, err = a.loadRing(root, next); err != nil {
		return 0, 0, err
	}
	verify, heads, err := a.keptHeads(ctx)
	if err != nil {
		return 0, 0, err
	}
	n, err = audit.Inspect(a.logDir(), a.ring.Box(keys.LabelLog), verify, heads...)
	if err != nil {
		return n, len(heads), fmt.Errorf("%w: %w", ErrNotVerified, err)
	}
	return n, len(heads), nil
}

// keptHeads reads key and checkpoints out of the control database; without one
// there is nothing to compare with but what lies beside the log.
func (a *Appliance) keptHeads(ctx context.Context) (_ note.Verifier, _ []tlog.Tree, err error) {
	path := filepath.Join(a.cfg.StateDir, "control.db")
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return nil, nil, nil
	}
	if a.control, err = db.Open(ctx, path, db.Control, nil); err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, a.control.Close()) }()
	key, err := settings.New(a.control, a.ring.Box(keys.LabelControl)).Get(ctx, logVerifier)
	if err != nil || key == "" {
		return nil, nil, err
	}
	v, err := note.NewVerifier(key)
	if err != nil {
		return nil, nil, fmt.Errorf("read the log's public key: %w", err)
	}
	heads, err := a.logHeads(ctx, v)
	return v, heads, err
}

// ctlAuditPackage writes the package of a period to a new file.
func (a *Appliance) ctlAuditPackage(r *http.Request) (any, error) {
	var q struct{ From, To, Out string }
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		return nil, fmt.Errorf("read the request: %w", err)
	}
	from, err := time.ParseInLocation(time.DateOnly, q.From, record.Macau)
	if err != nil {
		return nil, errors.New("--from is no day of the form 2026-01-31")
	}
	to, err := time.ParseInLocation(time.DateOnly, q.To, record.Macau)
	if err != nil || to.Before(from) {
		return nil, errors.New("--to is no day of the form 2026-01-31, or lies before --from")
	}
	to = to.AddDate(0, 0, 1)
	if !filepath.IsAbs(q.Out) {
		return nil, errors.New("the file must be an absolute path")
	}
	for _, own := range []string{a.cfg.StateDir, a.cfg.ArchiveDir} {
		if rel, err := filepath.Rel(own, q.Out); err == nil && filepath.IsLocal(rel) {
			return nil, errors.New("a package is readable by anybody: choose a folder outside Farol's own")
		}
	}
	first, end, err := a.audit.Between(from, to)
	if err != nil {
		return nil, err
	}
	if first >= end {
		return nil, audit.ErrEmptyPeriod
	}
	ctx := r.Context()
	if _, err := a.audit.Append(ctx, audit.Event{Actor: machineUser, Role: "machine", Source: "control socket", Operation: "audit.export", Object: "audit", Outcome: "ok",
		Detail: map[string]string{"from": from.UTC().Format(time.RFC3339), "to": to.UTC().Format(time.RFC3339)}}); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(q.Out, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make the package's file: %w", err)
	}
	p, err := a.audit.WritePackage(ctx, f, from, to)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, errors.Join(err, os.Remove(q.Out))
	}
	p.Files = nil // they stand in its manifest
	return p, nil
}
