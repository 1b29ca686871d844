package web

import (
	"slices"
	"testing"

	"farol/internal/record"
)

// TestWhereACopyLiesIsChangedByTwoAndSaysWhyNothingIsSent goes from a node in
// Hong Kong without papers to one with them, and on to the mainland.
func TestWhereACopyLiesIsChangedByTwoAndSaysWhyNothingIsSent(t *testing.T) {
	h, v := owned(t)
	h.mach.copies = []Copy{{ID: "b2", Name: "離島", Kind: "s3", Where: "s3/x", State: "waiting", Problem: "place.gate", Transfer: record.Transfer{Country: "HK", Filing: "F-7"}}}
	v.get("/storage").wants(t, 200, "不會傳送任何資料", "依據、備案日期、有效期、覆核人", `"/storage/b2/transfer"`)
	v.post("/assurance/offsite", "offsite_address", "node:1", "offsite_code", "good", "country", "H").wants(t, 422, "兩個大寫字母")
	v.post("/assurance/offsite", "offsite_address", "node:1", "offsite_code", "good", "country", "hk").wants(t, 303)
	v.get("/assurance").wants(t, 200, "不會傳送任何資料", "/assurance/transfer")
	v.get("/assurance/transfer").wants(t, 200, `value="HK"`)
	v.post("/assurance/transfer", "country", "CN", "basis", "consent", "filing", "F-1", "filed", "2026-01-05", "until", "2099-01-05", "reviewer", "lei").wants(t, 422, "內地只接受標準合同", "九個城市", `value="F-1"`)
	good := []string{"country", "CN", "basis", "contract", "city", "zhuhai", "filing", "粵備 2026-3", "filed", "2026-01-05", "until", "2099-01-05", "reviewer", "lei"}
	v.post("/assurance/transfer", good...).wants(t, 303, "/assurance?done=transfer")
	v.get("/assurance?done=transfer").wants(t, 200, "CN 珠海", "大灣區標準合同", "粵備 2026-3").lacks(t, "不會傳送任何資料")
	for _, code := range []string{"bad", "good"} { // one person alone does not say that it lies elsewhere
		v.post("/assurance/offsite", "offsite_address", "node:1", "offsite_code", code, "country", "MO").wants(t, 422, "已連接一個節點")
	}
	v.get("/assurance").wants(t, 200, "CN 珠海")
	if n := h.logged("change.run"); n != 1 {
		t.Errorf("%d entries of changes that one person alone could make", n)
	}

	h.account("pedro", "owner")
	hk := []string{"country", "HK", "basis", "authorisation", "city", "zhuhai", "filing", "F-7", "filed", "2026-01-05", "until", "2099-01-05", "reviewer", "lei"}
	v.post("/storage/b2/transfer", hk...).wants(t, 200, "離島", "F-7")
	if h.mach.copies[0].Basis != "" {
		t.Fatal("one person opened the way out of Macau")
	}
	v.post("/storage/nowhere/transfer", hk...).wants(t, 404)
	h.account("ana", "auditor")
	h.login("ana").post("/storage/b2/transfer", hk...).wants(t, 403)
	if m := h.mach.copies[0].Missing(h.clock.now()); !slices.Contains(m, "basis") {
		t.Errorf("missing %v", m)
	}
}
