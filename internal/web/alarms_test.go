package web

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"farol/internal/catalog"
	"farol/internal/policy"
	"farol/internal/record"
	"farol/internal/restore"
	"farol/internal/verify"
	"farol/internal/watch"
)

func TestAnAlarmIsShownExplainedAndAnswered(t *testing.T) {
	h := newHouse(t)
	h.account("maria", "owner")
	h.account("tong", "it")
	h.account("ana", "auditor")
	h.backedUp()
	if err := h.mach.FinishSetup(t.Context()); err != nil {
		t.Fatal(err)
	}
	v := h.login("tong")
	v.get("/alarms").wants(t, 200, "沒有警報", "未有紀錄")
	v.get("/alarms/7").wants(t, 404)
	box := h.named(record.Chat)
	if err := h.alarms.Raise(t.Context(), watch.Finding{Cause: watch.Deletion, Kind: record.Chat, Dept: box.Dept, Container: box.CatalogID, Seen: 4321, Usual: 7, Held: 5000, Seq: 3}); err != nil {
		t.Fatal(err)
	}
	h.stale()
	title := "4,321 項聊天在短時間內被刪除"
	v.get("/").wants(t, 200, "【出事】", title, `href="/alarms/1"`)
	v.get("/status/band").wants(t, 200, title, "最後的完好還原點")
	v.get("/alarms").wants(t, 200, title, "4,321 項，原有 5,000 項", "第 2 次提交").lacks(t, escaped(box.Title))

	// Who may not read sees a number, who may and says why sees the name.
	v.get("/alarms/1").wants(t, 200, title, "名稱只讓", `name="note"`).lacks(t, escaped(box.Title), "/archive/chat/"+strconv.FormatInt(box.CatalogID, 10))
	m := h.login("maria")
	m.get("/alarms/1").wants(t, 200, "/archive/chat/"+strconv.FormatInt(box.CatalogID, 10)+"?as_of=2").lacks(t, escaped(box.Title))
	m.post("/purpose", "purpose", "investigation", "title", "供應商訴訟案", "next", "/alarms/1").wants(t, 303)
	viewed := h.logged("view")
	m.get("/alarms/1").wants(t, 200, escaped(box.Title)).lacks(t, "名稱只讓")
	if h.logged("view") != viewed+1 {
		t.Error("that the name was seen is not in the log")
	}
	a := h.login("ana")
	a.get("/alarms/1").wants(t, 200, title).lacks(t, `name="note"`)
	a.post("/alarms/1", "note", "x").wants(t, 403)

	v.post("/alarms/1", "note", "   ").wants(t, 422, "請寫下查到甚麼", `aria-invalid="true"`)
	h.clock.pass(6 * time.Minute)
	v.post("/alarms/1", "note", "倉務清理舊群").wants(t, 403, `name="note" value="倉務清理舊群"`)
	if open, err := h.alarms.Open(t.Context()); err != nil || !open {
		t.Fatal("closed without a fresh code", err)
	}
	v.post("/stepup", "totp", h.code(h.kept["tong"].Text), "next", "/alarms/1", "again", "post", "note", "倉務清理舊群").wants(t, 307)
	v.post("/alarms/1", "note", "倉務清理舊群").wants(t, 303, "/alarms?done=alarm")
	v.get("/alarms?done=alarm").wants(t, 200, "沒有警報", title, "tong", "警報已確認")
	v.get("/alarms/1").wants(t, 200, "倉務清理舊群", "已處理").lacks(t, `<form method="post" action="/alarms/1"`)
	v.post("/alarms/1", "note", "again").wants(t, 404)
	v.get("/status/band").wants(t, 200).lacks(t, title)
	if h.logged("alarm.open") != 1 || h.logged("alarm.acknowledge") != 1 {
		t.Errorf("%d and %d entries", h.logged("alarm.open"), h.logged("alarm.acknowledge"))
	}
}

// named is a container whose name is not a department's.
func (h *house) named(k record.Kind) catalog.ContainerInfo {
	h.t.Helper()
	ds, err := h.d.Catalog.Depts(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	list, err := h.d.Door.Containers(h.t.Context(), restore.Request{Subject: policy.Subject{Account: "test", Grants: policy.GrantsOf("owner")}, Purpose: policy.Verification}, k, 0)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, c := range list {
		if !c.Private && c.Title != "" && !slices.ContainsFunc(ds, func(d record.Dept) bool { return strings.Contains(d.Name, c.Title) }) {
			return c
		}
	}
	h.t.Fatalf("no container of %s has a name of its own", k)
	return catalog.ContainerInfo{}
}

func TestAssuranceShowsWhatWasReadBack(t *testing.T) {
	h := newHouse(t)
	h.account("tong", "it")
	h.backedUp()
	v := h.login("tong")
	v.get("/assurance").wants(t, 200, "未有完整的讀回紀錄")
	at := h.clock.now()
	h.mach.verified = Verified{Parts: []verify.Part{{Kind: record.Chat, Dept: 1, Records: 1234, Files: 56, Bytes: 7_000_000, Root: strings.Repeat("ab", 32), At: at}, {Kind: record.Files, Dept: 999, Records: 5, Bad: 2, Root: strings.Repeat("cd", 32), At: at}},
		Runs: []verify.Run{{What: verify.Sample, State: verify.Done, By: "system", Started: at, Ended: at, Records: 40, Listed: 600}, {What: verify.All, State: verify.Waiting, By: "system", Started: at, Records: 900},
			{What: verify.Sample, State: verify.Done, By: "system", Started: at, Ended: at, Records: 40, Listed: 600, Missing: 3}, {What: verify.All, State: verify.Done, By: "tong", Started: at, Records: 900, Healed: 1}}}
	v.get("/assurance").wants(t, 200, "1,234", "7.0\u00a0MB", strings.Repeat("ab", 32), "2 項不符", "沒有部門", "與釘釘最新清單的 600 項相符", "今晚時間已滿", "600 項中有 3 項未有備份", "修復 1 處")
}
