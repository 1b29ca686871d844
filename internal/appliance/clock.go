package appliance

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"farol/internal/audit"
)

// jumpSize is from which on a difference between the clock on the wall and the
// time that has really passed is worth an entry. A clock that is being set by
// the network moves by less.
const jumpSize = time.Minute

// clockWatch compares the wall clock with time that only goes forward.
type clockWatch struct {
	wall time.Time     // without its monotonic reading
	ran  time.Duration // since some moment, monotonic
}

// look returns by how much the wall clock jumped since the last look, zero for
// less than jumpSize.
func (c *clockWatch) look(wall time.Time, ran time.Duration) time.Duration {
	wall = wall.Round(0)
	jump := wall.Sub(c.wall) - (ran - c.ran)
	c.wall, c.ran = wall, ran
	if jump.Abs() < jumpSize {
		return 0
	}
	return jump
}

// watchClock enters each jump of the clock into the log. A machine that slept
// looks like one that jumped ahead; that is worth an entry as well.
func (a *Appliance) watchClock(ctx context.Context) error {
	start := time.Now()
	c := clockWatch{wall: start.Round(0)}
	if err := a.clockAtStart(ctx, start); err != nil {
		return err
	}
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		if jump := c.look(time.Now(), time.Since(start)); jump != 0 {
			a.tellJump(ctx, jump, "running")
		}
	}
}

// clockAtStart names a clock that stands before the last entry of the log: it
// was put back while nothing ran, or was wrong before. That it went ahead
// cannot be told from a machine that was off.
func (a *Appliance) clockAtStart(ctx context.Context, now time.Time) error {
	es, _, err := a.audit.List(audit.Filter{}, 0, 1)
	if err != nil {
		return fmt.Errorf("look at the log's last entry: %w", err)
	}
	if len(es) > 0 {
		if back := now.Sub(es[0].Time); back <= -jumpSize {
			a.tellJump(ctx, back, "start")
		}
	}
	return nil
}

func (a *Appliance) tellJump(ctx context.Context, jump time.Duration, when string) {
	a.log.WarnContext(ctx, "the clock jumped", "by", jump.Round(time.Second), "when", when)
	_, err := a.audit.Append(ctx, audit.Event{Actor: "system", Operation: "time.drift", Object: "clock", Outcome: "ok",
		Detail: map[string]string{"seconds": strconv.FormatInt(int64(jump/time.Second), 10), "when": when}})
	if err != nil && ctx.Err() == nil {
		a.log.ErrorContext(ctx, "the clock's jump has no entry", "err", err)
	}
}
