package web

import (
	"testing"
	"time"

	"farol/internal/growth"
	"farol/internal/i18n"
	"farol/internal/record"
)

func TestACopyCostsNothingUntilSomebodyGivesAPrice(t *testing.T) {
	h, v := owned(t)
	h.mach.copies = []Copy{{ID: "s7", Name: "雲", Kind: "s3", State: "current", Done: 1.1e12, Total: 1.1e12, Transfer: record.Transfer{Country: "MO"}}}
	h.mach.health.Outlook = growth.Outlook{State: growth.Until, Left: 1370 * 24 * time.Hour, PerDay: 4.9e9, Days: 90}
	v.get("/storage").wants(t, 200, "雲", `href="/storage/s7/price"`).lacks(t, "每月約")
	v.post("/storage/s7/price", "price", "0.18 patacas").wants(t, 422, "請填數字", `value="0.18 patacas"`, `aria-invalid="true"`)
	v.post("/storage/zz/price", "price", "1").wants(t, 404)
	v.post("/storage/s7/price", "price", "0.18").wants(t, 303, "/storage?done=price")
	v.get("/storage/s7/price").wants(t, 200, `value="0.18 MOP"`)
	v.get("/storage?done=price").wants(t, 200, "已儲存", "現時每月約 MOP\u00a0198.00；按近 90 天的增長，一年後每月約 MOP\u00a0519.93")
	h.mach.health.Outlook = growth.Outlook{State: growth.Until, Left: time.Hour, PerDay: 4.9e9, Days: 10} // ten days say nothing of a year
	h.clock.pass(time.Minute)
	v.get("/storage").wants(t, 200, "每月約 MOP\u00a0198.00").lacks(t, "一年後")
	h.mach.copies[0].State, h.mach.copies[0].Done = "waiting", 0
	v.get("/storage").wants(t, 200, "未知").lacks(t, "每月約")
	v.post("/storage/s7/price", "price", "").wants(t, 303)
	if h.mach.copies[0].Price != (record.Price{}) {
		t.Errorf("the price stays %+v", h.mach.copies[0].Price)
	}
	form := []string{"kind", "s3", "name", "雲二", "host", "s3.example.mo", "bucket", "b", "user", "u", "secret", "s", "country", "MO", "price", "dear"}
	v.post("/storage/add", form...).wants(t, 422, "請填數字", `value="dear"`)
	form[len(form)-1] = "0.023 usd"
	v.post("/storage/add", form...).wants(t, 303, "/storage?done=place")
	if len(h.mach.added) != 1 || h.mach.added[0].Price != (record.Price{PerGB: .023, Currency: "USD"}) {
		t.Errorf("added %+v", h.mach.added)
	}
}

func TestMoneyIsWrittenAsReadersWriteIt(t *testing.T) {
	for l, want := range map[i18n.Lang]string{i18n.EN: "MOP\u00a01,234.05", i18n.PT: "MOP\u00a01\u00a0234,05"} {
		if got := (words{l: l}).money(123405, "MOP"); got != want {
			t.Errorf("%v: %q, want %q", l, got, want)
		}
	}
}
