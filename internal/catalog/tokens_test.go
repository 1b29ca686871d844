package catalog

import (
	"strings"
	"testing"
)

func words(s string) string {
	var out []string
	for _, u := range units(s) {
		out = append(out, u.text)
	}
	return strings.Join(out, " ")
}

func TestFormsOfTheSameWordAreOneToken(t *testing.T) {
	for _, c := range [][2]string{
		{"ＡＢＣ１２３", "abc123"}, {"São João é AÇÃO", "sao joao e acao"}, {"頭髮", "头发"}, {"裏面", "里面"}, {"臺灣", "台湾"},
		{"re\u00adport zero\u200bwidth", "report zerowidth"}, {"don't", "dont"}, {"Straße Ærø", "strasse aero"}, {"e\u0301te\u0301", "été"},
	} {
		if a, b := words(c[0]), words(c[1]); a != b {
			t.Errorf("%q gives %q, %q gives %q", c[0], a, c[1], b)
		}
	}
	if got := words("客戶PO-2026-00042已付款"); got != words("客户 po 2026 00042 已付款") {
		t.Error(got)
	}
	if got := len(units("𠮷野家𨋢")); got != 4 {
		t.Errorf("extension B: %d units", got)
	}
}

func TestASearchFindsThePhraseAndNothingElse(t *testing.T) {
	for _, c := range []struct {
		query, text string
		want        bool
	}{
		{"報價單", "請看附件报价单謝謝", true}, {"報價單", "報價 單", false}, {"報價單", "報價，價單", false},
		{"purchase order", "the order was a purchase", true}, {`"purchase order"`, "the order was a purchase", false},
		{`"purchase order"`, "Purchase  ORDER 42", true}, {"付款 -發票", "已付款", true}, {"付款 -發票", "已付款，發票隨後", false},
		{"瞓", "佢瞓咗", true}, {"A座", "去A座等", true}, {"A座", "A 座", false}, {"ação", "a ACAO foi", true}, {"「已付款」", "PO已付款", true},
	} {
		if _, got := ParseExpr(c.query).Find(c.text); got != c.want {
			t.Errorf("%q in %q: %v", c.query, c.text, got)
		}
	}
	spans, ok := ParseExpr("报价").Find("看報價單")
	if !ok || len(spans) != 1 || spans[0] != (Span{1, 3}) {
		t.Errorf("%v %v", spans, ok)
	}
}

func FuzzEveryTextIsFoundByItsOwnPieces(f *testing.F) {
	f.Add("客戶PO-2026 ok'")
	f.Fuzz(func(t *testing.T, s string) {
		for _, u := range units(s) {
			piece := string([]rune(s)[u.start:u.end])
			if strings.ContainsAny(piece, `"「」“”『』 -`) {
				continue
			}
			e := ParseExpr(piece)
			if e.Empty() {
				continue
			}
			if len(u.text) < maxWord && len(e.phrases) == 1 && len(e.phrases[0]) == 1 {
				if _, ok := e.Find(s); !ok {
					t.Fatalf("%q not found in %q", piece, s)
				}
			}
		}
	})
}
