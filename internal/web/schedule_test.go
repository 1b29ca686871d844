package web

import (
	"strings"
	"testing"

	"farol/internal/backup"
	"farol/internal/i18n"
	"farol/internal/settings"
)

func TestASchedulesChoicesBecomeCronAndComeBackInWords(t *testing.T) {
	h, v := owned(t)
	get := func(name string) string {
		t.Helper()
		s, err := h.d.Settings.Get(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	v.get("/backup").wants(t, 200, "每日 04:30", "逢星期日 03:00", "更改時間表")
	v.post("/backup/schedule", "incremental_how", "weekdays", "incremental_at", "22:15", "full_how", "days", "full_day", "3", "full_day", "6", "full_at", "01:05").wants(t, 303, "/backup?done=schedule")
	if n, f := get(settings.ScheduleNight), get(settings.ScheduleWeek); n != "15 22 * * 1-5" || f != "5 1 * * 3,6" {
		t.Fatalf("%q and %q", n, f)
	}
	page := v.get("/backup").wants(t, 200, "星期一至五 22:15", "逢星期三、星期六 01:05").body
	if n := strings.Count(page, "<time datetime="); n < 6 {
		t.Errorf("%d dates are shown", n)
	}
	night, week := get(settings.ScheduleNight), get(settings.ScheduleWeek)
	entries := h.logged("config.change")
	for name, form := range map[string][]string{
		"請填寫時間":     {"incremental_how", "daily", "incremental_at", "25:00", "full", "0 3 * * 0"},
		"請至少選一日":    {"incremental", "0 3 * * 0", "full_how", "days", "full_at", "03:00"},
		"時間表寫法不對":   {"incremental_how", "cron", "incremental", "every night", "full", "0 3 * * 0"},
		"永遠不會來":     {"incremental", "0 3 30 2 *", "full", "0 3 * * 0"},
		"全面核對：請選擇何": {"incremental", "0 3 * * 0", "full_how", "sometimes", "full_at", "03:00"},
	} {
		v.post("/backup/schedule", form...).wants(t, 422, name, "<details open")
	}
	if get(settings.ScheduleNight) != night || get(settings.ScheduleWeek) != week || h.logged("config.change") != entries {
		t.Error("a refused schedule left something behind")
	}
	v.post("/backup/schedule", "incremental_how", "cron", "incremental", "*/20 * * * *", "full", "0 3 * * 0").wants(t, 303)
	v.get("/backup").wants(t, 200, "按 cron：*/20 * * * *")
	if h.logged("config.change") != entries+1 {
		t.Error("the change is not in the log")
	}
}

func TestASchedulesWordsInEveryLanguage(t *testing.T) {
	p, err := backup.ParsePlan("0 3 * * 0")
	if err != nil {
		t.Fatal(err)
	}
	for l, want := range map[i18n.Lang]string{i18n.ZhHant: "逢星期日 03:00", i18n.ZhHans: "每逢星期日 03:00", i18n.PT: "domingo, às 03:00", i18n.EN: "Sunday at 03:00"} {
		if got := (words{l: l}).plan(p); got != want {
			t.Errorf("%s: %q, want %q", l, got, want)
		}
	}
}

func TestPauseRunAndCancel(t *testing.T) {
	h, v := owned(t)
	h.consent()
	v.post("/backup/cancel").wants(t, 409, "沒有")
	v.post("/backup/pause", "paused", "1").wants(t, 303, "/backup?done=paused")
	v.get("/backup?done=paused").wants(t, 200, "備份已暫停", "恢復備份").lacks(t, "立即備份")
	v.post("/backup/start", "mode", "full").wants(t, 409)
	v.post("/backup/pause", "paused", "0").wants(t, 303, "/backup?done=resumed")
	v.post("/backup/start", "mode", "full").wants(t, 303, "/backup?done=started")
	if err := h.d.Engine.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	v.get("/backup").wants(t, 200, "全面核對", "完成", "立即備份")
	runs, err := h.d.Engine.Runs(t.Context(), 10)
	if err != nil || len(runs) != 1 {
		t.Errorf("a refused start is in the history: %+v %v", runs, err)
	}
}

func TestReadingBackHasItsScheduleAndBudgets(t *testing.T) {
	h, v := owned(t)
	get := func(name string) string {
		t.Helper()
		s, err := h.d.Settings.Get(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	v.get("/assurance").wants(t, 200, "讀回時間表", "每日 05:30", "逢星期六 02:00", "最多讀 10 分鐘", "每晚最多讀 4 小時")
	good := []string{"sample_how", "weekdays", "sample_at", "06:10", "sample_for", "25", "all_how", "days", "all_day", "0", "all_at", "01:30", "all_for", "6"}
	entries := h.logged("config.change")
	v.post("/assurance/schedule", good...).wants(t, 303, "/assurance?done=schedule")
	for name, want := range map[string]string{settings.VerifyNight: "10 6 * * 1-5", settings.VerifyWeek: "30 1 * * 0", settings.VerifyMinutes: "25", settings.VerifyHours: "6"} {
		if got := get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if h.logged("config.change") != entries+1 {
		t.Error("the change is not in the log")
	}
	v.get("/assurance?done=schedule").wants(t, 200, "星期一至五 06:10", "逢星期日 01:30", "最多讀 25 分鐘", "每晚最多讀 6 小時")
	for want, change := range map[string][2]string{"請填寫 1 至 240 分鐘": {"sample_for", "900"}, "請填寫 1 至 12 小時": {"all_for", "many"}, "請填寫時間": {"all_at", "25:00"}} {
		form := append([]string(nil), good...)
		for i := 0; i < len(form); i += 2 {
			if form[i] == change[0] {
				form[i+1] = change[1]
			}
		}
		v.post("/assurance/schedule", form...).wants(t, 422, want, "<details open", change[1])
	}
	if get(settings.VerifyMinutes) != "25" || get(settings.VerifyWeek) != "30 1 * * 0" || h.logged("config.change") != entries+1 {
		t.Error("a refused schedule left something behind")
	}
}
