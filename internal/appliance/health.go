package appliance

import (
	"context"
	"time"

	"farol/internal/archive"
	"farol/internal/audit"
	"farol/internal/auth"
	"farol/internal/growth"
	"farol/internal/settings"
	"farol/internal/web"
)

// Version is set by the build.
var Version = "dev"

// Version is the program's version.
func (a *Appliance) Version() string { return Version }

// Claim guards the set-up.
func (a *Appliance) Claim() *auth.Claim { return a.claim }

// checkResult is the last integrity check.
type checkResult struct {
	running bool
	done    int64
	total   int64
	at      time.Time
	took    time.Duration
	records int64
	blobs   int64
	bytes   int64
	damage  int
	err     error
}

// Health tells how storage stands.
func (a *Appliance) Health(ctx context.Context) (web.Health, error) {
	st := a.archive.Status()
	points, err := a.archive.Points(ctx)
	if err != nil {
		return web.Health{}, err
	}
	a.mu.Lock()
	c := a.checked
	a.mu.Unlock()
	days, err := growth.Days(ctx, a.control, time.Now())
	if err != nil {
		return web.Health{}, err
	}
	h := web.Health{Outlook: growth.Look(days, st.DiskFree-a.cfg.Reserve), JournalBytes: st.JournalBytes, JournalCommits: int64(st.Unfolded), LastFold: st.LastFold.Time, Points: len(points), Damage: len(a.archive.Damage()) + c.damage,
		Checking: c.running, CheckDone: c.done, CheckTotal: c.total, CheckedAt: c.at, CheckTook: c.took, CheckedRecords: c.records, CheckedBytes: c.bytes,
		Places: []web.Place{{Path: a.cfg.ArchiveDir, Total: st.Disk, Free: st.DiskFree, Used: st.Repository + st.JournalBytes, Reserve: a.cfg.Reserve}}}
	return h, nil
}

// Verify starts an integrity check: everything is read again and compared with
// the hash taken at capture. The result appears in Health.
func (a *Appliance) Verify(ctx context.Context, by string) error {
	a.mu.Lock()
	if a.checked.running {
		a.mu.Unlock()
		return nil
	}
	a.checked.running = true
	a.mu.Unlock()
	go func() { // ends by itself
		if _, err := a.check(context.WithoutCancel(ctx), by); err != nil {
			a.log.ErrorContext(ctx, "integrity check", "err", err)
		}
	}()
	return nil
}

// check reads everything again and writes the outcome into the audit log.
func (a *Appliance) check(ctx context.Context, by string) (*archive.Report, error) {
	began := time.Now()
	rep, err := a.archive.Check(ctx, true, func(done, total int64) {
		a.mu.Lock()
		a.checked.done, a.checked.total = done, total
		a.mu.Unlock()
	})
	var logged int64
	if err == nil {
		logged, err = a.audit.Verify()
	}
	res := checkResult{at: time.Now(), took: time.Since(began), err: err}
	ev := audit.Event{Actor: by, Operation: "integrity.verify", Object: "archive", Outcome: "ok"}
	if rep != nil {
		res.records, res.blobs, res.bytes, res.damage = rep.Records, rep.Blobs, rep.BlobBytes, len(rep.Damage)
		ev.Detail = map[string]string{"records": itoa(rep.Records), "blobs": itoa(rep.Blobs), "bytes": itoa(rep.BlobBytes), "damage": itoa(int64(len(rep.Damage))), "log_entries": itoa(logged)}
	}
	if err != nil || res.damage > 0 {
		ev.Operation, ev.Outcome = "integrity.fail", "failed"
	}
	a.mu.Lock()
	a.checked = res
	a.mu.Unlock()
	_, aerr := a.audit.Append(ctx, ev)
	if err == nil {
		err = aerr
	}
	return rep, err
}

// FinishSetup ends the wizard.
func (a *Appliance) FinishSetup(ctx context.Context) error {
	return a.settings.Set(ctx, map[string]string{settings.SetupDone: time.Now().UTC().Format(time.RFC3339)})
}
