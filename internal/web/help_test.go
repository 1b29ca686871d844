package web

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"farol/packaging/docs"
)

// TestTheManualIsReadWithoutSigningIn: in the reader's language or the nearest,
// which is said, and before there is any account.
func TestTheManualIsReadWithoutSigningIn(t *testing.T) {
	h := newHouse(t)
	get := func(path, lang string) (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.srv.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Accept-Language", lang)
		resp, err := h.srv.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
	for _, topic := range docs.Topics {
		for lang, want := range map[string][]string{"zh-HK": {"zh-Hant"}, "en": {"en"}, "zh-CN": {"zh-Hant", "本说明只有"}, "pt": {"en", "Este manual existe"}} {
			p, _ := docs.Of(topic, want[0])
			code, body := get("/help/"+topic, lang)
			if code != http.StatusOK || !strings.Contains(body, p.HTML) || !strings.Contains(body, "<h1>"+p.Title) || len(want) > 1 && !strings.Contains(body, want[1]) {
				t.Errorf("%s in %s: %d", topic, lang, code)
			}
			if _, list := get("/help", lang); !strings.Contains(list, `href="/help/`+topic+`"`) {
				t.Errorf("%s is not in the list in %s", topic, lang)
			}
		}
	}
	if code, _ := get("/help/nothing", "en"); code != http.StatusNotFound {
		t.Errorf("a topic that is not there answers %d", code)
	}
}
