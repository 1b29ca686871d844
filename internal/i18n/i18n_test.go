package i18n

import (
	"regexp"
	"slices"
	"testing"
	"time"
)

var placeholder = regexp.MustCompile(`\{[a-z_]+\}`)

func TestEveryCatalogHasTheSameMessagesAndPlaceholders(t *testing.T) {
	for id, en := range catalogs[EN] {
		want := placeholder.FindAllString(en, -1)
		slices.Sort(want)
		for _, l := range Langs {
			text, ok := catalogs[l][id]
			if !ok {
				t.Errorf("%s has no %s", l, id)
				continue
			}
			got := placeholder.FindAllString(text, -1)
			slices.Sort(got)
			if !slices.Equal(slices.Compact(got), slices.Compact(slices.Clone(want))) {
				t.Errorf("%s %s: placeholders %v, want %v", l, id, got, want)
			}
		}
	}
	for _, l := range Langs {
		for id := range catalogs[l] {
			if _, ok := catalogs[EN][id]; !ok {
				t.Errorf("%s has %s, English has not", l, id)
			}
		}
	}
}

var halfWidth = regexp.MustCompile(`\p{Han}[,;:!?]|[,;:!?]\p{Han}`)

func TestChineseUsesFullWidthMarks(t *testing.T) {
	for _, l := range []Lang{ZhHant, ZhHans} {
		for id, text := range catalogs[l] {
			if m := halfWidth.FindString(text); m != "" {
				t.Errorf("%s %s: %q", l, id, m)
			}
		}
	}
}

func TestReadersOfEveryRegionFindTheirLanguage(t *testing.T) {
	for accept, want := range map[string]Lang{"": ZhHant, "zh-HK": ZhHant, "zh-MO,zh;q=0.9": ZhHant, "zh-CN": ZhHans, "zh-SG": ZhHans, "pt-PT": PT, "en-GB": EN, "xx": ZhHant, "garbage;;": ZhHant} {
		if got := Match(accept); got != want {
			t.Errorf("%q: %s, want %s", accept, got, want)
		}
	}
}

func TestNumbersSizesAndTimesReadWell(t *testing.T) {
	at := time.Date(2026, 11, 23, 7, 42, 0, 0, time.UTC)
	for got, want := range map[string]string{
		EN.Number(1204): "1,204", PT.Number(1204): "1\u00a0204", EN.Size(999): "999\u00a0B", PT.Size(2840000): "2,8\u00a0MB", EN.Size(1500): "1.5\u00a0kB",
		ZhHant.Time(at): "2026年11月23日 15:42", EN.Duration(471 * time.Second): "7 min 51 s", EN.Duration(3 * time.Hour): "3 h", EN.Duration(20 * time.Millisecond): "20 ms",
		EN.Percent(99999, 100000): "99.99%", EN.Percent(5, 5): "100%", EN.Percent(0, 0): "–", EN.Duration(0): "0 ms",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if e := (&Error{ID: "setup.step", Args: []any{"n", 3, "of", 7}}); e.Text(EN) != "Step 3 of 7" {
		t.Error(e.Text(EN))
	}
}
