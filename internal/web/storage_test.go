package web

import (
	"strings"
	"testing"
	"time"

	"farol/internal/growth"
	"farol/internal/i18n"
	"farol/internal/record"
)

// owned is a finished house with its owner signed in.
func owned(t *testing.T) (*house, *visitor) {
	t.Helper()
	h := newHouse(t)
	h.account("maria", "owner")
	if err := h.mach.FinishSetup(t.Context()); err != nil {
		t.Fatal(err)
	}
	return h, h.login("maria")
}

func TestAVanishedPlaceIsShownAsGoneAndNotAsEmpty(t *testing.T) {
	h, v := owned(t)
	now := h.clock.now()
	h.mach.copies = []Copy{{ID: "a1", Name: "機房", Kind: "dir", Where: "/mnt/nas", State: "waiting", Problem: "place.gone", Total: 1000, Whole: now.Add(-50 * time.Hour), Transfer: record.Transfer{Country: "MO"}},
		{ID: "b2", Kind: "s3", Where: "s3/x", State: "filling", Done: 250, Total: 1000, Transfer: record.Transfer{Country: "HK", Basis: "authorisation", Filing: "F-7", Filed: "2026-01-01", Until: "2099-01-01", Reviewer: "lei"}},
		{ID: "c3", Kind: "dir", Where: "/mnt/old", State: "retired", Ended: now, Erased: true}}
	h.mach.health.Outlook = growth.Outlook{State: growth.Until, Left: 1370 * 24 * time.Hour, PerDay: 5e9, Days: 90}
	v.get("/storage").wants(t, 200, "不見了，並非清空", "沒有被當作清空", "2 天 2 小時", "約 3 年 9 個月後寫滿", `value="25"`, "F-7", "檔案已刪除", `hx-get="/storage"`).lacks(t, `"/storage/c3/retire"`)
	v.get("/").wants(t, 200, "約 3 年 9 個月後寫滿")
	v.head.Set("HX-Target", "places")
	v.get("/storage").wants(t, 200, "機房").lacks(t, "<html")
	h.account("pedro", "it")
	v.post("/storage/a1/verify").wants(t, 303, "/storage?done=placeverify")
	if len(h.mach.acts) != 1 || h.mach.acts[0] != "maria verify a1" {
		t.Errorf("acts %v", h.mach.acts)
	}
}

func TestAPlaceIsAddedWholeOrNotAtAllAndItsSecretIsNeverShown(t *testing.T) {
	h, v := owned(t)
	const secret = "very-secret-key-0815"
	for _, k := range []string{"dir", "s3", "sftp", "tape"} {
		v.get("/storage/add?kind="+k).wants(t, 200, `action="/storage/add"`)
	}
	good := []string{"kind", "sftp", "name", "離島", "host", "10.0.9.4", "user", "farol", "path", "/srv/farol", "host_key", "ssh-ed25519 AAAA", "secret", secret, "country", "mo"}
	for field, want := range map[string]string{"kind": "請選擇種類", "host": "請填寫地址", "user": "請填寫使用者", "path": "請填寫資料夾", "host_key": "主機金鑰", "secret": "請填寫密碼或密鑰", "country": "兩個大寫字母"} {
		form := append([]string(nil), good...)
		for i := 0; i < len(form); i += 2 {
			if form[i] == field {
				form[i+1] = ""
			}
		}
		v.post("/storage/add", form...).wants(t, 422, want).lacks(t, secret)
	}
	v.post("/storage/add", append(append([]string(nil), good[:len(good)-1]...), "CN")...).wants(t, 422, "第 19、20 條").lacks(t, secret)
	v.post("/storage/add", "kind", "s3", "host", "s3.example.mo", "secret", secret, "country", "MO").wants(t, 422, "請填寫儲存桶", "s3.example.mo").lacks(t, secret)
	h.mach.refuse = &i18n.Error{ID: "place.add.hostkey"}
	v.post("/storage/add", good...).wants(t, 422, "沒有送出任何資料", "10.0.9.4", `aria-invalid="true"`).lacks(t, secret)
	if len(h.mach.added) > 0 {
		t.Fatalf("a refused place was added: %d", len(h.mach.added))
	}
	h.mach.refuse = nil
	h.clock.pass(6 * time.Minute) // the code of the login no longer counts
	v.get("/storage/add?kind=s3").wants(t, 303, "/stepup?next=%2Fstorage%2Fadd%3Fkind%3Ds3")
	v.post("/storage/add", good...).wants(t, 403, `name="host" value="10.0.9.4"`).lacks(t, secret)
	v.post("/stepup", "totp", h.code(h.kept["maria"].Text), "next", "/storage/add").wants(t, 303)
	v.post("/storage/add", good...).wants(t, 303, "/storage?done=place")
	if len(h.mach.added) != 1 || h.mach.added[0].Secret != secret || h.mach.added[0].Country != "MO" || h.mach.added[0].HostKey != "ssh-ed25519 AAAA" {
		t.Errorf("added %+v", h.mach.added)
	}
}

func TestRetiringSaysWhatItMeansAndRefusesTheOnlyCopy(t *testing.T) {
	h, v := owned(t)
	h.mach.copies = []Copy{{ID: "a1", Name: "機房", Kind: "dir", State: "current", Transfer: record.Transfer{Country: "MO"}}, {ID: "b2", Name: "外置", Kind: "dir", State: "waiting", Problem: "place.gone", Transfer: record.Transfer{Country: "MO"}}, {ID: "c3", Kind: "dir", State: "retired"}}
	v.get("/storage/a1/retire").wants(t, 200, "先證明另一份副本此刻齊全", `value="erase"`).lacks(t, `value="forget"`)
	v.get("/storage/b2/retire").wants(t, 200, `value="forget"`).lacks(t, `value="erase"`)
	v.get("/storage/c3/retire").wants(t, 404)
	v.get("/storage/zz/retire").wants(t, 404)
	v.post("/storage/a1/retire").wants(t, 422, "請選擇如何處理")
	h.mach.refuse = &i18n.Error{ID: "place.only"}
	v.post("/storage/a1/retire", "files", "erase").wants(t, 422, "唯一一份完整")
	if len(h.mach.acts) > 0 {
		t.Fatalf("acts %v", h.mach.acts)
	}
	h.mach.refuse = nil
	v.post("/storage/a1/retire", "files", "erase").wants(t, 303, "/storage?done=placeretire")
	v.post("/storage/b2/retire", "files", "forget").wants(t, 303)
	if got := strings.Join(h.mach.acts, "; "); got != "maria retire a1 true false; maria retire b2 false true" {
		t.Errorf("acts %s", got)
	}
}

func TestASpanIsSaidAsPeopleSayIt(t *testing.T) {
	for days, want := range map[float64]string{.6: "1 day", 40: "40 days", 59.4: "59 days", 61: "2 months", 700: "23 months", 731: "2 years", 770: "2 years 1 month", 1370: "3 years 9 months"} {
		if got := (words{l: i18n.EN}).span(time.Duration(days * 24 * float64(time.Hour))); got != want {
			t.Errorf("%v days: %q, want %q", days, got, want)
		}
	}
}
