package keys

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAGrownRingSealsWithItsNewestKeyAndOpensEverything also through boxes that
// were handed out before.
func TestAGrownRingSealsWithItsNewestKeyAndOpensEverything(t *testing.T) {
	r, err := NewRing()
	if err != nil {
		t.Fatal(err)
	}
	first, err := ParseRing(must(r.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	box, index := r.Box(LabelControl), string(r.IndexKey(LabelSearch))
	old := box.Seal([]byte("before"), []byte("row"))
	grown, err := r.Grown()
	if err != nil {
		t.Fatal(err)
	}
	if r.Len() != 1 || grown.Len() != 2 || !grown.Holds(r) || r.Holds(grown) {
		t.Error("growing changed the ring itself")
	}
	r.Adopt(grown)
	fresh := box.Seal([]byte("after"), []byte("row"))
	for want, sealed := range map[string][]byte{"before": old, "after": fresh} {
		if got, err := box.Open(sealed, []byte("row")); err != nil || string(got) != want {
			t.Errorf("%q: %q %v", want, got, err)
		}
		if _, err := r.Box(LabelLog).Open(sealed, []byte("row")); !errors.Is(err, ErrKey) {
			t.Errorf("another label opens it: %v", err)
		}
	}
	if _, err := first.Box(LabelControl).Open(fresh, []byte("row")); !errors.Is(err, ErrKey) {
		t.Errorf("the former key opens what was sealed after it: %v", err)
	}
	if string(r.IndexKey(LabelSearch)) != index || r.Current() {
		t.Error("the index's key changed before the index was built anew")
	}
	if x := r.Reindexed(); string(x.IndexKey(LabelSearch)) == index || !x.Current() {
		t.Error("a rebuilt index stays under the former key")
	}
}

// TestTheRingOpensOnlyWithTheRootKeyThatSealedIt and is never readable on disk
// or in print.
func TestTheRingOpensOnlyWithTheRootKeyThatSealedIt(t *testing.T) {
	dir, a, b := t.TempDir(), newRoot(t), newRoot(t)
	if _, err := LoadRing(dir, a); !errors.Is(err, ErrNoKey) {
		t.Error(err)
	}
	r, err := NewRing()
	if err != nil {
		t.Fatal(err)
	}
	if err := StoreRing(dir, a, r); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadRing(dir, b); !errors.Is(err, ErrKey) {
		t.Error(err)
	}
	if got, err := LoadRing(dir, b, a); err != nil || !got.Holds(r) || got.Len() != 1 {
		t.Error(err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, RingFile))
	if err != nil || strings.Contains(string(raw), "version") {
		t.Errorf("the file can be read: %v", err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if s := fmt.Sprintf(verb, r); s != "keys.Ring(redacted)" {
			t.Errorf("%s prints %q", verb, s)
		}
	}
	for _, bad := range []string{"", "{}", `{"version":1,"keys":[],"index":0}`, `{"version":1,"keys":["AAAA"],"index":0}`, `{"version":2}`} {
		if _, err := ParseRing([]byte(bad)); !errors.Is(err, ErrKey) {
			t.Errorf("%q is a ring: %v", bad, err)
		}
	}
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}
