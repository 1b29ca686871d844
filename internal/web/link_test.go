package web

import (
	"strings"
	"testing"
	"time"

	"farol/internal/auth"
	"farol/internal/i18n"
)

// linkedHouse is a house with sign-in by DingTalk switched on, in which maria's
// account is linked to a member; ana is another member.
func linkedHouse(t *testing.T) (h *house, maria *visitor, user, ana string) {
	t.Helper()
	h = newHouse(t)
	h.consent()
	h.account("maria", "owner")
	maria = h.login("maria")
	maria.post("/consents/self", "what", "signin", "on", "1").wants(t, 303, "/consents/self?done=signin.on")
	user, ana = h.staff()[1].Person, h.staff()[2].Person
	h.link(maria, user).wants(t, 303, "/settings?done=linked")
	return h, maria, user, ana
}

// link links the account of a visitor to a member.
func (h *house) link(v *visitor, user string) answerOf {
	h.t.Helper()
	return v.get(h.agree(v.post("/settings/dingtalk").wants(h.t, 303).to, user))
}

// first gives the first factor by DingTalk.
func (h *house) first(v *visitor, user string) answerOf {
	h.t.Helper()
	return v.get(h.agree(v.get("/login/dingtalk").wants(h.t, 303).to, user))
}

func TestDingTalkStandsInForThePasswordAndNeverForTheCode(t *testing.T) {
	h, maria, user, ana := linkedHouse(t)
	name := h.d.Members.Shown(h.staff()[1].UnionID)
	maria.get("/settings?done=linked").wants(t, 200, name, "帳戶已連結", "/settings/dingtalk/remove")
	h.visitor().get("/login").wants(t, 200, `href="/login/dingtalk"`)

	v := h.visitor()
	page := h.first(v, user).wants(t, 200, `name="first" value="1"`, "再輸入驗證碼")
	if strings.Contains(page.body, `name="ticket"`) || strings.Contains(page.body, "maria") {
		t.Error("the page offers a passkey under an address, or tells whose account it is")
	}
	for _, path := range []string{"/", "/settings", "/archive", "/accounts"} {
		v.get(path).wants(t, 303)
		if a := v.get(path); !strings.HasPrefix(a.to, "/login") {
			t.Errorf("DingTalk alone opens %s: %d to %q", path, a.code, a.to)
		}
	}
	sessions := h.sessionsOf("maria")
	v.post("/login", "first", "1").wants(t, 422)
	v.post("/login", "first", "1", "totp", "123456").wants(t, 422)
	v.post("/login", "first", "1", "password", password, "name", "maria").wants(t, 422)
	if h.sessionsOf("maria") != sessions {
		t.Fatal("a session without a code")
	}
	code := h.code(h.kept["maria"].Text)
	v.post("/login", "first", "1", "totp", code).wants(t, 303, "/")
	v.get("/").wants(t, 200)
	if e := h.said("login")[0]; e.Detail["first"] != "dingtalk" || e.Actor != "maria" {
		t.Errorf("%+v", e)
	}
	// the ticket is spent with the sign-in, and the code with it
	v.post("/login", "first", "1", "totp", h.code(h.kept["maria"].Text)).wants(t, 422)
	w := h.visitor()
	h.first(w, user).wants(t, 200)
	w.post("/login", "first", "1", "totp", code).wants(t, 422)

	// who is linked to nothing learns so, and gets nowhere
	x := h.visitor()
	h.first(x, ana).wants(t, 422, i18n.ZhHant.T("self.why.unlinked"))
	x.post("/login", "first", "1", "totp", h.code(h.kept["maria"].Text)).wants(t, 422)
	if e := h.said("login.failed"); e[0].Detail["why"] != "state" || e[1].Detail["why"] != "unlinked" {
		t.Errorf("%+v", e[:2])
	}
	for _, op := range []string{"account.link", "login", "login.failed"} {
		for _, e := range h.said(op) {
			if s := e.Object + e.Detail["person"] + e.Actor; strings.Contains(s, user) || strings.Contains(s, name) {
				t.Errorf("the log names the person: %+v", e)
			}
		}
	}
}

// sessionsOf counts the live sessions of an account.
func (h *house) sessionsOf(name string) int {
	h.t.Helper()
	all, err := h.d.Accounts.All(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	for _, x := range all {
		if x.Name == name {
			return x.Sessions
		}
	}
	return 0
}

func TestAPasskeyIsASecondFactorAfterDingTalkToo(t *testing.T) {
	h, maria, d := enrolled(t)
	h.consent()
	maria.fresh("maria")
	maria.post("/consents/self", "what", "signin", "on", "1").wants(t, 303)
	user := h.staff()[1].Person
	h.link(maria, user).wants(t, 303)
	h.account("rui", "auditor")
	rui := h.signedAt("rui")
	h.link(rui, h.staff()[2].Person).wants(t, 303)

	d.auth.Options.UserNotVerified = true // as a second factor it need not check its owner
	v := h.at(named)
	ticket, credential := d.signs(h.first(v, user).wants(t, 200))
	v.post("/login", "first", "1", "ticket", ticket, "credential", credential).wants(t, 303, "/")
	if e := h.said("login")[0]; e.Detail["first"] != "dingtalk" || e.Detail["factor"] != "passkey" || e.Actor != "maria" {
		t.Errorf("%+v", e)
	}
	// maria's key after rui's first factor
	x := h.at(named)
	ticket, credential = d.signs(h.first(x, h.staff()[2].Person).wants(t, 200))
	x.post("/login", "first", "1", "ticket", ticket, "credential", credential).wants(t, 422)
}

func TestSignInByDingTalkIsOffUntilSwitchedOn(t *testing.T) {
	h := newHouse(t)
	h.consent()
	h.account("maria", "owner")
	maria := h.login("maria")
	h.visitor().get("/login").wants(t, 200).lacks(t, "/login/dingtalk")
	maria.get("/settings").wants(t, 200).lacks(t, "/settings/dingtalk")
	v := h.visitor()
	v.get("/login/dingtalk").wants(t, 404)
	v.get("/login/dingtalk/callback?state=x&authCode=y").wants(t, 404)
	v.post("/login", "first", "1", "totp", "123456").wants(t, 404)
	maria.post("/settings/dingtalk").wants(t, 404)

	maria.fresh("maria")
	maria.post("/consents/self", "what", "signin", "on", "1").wants(t, 303)
	if on, err := h.d.Members.On(t.Context()); on || err != nil {
		t.Error("the one switch turns the other", err)
	}
	maria.get("/consents/self").wants(t, 200, h.srv.URL+"/login/dingtalk/callback")
	user := h.staff()[1].Person
	h.link(maria, user).wants(t, 303)
	h.first(v, user).wants(t, 200)
	maria.post("/consents/self", "what", "signin", "on", "0").wants(t, 303)
	v.post("/login", "first", "1", "totp", h.code(h.kept["maria"].Text)).wants(t, 404) // between the two factors
	maria.get("/settings").wants(t, 200, "/settings/dingtalk/remove", "已關閉")
	h.clock.pass(6 * time.Minute)
	maria.post("/settings/dingtalk/remove").wants(t, 303, "/login?done=anew&next=%2Fsettings")
	maria.again("maria")
	maria.post("/settings/dingtalk/remove").wants(t, 303, "/settings?done=unlinked")
	maria.post("/settings/dingtalk/remove").wants(t, 404)
	h.entries(map[string]int{"account.link": 1, "account.unlink": 1})
}

func TestALinkIsOnePersonsAndOneAccounts(t *testing.T) {
	h, maria, user, ana := linkedHouse(t)
	h.account("rui", "auditor")
	rui := h.login("rui")
	h.link(rui, user).wants(t, 422, i18n.ZhHant.T("self.why.linked"))
	h.first(h.visitor(), ana).wants(t, 422)
	h.link(rui, ana).wants(t, 303)
	// linked anew: the person before is nobody's any more
	h.link(maria, h.staff()[4].Person).wants(t, 303)
	h.first(h.visitor(), user).wants(t, 422, i18n.ZhHant.T("self.why.unlinked"))

	// a way that was begun for the one does not end in the other
	maria.post("/consents/self", "on", "1").wants(t, 303)
	v := h.visitor()
	own := h.agree(v.get("/me/go").wants(t, 303).to, ana)
	v.get(strings.Replace(own, meCallback, firstCallback, 1)).wants(t, 422, i18n.ZhHant.T("self.why.state"))
	in := h.agree(v.get("/login/dingtalk").to, ana)
	v.get(strings.Replace(in, firstCallback, meCallback, 1)).wants(t, 422, i18n.ZhHant.T("self.why.state"))
	// nor in another browser: linking somebody else to one's own person, or the
	// reverse
	link := h.agree(rui.post("/settings/dingtalk").wants(t, 303).to, h.staff()[5].Person)
	maria.get(link).wants(t, 422, i18n.ZhHant.T("self.why.state"))
	h.first(h.visitor(), h.staff()[5].Person).wants(t, 422)
	// without the session's cookie the page asks for itself again, then for a sign-in
	v.get(link).wants(t, 200, "again=1")
	v.get(link+"&again=1").wants(t, 303, "/login?next=%2Fsettings")
	rui.get(link).wants(t, 303, "/settings?done=linked")
	rui.get(link).wants(t, 422)
	// he says no, and another company
	rui.get(h.agree(rui.post("/settings/dingtalk").to, ana, "decision", "no")).wants(t, 422, i18n.ZhHant.T("self.why.denied"))
	rui.get(h.agree(rui.post("/settings/dingtalk").to, ana, "corp", "ding0000other")).wants(t, 422, i18n.ZhHant.T("self.why.company"))
	h.clock.pass(6 * time.Minute)
	rui.fresh("rui")
	rui.post("/settings/dingtalk").wants(t, 303, "/login?done=anew&next=%2Fsettings") // a code alone is not enough
}

func TestWhatStopsAnAccountOrAPersonStopsTheLink(t *testing.T) {
	h, maria, user, ana := linkedHouse(t)
	h.account("rui", "auditor")
	rui := h.login("rui")
	h.link(rui, ana).wants(t, 303)
	id := h.idOf("rui")
	refused := func(who, why string) {
		t.Helper()
		h.first(h.visitor(), who).wants(t, 422, i18n.ZhHant.T("self.why."+why))
	}
	waits := h.visitor()
	h.first(waits, ana).wants(t, 200)
	maria.post("/accounts/"+id+"/disable").wants(t, 303)
	waits.post("/login", "first", "1", "totp", h.code(h.kept["rui"].Text)).wants(t, 422)
	refused(ana, "unlinked")
	maria.fresh("maria")
	maria.post("/accounts/"+id+"/enable").wants(t, 303)
	refused(ana, "unlinked") // off-boarding has removed it

	rui = h.login("rui")
	h.link(rui, ana).wants(t, 303)
	h.first(waits, ana).wants(t, 200)
	rui.post("/settings/dingtalk/remove").wants(t, 303)
	waits.post("/login", "first", "1", "totp", h.code(h.kept["rui"].Text)).wants(t, 422)
	rui.fresh("rui")
	h.link(rui, ana).wants(t, 303)
	maria.fresh("maria")
	maria.post("/accounts/"+id+"/reset", "lost", "both").wants(t, 200)
	refused(ana, "unlinked")

	// the member leaves: DingTalk is asked at every sign-in
	h.first(h.visitor(), user).wants(t, 200)
	v := h.visitor()
	back := h.agree(v.get("/login/dingtalk").wants(t, 303).to, user)
	h.upstream("leave", map[string]any{"userId": user})
	v.get(back).wants(t, 422).lacks(t, `name="first"`)
}

// idOf is the number of an account, as addresses have it.
func (h *house) idOf(name string) string {
	h.t.Helper()
	all, err := h.d.Accounts.All(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	for _, x := range all {
		if x.Name == name {
			return strings.TrimPrefix(accountRef(x.ID), "account/")
		}
	}
	h.t.Fatalf("no account %s", name)
	return ""
}

// TestGuessesAfterDingTalkAreSlowedDownAsAfterAPassword: both run in the same
// lanes.
func TestGuessesAfterDingTalkAreSlowedDownAsAfterAPassword(t *testing.T) {
	h, _, user, _ := linkedHouse(t)
	v := h.visitor()
	h.first(v, user).wants(t, 200)
	for range 3 {
		v.post("/login", "first", "1", "totp", "000000").wants(t, 422)
	}
	for range 2 {
		h.visitor().post("/login", "name", "maria", "password", "not the password 1", "totp", "000000").wants(t, 422)
	}
	v.post("/login", "first", "1", "totp", "000000").wants(t, 429, "嘗試太多次")
	h.visitor().post("/login", "name", "maria", "password", password, "totp", "000000").wants(t, 429)
	if h.logged("login.locked") == 0 {
		t.Error("nothing says that the waits began")
	}
	// the first factor does not wait for ever
	h.clock.pass(time.Hour)
	h.first(v, user).wants(t, 200)
	h.clock.pass(auth.FirstLife + time.Second)
	v.post("/login", "first", "1", "totp", h.code(h.kept["maria"].Text)).wants(t, 422, i18n.ZhHant.T("self.why.state"))
}

func TestTheEnvelopeIsLinkedToNobody(t *testing.T) {
	h, maria, _, ana := linkedHouse(t)
	maria.post("/accounts/breakglass").wants(t, 200)
	all, err := h.d.Accounts.All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range all {
		if !x.Breakglass {
			continue
		}
		if err := h.d.Accounts.SetLink(t.Context(), x.User, ana, "{}", func() error { return nil }); err == nil {
			t.Error("a break-glass account is linked")
		}
	}
	if _, err := h.d.Accounts.First(t.Context(), ana); err == nil {
		t.Error("and lets somebody in")
	}
}
