package keys

import (
	"errors"
	"strings"
	"testing"

	"github.com/tyler-smith/go-bip39/wordlists"
)

func TestAShareIsKnownByItsWordsInEveryScript(t *testing.T) {
	r, err := New()
	if err != nil {
		t.Fatal(err)
	}
	shares, err := Split(r, 5, 3)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[Mark]bool{}
	for _, s := range shares {
		m := s.Mark()
		if seen[m] {
			t.Error("two shares have the same words")
		}
		seen[m] = true
		again, err := ParseShare(strings.ToLower(s.Text()))
		if err != nil || again.Mark() != m {
			t.Errorf("typed from paper the share has other words: %v", err)
		}
		trad, simp := m.Chinese(false), m.Chinese(true)
		for _, typed := range []string{m.English(), strings.ToUpper(m.English()), " " + strings.ReplaceAll(m.English(), " ", ", ") + ".", trad, simp, strings.Join(strings.Split(trad, ""), "、")} {
			if got, err := ParseMark(typed); err != nil || got != m {
				t.Errorf("%q is read as %v: %v", typed, got, err)
			}
		}
		if n := len([]rune(trad)); n != 4 {
			t.Errorf("%d characters", n)
		}
	}
	for _, bad := range []string{"", "abandon", "abandon ability able", "abandon ability able about above", "abandon ability able zzzz", "的一是", "的 ability 是 在", strings.Repeat("abandon ", 1000)} {
		if _, err := ParseMark(bad); !errors.Is(err, ErrWords) {
			t.Errorf("%.40q: %v", bad, err)
		}
	}
	for _, list := range [][]string{wordlists.English, wordlists.ChineseTraditional, wordlists.ChineseSimplified} {
		if len(list) != 1<<wordBits {
			t.Fatalf("a list of %d words", len(list))
		}
	}
}

func FuzzParseMark(f *testing.F) {
	f.Add("abandon ability able about")
	f.Add("的一是在")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := ParseMark(text)
		if err != nil {
			return
		}
		if again, err := ParseMark(m.English()); err != nil || again != m {
			t.Errorf("%q: %v %v", text, again, err)
		}
	})
}
