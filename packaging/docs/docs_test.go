package docs

import (
	"regexp"
	"strings"
	"testing"
)

var (
	shown = regexp.MustCompile(`<(?:a href|img src)="([^"]*)"`)
	names = regexp.MustCompile(` id="([^"]*)"`)
	bare  = regexp.MustCompile(`https?://[^\s)` + "`" + `]+`)
)

// TestEveryPageIsDrawnAndItsLinksLeadSomewhere: to a page that is there and a
// section that it has, in every language, and never out of the house.
func TestEveryPageIsDrawnAndItsLinksLeadSomewhere(t *testing.T) {
	for _, lang := range Langs {
		targets := map[string]bool{}
		for _, topic := range Topics {
			p, ok := Of(topic, lang)
			if !ok || p.Title == "" || len([]rune(p.Lead)) < 10 || len(p.Parts) < 5 {
				t.Errorf("%s.%s: %q, %q, %d parts", topic, lang, p.Title, p.Lead, len(p.Parts))
			}
			targets["/help/"+topic] = true
			for _, m := range names.FindAllStringSubmatch(p.HTML, -1) {
				targets["/help/"+topic+"#"+m[1]] = true
			}
		}
		for _, topic := range Topics {
			p, _ := Of(topic, lang)
			for _, m := range shown.FindAllStringSubmatch(p.HTML, -1) {
				to := m[1]
				if strings.HasPrefix(to, "#") {
					to = "/help/" + topic + to
				}
				if !targets[to] {
					t.Errorf("%s.%s leads to %q, which is not there", topic, lang, m[1])
				}
			}
			if strings.Contains(p.HTML, " style=") || strings.Contains(p.HTML, "<h1") {
				t.Errorf("%s.%s: a style or a second title", topic, lang)
			}
			for _, other := range Langs {
				if o, _ := Of(topic, other); len(o.Parts) != len(p.Parts) {
					t.Errorf("%s has %d sections in %s, %d in %s", topic, len(p.Parts), lang, len(o.Parts), other)
				} else {
					for i := range p.Parts {
						if p.Parts[i].ID != o.Parts[i].ID || p.Parts[i].ID == "" {
							t.Errorf("%s: section %d is #%s in %s, #%s in %s", topic, i, p.Parts[i].ID, lang, o.Parts[i].ID, other)
						}
					}
				}
			}
		}
	}
}

// TestHTMLInAPageIsNotHTML: what somebody writes into a page can only be text.
func TestHTMLInAPageIsNotHTML(t *testing.T) {
	var b strings.Builder
	if err := markdown.Convert([]byte("# t\n\na <script>x</script> b\n\n<img src=x>\n\n[y](javascript:z)\n"), &b); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"<script", "<img", "javascript:"} {
		if strings.Contains(b.String(), bad) {
			t.Errorf("%q got through: %s", bad, &b)
		}
	}
}

// TestThePagesNameNoForeignAddress but that of the machine itself.
func TestThePagesNameNoForeignAddress(t *testing.T) {
	for _, topic := range Topics {
		for _, lang := range Langs {
			for _, m := range bare.FindAllString(string(source(topic, lang)), -1) {
				if !strings.HasSuffix(strings.TrimSuffix(m, "/"), ":8443") {
					t.Errorf("%s.%s names %s", topic, lang, m)
				}
			}
		}
	}
}
