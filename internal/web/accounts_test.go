package web

import (
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"farol/internal/auth"
)

var (
	madeLink   = regexp.MustCompile(`id="made">https://[^/]+(/join#[A-Z2-7]+)<`)
	otpauth    = regexp.MustCompile(`data-otpauth="[^"]*secret=([A-Z2-7]+)`)
	slip       = regexp.MustCompile(`<li class="mono">([A-Z2-7-]{27})</li>`)
	emergency  = regexp.MustCompile(`<dd class="mono">(emergency-[a-z2-7]+)</dd>`)
	paperWords = regexp.MustCompile(`<dd class="mono">([A-Z2-7]{5}(?:-[A-Z2-7]{5}){4})</dd>`)
)

// found is the first group of a pattern in the page.
func (a answerOf) found(t *testing.T, re *regexp.Regexp) string {
	t.Helper()
	m := re.FindStringSubmatch(a.body)
	if m == nil {
		t.Fatalf("%s has no %s: %.400s", a.path, re, a.body)
	}
	return m[1]
}

func (a answerOf) slips(t *testing.T, n int) []string {
	t.Helper()
	var out []string
	for _, m := range slip.FindAllStringSubmatch(a.body, -1) {
		out = append(out, m[1])
	}
	if len(out) != n {
		t.Fatalf("%s shows %d codes, want %d", a.path, len(out), n)
	}
	return out
}

// ready is a house after set-up with an owner.
func ready(t *testing.T) (*house, *visitor) {
	t.Helper()
	h := newHouse(t)
	h.account("maria", "owner")
	if err := h.mach.FinishSetup(t.Context()); err != nil {
		t.Fatal(err)
	}
	return h, h.login("maria")
}

// again signs the visitor in anew.
func (v *visitor) again(name string) {
	v.h.t.Helper()
	v.post("/login", "name", name, "password", password, "totp", v.h.code(v.h.kept[name].Text)).wants(v.h.t, 303)
}

// fresh gives the visitor a code of the last five minutes.
func (v *visitor) fresh(name string) {
	v.h.t.Helper()
	v.post("/stepup", "totp", v.h.code(v.h.kept[name].Text), "next", "/").wants(v.h.t, 303)
}

// entries checks how many entries of each operation there are.
func (h *house) entries(want map[string]int) {
	h.t.Helper()
	for op, n := range want {
		if got := h.logged(op); got != n {
			h.t.Errorf("%d entries %s, want %d", got, op, n)
		}
	}
}

func TestInvitationStory(t *testing.T) {
	h, v := ready(t)
	v.post("/accounts/invite", "name", "maria", "role", "auditor").wants(t, 422, "已有同名帳戶")
	v.post("/accounts/invite", "name", "a b", "role", "auditor").wants(t, 422)
	v.post("/accounts/invite", "name", "rui", "role", "emperor").wants(t, 422)
	link := v.post("/accounts/invite", "name", "rui", "shown", "Rui <b>", "role", "auditor").wants(t, 200, "Rui &lt;b&gt;").found(t, madeLink)
	v.get("/accounts").wants(t, 200, "rui").lacks(t, strings.TrimPrefix(link, "/join#"))

	x := h.visitor()
	page := x.open(link).wants(t, 200, "rui", "核數")
	if page.head.Get("Cache-Control") != "no-store" || page.head.Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("the page with the link may be kept: %v", page.head)
	}
	secret := page.found(t, otpauth)
	if q := x.get("/join/account/qr.png").wants(t, 200); q.head.Get("Content-Type") != "image/png" {
		t.Errorf("the QR code is %s", q.head.Get("Content-Type"))
	}
	x.post("/join/account", "password", "short", "totp", h.code(secret)).wants(t, 422, `id="password-h"`)
	x.post("/join/account", "password", password, "totp", "000000").wants(t, 422, `id="totp-h"`).lacks(t, password)
	codes := x.post("/join/account", "password", password, "totp", h.code(secret)).wants(t, 200, "只顯示這一次").slips(t, auth.RecoveryCodes)
	x.open(link).wants(t, 404, "這個連結不能使用")
	x.post("/login", "name", "rui", "password", password, "totp", h.code(secret)).wants(t, 303, "/")
	x.get("/settings").wants(t, 200, "餘 10 個", "Rui &lt;b&gt;")
	x.get("/accounts").wants(t, 403)
	x.post("/logout").wants(t, 303)
	x.post("/login", "name", "rui", "password", password, "recovery", strings.ToLower(codes[3])).wants(t, 303, "/")
	x.get("/settings").wants(t, 200, "餘 9 個")

	v.fresh("maria")
	gone := v.post("/accounts/invite", "name", "nobody", "role", "it").wants(t, 200).found(t, madeLink)
	id := regexp.MustCompile(`action="(/accounts/invite/\d+/withdraw)"`)
	v.post(v.get("/accounts").found(t, id)).wants(t, 303, "/accounts?done=withdrawn")
	h.visitor().open(gone).wants(t, 404)
	late := v.post("/accounts/invite", "name", "nobody", "role", "it").wants(t, 200).found(t, madeLink)
	h.clock.pass(auth.LinkLife)
	h.visitor().open(late).wants(t, 404)
	h.entries(map[string]int{"user.invite": 4, "user.invite.withdraw": 1, "user.create": 1, "totp.enrol": 1, "recovery.use": 1, "user.join": 4})
}

// TestNobodyGivesMoreThanHeHas: who runs the machine cannot make a reader.
func TestNobodyGivesMoreThanHeHas(t *testing.T) {
	h, _ := ready(t)
	h.account("tech", "it")
	h.account("rui", "auditor")
	v := h.login("tech")
	v.get("/accounts").wants(t, 200, `value="it"`).lacks(t, `value="owner"`, `value="legal"`, `value="auditor"`, `action="/accounts/breakglass"`)
	for _, role := range []string{"owner", "legal", "auditor"} {
		v.post("/accounts/invite", "name", "friend", "role", role).wants(t, 422, "權限比您的多")
	}
	v.post("/accounts/breakglass").wants(t, 403)
	for _, act := range []string{"role", "disable", "reset", "end"} {
		v.post("/accounts/1/"+act, "role", "it").wants(t, 422, "權限比您的多")
		v.post("/accounts/3/"+act, "role", "it").wants(t, 422, "權限比您的多")
	}
	v.post("/accounts/2/role", "role", "owner").wants(t, 422)
	h.login("maria").get("/").wants(t, 200)
}

func TestManagedAccountsStory(t *testing.T) {
	h, v := ready(t)
	h.account("rui", "auditor")
	x := h.login("rui")
	v.post("/accounts/2/role", "role", "it").wants(t, 303, "/accounts/2?done=role")
	x.get("/audit").wants(t, 303, "/login?next=%2Faudit")
	x = h.login("rui")
	x.get("/audit").wants(t, 403)
	v.fresh("maria")
	v.post("/accounts/2/end").wants(t, 303, "/accounts/2?done=ended")
	x.get("/").wants(t, 303, "/login")
	x = h.login("rui")
	v.post("/accounts/2/disable").wants(t, 303, "/accounts/2?done=disabled")
	x.get("/").wants(t, 303, "/login")
	x.post("/login", "name", "rui", "password", password, "totp", h.code(h.kept["rui"].Text)).wants(t, 422)
	v.get("/accounts/2").wants(t, 200, "重新啟用", "已停用")
	v.post("/accounts/2/enable").wants(t, 303, "/accounts/2?done=enabled")
	x = h.login("rui")
	v.fresh("maria")
	link := v.post("/accounts/2/reset").wants(t, 200).found(t, madeLink)
	x.get("/").wants(t, 303, "/login")
	x.post("/login", "name", "rui", "password", password, "totp", h.code(h.kept["rui"].Text)).wants(t, 422)
	secret := x.open(link).wants(t, 200, "登記新的驗證器").found(t, otpauth)
	x.post("/join/account", "password", "not the password at all", "totp", h.code(secret)).wants(t, 422, "密碼不對")
	x.post("/join/account", "password", password, "totp", h.code(secret)).wants(t, 200).slips(t, auth.RecoveryCodes)
	x.post("/login", "name", "rui", "password", password, "totp", h.code(secret)).wants(t, 303, "/")

	v.fresh("maria")
	v.post("/accounts/2/reset", "lost", "wallet").wants(t, 422, "請選擇遺失了甚麼")
	x.get("/").wants(t, 200)
	link = v.post("/accounts/2/reset", "lost", "password").wants(t, 200).found(t, madeLink)
	x.get("/").wants(t, 303, "/login")
	v.get("/accounts/2").wants(t, 200, "等待使用連結").lacks(t, "已重設，未登記")
	x.open(link).wants(t, 200, "設定新密碼", "驗證器的 6 位數字").lacks(t, "otpauth", "qr.png")
	x.get("/join/account/qr.png").wants(t, 404)
	x.post("/join/account", "password", "another long pass of rui", "totp", "000000").wants(t, 422, "數字不對")
	x.post("/join/account", "password", "another long pass of rui", "totp", h.code(secret)).wants(t, 303, "/login")
	x.open(link).wants(t, 404)
	x.post("/login", "name", "rui", "password", password, "totp", h.code(secret)).wants(t, 422)
	x.post("/login", "name", "rui", "password", "another long pass of rui", "totp", h.code(secret)).wants(t, 303, "/")

	v.fresh("maria")
	for _, act := range []string{"disable", "role", "reset", "end"} {
		v.post("/accounts/1/"+act, "role", "it").wants(t, 422, "由另一位管理帳戶的同事更改")
	}
	v.post("/accounts/2/role", "role", "auditor").wants(t, 303)
	v.get("/accounts/1").wants(t, 200, "由另一位管理帳戶的同事更改").lacks(t, `action="/accounts/1/disable"`)
	v.get("/accounts/99").wants(t, 404)
	h.entries(map[string]int{"role.change": 3, "session.revoke": 2, "user.disable": 2, "user.enable": 1, "totp.reset": 3, "password.reset": 1, "password.change": 1})
}

func TestOwnAccountStory(t *testing.T) {
	h, v := ready(t)
	v.get("/").wants(t, 200, "您沒有備用碼")
	h.clock.pass(6 * time.Minute)
	for _, p := range []string{"/settings/authenticator", "/settings/passkey"} {
		v.get(p).wants(t, 303, query("/login", "done", "anew", "next", p))
	}
	v.post("/settings/recovery").wants(t, 303, "/login?done=anew&next=%2Fsettings")
	v.fresh("maria")
	v.post("/settings/recovery").wants(t, 303, "/login?done=anew&next=%2Fsettings") // a code alone is not enough
	v.get("/login?done=anew&next=/settings").wants(t, 200, "請重新登入")
	v.again("maria")
	codes := v.post("/settings/recovery").wants(t, 200).slips(t, auth.RecoveryCodes)
	v.get("/").wants(t, 200).lacks(t, "您沒有備用碼")
	other := h.login("maria")
	const fresh = "quite another sentence 海燕"
	v.post("/settings/password", "password_old", "wrong", "password_new", fresh, "totp", codes[0]).wants(t, 422, `id="password_old-h"`).lacks(t, fresh)
	v.post("/settings/password", "password_old", password, "password_new", "short", "totp", codes[0]).wants(t, 422, `id="password_new-h"`)
	v.post("/settings/password", "password_old", password, "password_new", fresh, "totp", "000000").wants(t, 422, `id="totp-h"`)
	v.post("/settings/password", "password_old", password, "password_new", fresh, "totp", codes[0]).wants(t, 303, "/settings?done=password")
	v.get("/settings").wants(t, 200, "餘 9 個")
	other.get("/").wants(t, 303, "/login")
	other.post("/login", "name", "maria", "password", password, "totp", h.code(h.kept["maria"].Text)).wants(t, 422)
	other.post("/login", "name", "maria", "password", fresh, "totp", h.code(h.kept["maria"].Text)).wants(t, 303)

	v.get("/settings/authenticator/qr.png").wants(t, 404)
	secret := v.get("/settings/authenticator").wants(t, 200).found(t, otpauth)
	v.get("/settings/authenticator/qr.png").wants(t, 200)
	v.post("/settings/authenticator", "totp", h.code(h.kept["maria"].Text)).wants(t, 422)
	v.post("/settings/authenticator", "totp", h.code(secret), "secret", h.kept["maria"].Text).wants(t, 303, "/settings?done=authenticator")
	other.get("/").wants(t, 303, "/login")
	v.post("/stepup", "totp", h.code(h.kept["maria"].Text), "next", "/").wants(t, 422)
	v.post("/stepup", "totp", h.code(secret), "next", "/").wants(t, 303)
	v.post("/stepup", "recovery", codes[1], "next", "/").wants(t, 303)
	h.entries(map[string]int{"password.change": 4, "totp.enrol": 2, "recovery.renew": 1, "recovery.use": 2})
}

// TestTheEnvelopeStory: every use is an entry and an alarm that stays until
// somebody answers it.
func TestTheEnvelopeStory(t *testing.T) {
	h, v := ready(t)
	paper := v.post("/accounts/breakglass").wants(t, 200, "放入信封")
	name, words, codes := paper.found(t, emergency), paper.found(t, paperWords), paper.slips(t, auth.RecoveryCodes)
	v.get("/accounts").wants(t, 200, name, "已準備").lacks(t, words, codes[0])
	x := h.visitor()
	x.post("/login", "name", name, "password", words, "recovery", codes[0]).wants(t, 422, "請寫明使用緊急帳戶的原因").lacks(t, codes[0], words)
	if h.logged("breakglass.use") != 0 || h.logged("login.failed") != 0 {
		t.Error("asking for the reason is an entry of its own")
	}
	const reason = "both owners are at sea"
	x.post("/login", "name", name, "password", words, "recovery", codes[0], "reason", reason, "next", "/accounts").wants(t, 303, "/purpose?next=%2Faccounts")
	h.visitor().post("/login", "name", name, "password", words, "recovery", codes[0], "reason", reason).wants(t, 422)
	x.get("/accounts").wants(t, 200)
	x.post("/settings/recovery").wants(t, 403)
	x.get("/settings/authenticator").wants(t, 403)
	for _, p := range []string{"/", "/alarms", "/status/band"} {
		v.get(p).wants(t, 200, "緊急帳戶被使用了 1 次")
	}
	v.get("/alarms/1").wants(t, 200, reason, "127.0.0.1")
	h.entries(map[string]int{"breakglass.make": 1, "breakglass.use": 1, "alarm.open": 1, "recovery.use": 1, "login.failed": 1})
	h.visitor().post("/login", "name", name, "password", words, "recovery", codes[1], "reason", reason).wants(t, 303)
	v.get("/").wants(t, 200, "緊急帳戶被使用了 2 次")
	v.post("/alarms/1", "note", "it was Rui, for the audit").wants(t, 303)
	v.get("/").wants(t, 200).lacks(t, "緊急帳戶被使用了")
	h.visitor().post("/login", "name", name, "password", words, "recovery", codes[2], "reason", reason).wants(t, 303)
	v.get("/").wants(t, 200, "緊急帳戶被使用了")
	h.entries(map[string]int{"breakglass.use": 3, "alarm.open": 2})
	for _, e := range h.everything() {
		if strings.Contains(e, reason) || strings.Contains(e, codes[0]) || strings.Contains(e, words) {
			t.Errorf("the log holds a secret or the reason's words: %.80s", e)
		}
	}
	v.fresh("maria")
	v.post("/accounts/breakglass").wants(t, 200)
	x.get("/").wants(t, 303, "/login")
	h.visitor().post("/login", "name", name, "password", words, "recovery", codes[4], "reason", reason).wants(t, 422)
}

func TestAPasswordNeverWaitsInThePageForACode(t *testing.T) {
	h, v := ready(t)
	h.clock.pass(6 * time.Minute)
	v.post("/accounts/1/reset", "password", "p4ss-word-typed", "secret", "s3cret-typed", "lost", "both").wants(t, 403, `name="lost"`).lacks(t, "p4ss-word-typed", "s3cret-typed")
	v.do("POST", "/stepup", url.Values{"totp": {"000000"}, "again": {"post"}, "next": {"/x"}, "password": {"p4ss-word-typed"}, "recovery": {"AAAA"}, "lost": {"both"}}).wants(t, 422, `name="lost"`).lacks(t, "p4ss-word-typed", "AAAA")
}
