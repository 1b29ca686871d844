package replica

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestAnEnrolmentThatCannotBeKeptChangesNothing: the appliance that works goes
// on, and the next enrolment is taken.
func TestAnEnrolmentThatCannotBeKeptChangesNothing(t *testing.T) {
	dir := t.TempDir()
	n, addr := startNode(t, dir)
	_, vk := newLog(t, t.TempDir())
	full := errors.New("no room")
	// an enrolment before was cut off ahead of its first save
	if err := os.MkdirAll(filepath.Join(dir, "vaults", "a1"), 0o700); err != nil {
		t.Fatal(err)
	}
	v, err := openVault(filepath.Join(dir, "vaults", "a1"))
	if err != nil {
		t.Fatal(err)
	}
	n.mu.Lock()
	n.vaults["a1"] = v
	n.mu.Unlock()
	fail := func(on bool) {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.fault = nil
		if on {
			v.fault = func(step, _ string) error {
				if step == "save" {
					return full
				}
				return nil
			}
		}
	}
	enrol := func(as Enrolment) (*Client, error) {
		t.Helper()
		p, _, err := Enrol(t.Context(), addr, n.NewCode(), as)
		if err != nil {
			return nil, err
		}
		return NewClient(p)
	}
	mine := Enrolment{Archive: "a1", LogKey: vk}
	fail(true)
	if _, err := enrol(mine); err == nil {
		t.Fatal("an enrolment that was not kept was answered")
	}
	fail(false)
	c, err := enrol(mine)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.journal(t.Context(), "j1", 0, []byte("one")); err != nil {
		t.Fatal(err)
	}
	fail(true)
	for what, as := range map[string]Enrolment{"another writer": mine, "a reader": {Recover: true}} {
		if _, err := enrol(as); err == nil {
			t.Errorf("%s was enrolled though it could not be kept", what)
		}
	}
	fail(false)
	if err := c.journal(t.Context(), "j1", 3, []byte("two")); err != nil {
		t.Errorf("the appliance that works is shut out: %v", err)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.about.Clients) != 1 {
		t.Errorf("%d clients are known, one was kept", len(v.about.Clients))
	}
}
