package appliance

import (
	"path/filepath"
	"testing"
	"time"

	"farol/internal/db"
	"farol/internal/keys"
	"farol/internal/settings"
	"farol/internal/verify"
)

func TestTheChosenPlanOfReadingBackHolds(t *testing.T) {
	control, err := db.Open(t.Context(), filepath.Join(t.TempDir(), "control.db"), db.Control, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer control.Close()
	root, err := keys.New()
	if err != nil {
		t.Fatal(err)
	}
	a := &Appliance{settings: settings.New(control, keys.NewBox(root.Derive("control")))}
	if p, err := a.verifyPlan(t.Context()); err != nil || p != verify.Default {
		t.Fatalf("unchosen: %+v, %v", p, err)
	}
	if err := a.settings.Set(t.Context(), map[string]string{settings.VerifyNight: "10 6 * * 1-5", settings.VerifyWeek: "30 1 * * 0", settings.VerifyMinutes: "25", settings.VerifyHours: "6"}); err != nil {
		t.Fatal(err)
	}
	p, err := a.verifyPlan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if p.Night != "10 6 * * 1-5" || p.Week != "30 1 * * 0" || p.Go != "30 1 * * *" || p.NightTime != 25*time.Minute || p.WeekTime != 6*time.Hour || p.PerPart != verify.Default.PerPart {
		t.Errorf("%+v", p)
	}
}
