package appliance

import (
	"context"

	"farol/internal/retention"
)

// retentionRules is a setting: JSON of retention.Rules.
const retentionRules = "retention.points"

// sweep thins points in time by the customer's rules.
func (a *Appliance) sweep() *retention.Sweep {
	return retention.New(retention.Deps{Archive: a.archive, Audit: a.audit, Logger: a.log,
		Rules: func(ctx context.Context) (retention.Rules, error) {
			text, err := a.settings.Get(ctx, retentionRules)
			if err != nil {
				return retention.Rules{}, err
			}
			return retention.ParseRules(text)
		},
		Alarm: func(ctx context.Context) (bool, error) {
			for _, d := range a.archive.Damage() {
				if !d.Healed {
					return true, nil
				}
			}
			return a.watch.Open(ctx)
		}})
}
