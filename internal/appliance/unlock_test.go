package appliance

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"farol/internal/audit"
	"farol/internal/auth"
)

// TestUnlockAtTheMachineEndsTheWaits goes through the control socket, as the
// command does.
func TestUnlockAtTheMachineEndsTheWaits(t *testing.T) {
	cfg := bench(t)
	a, stop := runs(t, cfg)
	defer stop()
	secret, err := auth.NewSecret("chan")
	if err != nil {
		t.Fatal(err)
	}
	code, err := totp.GenerateCode(secret.Text, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	const pass = "a long enough pass phrase"
	if _, err := a.accounts.Create(t.Context(), auth.NewAccount{Name: "chan", Role: "owner", Password: pass, Secret: secret, Code: code}); err != nil {
		t.Fatal(err)
	}
	guess := func() error {
		_, err := a.accounts.Login(t.Context(), auth.Try{Name: "chan", Password: pass, Code: "no code", Source: "10.0.0.1"})
		return err
	}
	for range 5 {
		if err := guess(); !errors.Is(err, auth.ErrLogin) {
			t.Fatal(err)
		}
	}
	var slow *auth.Slow
	if err := guess(); !errors.As(err, &slow) {
		t.Fatal(err)
	}
	var out json.RawMessage
	if err := Control(t.Context(), cfg, "unlock", map[string]any{"name": "nobody"}, &out); err == nil {
		t.Error("an account that is not there was unlocked")
	}
	if err := Control(t.Context(), cfg, "unlock", map[string]any{}, &out); err == nil {
		t.Error("without a name everybody was unlocked")
	}
	if err := Control(t.Context(), cfg, "unlock", map[string]any{"name": "chan"}, &out); err != nil {
		t.Fatal(err)
	}
	if err := guess(); !errors.Is(err, auth.ErrLogin) {
		t.Errorf("after the unlock: %v", err)
	}
	list, _, err := a.audit.List(audit.Filter{Operation: "login.unlock"}, 0, 10)
	if err != nil || len(list) != 1 || list[0].Severity != "warn" {
		t.Errorf("%d entries: %v", len(list), err)
	}
}
