package restore

import "testing"

// FuzzLine reads a line of an export that somebody may have changed.
func FuzzLine(f *testing.F) {
	for _, s := range []string{`{"kind":"chat","container":"c","id":"m","raw":{"a":1}}`, `{"raw":`, "null", ""} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if l, err := ParseLine(b); (l == nil) != (err != nil) {
			t.Errorf("%q: %+v %v", b, l, err)
		}
	})
}
