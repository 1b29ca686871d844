package catalog

import (
	"strings"
)

// Expr is a parsed search: every phrase must be there, none of the excluded.
// A phrase is a run of units that stand next to each other.
type Expr struct {
	phrases [][]unit
	not     [][]unit
}

// ParseExpr reads what a person typed: words are joined by AND, "…" and 「…」
// make a phrase, a Chinese run is a phrase, a leading - excludes.
func ParseExpr(s string) Expr {
	var e Expr
	for _, part := range splitQuoted(s) {
		neg := strings.HasPrefix(part.text, "-") && len(part.text) > 1
		us := units(strings.TrimPrefix(part.text, "-"))
		if len(us) == 0 {
			continue
		}
		us[0].joined = false
		if neg {
			e.not = append(e.not, us)
		} else {
			e.phrases = append(e.phrases, us)
		}
	}
	return e
}

// Empty reports whether the search asks for nothing.
func (e Expr) Empty() bool { return len(e.phrases) == 0 }

// Exact reports whether a count from the index alone is exact.
func (e Expr) Exact() bool {
	for _, p := range e.phrases {
		if len(p) > 2 || (len(p) == 2 && !(p[0].cjk && p[1].cjk && p[1].joined)) {
			return false
		}
	}
	return len(e.not) == 0
}

type quoted struct{ text string }

func splitQuoted(s string) []quoted {
	var out []quoted
	var cur strings.Builder
	inside := rune(0)
	flush := func() {
		if t := strings.TrimSpace(cur.String()); t != "" {
			out = append(out, quoted{t})
		}
		cur.Reset()
	}
	closing := map[rune]rune{'"': '"', '「': '」', '“': '”', '『': '』'}
	for _, r := range s {
		switch {
		case inside != 0 && r == inside:
			flush()
			inside = 0
		case inside == 0 && closing[r] != 0:
			if cur.String() != "-" {
				flush()
			}
			inside = closing[r]
		case inside == 0 && (r == ' ' || r == '\t' || r == '\n' || r == 0x3000):
			flush()
		default:
			cur.WriteRune(r)
		}
	}
	flush()
	return out
}

// match is the FTS5 expression: all tokens of all phrases.
func (e Expr) match(b *blinder) string {
	seen := map[string]bool{}
	var toks []string
	add := func(t string) {
		if !seen[t] {
			seen[t] = true
			toks = append(toks, `"`+t+`"`)
		}
	}
	for _, p := range e.phrases {
		for i, u := range p {
			switch {
			case !u.cjk:
				add(b.token(piece{'w', u.text, ""}))
			case i > 0 && p[i-1].cjk && u.joined:
				add(b.token(piece{'b', p[i-1].text, u.text}))
			case i+1 < len(p) && p[i+1].cjk && p[i+1].joined:
				// the bigram to come says more
			default:
				add(b.token(piece{'c', u.text, ""}))
			}
		}
	}
	return strings.Join(toks, " AND ")
}

// Span is a range of runes of a text.
type Span struct{ Start, End int }

// Find checks a plaintext against the search and returns where its phrases
// stand. The blind index only proposes; this decides.
func (e Expr) Find(text string) ([]Span, bool) {
	us := units(text)
	for _, p := range e.not {
		if len(find(us, p, 1)) > 0 {
			return nil, false
		}
	}
	var spans []Span
	for _, p := range e.phrases {
		hits := find(us, p, 20)
		if len(hits) == 0 {
			return nil, false
		}
		spans = append(spans, hits...)
	}
	return spans, true
}

func find(us, p []unit, limit int) []Span {
	var out []Span
next:
	for i := 0; i+len(p) <= len(us) && len(out) < limit; i++ {
		for j := range p {
			t := us[i+j]
			if t.text != p[j].text || t.cjk != p[j].cjk || (p[j].joined && !t.joined) {
				continue next
			}
		}
		out = append(out, Span{us[i].start, us[i+len(p)-1].end})
	}
	return out
}
