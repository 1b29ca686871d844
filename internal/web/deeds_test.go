package web

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"farol/internal/approval"
	"farol/internal/auth"
	"farol/internal/record"
	"farol/internal/settings"
)

var ticketField = regexp.MustCompile(`name="ticket" value="([A-Z2-7]+)"`)

// over marks the set-up as finished.
func (h *house) over() {
	h.t.Helper()
	if err := h.d.Settings.Set(h.t.Context(), map[string]string{settings.SetupDone: "2026-11-23T00:00:00Z"}); err != nil {
		h.t.Fatal(err)
	}
}

// asks posts a form that others have to agree to and gives the request's page.
func (v *visitor) asks(t *testing.T, reason, path string, form ...string) string {
	t.Helper()
	page := v.post(path, form...)
	page.wants(t, 200, `action="/inbox/ask"`)
	m := ticketField.FindStringSubmatch(page.body)
	if m == nil {
		t.Fatal("no ticket on the page")
	}
	v.post("/inbox/ask", "ticket", m[1], "reason", "no").wants(t, 422, "no")
	asked := v.post("/inbox/ask", "ticket", m[1], "reason", reason)
	asked.wants(t, 303)
	v.post("/inbox/ask", "ticket", m[1], "reason", reason).wants(t, 404) // once
	return strings.TrimSuffix(asked.to, "?done=asked")
}

// TestWhatTwoPersonsHaveToAgreeToDoesNotHappenByOne tries every form of that
// sort: nothing changes before another person agreed, then exactly what was
// asked for, once.
func TestWhatTwoPersonsHaveToAgreeToDoesNotHappenByOne(t *testing.T) {
	h := newHouse(t)
	h.over()
	h.backedUp()
	h.account("maria", "owner")
	h.account("lei", "legal")
	h.account("tong", "it")
	role := func() string {
		x, err := h.d.Accounts.Account(t.Context(), 3)
		if err != nil {
			t.Fatal(err)
		}
		return x.Role
	}
	links := func() int {
		in, err := h.d.Accounts.Invitations(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return len(in)
	}
	enrol := func() bool {
		x, err := h.d.Accounts.Account(t.Context(), 3)
		if err != nil {
			t.Fatal(err)
		}
		return x.Enrol
	}
	chosen := func() (n int) {
		ch, err := h.d.Settings.Chosen(t.Context(), []record.Dept{{ID: 1}})
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range record.Kinds {
			if ch.Includes(1, k) {
				n++
			}
		}
		return n
	}
	h.mach.copies = []Copy{{ID: "nas", Name: "NAS", Kind: "dir"}}
	before := chosen()
	for _, x := range []struct {
		what approval.What
		path string
		form []string
		done func() bool
		runs int // how the act answers
	}{
		{approval.Role, "/accounts/3/role", []string{"role", "head"}, func() bool { return role() == "head" }, 303},
		{approval.Reset, "/accounts/3/reset", []string{"lost", "both"}, enrol, 200},
		{approval.Invite, "/accounts/invite", []string{"name", "hovan", "shown", "何律師", "role", "legal"}, func() bool { return links() == 2 }, 200},
		{approval.Connect, "/setup/dingtalk", []string{"region", "custom", "base_url", h.above, "client_id", h.sim.ClientID(), "client_secret", h.sim.ClientSecret()}, func() bool { return h.mach.bound.ClientID != "" }, 303},
		{approval.Scope, "/scope", []string{"include", "1:chat", "save", "1"}, func() bool { return chosen() != before }, 303},
		{approval.Retention, "/points/rules", []string{"all", "3", "daily", "30", "weekly", "100", "monthly", "200", "from", "3", "to", "6"}, func() bool { return h.mach.rules.All == 3 }, 303},
		{approval.Place, "/storage/add", []string{"kind", "dir", "name", "second", "path", "/mnt/second", "country", "MO"}, func() bool { return len(h.mach.added) > 0 }, 303},
		{approval.Circles, "/access/circles", []string{"finance", "1", "was", ";"}, func() bool {
			said, err := h.d.Settings.Circles(t.Context())
			return err == nil && len(said[record.Finance]) == 1
		}, 303},
		{approval.Rotate, "/kit/rotate", []string{"n", "3", "k", "2"}, func() bool { return h.mach.of != "" }, 200},
		{approval.Place, "/storage/nas/retire", []string{"files", "keep"}, func() bool { return len(h.mach.acts) > 0 }, 303},
	} {
		name := string(x.what) + " " + x.path
		lei, maria := h.login("lei"), h.login("maria")
		page := maria.asks(t, "因為要這樣做", x.path, x.form...)
		if x.done() {
			t.Errorf("%s: done before anybody agreed", name)
		}
		maria.post(page+"/run").wants(t, 409)
		maria.post(page+"/decide", "word", "yes").wants(t, 409) // an owner may decide, but not on his own
		if x.done() {
			t.Errorf("%s: done without another's agreement", name)
		}
		lei.get(page).wants(t, 200, "因為要這樣做")
		lei.post(page+"/run").wants(t, 409) // who agrees does not carry it out
		lei.post(page+"/decide", "word", "yes").wants(t, 303)
		if x.done() {
			t.Errorf("%s: done by the agreement itself", name)
		}
		if got := maria.post(page + "/run"); got.code != x.runs {
			t.Errorf("%s: %d %.900s", name, got.code, strip(got.body))
		}
		if !x.done() {
			t.Errorf("%s: not done after it was agreed to", name)
		}
		maria.post(page+"/run").wants(t, 409) // once
	}
	for op, n := range map[string]int{"change.request": 10, "change.approve": 20, "change.run": 10, "role.change": 1, "totp.reset": 1, "scope.change": 1} {
		if got := h.logged(op); got != n {
			t.Errorf("%d entries %s, want %d", got, op, n)
		}
	}
	for _, e := range append(h.said("role.change"), h.said("totp.reset")...) {
		if e.Approval == "" {
			t.Errorf("%s does not say who agreed to it", e.Operation)
		}
	}

	// a secret in a form does not outlive it
	files, err := filepath.Glob(filepath.Join(h.dir, "control.db*"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		if raw, err := os.ReadFile(f); err == nil && bytes.Contains(raw, []byte(h.sim.ClientSecret())) {
			t.Errorf("%s holds the app's secret in clear", filepath.Base(f))
		}
	}
	list, err := h.d.Approvals.List(t.Context(), 20)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range list {
		if len(r.Payload) > 0 {
			t.Errorf("the form of a request that is %s is still kept", r.State)
		}
	}
}

// TestOnlyWhatWasAgreedToIsCarriedOut: rights that ended, another's ticket, a
// deed refused, lapsed or withdrawn.
func TestOnlyWhatWasAgreedToIsCarriedOut(t *testing.T) {
	h := newHouse(t)
	h.over()
	h.account("maria", "owner")
	h.account("lei", "legal")
	h.account("tong", "it")
	h.account("sou", "owner")
	maria, sou := h.login("maria"), h.login("sou")
	role := func(id int64) string {
		x, err := h.d.Accounts.Account(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return x.Role
	}
	m := ticketField.FindStringSubmatch(maria.post("/accounts/3/role", "role", "head").body)
	if m == nil {
		t.Fatal("no ticket")
	}
	sou.post("/inbox/ask", "ticket", m[1], "reason", "在別人的瀏覽器").wants(t, 404)
	h.clock.pass(unaskedLife)
	maria = h.login("maria")
	maria.post("/inbox/ask", "ticket", m[1], "reason", "太遲才寫原因").wants(t, 404)

	page := maria.asks(t, "第一次要求", "/accounts/3/role", "role", "head")
	h.login("lei").post(page+"/decide", "word", "no", "note", "不需要").wants(t, 303)
	maria.post(page+"/run").wants(t, 409)

	page = maria.asks(t, "第二次要求", "/accounts/3/role", "role", "head")
	h.login("lei").post(page+"/decide", "word", "yes").wants(t, 303)
	h.clock.pass(approval.Waits)
	maria = h.login("maria")
	maria.post(page+"/run").wants(t, 409)

	page = maria.asks(t, "第三次要求", "/accounts/3/role", "role", "head")
	lei := h.login("lei")
	lei.post(page+"/decide", "word", "yes").wants(t, 303)
	sou4, err := h.d.Accounts.Account(t.Context(), 4)
	if err != nil {
		t.Fatal(err)
	}
	by := auth.Act{By: auth.User{ID: 4, Name: sou4.Name, Role: "owner"}, Keeper: h.keeper, May: func(auth.Account) error { return nil }, Entry: func(auth.Account) error { return nil }}
	if err := h.d.Accounts.SetRole(t.Context(), 1, "auditor", by); err != nil {
		t.Fatal(err)
	}
	maria = h.login("maria")
	maria.post(page+"/run").wants(t, 403) // he may manage accounts no more
	if got := role(3); got != "it" {
		t.Errorf("the role became %s", got)
	}
	if n := len(h.said("role.change")); n != 0 {
		t.Errorf("%d changes of a role", n)
	}
}

var tags = regexp.MustCompile(`<[^>]*>|\s+`)

func strip(s string) string {
	_, main, _ := strings.Cut(s, "<main")
	return tags.ReplaceAllString(main, " ")
}
