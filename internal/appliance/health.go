package appliance

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"farol/internal/auth"
	"farol/internal/backup"
	"farol/internal/growth"
	"farol/internal/settings"
	"farol/internal/verify"
	"farol/internal/web"
)

// Version is set by the build.
var Version = "dev"

// Version is the program's version.
func (a *Appliance) Version() string { return Version }

// Claim guards the set-up.
func (a *Appliance) Claim() *auth.Claim { return a.claim }

// Health tells how storage stands.
func (a *Appliance) Health(ctx context.Context) (web.Health, error) {
	st := a.archive.Status()
	points, err := a.archive.Points(ctx)
	if err != nil {
		return web.Health{}, err
	}
	days, err := growth.Days(ctx, a.control, time.Now())
	if err != nil {
		return web.Health{}, err
	}
	h := web.Health{Outlook: growth.Look(days, st.DiskFree-a.cfg.Reserve), JournalBytes: st.JournalBytes, JournalCommits: int64(st.Unfolded), LastFold: st.LastFold.Time, Points: len(points), Damage: len(a.archive.Damage()),
		Places: []web.Place{{Path: a.cfg.ArchiveDir, Total: st.Disk, Free: st.DiskFree, Used: st.Repository + st.JournalBytes, Reserve: a.cfg.Reserve}}}
	if p := a.verify.Under(); p != nil {
		h.Checking, h.CheckDone, h.CheckTotal = true, p.Done, p.Total
	}
	last, ok, err := a.verify.Last(ctx, verify.All)
	if err != nil {
		return web.Health{}, err
	}
	if ok {
		h.CheckedAt, h.CheckTook, h.CheckedRecords, h.CheckedBytes = last.Ended, last.Took, last.Records, last.Bytes
		h.Damage += int(last.Bad)
	}
	return h, nil
}

// Verify starts reading everything back. The result appears in Health.
func (a *Appliance) Verify(ctx context.Context, by string) error {
	a.mu.Lock()
	life := a.sendersCtx // the reading outlives the request, and ends with Run
	a.mu.Unlock()
	if life == nil {
		life = context.WithoutCancel(ctx)
	}
	if err := a.verify.Start(life, by); !errors.Is(err, verify.ErrRunning) {
		return err
	}
	return nil
}

// Verified is what was read back: the last runs, and the parts of the last one
// that read everything.
func (a *Appliance) Verified(ctx context.Context) (v web.Verified, err error) {
	if v.Runs, err = a.verify.Runs(ctx, 12); err != nil {
		return v, err
	}
	last, ok, err := a.verify.Last(ctx, verify.All)
	if err != nil || !ok {
		return v, err
	}
	v.Parts, err = a.verify.Parts(ctx, last.ID)
	return v, err
}

// newVerifier reads back on schedule, after the backup's own work.
func (a *Appliance) newVerifier() *verify.Verifier {
	return verify.New(verify.Deps{Control: a.control, Archive: a.archive, Catalog: a.catalog, Audit: a.audit, Alarms: a.watch, Log: a.log, Plan: a.verifyPlan,
		Busy: func() bool { p := a.engine.Progress(); return p.Running && p.Mode == backup.Full },
		Relist: func(ctx context.Context, containers, items int) ([]verify.Compared, error) {
			found, err := a.engine.Relist(ctx, containers, items)
			if errors.Is(err, backup.ErrUnbound) {
				return nil, nil
			}
			out := make([]verify.Compared, len(found))
			for i, c := range found {
				out[i] = verify.Compared(c)
			}
			return out, err
		}})
}

// verifyPlan is when and for how long the customer wants to have it read back.
// What a night's budget left unfinished goes on every day at the same time.
func (a *Appliance) verifyPlan(ctx context.Context) (verify.Plan, error) {
	p := verify.Default
	for name, to := range map[string]*string{settings.VerifyNight: &p.Night, settings.VerifyWeek: &p.Week} {
		if v, err := a.settings.Get(ctx, name); err != nil {
			return p, err
		} else if v != "" {
			*to = v
		}
	}
	if f := strings.Fields(p.Week); len(f) == 5 {
		p.Go = f[0] + " " + f[1] + " * * *"
	}
	for name, to := range map[string]struct {
		d    *time.Duration
		unit time.Duration
	}{settings.VerifyMinutes: {&p.NightTime, time.Minute}, settings.VerifyHours: {&p.WeekTime, time.Hour}} {
		v, err := a.settings.Get(ctx, name)
		if err != nil {
			return p, err
		}
		if v == "" {
			continue
		}
		n, err := strconv.Atoi(v)
		if err != nil {
			return p, fmt.Errorf("read setting %s: %w", name, err)
		}
		*to.d = time.Duration(n) * to.unit
	}
	return p, nil
}

// FinishSetup ends the wizard.
func (a *Appliance) FinishSetup(ctx context.Context) error {
	return a.settings.Set(ctx, map[string]string{settings.SetupDone: time.Now().UTC().Format(time.RFC3339)})
}
