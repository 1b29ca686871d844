package web

import (
	"html"
	"regexp"
	"testing"
	"time"

	"github.com/descope/virtualwebauthn"

	"farol/internal/auth"
)

var (
	askOptions = regexp.MustCompile(`data-options="([^"]*)"`)
	askTicket  = regexp.MustCompile(`name="ticket" value="([A-Z2-7]+)"`)
	removeID   = regexp.MustCompile(`action="/settings/passkey/remove"><input type="hidden" name="id" value="(\d+)"`)
)

// device is a software authenticator with one passkey, at one site.
type device struct {
	t    *testing.T
	rp   virtualwebauthn.RelyingParty
	auth virtualwebauthn.Authenticator
	key  virtualwebauthn.Credential
}

func newDevice(t *testing.T, host string) *device {
	d := &device{t, virtualwebauthn.RelyingParty{Name: "Farol", ID: host, Origin: "https://" + host}, virtualwebauthn.NewAuthenticator(), virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2)}
	// The software authenticator writes a coordinate that begins with zeros in
	// fewer than the 32 bytes that RFC 9053 asks for: no real key does. One in
	// 128 is such a one.
	for len(d.key.Key.AttestationData()) < 77 {
		d.key = virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2)
	}
	return d
}

// makes answers the question of the page with a new passkey.
func (d *device) makes(page answerOf) (ticket, credential string) {
	d.t.Helper()
	o, err := virtualwebauthn.ParseAttestationOptions(html.UnescapeString(page.found(d.t, askOptions)))
	if err != nil {
		d.t.Fatal(err)
	}
	d.auth.Options.UserHandle = []byte(o.UserID)
	return page.found(d.t, askTicket), virtualwebauthn.CreateAttestationResponse(d.rp, d.auth, d.key, *o)
}

// signs answers the question of the page with the passkey it has.
func (d *device) signs(page answerOf) (ticket, credential string) {
	d.t.Helper()
	o, err := virtualwebauthn.ParseAssertionOptions(html.UnescapeString(page.found(d.t, askOptions)))
	if err != nil {
		d.t.Fatal(err)
	}
	d.key.Counter++
	return page.found(d.t, askTicket), virtualwebauthn.CreateAssertionResponse(d.rp, d.auth, d.key, *o)
}

const named = "farol.test"

// enrolled is a house in which maria has a passkey.
func enrolled(t *testing.T) (*house, *visitor, *device) {
	t.Helper()
	h, _ := ready(t)
	v := h.signedAt("maria")
	d := newDevice(t, named)
	ticket, credential := d.makes(v.get("/settings/passkey").wants(t, 200))
	v.post("/settings/passkey", "ticket", ticket, "credential", credential, "name", "office <b>").wants(t, 303, "/settings?done=passkey")
	v.get("/settings").wants(t, 200, "office &lt;b&gt;", named)
	v.post("/settings/passkey", "ticket", ticket, "credential", credential).wants(t, 303, "/settings/passkey?problem=1")
	return h, v, d
}

func (h *house) at(host string) *visitor {
	v := h.visitor()
	v.host = host
	return v
}

// signedAt signs in with a code under the console's name.
func (h *house) signedAt(name string) *visitor {
	h.t.Helper()
	v := h.at(named)
	v.post("/login", "name", name, "password", password, "totp", h.code(h.kept[name].Text)).wants(h.t, 303)
	return v
}

func TestAPasskeySignsInAlone(t *testing.T) {
	h, v, d := enrolled(t)
	x := h.at(named)
	ticket, credential := d.signs(x.get("/login/passkey?next=/audit").wants(t, 200))
	x.post("/login", "ticket", ticket, "credential", credential, "next", "/audit").wants(t, 303, "/audit")
	x.get("/audit").wants(t, 200)
	h.at(named).post("/login", "ticket", ticket, "credential", credential).wants(t, 422, "通行密鑰不對")

	h.clock.pass(6 * time.Minute)
	x.get("/accounts").wants(t, 303, "/stepup?next=%2Faccounts")
	ticket, credential = d.signs(x.get("/stepup?next=/accounts").wants(t, 200))
	before := x.session()
	x.post("/stepup", "ticket", ticket, "credential", credential, "next", "/accounts").wants(t, 303, "/accounts")
	if x.session() == before {
		t.Error("the step-up keeps the token")
	}
	x.get("/accounts").wants(t, 200)
	x.post("/stepup", "ticket", ticket, "credential", credential, "next", "/").wants(t, 422)

	v.again("maria")
	id := v.get("/settings").wants(t, 200).found(t, removeID)
	v.post("/settings/passkey/remove", "id", "99").wants(t, 404)
	v.post("/settings/passkey/remove", "id", id).wants(t, 303, "/settings?done=nopasskey")
	ticket, credential = d.signs(h.at(named).get("/login/passkey").wants(t, 200))
	h.at(named).post("/login", "ticket", ticket, "credential", credential).wants(t, 422)
	h.entries(map[string]int{"passkey.enrol": 2, "passkey.remove": 1, "login.failed": 2})
}

// TestAKeyThatChecksNobodyNeedsThePassword: it is a second factor, no more.
func TestAKeyThatChecksNobodyNeedsThePassword(t *testing.T) {
	h, _, d := enrolled(t)
	h.account("rui", "auditor")
	d.auth.Options.UserNotVerified = true
	try := func(code int, pairs ...string) {
		t.Helper()
		x := h.at(named)
		ticket, credential := d.signs(x.get("/login/passkey").wants(t, 200))
		x.post("/login", append(pairs, "ticket", ticket, "credential", credential)...).wants(t, code)
	}
	try(422)
	try(422, "name", "maria", "password", "a wrong one 123")
	try(422, "name", "rui", "password", password) // the key is maria's
	try(303, "name", "maria", "password", password)
}

func TestAPasskeyIsGoodForItsHostAndItsOwnerOnly(t *testing.T) {
	h, _, d := enrolled(t)
	h.account("rui", "auditor")
	fishing := *d
	fishing.rp = virtualwebauthn.RelyingParty{Name: "Farol", ID: "evil.test", Origin: "https://evil.test"}
	ticket, credential := fishing.signs(h.at("evil.test").get("/login/passkey").wants(t, 200))
	h.at("evil.test").post("/login", "ticket", ticket, "credential", credential).wants(t, 422)
	page := h.at(named).get("/login/passkey").wants(t, 200) // passed on by the false site
	ticket, credential = fishing.signs(page)
	h.at(named).post("/login", "ticket", ticket, "credential", credential).wants(t, 422)

	x := h.signedAt("rui")
	ticket, credential = d.signs(h.at(named).get("/login/passkey").wants(t, 200))
	x.post("/stepup", "ticket", ticket, "credential", credential, "next", "/").wants(t, 422)
	other := newDevice(t, named)
	other.auth.Options.UserHandle = d.auth.Options.UserHandle // another key that claims to be maria's
	ticket, credential = other.signs(h.at(named).get("/login/passkey").wants(t, 200))
	h.at(named).post("/login", "ticket", ticket, "credential", credential).wants(t, 422)
	for _, junk := range []string{"", "{}", "null", `{"id":"AA","rawId":"AA","type":"public-key","response":{}}`} {
		h.at(named).post("/login", "ticket", h.at(named).get("/login/passkey").found(t, askTicket), "credential", junk).wants(t, 422)
	}
	copied := *d
	copied.key.Counter = 0
	ticket, credential = d.signs(h.at(named).get("/login/passkey"))
	h.at(named).post("/login", "ticket", ticket, "credential", credential).wants(t, 303)
	ticket, credential = copied.signs(h.at(named).get("/login/passkey"))
	h.at(named).post("/login", "ticket", ticket, "credential", credential).wants(t, 422) // its counter goes back: a copy
	late := h.at(named).get("/login/passkey")
	h.clock.pass(5 * time.Minute)
	ticket, credential = d.signs(late)
	h.at(named).post("/login", "ticket", ticket, "credential", credential).wants(t, 422)
}

func TestWhatStopsAnAccountStopsItsPasskeys(t *testing.T) {
	h, _, d := enrolled(t)
	h.account("second", "owner")
	v := h.login("second")
	signs := func(code int) {
		t.Helper()
		ticket, credential := d.signs(h.at(named).get("/login/passkey").wants(t, 200))
		h.at(named).post("/login", "ticket", ticket, "credential", credential).wants(t, code)
	}
	signs(303)
	v.post("/accounts/1/disable").wants(t, 303)
	signs(422)
	v.post("/accounts/1/enable").wants(t, 303)
	signs(303)
	asked := v.asks(t, "遺失了手機", "/accounts/1/reset")
	h.login("maria").post(asked+"/decide", "word", "yes").wants(t, 303)
	v.post("/stepup", "totp", h.code(h.kept["second"].Text)).wants(t, 303)
	link := v.post(asked+"/run").wants(t, 200).found(t, madeLink)
	signs(422)
	x := h.visitor()
	secret := x.open(link).wants(t, 200).found(t, otpauth)
	x.post("/join/account", "password", password, "totp", h.code(secret)).wants(t, 200).slips(t, auth.RecoveryCodes)
	signs(422)
}

// TestNoPasskeyUnderAnAddress: a browser makes none there, so none is asked.
func TestNoPasskeyUnderAnAddress(t *testing.T) {
	h, v := ready(t)
	h.visitor().get("/login/passkey").wants(t, 200, "請以主機名稱開啟").lacks(t, "data-passkey")
	v.get("/settings/passkey").wants(t, 200, "請以主機名稱開啟").lacks(t, "data-passkey")
	for origin, ok := range map[string]bool{"https://farol.local:8443": true, "https://10.0.0.1:8443": false, "https://[::1]:8443": false, "https://[::1]": false, "https://": false} {
		if _, got := auth.SiteOf(origin); got != ok {
			t.Errorf("%s: %v", origin, got)
		}
	}
}

// TestAChangedFactorEndsOtherSessions: whoever had the account open elsewhere
// is out when its passkeys or its recovery codes change.
func TestAChangedFactorEndsOtherSessions(t *testing.T) {
	h, _ := ready(t)
	v := h.signedAt("maria")
	other := h.login("maria")
	d := newDevice(t, named)
	v.fresh("maria")
	ticket, credential := d.makes(v.get("/settings/passkey").wants(t, 200))
	v.post("/settings/passkey", "ticket", ticket, "credential", credential, "name", "office").wants(t, 303, "/settings?done=passkey")
	other.get("/settings").wants(t, 303, "/login?next=%2Fsettings")
	other = h.login("maria")
	id := v.get("/settings").wants(t, 200).found(t, removeID)
	v.post("/settings/passkey/remove", "id", id).wants(t, 303, "/settings?done=nopasskey")
	other.get("/settings").wants(t, 303, "/login?next=%2Fsettings")
	other = h.login("maria")
	v.post("/settings/recovery").wants(t, 200)
	other.get("/settings").wants(t, 303, "/login?next=%2Fsettings")
	v.get("/settings").wants(t, 200)
}
