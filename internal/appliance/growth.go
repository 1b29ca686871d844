package appliance

import (
	"context"
	"time"

	"farol/internal/growth"
)

// weigh notes hourly what the archive weighs and when the storage places last
// answered.
func (a *Appliance) weigh(ctx context.Context) error {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		st := a.archive.Status()
		err := growth.Note(ctx, a.control, time.Now(), st.Repository+st.JournalBytes)
		a.mu.Lock()
		n := len(a.places)
		a.mu.Unlock()
		if err == nil && n > 0 {
			err = a.keepFacts(ctx, nil)
		}
		if err != nil && ctx.Err() == nil {
			a.log.WarnContext(ctx, "the archive's weight was not noted", "err", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
