package web

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestRulesArePreviewedBeforeTheyAreSaved(t *testing.T) {
	h, v := owned(t)
	for i := range 100 {
		h.mach.verdicts = append(h.mach.verdicts, Verdict{Point: Point{ID: fmt.Sprint("p", i), Seq: uint64(1000 - i), Time: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, -i), Records: 5, Bytes: 2000}})
	}
	h.mach.verdicts[1].Held = "案件 7"
	h.mach.alarm = true
	v.get("/points").wants(t, 200, "共 100 個，當中 1 個已保留", "會移除 93 個", "案件 7", "一個時間點都不會移除", "第 1 頁，共 3 頁", "/points?page=2", "7 天內全部留下", "as_of=1000").lacks(t, "預覽新規則")
	v.get("/points?page=3").wants(t, 200, "/points/p99").lacks(t, "/points/p0\"")
	v.get("/points?page=99").wants(t, 200, "/points/p99")
	was := h.mach.rules
	rules := "all=40&daily=90&weekly=731&monthly=3653&from=3&to=6"
	v.get("/points?"+rules).wants(t, 200, "會移除 60 個，留下 40 個", "未儲存", `name="all" value="40"`, "/points/p40", "page=2").lacks(t, "/points/p39\"")
	if h.mach.rules != was {
		t.Fatal("a preview changed the rules")
	}
	for q, want := range map[string]string{"all=0": "規則互相矛盾", "all=90&daily=2": "規則互相矛盾", "all=x": "0 至 100,000 的整數", "from=24": "0 至 23 的整數"} {
		v.get("/points?"+q).wants(t, 422, want)
		form := []string{}
		for _, p := range strings.Split(q, "&") {
			k, x, _ := strings.Cut(p, "=")
			form = append(form, k, x)
		}
		v.post("/points/rules", form...).wants(t, 422, want)
	}
	v.post("/points/rules").wants(t, 422)
	if h.mach.rules != was {
		t.Fatal("refused rules were kept")
	}
	v.post("/points/rules", "all", "40", "daily", "90", "weekly", "731", "monthly", "3653", "from", "22", "to", "2").wants(t, 303, "/points?done=rules")
	if h.mach.rules != (Rules{40, 90, 731, 3653, 22, 2}) {
		t.Errorf("%+v", h.mach.rules)
	}
	v.get("/points").wants(t, 200, "只在 22:00 至 02:00 整理")
}

func TestAPointIsHeldForAReason(t *testing.T) {
	h, v := owned(t)
	h.mach.verdicts = []Verdict{{Point: Point{ID: "p0", Seq: 9}}, {Point: Point{ID: "p1", Seq: 8, Held: "案件 7"}}}
	v.get("/points/p0").wants(t, 200, `action="/points/p0/hold"`).lacks(t, "unhold")
	v.get("/points/p1").wants(t, 200, `action="/points/p1/unhold"`, "案件 7")
	v.get("/points/p2").wants(t, 404)
	for _, bad := range []string{"", "   ", strings.Repeat("長", 201)} {
		v.post("/points/p0/hold", "reason", bad).wants(t, 422, "請寫明原因", `aria-invalid="true"`)
	}
	if len(h.mach.acts) > 0 {
		t.Fatal("held without a reason")
	}
	v.post("/points/p0/hold", "reason", " 案件 8 ").wants(t, 303, "/points?done=held")
	v.post("/points/p1/unhold").wants(t, 303, "/points?done=unheld")
	if got := strings.Join(h.mach.acts, "; "); got != "maria hold p0 案件 8; maria unhold p1" {
		t.Error(got)
	}
	h.clock.pass(6 * time.Minute)
	v.post("/points/p1/unhold").wants(t, 403, "/points/p1/unhold")
}
