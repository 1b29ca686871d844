package catalog

import "testing"

// FuzzExpr reads what somebody types into the search field, and looks for it in
// a text: every span lies inside it.
func FuzzExpr(f *testing.F) {
	for _, s := range []string{"報價單 -草稿", `"exact phrase"`, "「引號", "-", "a\x00b", "\"", "全形　空格"} {
		f.Add(s, "第 3 批報價單已付款")
	}
	f.Fuzz(func(t *testing.T, typed, text string) {
		spans, _ := ParseExpr(typed).Find(text)
		for _, s := range spans {
			if s.Start < 0 || s.End < s.Start || s.End > len(text) {
				t.Errorf("%q in %q: %+v", typed, text, s)
			}
		}
	})
}
