package keys

import "testing"

// FuzzRing reads the ring as an archive may hold it.
func FuzzRing(f *testing.F) {
	r, err := NewRing()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(must(r.Bytes()))
	f.Add([]byte(`{"version":1,"keys":[""],"index":0}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseRing(b)
		if err != nil {
			return
		}
		again, err := ParseRing(must(r.Bytes()))
		if err != nil || !again.Holds(r) || again.Len() != r.Len() || string(again.IndexKey("x")) != string(r.IndexKey("x")) {
			t.Errorf("%q is written and read as another ring: %v", b, err)
		}
	})
}
