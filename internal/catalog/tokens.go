package catalog

import (
	"crypto/hmac"
	"crypto/sha256"
	_ "embed"
	"encoding/base32"
	"encoding/binary"
	"hash"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

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

// unified tells a plain Han character.
func unified(r rune) bool { return 0x4E00 <= r && r <= 0x9FFF }

func isCJK(r rune) bool {
	switch { // most of what there is, without looking in tables
	case r < 0x1100:
		return false
	case unified(r):
		return true
	}
	return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Bopomofo, unicode.Hangul)
}

// invisible characters must not hide a word.
func invisible(r rune) bool {
	if r < 0x80 || unified(r) {
		return false
	}
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
	out := make([]unit, 0, len(s)/4+1)
	var word strings.Builder
	wordStart, pos := 0, 0
	fold := hanFold()
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
	for i, orig := range s {
		at := pos
		pos++
		if invisible(orig) {
			continue
		}
		var folded string
		if unified(orig) {
			folded = s[i : i+utf8.RuneLen(orig)] // as it is, without a copy
		} else {
			folded = foldRune(orig)
		}
		for _, r := range folded {
			switch {
			case isCJK(r):
				flush(at)
				if c, ok := fold[r]; ok {
					r = c
				}
				text := folded
				if only, n := utf8.DecodeRuneInString(folded); only != r || n != len(folded) {
					text = string(r)
				}
				out = append(out, unit{text: text, cjk: true, joined: !gap, start: at, end: at + 1})
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
	mu    sync.Mutex // guards below
	mac   hash.Hash  // of words
	words map[string]*blinded
	han   map[uint64]*blinded // one or two characters: a table of numbers is asked far faster
	docs  uint64              // counts documents

	namesMu sync.Mutex
	names   hash.Hash
}

// piece is what a token stands for: sort is 'w' a word, 'b' two characters,
// 'c' one.
type piece struct {
	sort byte
	a, b string
}

// blinded is a piece's token, and in which document it was met last.
type blinded struct {
	token string
	doc   uint64
}

const blindCache = 1 << 17

func newBlinder(k Keys) *blinder {
	return &blinder{mac: hmac.New(sha256.New, k.Words), names: hmac.New(sha256.New, k.Names), words: map[string]*blinded{}, han: map[uint64]*blinded{}}
}

var b32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// token blinds one piece.
func (b *blinder) token(p piece) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bound()
	return b.of(p).token
}

// bound empties a cache that has grown too large; a document may exceed it by
// its own pieces, since it is asked between documents only.
func (b *blinder) bound() {
	if len(b.words)+len(b.han) >= blindCache {
		clear(b.words)
		clear(b.han)
	}
}

// of blinds one piece under mu.
func (b *blinder) of(p piece) *blinded {
	if p.sort == 'w' {
		t, ok := b.words[p.a]
		if !ok {
			t = b.blind(p)
			b.words[strings.Clone(p.a)] = t // not the message it stands in
		}
		return t
	}
	first, _ := utf8.DecodeRuneInString(p.a)
	key := uint64(first) << 32
	if p.sort == 'b' {
		second, _ := utf8.DecodeRuneInString(p.b)
		key |= uint64(second)
	}
	t, ok := b.han[key]
	if !ok {
		t = b.blind(p)
		b.han[key] = t
	}
	return t
}

func (b *blinder) blind(p piece) *blinded {
	b.mac.Reset()
	b.mac.Write([]byte{p.sort})
	b.mac.Write([]byte(p.a))
	b.mac.Write([]byte(p.b))
	return &blinded{token: b32.EncodeToString(b.mac.Sum(nil)[:5])}
}

// name is a stable 63-bit blind name of an upstream id.
func (b *blinder) name(parts ...string) int64 {
	b.namesMu.Lock()
	defer b.namesMu.Unlock()
	b.names.Reset()
	b.names.Write([]byte("n"))
	for _, p := range parts {
		b.names.Write([]byte(p))
		b.names.Write([]byte{0})
	}
	return int64(binary.BigEndian.Uint64(b.names.Sum(nil)) & (1<<63 - 1))
}

// document is the index text of a document: its distinct blind tokens.
func (b *blinder) document(text string) string {
	us := units(text)
	out := make([]byte, 0, 18*len(us))
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bound()
	b.docs++
	add := func(p piece) {
		t := b.of(p)
		if t.doc == b.docs {
			return
		}
		t.doc = b.docs
		if len(out) > 0 {
			out = append(out, ' ')
		}
		out = append(out, t.token...)
	}
	for i, u := range us {
		if !u.cjk {
			add(piece{'w', u.text, ""})
			continue
		}
		add(piece{'c', u.text, ""})
		if i > 0 && us[i-1].cjk && u.joined {
			add(piece{'b', us[i-1].text, u.text})
		}
	}
	return string(out)
}
