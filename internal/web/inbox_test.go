package web

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"farol/internal/record"
)

// TestAnExportNeedsAnotherPersonAndHappensOnceAsAgreed walks the inbox as
// three people and tries every way round it.
func TestAnExportNeedsAnotherPersonAndHappensOnceAsAgreed(t *testing.T) {
	h := newHouse(t)
	h.account("maria", "owner")
	h.backedUp()
	box, _ := h.someContainer(record.Chat)
	fields := []string{"kind", "chat", "container", strconv.FormatInt(box.CatalogID, 10), "target", "zip"}
	maria := h.login("maria")
	maria.post("/purpose", "purpose", "dispute", "title", "供應商訴訟案", "next", "/")

	maria.get("/inbox").wants(t, 200, "目前沒有其他人可以同意")
	alone := maria.post("/restore/run", fields...).wants(t, 200)
	if !strings.HasPrefix(alone.body, "PK") {
		t.Fatalf("alone: %.100q", alone.body)
	}

	h.account("chan", "manager")
	h.account("lei", "legal")
	h.account("hoit", "it")
	n := h.logged("export.run")
	maria.get("/restore?kind=chat&step=2").wants(t, 200, `name="reason"`)
	maria.post("/restore/run", fields...).wants(t, 422, "需要 ", "什麼都還沒有匯出")
	if h.logged("export.run") != n || h.logged("export.request") != 0 {
		t.Fatal("something was exported or asked for without a reason")
	}
	asked := maria.post("/restore/run", append(fields, "reason", "法院要求的對話紀錄")...).wants(t, 303)
	path := strings.TrimSuffix(asked.to, "?done=asked")
	maria.get(path).wants(t, 200, "法院要求的對話紀錄", escaped(box.Title)).lacks(t, path+"/decide", path+"/run")
	maria.post(path+"/run").wants(t, 409, "其他人尚未同意")
	maria.post(path+"/decide", "word", "yes").wants(t, 409, "不能同意或拒絕自己的要求")

	chan1, lei, it := h.login("chan"), h.login("lei"), h.login("hoit")
	it.get(path).wants(t, 404)
	it.post(path+"/decide", "word", "yes").wants(t, 403)
	it.get("/").wants(t, 200).lacks(t, "maria 等待您的同意")
	chan1.get("/").wants(t, 200, "maria 等待您的同意")
	chan1.get(path).wants(t, 200, "法院要求的對話紀錄", path+"/decide")
	chan1.post(path+"/decide", "word", "no").wants(t, 422, "拒絕時請寫明原因")
	chan1.post(path+"/decide", "word", "maybe").wants(t, 422)
	chan1.post(path+"/decide", "word", "yes").wants(t, 303)
	chan1.post(path+"/decide", "word", "yes").wants(t, 409)
	if strings.Contains(maria.get(path).body, "還欠") { // two when the conversation holds anything confidential
		lei.post(path+"/decide", "word", "yes").wants(t, 303)
	}
	lei.post(path+"/run").wants(t, 409, "這與已同意的內容不同")
	h.clock.pass(time.Minute)
	h.refusal("approval", func() { chan1.post(path+"/run").wants(t, 409) })
	maria.fresh("maria")
	maria.get("/").wants(t, 200, "您的要求已獲同意")
	maria.post("/purpose", "purpose", "handover", "title", "供應商訴訟案", "next", "/") // what was agreed to is for a dispute, whatever the bar says now
	zip := maria.post(path+"/run").wants(t, 200)
	if !strings.HasPrefix(zip.body, "PK") {
		t.Fatalf("%.100q", zip.body)
	}
	maria.post(path+"/run").wants(t, 409, "這項要求已結束")
	if es := h.said("export.run"); len(es) == 0 || es[0].Approval != strings.TrimPrefix(path, "/inbox/") || es[0].Purpose != "dispute" {
		t.Errorf("the log does not name what was agreed to: %+v", es)
	}
	for op, want := range map[string]int{"export.request": 1, "export.reject": 0} {
		if got := h.logged(op); got != want {
			t.Errorf("%d entries %s, want %d", got, op, want)
		}
	}

	back := maria.post("/restore/run", append(fields, "reason", "再要一份副本")...).wants(t, 303)
	path = strings.TrimSuffix(back.to, "?done=asked")
	n = h.logged("export.request")
	chan1.post(path+"/withdraw").wants(t, 404)
	if h.logged("export.request") != n {
		t.Error("the log says another one withdrew it")
	}
	maria.post(path+"/withdraw").wants(t, 303)
	chan1.post(path+"/decide", "word", "yes").wants(t, 409, "這項要求已結束")
	maria.post(path+"/run").wants(t, 409)
	maria.get("/inbox").wants(t, 200, "已撤回", "已進行")
	maria.get("/inbox/nosuchthing").wants(t, 404)
}

func TestAStaleCodeAgreesToNothing(t *testing.T) {
	h := newHouse(t)
	h.account("maria", "owner")
	h.account("chan", "manager")
	chan1 := h.login("chan")
	h.clock.pass(6 * time.Minute)
	chan1.post("/inbox/x/decide", "word", "yes").wants(t, 403, `name="again" value="post"`)
}
