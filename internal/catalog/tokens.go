package catalog

import (
	"crypto/hmac"
	"crypto/sha256"
	_ "embed"
	"encoding/base32"
	"hash"
	"strings"
	"sync"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// TokenVersion is stored beside the index; another value means rebuild.
const TokenVersion = "1"

//go:embed hanfold.txt
var hanFoldFile string

// hanFold maps a Han character to the smallest of its class, so that
// Traditional, Simplified and regional forms are one.
var hanFold = sync.OnceValue(func() map[rune]rune {
	m := make(map[rune]rune, 9000)
	for line := range strings.Lines(hanFoldFile) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		rs := []rune(strings.TrimSpace(line))
		for _, r := range rs[1:] {
			m[r] = rs[0]
		}
	}
	return m
})

// unit is one searchable piece of a text: a folded word, or one folded CJK
// character. start and end are rune offsets in the text as written.
type unit struct {
	text       string
	cjk        bool
	joined     bool // nothing stands between it and the unit before
	start, end int
}

const maxWord = 48 // bytes

func isCJK(r rune) bool {
	return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Bopomofo, unicode.Hangul)
}

// invisible characters must not hide a word.
func invisible(r rune) bool {
	switch r {
	case 0x00AD, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF:
		return true
	}
	return unicode.Is(unicode.Variation_Selector, r)
}

var latin = strings.NewReplacer("ß", "ss", "æ", "ae", "ø", "o", "ł", "l", "đ", "d", "œ", "oe")

// units cuts a text into its searchable pieces, in order. The same function
// serves indexing, queries and highlighting.
func units(s string) []unit {
	var out []unit
	var word strings.Builder
	wordStart, pos := 0, 0
	gap := true // something separates the next unit from the last
	flush := func(end int) {
		if word.Len() == 0 {
			return
		}
		w := word.String()
		word.Reset()
		if len(w) > maxWord {
			w = strings.ToValidUTF8(w[:maxWord], "")
		}
		out = append(out, unit{text: w, joined: !gap, start: wordStart, end: end})
		gap = false
	}
	for _, orig := range s {
		at := pos
		pos++
		if invisible(orig) {
			continue
		}
		for _, r := range foldRune(orig) {
			switch {
			case isCJK(r):
				flush(at)
				if c, ok := hanFold()[r]; ok {
					r = c
				}
				out = append(out, unit{text: string(r), cjk: true, joined: !gap, start: at, end: at + 1})
				gap = false
			case unicode.IsLetter(r) || unicode.IsDigit(r):
				if word.Len() == 0 {
					wordStart = at
				}
				word.WriteRune(r)
			case unicode.Is(unicode.Mn, r), r == '\'' && word.Len() > 0, r == '’' && word.Len() > 0:
				// marks are stripped, an apostrophe joins
			default:
				flush(at)
				gap = true
			}
		}
	}
	flush(pos)
	return out
}

// foldRune is NFKC, lower case, without marks, of one character.
func foldRune(r rune) string {
	if r < 0x80 {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return asciiText[r : r+1]
	}
	if r >= 0x4E00 && r <= 0x9FFF {
		return string(r)
	}
	s := norm.NFKD.String(string(r))
	return latin.Replace(strings.ToLower(s))
}

var asciiText = func() string {
	b := make([]byte, 128)
	for i := range b {
		b[i] = byte(i)
	}
	return string(b)
}()

// blinder turns pieces of text into blind tokens: HMAC-SHA256 under the search
// key, 40 bits, base32. The cache is bounded: it is plaintext in memory.
type blinder struct {
	mu    sync.Mutex
	mac   hash.Hash // of words
	names hash.Hash
	cache map[string]string
}

const blindCache = 1 << 17

func newBlinder(k Keys) *blinder {
	return &blinder{mac: hmac.New(sha256.New, k.Words), names: hmac.New(sha256.New, k.Names), cache: make(map[string]string, 1024)}
}

var b32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// token blinds one piece; sort is 'w' word, 'b' bigram, 'c' character.
func (b *blinder) token(sort byte, text string) string {
	k := string(sort) + text
	b.mu.Lock()
	defer b.mu.Unlock()
	if t, ok := b.cache[k]; ok {
		return t
	}
	b.mac.Reset()
	b.mac.Write([]byte(k))
	t := b32.EncodeToString(b.mac.Sum(nil)[:5])
	if len(b.cache) >= blindCache {
		clear(b.cache)
	}
	b.cache[k] = t
	return t
}

// name is a stable 63-bit blind name of an upstream id.
func (b *blinder) name(parts ...string) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.names.Reset()
	b.names.Write([]byte("n"))
	for _, p := range parts {
		b.names.Write([]byte(p))
		b.names.Write([]byte{0})
	}
	var n int64
	for _, c := range b.names.Sum(nil)[:8] {
		n = n<<8 | int64(c)
	}
	return n & (1<<63 - 1)
}

// document is the index text of a document: its distinct blind tokens.
func (b *blinder) document(text string) string {
	us := units(text)
	seen := make(map[string]bool, len(us)*2)
	var sb strings.Builder
	add := func(t string) {
		if !seen[t] {
			seen[t] = true
			if sb.Len() > 0 {
				sb.WriteByte(' ')
			}
			sb.WriteString(t)
		}
	}
	for i, u := range us {
		if !u.cjk {
			add(b.token('w', u.text))
			continue
		}
		add(b.token('c', u.text))
		if i > 0 && us[i-1].cjk && u.joined {
			add(b.token('b', us[i-1].text+u.text))
		}
	}
	return sb.String()
}
