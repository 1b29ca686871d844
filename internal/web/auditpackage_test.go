package web

import (
	"archive/zip"
	"bytes"
	"strings"
	"testing"
	"time"

	"farol/internal/audit"
	"farol/internal/i18n"
	"farol/internal/watch"
)

func TestAnAuditorFindsWhoDidWhatAndTakesAPackageAlong(t *testing.T) {
	h := newHouse(t)
	h.account("ana", "auditor")
	v := h.login("ana")
	v.questions("actor", "ana").wants(t, 200, "ana", "/proof.json")
	es, _, err := h.d.Audit.List(audit.Filter{Operation: "login"}, 0, 1)
	if err != nil || len(es) != 1 {
		t.Fatal(len(es), err)
	}
	v.questions("about", "session", "object", es[0].Session).wants(t, 200, "/proof.json")
	v.questions("about", "session", "object", "nobody").wants(t, 200).lacks(t, "/proof.json")
	v.questions("from", "2026-99-99").wants(t, 422, "日期不對")
	v.questions("op", "login").wants(t, 200, "Lei n.º 8/2005", "/proof.json", "一般")
	period := []string{"from", "2020-01-01", "to", "2099-12-31"}
	h.clock.pass(6 * time.Minute) // the code of the login no longer counts
	if asked := v.post("/audit/package", period...); asked.code == 200 && strings.HasPrefix(asked.body, "PK") {
		t.Fatal("a package left without a fresh code")
	}
	before := h.logged("audit.export")
	v.post("/stepup", append([]string{"totp", h.code(h.kept["ana"].Text), "next", "/audit/package", "again", "post"}, period...)...).wants(t, 307)
	zipped := v.post("/audit/package", period...).wants(t, 200)
	z, err := zip.NewReader(bytes.NewReader([]byte(zipped.body)), int64(len(zipped.body)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := z.Open("manifest.json"); err != nil {
		t.Error(err)
	}
	if got := h.logged("audit.export"); got != before+1 {
		t.Errorf("%d entries of the export, had %d", got, before)
	}
	v.post("/audit/package", "from", "2020-01-01", "to", "2020-01-31").wants(t, 422, "這段期間沒有紀錄")
	v.post("/audit/package", "from", "", "to", "").wants(t, 422, "日期不對")
	if got := h.logged("audit.export"); got != before+1 {
		t.Errorf("a refused package left %d entries", got)
	}
}

func TestOnlyArticlesThatSomebodyConfirmedAreShown(t *testing.T) {
	hidden := 0
	for _, l := range i18n.Langs {
		w := words{l: l}
		for id, law := range audit.Laws {
			shown := w.lawList([]string{id}) != ""
			if shown != (law.Status == "V" || law.Status == "S") {
				t.Errorf("%s, %s: status %s, shown %v", l, id, law.Status, shown)
			}
			if !shown {
				hidden++
			}
		}
		if got := w.lawList([]string{audit.Unmapped, "no such law"}); got != "" {
			t.Errorf("a tag that is no law is shown: %q", got)
		}
	}
	if hidden == 0 {
		t.Error("no unconfirmed article was there to be hidden")
	}
}

func TestALogThatWasTamperedWithIsOnTheDashboard(t *testing.T) {
	h := newHouse(t)
	h.account("tong", "it")
	h.backedUp()
	if err := h.d.Watch.Raise(t.Context(), watch.Finding{Cause: watch.LogTamper, Seen: 7, Held: 40}); err != nil {
		t.Fatal(err)
	}
	v := h.login("tong")
	v.get("/").wants(t, 200, "稽核日誌由倒數第 7 筆起與簽署不符")
	v.get("/alarms").wants(t, 200, "異地節點上的副本")
}
