package appliance

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestALinkOpensInABrowserAndItsTokenStaysOutOfAddresses follows an invitation
// and the staff's link as people do.
func TestALinkOpensInABrowserAndItsTokenStaysOutOfAddresses(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a browser")
	}
	base, a, _, _, _, _ := startHouse(t)
	b := newBrowser(t, base)
	b.secret, b.step = a.owner(t, "maria")
	b.open("/login")
	b.fill("/login", "button.primary", map[string]string{"name": "maria", "password": password, "totp": b.code()})
	b.open("/accounts")
	b.fill("/accounts/invite", "button", map[string]string{"name": "rui", "shown": "Rui", "role": "auditor"})
	account := ask(b, "read the link", chromedp.Text("#made"))
	b.open("/consents")
	b.fill("/consents/invite", "button", nil)
	staff := ask(b, "read the link", chromedp.Text("p.link"))
	for link, to := range map[string]string{account: "/join/account", staff: "/consent/agree"} {
		_, token, ok := strings.Cut(link, "#")
		if !ok || len(token) < 20 {
			t.Fatalf("the link is %q", link)
		}
		b.open("/healthz") // another document, so that only the link's own is loaded
		b.run("open the link", chromedp.Navigate(link), chromedp.WaitVisible(`[action="/join/account"], [href="/consent/agree/go"]`))
		if got := b.path(); got != to {
			t.Errorf("the link leads to %s, not to %s", got, to)
		}
		b.run("go back", chromedp.NavigateBack(), chromedp.WaitReady("body"))
		if at := ask(b, "read the address", chromedp.Evaluate[string]("location.href")); strings.Contains(at, token) {
			t.Error("the token stands in the history")
		}
	}
}
