package web

import (
	"strings"
	"testing"
	"time"

	"farol/internal/auth"
	"farol/internal/kit"
	"farol/internal/settings"
)

func aKit(now time.Time) *kit.Kit {
	k := &kit.Kit{N: 3, K: 2, Made: now}
	for i := range 3 {
		k.Shares = append(k.Shares, kit.Share{Number: i + 1, Seen: now})
	}
	return k
}

// TestTheConsoleKnowsWhoKeepsTheShares walks the page of the recovery kit:
// naming keepers, confirming by words, giving up, rehearsing.
func TestTheConsoleKnowsWhoKeepsTheShares(t *testing.T) {
	h := newHouse(t)
	h.account("maria", "owner")
	v := h.login("maria")
	v.get("/kit").wants(t, 200, "/setup/kit")
	if _, err := h.mach.Kit(t.Context(), "maria", 3, 2); err != nil {
		t.Fatal(err)
	}
	shares := h.mach.kit
	if err := h.mach.ConfirmKit(t.Context(), "maria", []string{shares[0].Text(), shares[1].Text()}); err != nil {
		t.Fatal(err)
	}
	v.get("/kit").wants(t, 200, "在保管中").lacks(t, shares[0].Text(), shares[0].Mark().English(), shares[0].Mark().Chinese(false))
	h.clock.pass(auth.Fresh + time.Minute)
	for _, act := range []string{"/kit/1/keeper", "/kit/1/see", "/kit/1/lose", "/kit/rehearse"} {
		v.post(act).wants(t, 403, `action="/stepup"`)
	}
	v.get("/setup/kit").wants(t, 200) // its first walk began with a code
	if err := h.d.Settings.Set(t.Context(), map[string]string{settings.SetupDone: "2026-11-23T00:00:00Z"}); err != nil {
		t.Fatal(err)
	}
	v.get("/setup/kit").wants(t, 303, "/stepup?next=%2Fsetup%2Fkit") // set-up is over: a new kit is a matter for a fresh code
	v.post("/setup/kit/make", "n", "3", "k", "2").wants(t, 403, `action="/stepup"`)
	v.post("/stepup", "totp", h.code(h.kept["maria"].Text)).wants(t, 303)

	v.post("/kit/1/keeper", "keeper", "  法律部  王律師，保險箱 ").wants(t, 303, "/kit?done=keeper")
	v.get("/kit").wants(t, 200, "法律部 王律師，保險箱")
	v.post("/kit/1/keeper", "keeper", strings.Repeat("長", 101)).wants(t, 422, "最多 100 個字")
	v.post("/kit/9/keeper", "keeper", "x").wants(t, 404)
	v.post("/kit/x/keeper", "keeper", "x").wants(t, 404)

	h.clock.pass(kit.Presence)
	v = h.login("maria")
	v.get("/").wants(t, 200, "3 片已逾半年未確認仍在")
	v.post("/kit/1/see", "words", shares[1].Mark().English()).wants(t, 422, "這不是分片 1 的字詞")
	v.post("/kit/1/see", "words", "not four words of it at all").wants(t, 422, "四個英文字或四個漢字")
	v.post("/kit/1/see", "words", strings.ToUpper(shares[0].Mark().English())).wants(t, 303, "/kit?done=seen")
	v.post("/kit/2/see", "words", shares[1].Mark().Chinese(true)).wants(t, 303, "/kit?done=seen")
	v.get("/").wants(t, 200, "1 片已逾半年未確認仍在")

	v.post("/kit/3/lose").wants(t, 303, "/kit?done=lost")
	v.post("/kit/3/see", "words", shares[2].Mark().English()).wants(t, 422, "此片已作廢")
	v.get("/kit").wants(t, 200, "3 片中餘 2 片可用")
	v.post("/kit/2/lose").wants(t, 303, "/kit?done=lost")
	v.get("/").wants(t, 200, "只餘 1 片可用，開啟金鑰需要 2 片")

	v.post("/kit/rotate", "n", "3", "k", "4").wants(t, 422, "恢復金鑰套件")
	v.post("/kit/rotate", "n", "3", "k", "2").wants(t, 200, "新的根金鑰尚未生效", h.mach.kit[0].Text())
	shares = h.mach.kit
	v.post("/setup/kit", "share", "wrong", "share", shares[1].Text()).wants(t, 422)
	v.post("/setup/kit", "share", shares[0].Text(), "share", shares[1].Text()).wants(t, 303, "/kit/locks?done=rotated")
	h.mach.locks = []Lock{{Opened: true}, {Name: "NAS", Away: true}, {Name: "node"}}
	v.get("/kit/locks").wants(t, 200, "3 處中有 1 處", "未能讀取", "仍是上一把鎖")
	h.mach.root = "another"
	v.get("/kit").wants(t, 200, "上一條根金鑰")
	h.mach.root = h.mach.of
	h.mach.locks = []Lock{{Opened: true}, {Name: "NAS", Away: true}}
	v.post("/kit/rehearse", "share", "wrong", "share", shares[1].Text()).wants(t, 422, "有錯字", `value="wrong"`)
	v.post("/kit/rehearse", "share", shares[0].Text(), "share", shares[1].Text()).wants(t, 200, "2 把鎖開啟了 1 把", "NAS", "未能讀取").lacks(t, shares[0].Text())
	for what, n := range map[string]int{"key.share.issue": 5} {
		if got := h.logged(what); got != n {
			t.Errorf("%d entries %s, want %d", got, what, n)
		}
	}

	h.account("paul", "auditor")
	it := h.login("paul")
	it.get("/kit").wants(t, 403)
	it.post("/kit/1/lose").wants(t, 403)
}
