package web

import (
	"archive/zip"
	"bytes"
	"strings"
	"testing"
	"time"

	"farol/internal/audit"
)

func TestAnAuditorFindsWhoDidWhatAndTakesAPackageAlong(t *testing.T) {
	h := newHouse(t)
	h.account("ana", "auditor")
	v := h.login("ana")
	v.get("/audit?actor=ana").wants(t, 200, "ana", "/proof.json")
	es, _, err := h.d.Audit.List(audit.Filter{Operation: "login"}, 0, 1)
	if err != nil || len(es) != 1 {
		t.Fatal(len(es), err)
	}
	v.get("/audit?about=session&object="+es[0].Session).wants(t, 200, "/proof.json")
	v.get("/audit?about=session&object=nobody").wants(t, 200).lacks(t, "/proof.json")
	v.get("/audit?from=2026-99-99").wants(t, 422, "日期不對")
	v.get("/audit?op=login").wants(t, 200, "Lei n.º 8/2005", "/proof.json", "一般")
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
