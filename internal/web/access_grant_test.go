package web

import (
	"strconv"
	"strings"
	"testing"

	"farol/internal/policy"
	"farol/internal/record"
	"farol/internal/restore"
)

// TestADepartmentIsGivenByTwoPeopleAndTakenAwayAtOnce: IT asks, the owner
// agrees, the head reads his department and nothing else, and a deep link is
// worth nothing once the grant has ended.
func TestADepartmentIsGivenByTwoPeopleAndTakenAwayAtOnce(t *testing.T) {
	h := newHouse(t)
	h.account("maria", "owner")
	h.backedUp()
	h.account("hoit", "it")
	h.account("chan", "head")
	maria, it, head := h.login("maria"), h.login("hoit"), h.login("chan")
	owner := restore.Request{Subject: policy.Subject{Account: "test", Grants: policy.GrantsOf("owner")}, Purpose: policy.Verification}
	list, err := h.d.Door.Containers(t.Context(), owner, record.Chat, 0)
	if err != nil {
		t.Fatal(err)
	}
	mine, other := list[0], list[0]
	for _, i := range list {
		if !i.Private && i.Dept != 0 && i.Items > 2 {
			mine = i
		}
	}
	depts, err := h.d.Catalog.Depts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range list {
		if !containsID(above(depts, i.Dept), mine.Dept) && !i.Private {
			other = i
		}
	}
	path := func(id int64) string { return "/archive/chat/" + strconv.FormatInt(id, 10) }
	head.get("/archive").wants(t, 403)
	head.get(path(mine.CatalogID)).wants(t, 403)

	it.get("/access").wants(t, 200, "chan")
	it.post("/access/give", "account", "hoit", "dept", "1", "reason", "自己要用").wants(t, 422)
	it.post("/access/give", "account", "chan", "reason", "主管需要").wants(t, 422, "請選擇至少一個部門")
	it.post("/access/give", "account", "chan", "dept", strconv.FormatInt(mine.Dept, 10)).wants(t, 422, "需要 1 人同意")
	asked := it.post("/access/give", "account", "chan", "dept", strconv.FormatInt(mine.Dept, 10), "circle", "personnel", "reason", "部門主管日常需要").wants(t, 303)
	ask := strings.TrimSuffix(asked.to, "?done=asked")
	it.post(ask+"/decide", "word", "yes").wants(t, 403)
	it.post(ask+"/run").wants(t, 409)
	head.get("/archive").wants(t, 403)
	maria.get(ask).wants(t, 200, "chan", "部門主管日常需要").lacks(t, "人事紀錄") // the circle is not the head's to have
	maria.post(ask+"/decide", "word", "yes").wants(t, 303)
	maria.post(ask+"/run").wants(t, 409) // not hers to carry out
	it.post(ask+"/run").wants(t, 303)
	it.post(ask+"/run").wants(t, 409)

	head.post("/purpose", "purpose", "dispute", "title", "供應商訴訟案", "next", "/archive").wants(t, 422) // not a purpose of his
	head.post("/purpose", "purpose", "handover", "title", "供應商訴訟案", "next", "/archive").wants(t, 303)
	head.get(path(mine.CatalogID)).wants(t, 200, escaped(mine.Title))
	h.refusal("scope", func() { head.get(path(other.CatalogID)).wants(t, 404) })
	h.refusal("scope", func() { head.get("/record/999999").wants(t, 404) })
	head.get("/record/999999/blob/0/download").wants(t, 403)
	head.fresh("chan")
	h.refusal("scope", func() {
		head.post("/restore/run", "kind", "chat", "container", strconv.FormatInt(other.CatalogID, 10), "target", "dingtalk", "reason", "主管日常需要").wants(t, 404)
	})
	if len(h.d.Door.Jobs()) != 0 || h.logged("restore.run") != 0 {
		t.Error("a guessed container was given back")
	}
	head.get("/archive/chat").wants(t, 200, escaped(mine.Title)).lacks(t, escaped(other.Title))
	head.get("/access").wants(t, 403)

	why := "/access?who=chan&action=read&purpose=handover&kind=chat&class=1&dept="
	it.get(why+strconv.FormatInt(mine.Dept, 10)).wants(t, 200, "chan 可以")
	it.get(why+strconv.FormatInt(other.Dept, 10)).wants(t, 200, "chan 不可以", "不包括這個部門")
	it.get(why+strconv.FormatInt(mine.Dept, 10)+"&in=finance").wants(t, 200, "chan 不可以", "封閉範圍")
	it.get(why+"x").wants(t, 200, "請選齊各項")

	// The department becomes one of finance, whatever it is called: at once it is
	// there only for those who are named for finance.
	up := above(depts, mine.Dept)
	if err := h.d.Settings.KeepCircles(t.Context(), map[record.Realms][]int64{record.Finance: {up[len(up)-1]}}); err != nil {
		t.Fatal(err)
	}
	h.refusal("scope", func() { head.get(path(mine.CatalogID)).wants(t, 404) })
	head.get("/archive/chat").lacks(t, escaped(mine.Title))
	it.get(why+strconv.FormatInt(mine.Dept, 10)).wants(t, 200, "chan 不可以", "封閉範圍")
	if got, err := h.d.Door.Containers(t.Context(), owner, record.Chat, 0); err != nil || len(got) != len(list) {
		t.Errorf("who is named for finance sees %d containers of %d: %v", len(got), len(list), err)
	}
	it.get("/access/circles").wants(t, 200, "隨上級部門")
	it.fresh("hoit")
	moved := it.post("/access/circles", "finance", "1", "was", ";") // filled in before the other change
	if moved.code == 303 || moved.code == 200 {
		t.Errorf("a form from before is answered with %d", moved.code)
	}
	moved.wants(t, moved.code, "在此期間已被更改")
	if err := h.d.Settings.KeepCircles(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	head.get(path(mine.CatalogID)).wants(t, 200, escaped(mine.Title))

	grants, err := h.d.Access.List(t.Context())
	if err != nil || len(grants) != 1 || grants[0].Approval != strings.TrimPrefix(ask, "/inbox/") || grants[0].Grant.Realms != 0 {
		t.Fatalf("%+v %v", grants, err)
	}
	it.fresh("hoit")
	it.post("/access/"+strconv.FormatInt(grants[0].ID, 10)+"/review").wants(t, 303)
	it.post("/access/"+strconv.FormatInt(grants[0].ID, 10)+"/end").wants(t, 303)
	denied := h.logged("access.denied")
	head.get(path(mine.CatalogID)).wants(t, 403)
	if h.logged("access.denied") != denied+1 {
		t.Error("the deep link that failed is not in the log")
	}
	for op, want := range map[string]int{"access.request": 1, "access.approve": 1, "delegation.grant": 1, "role.review": 1, "delegation.end": 1} {
		if got := h.logged(op); got != want {
			t.Errorf("%d entries %s, want %d", got, op, want)
		}
	}
}

func containsID(ids []int64, id int64) bool {
	for _, x := range ids {
		if x == id {
			return true
		}
	}
	return false
}
