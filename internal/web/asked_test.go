package web

import (
	"strings"
	"testing"
)

// TestWordsOfASearchStandInNoAddressAndServeTheirOwnSessionOnly: a search is
// often a name; browsers, proxies and histories keep addresses.
func TestWordsOfASearchStandInNoAddressAndServeTheirOwnSessionOnly(t *testing.T) {
	h := newHouse(t)
	h.account("maria", "owner")
	h.account("chan", "owner")
	h.backedUp()
	maria, chan1 := h.login("maria"), h.login("chan")
	for _, v := range []*visitor{maria, chan1} {
		v.post("/purpose", "purpose", "dispute", "title", "供應商訴訟案", "next", "/")
	}
	const words = "李偉強"
	for _, page := range []string{"/search", "/archive/chat"} {
		a := maria.find(page, words, "kind", "chat").wants(t, 200, `value="`+words+`"`)
		for _, part := range strings.Split(a.body, `"`) {
			if (strings.Contains(part, "?") || strings.HasPrefix(part, "/")) && (strings.Contains(part, words) || strings.Contains(part, "%E6%9D%8E")) {
				t.Errorf("%s has the words in an address: %s", page, part)
			}
		}
	}
	to := maria.post("/search", "q", words).wants(t, 303).to
	if again := maria.post("/search", "q", words).to; again != to {
		t.Errorf("the same words have two addresses: %s, %s", to, again)
	}
	maria.get(to).wants(t, 200, `value="`+words+`"`)
	n := h.logged("search")
	chan1.get(to).wants(t, 422, "已不再保留").lacks(t, words)
	maria.get("/search?s=00").wants(t, 422, "已不再保留")
	maria.get("/search?q="+words).wants(t, 200).lacks(t, `value="`+words) // an old address is not obeyed
	maria.post("/search", "q", strings.Repeat("長", longestAsk+1)).wants(t, 422, "最多")
	if h.logged("search") != n {
		t.Error("something was searched for")
	}
	h.clock.pass(askedLife + 1)
	maria = h.login("maria")
	maria.post("/purpose", "purpose", "dispute", "title", "供應商訴訟案", "next", "/")
	maria.get(to).wants(t, 422, "已不再保留")
}
