package appliance

import (
	"context"
	"errors"

	"farol/internal/archive"
	"farol/internal/audit"
	"farol/internal/watch"
)

// manyDamages is what waits at most for its entry; the archive's own list has
// them all.
const manyDamages = 1000

// damaged is called by the archive, which must not be held up.
func (a *Appliance) damaged(d archive.Damage) {
	select {
	case a.damages <- d:
	default:
	}
}

// noteDamage gives each damage that the archive met by itself, at its opening
// or under a reader, its entry and an alarm, healed or not. What a reading back
// finds is written by whoever reads back.
func (a *Appliance) noteDamage(ctx context.Context) error {
	var n int64
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case d := <-a.damages:
			n++
			ev := audit.Event{Actor: "system", Operation: "integrity.fail", Object: "archive/" + d.Where, Outcome: "failed", Detail: map[string]string{"what": d.What}}
			if d.Healed {
				ev.Operation, ev.Outcome, ev.Detail["by"] = "integrity.heal", "ok", d.By
			}
			_, err := a.audit.Append(ctx, ev)
			err = errors.Join(err, a.watch.Raise(ctx, watch.Finding{Cause: watch.Damage, Seen: n, Held: n}))
			if err != nil && ctx.Err() == nil {
				a.log.ErrorContext(ctx, "damage of the archive has no entry", "err", err)
			}
		}
	}
}
