package appliance

import (
	"testing"

	"github.com/chromedp/chromedp"
)

// TestTwoPeopleChangeTheRootKeyInABrowser asks, agrees and carries out through
// the pages, types wrong shares and then the right ones.
func TestTwoPeopleChangeTheRootKeyInABrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a browser")
	}
	base, a, _, _, _, _ := startHouse(t)
	type person struct {
		name, secret string
		step         int64
	}
	var maria, lei person
	for _, p := range []*person{&maria, &lei} {
		p.name = map[*person]string{&maria: "maria", &lei: "lei"}[p]
		p.secret, p.step = a.owner(t, p.name)
	}
	former, err := a.Kit(t.Context(), "maria", 3, 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.ConfirmKit(t.Context(), "maria", shareTexts(former)[:2]); err != nil {
		t.Fatal(err)
	}
	b := newBrowser(t, base)
	as := func(p *person) {
		b.secret, b.step = p.secret, p.step
		b.open("/login")
		b.fill("/login", "button.primary", map[string]string{"name": p.name, "password": password, "totp": b.code()})
		p.step = b.step
	}
	leave := func() { b.follow("sign out", `form[action="/logout"] button`) }

	as(&maria)
	b.open("/kit")
	b.fill("/kit/rotate", "button", map[string]string{"n": "3", "k": "9"})
	b.wants("恢復金鑰套件") // refused beside the form, nothing asked for
	was := a.KeyCheck()
	b.fill("/kit/rotate", "button", map[string]string{"n": "3", "k": "2"})
	b.wants("更換根金鑰", "分成 3 片")
	b.fill("/inbox/ask", "button.primary", map[string]string{"reason": "一名保管人離職"})
	page := b.path()
	leave()
	as(&lei)
	b.open(page)
	b.wants("一名保管人離職", "舊分片作廢")
	b.follow("agree", `form[action="`+page+`/decide"] button[value="yes"]`)
	leave()
	as(&maria)
	b.open(page)
	b.follow("carry it out", `form[action="`+page+`/run"] button`)
	b.wants("新的根金鑰尚未生效")
	shares := unique(shareText.FindAllString(ask(b, "read the shares", chromedp.OuterHTML("body")), -1))
	if len(shares) != 3 || a.KeyCheck() != was {
		t.Fatalf("%d shares, the key is another already: %v", len(shares), a.KeyCheck() != was)
	}
	b.run("type the former shares", chromedp.SetValue("#share-1", former[0].Text()), chromedp.SetValue("#share-2", former[1].Text()))
	b.fill("/setup/kit", "button.primary", nil)
	if a.KeyCheck() != was {
		t.Fatal("the former shares confirmed the new key")
	}
	b.run("type two shares back", chromedp.SetValue("#share-1", shares[2]), chromedp.SetValue("#share-2", shares[0]))
	b.fill("/setup/kit", "button.primary", nil)
	b.wants("根金鑰已更換", "各處的鎖", "已是新鎖")
	if a.KeyCheck() == was {
		t.Fatal("the page says it was changed")
	}
	b.open("/")
	b.wants("總覽")
}
