package backup

import (
	"context"
	"errors"
	"time"

	"github.com/robfig/cron/v3"

	"farol/internal/connector"
	"farol/internal/record"
	"farol/internal/settings"
)

// Default schedules, Macau time: an incremental at dawn, a full on Sunday.
const (
	DefaultNight = "30 4 * * *"
	DefaultWeek  = "0 3 * * 0"
)

// Next tells when the schedules are due after t.
func (e *Engine) Next(ctx context.Context, t time.Time) (incremental, full time.Time, err error) {
	night, err := cron.ParseStandard(e.setting(ctx, settings.ScheduleNight, DefaultNight))
	if err != nil {
		return incremental, full, err
	}
	week, err := cron.ParseStandard(e.setting(ctx, settings.ScheduleWeek, DefaultWeek))
	if err != nil {
		return incremental, full, err
	}
	t = t.In(record.Macau)
	return night.Next(t), week.Next(t), nil
}

// scheduleLoop starts what is due and retries gaps. A run that was due while
// the appliance was off is made up for at start.
func (e *Engine) scheduleLoop(ctx context.Context) error {
	defer e.stopRun()
	for {
		if err := e.due(ctx); err != nil && ctx.Err() == nil {
			e.d.Log.WarnContext(ctx, "schedule", "err", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(2 * time.Second):
		}
	}
}

func (e *Engine) due(ctx context.Context) error {
	if e.d.Client() == nil || e.paused(ctx) {
		return nil
	}
	runs, err := e.Runs(ctx, 50)
	if err != nil {
		return err
	}
	var lastAny, lastFull time.Time
	for _, r := range runs {
		if r.State != Done && r.State != Partial && r.State != Running {
			continue
		}
		if r.Started.After(e.d.Now()) {
			r.Started = time.Unix(0, 0) // under a wrong clock: it took place, nobody knows when, so the next is due
		}
		if r.What == string(Full) && r.Started.After(lastFull) {
			lastFull = r.Started
		}
		if (r.What == string(Full) || r.What == string(Incremental)) && r.Started.After(lastAny) {
			lastAny = r.Started
		}
	}
	if lastFull.IsZero() {
		return nil // the first full backup is a person's decision
	}
	now := e.d.Now()
	night, _, err := e.Next(ctx, lastAny)
	if err != nil {
		return err
	}
	_, week, err := e.Next(ctx, lastFull)
	if err != nil {
		return err
	}
	switch {
	case !now.Before(week):
		_, err = e.Start(ctx, Full, "system")
	case !now.Before(night):
		_, err = e.Start(ctx, Incremental, "system")
	case e.catchUp(now):
		_, err = e.Start(ctx, Incremental, "system")
	default:
		return e.retryGaps(ctx)
	}
	if errors.Is(err, ErrBusy) {
		return nil
	}
	return err
}

// catchUpEvery bounds how often a reconnected stream makes us list again.
const catchUpEvery = 2 * time.Minute

// catchUp reports whether an event stream was away since the last listing.
func (e *Engine) catchUp(now time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if since := now.Sub(e.caught); !e.missed || e.run != nil || since >= 0 && since < catchUpEvery {
		return false
	}
	e.missed, e.caught = false, now
	return true
}

// retryGaps reads items again whose attachments could not be had.
func (e *Engine) retryGaps(ctx context.Context) error {
	gaps, err := e.dueGaps(ctx, 50)
	if err != nil || len(gaps) == 0 {
		return err
	}
	env, err := e.env(ctx)
	if err != nil {
		return err
	}
	done := map[string]bool{}
	for _, g := range gaps {
		id := itemOf(g.Item)
		key := string(g.Kind) + "/" + g.Container + "/" + id
		c, ok := e.kinds[g.Kind].(connector.Eventer)
		src, known := e.source(g.Kind, g.Container)
		if !ok || !known || done[key] {
			continue
		}
		done[key] = true
		unlock := e.lock(g.Kind, g.Container)
		asked := e.d.Now()
		it, err := c.PullItem(ctx, env, src, id)
		if err == nil {
			_, err = e.take(ctx, []connector.Item{it}, nil, g.Kind, g.Container, nil, origin{asked: asked})
		} else if ctx.Err() == nil {
			err = e.gap(ctx, g.Kind, g.Container, g.Item, err)
		}
		unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

func itemOf(key string) string {
	for i := range key {
		if key[i] == '#' {
			return key[:i]
		}
	}
	return key
}
