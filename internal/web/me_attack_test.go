package web

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"farol/internal/i18n"
	"farol/internal/record"
	"farol/internal/settings"
)

func TestSelfServiceIsOffUntilSomebodyWhoMaySwitchesItOn(t *testing.T) {
	h := newHouse(t)
	h.consent()
	user := h.staff()[1].Person
	h.account("maria", "owner")
	h.account("lei", "legal")
	for _, path := range []string{"/me", "/me/go", "/me/callback?state=x&authCode=y", "/me/search", "/me/record/1", "/me/record/1/blob/0/download"} {
		h.visitor().get(path).wants(t, 404, "此頁未開放")
	}
	h.login("lei").post("/consents/self", "on", "1").wants(t, 403)
	v := h.login("maria")
	h.clock.pass(6 * time.Minute) // the code of the sign-in is no longer fresh
	v.post("/consents/self", "on", "1").wants(t, 403, "again")
	if on, err := h.d.Members.On(t.Context()); on || err != nil {
		t.Fatal("it is on without a fresh code", err)
	}
	v = h.login("maria")
	v.get("/consents/self").wants(t, 200, h.srv.URL+"/me/callback", h.srv.URL+"/me", "已關閉")
	v.post("/consents/self", "on", "1").wants(t, 303)
	m := h.member(user)
	m.get("/me").wants(t, 200, "/me/logout")
	v.get("/consents/self?done=self.on").wants(t, 200, "現有 1 個成員登入中", "成員自助已開啟")
	v.get("/consents").wants(t, 200, "/consents/self", "已開啟")

	// off in the middle of a session, and on again: nobody is in
	v.post("/consents/self", "on", "0").wants(t, 303)
	m.get("/me").wants(t, 404, "此頁未開放")
	m.get("/me/search").wants(t, 404)
	v.post("/consents/self", "on", "1").wants(t, 303)
	m.get("/me/search").wants(t, 303, "/me")
	if es := h.said("config.change"); len(es) != 3 || es[0].Detail["what"] != "on" || es[1].Detail["what"] != "off" || es[0].Object != "setting/self.service" {
		t.Errorf("%+v", es)
	}
}

func TestAMembersSessionAndAnAccountsAreStrangers(t *testing.T) {
	h := newHouse(t)
	h.consent()
	console := h.selfOn()
	m := h.member(h.staff()[1].Person)
	at := strings.NewReplacer(":kind", "chat", ":id", "1", ":seq", "0", ":n", "0", ":token", "x", ":number", "2026-001")
	// the token of the one in the cookie of the other, and both cookies at once
	token := func(v *visitor, name string) string {
		u, _ := url.Parse(h.srv.URL)
		for _, c := range v.hc.Jar.Cookies(u) {
			if c.Name == name {
				return c.Value
			}
		}
		t.Fatalf("no cookie %s", name)
		return ""
	}
	asConsole, asMember := h.visitor(), h.visitor()
	asConsole.head.Set("Cookie", sessionCookie+"="+token(m, memberCookie)+"; "+memberCookie+"="+token(m, memberCookie))
	asMember.head.Set("Cookie", memberCookie+"="+token(console, sessionCookie)+"; "+sessionCookie+"="+token(console, sessionCookie))
	routes := 0
	for _, r := range h.routes() {
		if r.access.open {
			continue
		}
		path := at.Replace(r.path)
		if r.access.member {
			routes++
			for _, v := range []*visitor{console, asMember} {
				if a := v.do(r.method, path, nil); a.code != 303 || a.to != "/me" {
					t.Errorf("a console session at %s %s: %d to %q", r.method, path, a.code, a.to)
				}
			}
			continue
		}
		for _, v := range []*visitor{m, asConsole} {
			if a := v.do(r.method, path, nil); !(a.code == 303 && (strings.HasPrefix(a.to, "/login") || strings.HasPrefix(a.to, "/setup")) || a.code == 401) {
				t.Errorf("a member's session at %s %s: %d to %q", r.method, path, a.code, a.to)
			}
		}
	}
	if routes != 5 {
		t.Errorf("%d routes of members", routes)
	}
	m.get("/me").wants(t, 200, "/me/logout") // it is a live session all the while
	console.get("/me").wants(t, 200, "/me/go").lacks(t, "/me/logout")
}

func TestASignInCannotBeTurnedOnSomebodyElse(t *testing.T) {
	h := newHouse(t)
	h.consent()
	h.selfOn()
	ana, rui := h.staff()[1].Person, h.staff()[2].Person
	refused := func(a answerOf, why string) {
		t.Helper()
		a.wants(t, 422, i18n.ZhHant.T("self.why."+why)).lacks(t, "/me/logout")
		if es := h.said("member.login.failed"); es[0].Detail["why"] != why || es[0].Outcome != "denied" {
			t.Errorf("%+v", es[0])
		}
	}
	// a state that ana began, finished in rui's browser, and in one with no cookie
	a, b := h.visitor(), h.visitor()
	back := h.agree(a.get("/me/go").wants(t, 303).to, ana)
	b.get("/me/go").wants(t, 303)
	refused(b.get(back), "state")
	refused(h.visitor().get(back), "state")
	// the browser that began it still comes back, once
	a.get(back).wants(t, 200)
	a.get("/me").wants(t, 200, "/me/logout")
	refused(a.get(back), "state")
	// a state that nobody was given, and none
	c := h.visitor()
	c.get("/me/go").wants(t, 303)
	refused(c.get("/me/callback?state=AAAA&authCode=x"), "state")
	c.get("/me/go")
	refused(c.get("/me/callback?authCode=x"), "state")
	// too late
	to := c.get("/me/go").wants(t, 303).to
	back = h.agree(to, rui)
	h.clock.pass(11 * time.Minute)
	refused(c.get(back), "state")
	// a code that was used, in a new sign-in
	d := h.visitor()
	first := h.agree(d.get("/me/go").to, rui)
	d.get(first).wants(t, 200)
	code := mustQuery(t, first).Get("authCode")
	to = d.get("/me/go").to
	refused(d.get(query("/me/callback", "state", mustQuery(t, to).Get("state"), "authCode", code)), "upstream")
	// another company, whoever he is there; and an app that is not told
	e := h.visitor()
	refused(e.get(h.agree(e.get("/me/go").to, rui, "corp", "ding0000other")), "company")
	refused(e.get(h.agree(strings.Replace(e.get("/me/go").to, "openid+corpid", "openid", 1), rui)), "company")
	// he says no
	refused(e.get(h.agree(e.get("/me/go").to, rui, "decision", "no")), "denied")
	e.get("/me/search").wants(t, 303, "/me")
}

func mustQuery(t *testing.T, address string) url.Values {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query()
}

func TestWhoLeavesIsOut(t *testing.T) {
	h := newHouse(t)
	h.backedUp()
	h.selfOn()
	user := h.staff()[3].Person
	m, late := h.member(user), h.visitor()
	back := h.agree(late.get("/me/go").to, user) // on his way while he leaves
	m.get("/me/search").wants(t, 200)
	h.upstream("leave", map[string]any{"userId": user})
	late.get(back).wants(t, 422)
	h.runBackup()
	m.get("/me/search").wants(t, 303, "/me?problem=left")
	m.get("/me?problem=left").wants(t, 200, "已離開公司", "/me/go")
	m.get("/me/search").wants(t, 303, "/me")
	if es := h.said("member.logout"); len(es) != 1 || es[0].Detail["why"] != "left" || !strings.HasPrefix(es[0].Actor, "member/") {
		t.Errorf("%+v", es)
	}
}

func TestAMembersSessionEndsByItself(t *testing.T) {
	h := newHouse(t)
	h.consent()
	h.selfOn()
	m := h.member(h.staff()[1].Person)
	h.clock.pass(14 * time.Minute)
	m.get("/me/search").wants(t, 200)
	h.clock.pass(14 * time.Minute)
	m.get("/me/search").wants(t, 200)
	h.clock.pass(16 * time.Minute)
	m.get("/me/search").wants(t, 303, "/me")
	m = h.member(h.staff()[1].Person)
	for range 8 {
		h.clock.pass(14 * time.Minute)
		m.get("/me/search").wants(t, 200)
	}
	h.clock.pass(9 * time.Minute) // two hours and one minute in all
	m.get("/me/search").wants(t, 303, "/me")
}

// TestAGuessedRecordTellsNothing: another's record, one that is not there and
// one of a kind that is nobody's own answer the same, and each is an entry.
func TestAGuessedRecordTellsNothing(t *testing.T) {
	h := newHouse(t)
	h.backedUp()
	h.selfOn()
	user := h.staff()[1].Person
	m := h.member(user)
	items, opens, groups := h.archived()
	union := h.unions()
	ids := []int64{1 << 50, 1 << 40}
	kinds := map[record.Kind]bool{}
	for i := range items {
		if who, _ := items[i].belongs(opens, groups, union); who != user && !kinds[items[i].Kind] {
			kinds[items[i].Kind] = true
			ids = append(ids, items[i].ID)
		}
	}
	if len(ids) != 6 {
		t.Fatalf("%v", ids)
	}
	bodies := map[string]bool{}
	for _, id := range ids {
		n := h.logged("access.denied")
		for _, path := range []string{meRecordPath(id), meRecordPath(id) + "/blob/0/download"} {
			a := m.get(path).wants(t, 404)
			bodies[strings.ReplaceAll(strings.ReplaceAll(a.body, "/blob/0/download", ""), strconv.FormatInt(id, 10), "ID")] = true
		}
		es := h.said("access.denied")
		if len(es) != n+2 || es[0].Object != "record/"+strconv.FormatInt(id, 36) || es[0].Purpose != "self" {
			t.Errorf("%d: %d new entries, %+v", id, len(es)-n, es[0])
		}
	}
	if len(bodies) != 1 {
		t.Errorf("%d different answers", len(bodies))
	}
	for _, path := range []string{"/me/record/x", "/me/record/1/blob/x/download", "/me/none"} {
		m.get(path).wants(t, 404)
	}
}

func TestAMemberIsSlowedDownAndToldWhenToTryAgain(t *testing.T) {
	h := newHouse(t)
	h.backedUp()
	h.selfOn()
	file := h.his("", func(k *version) bool { return k.Kind == record.Files && len(k.rec.Blobs) == 1 })
	user := h.whose(file)
	m := h.member(user)
	slow := func(path string, n int, wait string) {
		t.Helper()
		for i := range n {
			if a := m.get(path); a.code != 200 {
				t.Fatalf("%s the %dth time: %d %.300s", path, i+1, a.code, a.body)
			}
		}
		before := h.logged("access.denied")
		m.get(path).wants(t, 429, wait, "請稍候")
		m.get(path).wants(t, 429)
		if h.logged("access.denied") != before+1 || h.said("access.denied")[0].Detail["why"] != "rate" {
			t.Error("being slowed down is one entry a stretch")
		}
	}
	slow(meRecordPath(file.ID), 60, "後再試")
	m.get("/me/search").wants(t, 200) // each has its own
	h.clock.pass(time.Minute)
	slow("/me/search", 30, "後再試")
	h.clock.pass(time.Minute)
	m.get(meRecordPath(file.ID)).wants(t, 200)
	m.get("/me/search").wants(t, 200)
	take := meRecordPath(file.ID) + "/blob/0/download"
	for range 4 { // over half an hour
		for range 40 {
			m.get(take).wants(t, 200)
		}
		h.clock.pass(8 * time.Minute)
	}
	slow(take, 40, "小時")
	other := slices.IndexFunc(h.staff(), func(c settings.Consent) bool { return c.Person != user })
	o := h.member(h.staff()[other].Person)
	o.get(take).wants(t, 404) // his own day is not used up
	m.post("/me/logout").wants(t, 303)
	m = h.member(user) // a new session is no new day
	m.get(take).wants(t, 429)
	h.clock.pass(24 * time.Hour)
	m = h.member(user)
	m.get(take).wants(t, 200)

	// who begins sign-ins without end waits too
	h.clock.pass(11 * time.Minute) // the sign-ins of before are from the same address
	v := h.visitor()
	for range 60 {
		v.get("/me/go")
		v.get("/me/callback?state=x&authCode=y").wants(t, 422)
	}
	n := h.logged("member.login.failed")
	v.get("/me/go").wants(t, 429, "請稍候")
	v.get("/me/callback?state=x&authCode=y").wants(t, 429)
	if h.logged("member.login.failed") != n || n != 60 {
		t.Errorf("%d entries: the log is not for everybody to fill", n)
	}
	h.clock.pass(10 * time.Minute)
	v.get("/me/go").wants(t, 303)
}
