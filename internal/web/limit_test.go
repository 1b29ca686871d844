package web

import (
	"slices"
	"testing"
	"time"

	"farol/internal/i18n"
	"farol/internal/settings"
)

func TestTheSendingSpeedIsChosenOnThePageAndCountsAtOnce(t *testing.T) {
	h, v := owned(t)
	v.post("/assurance/limit", "limit", "1").wants(t, 422) // no node yet: the same rules
	h.mach.offsite = Offsite{Set: true, Connected: true, Address: "node:1"}
	v.get("/assurance").wants(t, 200, "傳送速度", "全日不限速")
	good := []string{"limit", "1", "mbit", "2", "limit_day", "1", "limit_day", "2", "limit_day", "3", "limit_day", "4", "limit_day", "5", "limit_from", "08:00", "limit_to", "20:00"}
	entries := h.logged("config.change")
	v.post("/assurance/limit", good...).wants(t, 303, "/assurance?done=limit")
	want := settings.OffsiteLimit{Kbit: 2000, Days: []time.Weekday{1, 2, 3, 4, 5}, From: 480, To: 1200}
	if got := h.mach.limit; got.Kbit != want.Kbit || got.From != want.From || got.To != want.To || !slices.Equal(got.Days, want.Days) {
		t.Errorf("the machine was told %+v", got)
	}
	if h.logged("config.change") != entries+1 {
		t.Error("the change is not in the log")
	}
	v.get("/assurance?done=limit").wants(t, 200, "星期一至五 08:00–20:00 最高 2 Mbit/s；其餘時間不限", "傳送速度已儲存")
	for _, bad := range []struct{ field, value, says string }{
		{"mbit", "0", "請填寫 0.1 至 10000 Mbit/s"}, {"mbit", "fast", "請填寫 0.1 至 10000 Mbit/s"}, {"mbit", "NaN", "請填寫 0.1 至 10000 Mbit/s"}, {"mbit", "1e9", "請填寫 0.1 至 10000 Mbit/s"},
		{"limit_from", "25:00", "請填寫時間，例如 08:00"}, {"limit_to", "", "請填寫時間，例如 08:00"}, {"limit_day", "9", "請至少選一日"},
	} {
		form := slices.Clone(good)
		for i := 0; i < len(form); i += 2 {
			if form[i] == bad.field {
				form[i+1] = bad.value
			}
		}
		v.post("/assurance/limit", form...).wants(t, 422, bad.says, "<details open")
	}
	if h.mach.limit.Kbit != 2000 || h.logged("config.change") != entries+1 {
		t.Error("a refused limit left something behind")
	}
	v.post("/assurance/limit", "limit", "1", "mbit", "0,5", "limit_day", "6", "limit_from", "22:00", "limit_to", "22:00").wants(t, 303)
	if got := h.mach.limit; got.Kbit != 500 {
		t.Errorf("0,5 became %+v", got)
	}
	v.get("/assurance").wants(t, 200, "星期六全日最高 0.5 Mbit/s")
	// why it lags
	h.mach.offsite = Offsite{Set: true, Connected: true, Lag: time.Hour, BehindBytes: 1 << 20, SlowKbit: 500, SlowUntil: time.Now().Add(time.Hour)}
	v.get("/assurance").wants(t, 200, "按所設限速", "最高 0.5 Mbit/s，因此落後")
	v.post("/assurance/limit", good[2:]...).wants(t, 303)
	if got := h.mach.limit; got.Kbit != 0 || len(got.Days) != 0 {
		t.Errorf("switched off, but %+v", got)
	}
	for _, l := range i18n.Langs {
		w := words{l: l}
		if got := w.limit(want); got == "" || got == w.limit(settings.OffsiteLimit{}) {
			t.Errorf("%v: %q", l, got)
		}
	}
}
