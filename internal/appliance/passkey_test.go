package appliance

import (
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
	"github.com/pquerna/otp/totp"

	"farol/internal/auth"
	"farol/internal/settings"
)

// owner makes an account and ends the set-up; it returns the authenticator's
// secret and the last step that was used.
func (a *Appliance) owner(t *testing.T, name string) (secret string, step int64) {
	t.Helper()
	s, err := auth.NewSecret(name)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	code, err := totp.GenerateCode(s.Text, now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.accounts.Create(t.Context(), auth.NewAccount{Name: name, Role: "owner", Password: password, Secret: s, Code: code}); err != nil {
		t.Fatal(err)
	}
	if err := a.settings.Set(t.Context(), map[string]string{settings.SetupDone: "2026-11-23T00:00:00Z"}); err != nil {
		t.Fatal(err)
	}
	return s.Text, now.Unix() / 30
}

// TestAPasskeyWorksInABrowser makes one, signs in with it alone and steps up
// with it, through the pages and their script in a real browser whose device
// is a virtual one.
func TestAPasskeyWorksInABrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a browser")
	}
	base, a, _, _, _, _ := startHouse(t)
	b := newBrowser(t, strings.Replace(base, "127.0.0.1", "localhost", 1)) // a browser has no passkeys under an address
	b.secret, b.step = a.owner(t, "maria")
	if _, err := chromedp.Call(b.ctx, webauthn.Enable, webauthn.EnableParams{}); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(b.ctx, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{Protocol: webauthn.AuthenticatorProtocolCtap2,
		Transport: webauthn.AuthenticatorTransportInternal, HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true}}); err != nil {
		t.Fatal(err)
	}
	b.open("/login")
	b.fill("/login", "button.primary", map[string]string{"name": "maria", "password": password, "totp": b.code()})
	b.open("/settings/passkey")
	b.fill("/settings/passkey", "button.primary", map[string]string{"name": "office computer"})
	b.wants("office computer", "localhost")
	b.follow("sign out", `form[action="/logout"] button`)
	b.open("/login/passkey?next=/settings")
	b.fill("/login", "button.primary", nil)
	b.wants("office computer")
	b.open("/stepup?next=/accounts")
	b.follow("step up", `form[action="/stepup"] [data-passkey]`)
	b.wants("邀請同事")
}
