package backup

import (
	"testing"
	"time"
)

// FuzzPlan reads a schedule: one that is taken comes some day, and is read again
// as itself.
func FuzzPlan(f *testing.F) {
	for _, s := range []string{"30 3 * * *", "0 4 * * 0", "0 0 31 2 *", "@every 1s", "CRON_TZ=UTC 0 0 * * *", "*/0 * * * *", "99 99 99 99 99", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePlan(text)
		if err != nil {
			return
		}
		if again, err := ParsePlan(p.Text); err != nil || again.Text != p.Text {
			t.Errorf("%q is read as %q and then not: %v", text, p.Text, err)
		}
		if now := time.Unix(1.8e9, 0); !p.cron.Next(now).After(now) {
			t.Errorf("%q never comes", text)
		}
	})
}
