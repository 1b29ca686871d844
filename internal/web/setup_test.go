package web

import (
	"net/url"
	"regexp"
	"strings"
	"testing"
)

var secretField = regexp.MustCompile(`name="secret" value="([A-Z2-7]+)"`)

// TestSetUpStory walks the wizard as a careful and sometimes mistaken person.
func TestSetUpStory(t *testing.T) {
	h := newHouse(t)
	v := h.visitor()
	for _, path := range []string{"/", "/archive/chat", "/audit", "/login", "/backup"} {
		v.get(path).wants(t, 303, "/setup")
	}
	v.get("/setup").wants(t, 303, "/setup/claim")
	v.get("/setup/admin").wants(t, 303, "/setup/claim")
	v.post("/setup/admin", "name", "maria").wants(t, 303, "/setup/claim")
	v.get("/setup/claim").wants(t, 200, "ab:cd", `lang="zh-Hant-MO"`)

	v.post("/setup/claim", "code", "AAAA-BBBB-CCCC").wants(t, 422, "AAAA-BBBB-CCCC", `role="alert"`)
	v.post("/setup/claim", "code", strings.ToLower(h.mach.claim.Code())).wants(t, 303, "/setup/admin")
	page := v.get("/setup/admin").wants(t, 200, `data-otpauth="otpauth://totp/`).body
	secret := secretField.FindStringSubmatch(page)[1]
	if q := v.get("/setup/admin/qr.png").wants(t, 200); q.head.Get("Content-Type") != "image/png" {
		t.Errorf("the QR code is %s", q.head.Get("Content-Type"))
	}
	h.visitor().get("/setup/admin/qr.png").wants(t, 404)

	v.post("/setup/admin", "name", "maria<b>", "password", "short", "secret", secret, "totp", h.code(secret)).wants(t, 422, "maria&lt;b&gt;", secret).lacks(t, "maria<b>", `value="short"`)
	v.post("/setup/admin", "name", "maria", "password", password, "secret", secret, "totp", "000000").wants(t, 422, `id="totp-h"`)
	used := h.code(secret)
	to := v.post("/setup/admin", "name", "maria", "password", password, "secret", secret, "totp", used).wants(t, 303).to
	v.get(to).wants(t, 200, "maria", "帳戶已建立")
	v.get("/setup/claim").wants(t, 303, "/setup")

	v.post("/login", "name", "maria", "password", password, "totp", used, "next", "/setup/dingtalk").wants(t, 422, `value="maria"`).lacks(t, password)
	v.post("/login", "name", "maria", "password", password, "totp", h.code(secret), "next", "/setup/dingtalk").wants(t, 303, "/setup/dingtalk")
	v.get("/").wants(t, 303, "/setup")
	v.get("/setup").wants(t, 303, "/setup/dingtalk")

	v.post("/setup/dingtalk", "region", "custom", "base_url", h.above, "client_id", "id-typed", "client_secret", "secret-typed").wants(t, 422, "id-typed", h.above, "釘釘不接受").lacks(t, "secret-typed")
	v.post("/setup/dingtalk", "region", "custom", "base_url", h.above, "client_id", h.sim.ClientID(), "client_secret", h.sim.ClientSecret()).wants(t, 303, "/setup/dingtalk")
	v.get("/setup/dingtalk").wants(t, 200, "20 名成員中有 1 名同意")

	h.consentStory(v)
	v.get("/setup/scope").wants(t, 200, `name="all"`)
	v.post("/setup/scope", "all", "1").wants(t, 303, "/setup/storage")
	v.post("/setup/storage", "offsite_address", "node:1").wants(t, 422, `value="node:1"`)
	v.post("/setup/storage", "offsite_address", "node:1", "offsite_code", "good").wants(t, 422, "兩個大寫字母")
	v.post("/setup/storage", "offsite_address", "node:1", "offsite_code", "bad", "country", "MO").wants(t, 422, "配對碼不對")
	v.post("/setup/storage").wants(t, 303, "/setup/kit")
	v.post("/setup/kit/make", "n", "2", "k", "3").wants(t, 422)
	made := v.post("/setup/kit/make", "n", "3", "k", "2")
	var shares []string
	for _, s := range h.mach.kit {
		shares = append(shares, s.Text())
		made.wants(t, 200, s.Text(), s.Mark().English(), s.Mark().Chinese(false))
	}
	v.get("/setup/kit").wants(t, 200).lacks(t, shares...)
	v.post("/setup/kit", "share", "wrong", "share", shares[1]).wants(t, 422, "第 1 片有錯字", `value="wrong"`)
	v.post("/setup/kit", "share", shares[0], "share", shares[2]).wants(t, 303, "/setup/run")
	v.post("/setup/start", "mode", "full").wants(t, 303, "/setup/run")
	if !h.mach.finished {
		t.Error("the set-up was not finished")
	}
	if err := h.d.Engine.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	v.get("/setup").wants(t, 303, "/")
	v.get("/").wants(t, 200, "30 日備份水位", "只有本機一份備份")
	for op, n := range map[string]int{"setup.claim": 2, "user.create": 1, "login": 1, "login.failed": 1, "scope.change": 1} {
		if got := h.logged(op); got != n {
			t.Errorf("%d entries %s, want %d", got, op, n)
		}
	}
}

// consentStory: DingTalk sends the browser back without the session's cookie;
// only the browser that was sent out may finish.
func (h *house) consentStory(v *visitor) {
	t := h.t
	to := v.get("/setup/dingtalk/consent").wants(t, 303).to
	u, err := url.Parse(to)
	if err != nil || u.Host != "login.dingtalk.example" {
		t.Fatalf("consent goes to %s", to)
	}
	back := u.Query().Get("redirect_uri")
	if back != h.srv.URL+"/setup/dingtalk/callback" {
		t.Errorf("comes back to %s", back)
	}
	answer := "/setup/dingtalk/callback?authCode=c1&state=" + u.Query().Get("state")
	bare := h.visitor() // as the browser comes: SameSite=Strict keeps the cookie back
	page := bare.get(answer).wants(t, 200, `http-equiv="refresh"`, "again=1").body
	if len(h.mach.consents) != 0 {
		t.Fatal("completed without a session")
	}
	bare.get(answer+"&again=1").wants(t, 303, "/login?next=/setup/dingtalk")
	next := regexp.MustCompile(`content="0;url=([^"]+)"`).FindStringSubmatch(page)[1]
	v.get("/setup/dingtalk/callback?authCode=c1&state=forged").wants(t, 303, "/setup/dingtalk?problem=state")
	v.get(strings.ReplaceAll(next, "&amp;", "&")).wants(t, 303, "/setup/dingtalk")
	v.get(answer).wants(t, 303, "/setup/dingtalk?problem=state") // once
	if len(h.mach.consents) != 1 || h.mach.consents[0] != "c1" {
		t.Errorf("completed with %v", h.mach.consents)
	}
}

func TestAMemberWithoutAnAccountAgreesByTheLink(t *testing.T) {
	h := newHouse(t)
	h.account("maria", "owner")
	v := h.login("maria")
	v.post("/consents/invite").wants(t, 303, "/consents")
	link := regexp.MustCompile(`https://[^<"]+/consent/join#[A-Z0-9]+`).FindString(v.get("/consents").wants(t, 200).body)
	member := h.visitor()
	h.refusal("link", func() { member.open("/consent/join#WRONG").wants(t, 404) })
	member.get("/consent/agree").wants(t, 303, "/consent/join")
	member.open(link).wants(t, 200, "/consent/agree/go", "單獨聊天只限法律用途")
	to := member.get("/consent/agree/go").wants(t, 303).to
	u, _ := url.Parse(to)
	answer := "/consent/callback?authCode=c9&state=" + u.Query().Get("state")
	h.visitor().get(answer).wants(t, 422) // somebody else's browser
	member.get(answer).wants(t, 200, "黃俊傑")
	member.get(answer).wants(t, 422)
	if len(h.mach.consents) != 1 {
		t.Errorf("completed %d times", len(h.mach.consents))
	}
}

func TestTheScopeIsChosenBoxByBox(t *testing.T) {
	h := newHouse(t)
	h.account("maria", "owner")
	h.backedUp()
	v := h.login("maria")
	depts, err := h.d.Catalog.Depts(t.Context())
	if err != nil || len(depts) < 3 {
		t.Fatalf("%d departments, %v", len(depts), err)
	}
	page := v.get("/scope").wants(t, 200, `role="checkbox"`, `aria-checked="true"`).lacks(t, `aria-checked="mixed"`).body
	form := url.Values{"toggle": {"1:chat"}}
	for _, m := range regexp.MustCompile(`name="include" value="([^"]+)"`).FindAllStringSubmatch(page, -1) {
		form.Add("include", m[1])
	}
	after := v.do("POST", "/scope", form).wants(t, 200, `aria-checked="mixed"`, "未儲存")
	if strings.Contains(after.body, `value="1:chat"/>`) {
		t.Error("chat is still included")
	}
	form.Del("toggle")
	form.Set("save", "1")
	kept := form["include"][:0]
	for _, x := range form["include"] {
		if !strings.HasSuffix(x, ":chat") {
			kept = append(kept, x)
		}
	}
	form["include"] = kept
	v.do("POST", "/scope", form).wants(t, 303, "/scope?done=scope")
	chosen, err := h.d.Settings.Chosen(t.Context(), depts)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range depts {
		if chosen.Includes(d.ID, "chat") || !chosen.Includes(d.ID, "files") {
			t.Errorf("department %d: chat %v, files %v", d.ID, chosen.Includes(d.ID, "chat"), chosen.Includes(d.ID, "files"))
		}
	}
	v.get("/scope?done=scope").wants(t, 200, "範圍已儲存")
}
