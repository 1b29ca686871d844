package dingtalk

import (
	"encoding/json"
	"errors"
	"testing"
)

// FuzzEventFrame answers frames of the event stream as they may come.
func FuzzEventFrame(f *testing.F) {
	for _, s := range []string{`{"type":"EVENT","headers":{"eventId":"e","eventType":"user_add_org","eventBornTime":"1700000000000"},"data":"{}"}`, `{"type":"SYSTEM","headers":{"topic":"ping"},"data":"x"}`, `{"type":"EVENT","headers":{"eventBornTime":"999999999999999999999"}}`, `{}`} {
		f.Add([]byte(s), true)
	}
	f.Fuzz(func(t *testing.T, b []byte, fails bool) {
		var fr frame
		if json.Unmarshal(b, &fr) != nil {
			return
		}
		seen := false
		a := answer(fr, func(Event) error {
			seen = true
			if fails {
				return errors.New("later")
			}
			return nil
		})
		if seen && (a.Code == 200) == fails {
			t.Errorf("%q is acknowledged with %d", b, a.Code)
		}
	})
}
