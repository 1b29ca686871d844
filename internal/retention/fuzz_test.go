package retention

import "testing"

// FuzzRules reads what a form or a setting holds: what is taken holds together.
func FuzzRules(f *testing.F) {
	for _, s := range []string{"", "{}", `{"all":7,"daily":90,"weekly":731,"monthly":3653}`, `{"all":-1}`, `{"from_hour":24}`, "[]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if r, err := ParseRules(text); err == nil && r.Validate() != nil {
			t.Errorf("%q is taken as %+v", text, r)
		}
	})
}
