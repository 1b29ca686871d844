package web

import (
	"regexp"
	"testing"

	"farol/internal/audit"
	"farol/internal/matter"
)

// TestEveryLookNamesARegisteredMatterThatIsOpen: no name, no content; each
// entry names the number; a closed matter opens nothing more; another
// person joins by number only for a purpose of his own.
func TestEveryLookNamesARegisteredMatterThatIsOpen(t *testing.T) {
	h := newHouse(t)
	h.account("maria", "owner")
	h.account("lei1", "legal")
	h.account("rui1", "auditor")
	maria, lei, rui := h.login("maria"), h.login("lei1"), h.login("rui1")

	maria.get("/archive/chat").wants(t, 303, "/purpose?next=%2Farchive%2Fchat")
	maria.post("/purpose", "purpose", "dispute", "next", "/archive/chat").wants(t, 422, "請以 5 至 200 字寫明事項")
	maria.post("/purpose", "purpose", "dispute", "title", "供應商訴訟案", "basis", "mo_pdpa_11", "next", "/").wants(t, 422, "不適用於所選目的")
	maria.post("/purpose", "matter", "2020-001", "next", "/").wants(t, 422, "沒有這個有效事項")
	maria.get("/archive/chat").wants(t, 303)
	if h.logged("matter.open")+h.logged("purpose.declare") != 0 {
		t.Error("a refused reason is in the log as one")
	}
	maria.post("/purpose", "purpose", "dispute", "title", "供應商訴訟案", "next", "/archive/chat").wants(t, 303, "/archive/chat")
	maria.get("/archive/chat").wants(t, 200)
	es := h.said("view")
	if len(es) == 0 || es[0].Detail["matter"] == "" || es[0].Purpose != "dispute" {
		t.Fatalf("the look names no matter: %+v", es)
	}
	number := es[0].Detail["matter"]
	if !regexp.MustCompile(`^20\d\d-001$`).MatchString(number) {
		t.Errorf("number %q", number)
	}
	maria.get("/purpose").wants(t, 200, "供應商訴訟案", number)
	lei.get("/purpose").wants(t, 200).lacks(t, "供應商訴訟案")

	lei.post("/purpose", "matter", number, "next", "/").wants(t, 303, "/")
	lei.get("/archive/chat").wants(t, 200)
	if e := h.said("view")[0]; e.Actor != "lei1" || e.Detail["matter"] != number {
		t.Errorf("%+v", e)
	}
	maria.post("/purpose", "purpose", "recovery", "title", "誤刪的資料夾", "next", "/").wants(t, 303)
	recovery := h.said("matter.open")[0].Object[len("matter/"):]
	lei.post("/purpose", "matter", recovery, "next", "/").wants(t, 422, "沒有這個有效事項") // legal may not recover

	es, _, err := h.d.Audit.List(audit.Filter{Object: "matter/" + number}, 0, 100)
	if err != nil || len(es) < 4 { // opened, declared twice, looked at by both
		t.Errorf("%d entries are found by the matter, %v", len(es), err)
	}
	rui.get("/audit?matter="+number).wants(t, 200, "lei1")
	rui.get("/matters").wants(t, 200, number, "供應商訴訟案", "第 6 條")
	maria.post("/purpose", "matter", number, "next", "/").wants(t, 303)
	rui.post("/matters/"+number+"/close").wants(t, 303)
	rui.post("/matters/"+number+"/close").wants(t, 404)
	maria.get("/archive/chat").wants(t, 303, "/purpose?next=%2Farchive%2Fchat")
	maria.post("/purpose", "matter", number, "next", "/").wants(t, 422)
	maria.post("/purpose", "matter", recovery, "next", "/").wants(t, 303)
	maria.get("/archive/chat").wants(t, 200)
	for p, ids := range matter.Bases {
		for _, id := range ids {
			if l, ok := audit.Laws[id]; !ok || !l.Shown() {
				t.Errorf("the basis %s of %s is no law that may be shown", id, p)
			}
		}
	}
	for op, want := range map[string]int{"matter.open": 2, "matter.close": 1} {
		if got := h.logged(op); got != want {
			t.Errorf("%d entries %s, want %d", got, op, want)
		}
	}
}
