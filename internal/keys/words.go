package keys

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"strings"
	"unicode"

	"github.com/tyler-smith/go-bip39/wordlists"
)

// Mark tells a share apart without saying anything about it: 44 bits of its
// hash, which people read as four words.
type Mark uint64

const (
	markWords = 4
	wordBits  = 11 // of a list of 2,048
)

// ErrWords means that what was typed are not four words of a list.
var ErrWords = errors.New("a share has four words, all from the same list")

// Mark is the share's mark.
func (s Share) Mark() Mark {
	h := sha256.Sum256([]byte("farol share words\n" + s.Text()))
	return Mark(binary.BigEndian.Uint64(h[:8]) >> (64 - markWords*wordBits))
}

// English are the mark's words of BIP 39's English list.
func (m Mark) English() string { return m.words(wordlists.English, " ") }

// Chinese are the same words as characters, traditional or simplified.
func (m Mark) Chinese(simplified bool) string {
	if simplified {
		return m.words(wordlists.ChineseSimplified, "")
	}
	return m.words(wordlists.ChineseTraditional, "")
}

func (m Mark) words(list []string, sep string) string {
	var w [markWords]string
	for i := range w {
		w[i] = list[m>>(wordBits*(markWords-1-i))&(1<<wordBits-1)]
	}
	return strings.Join(w[:], sep)
}

// ParseMark reads four words of any of the lists. Case and what stands between
// them do not matter.
func ParseMark(text string) (Mark, error) {
	words := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) })
	if han := strings.Join(words, ""); len([]rune(han)) == markWords {
		words = words[:0]
		for _, r := range han {
			words = append(words, string(r))
		}
	}
	if len(words) != markWords {
		return 0, ErrWords
	}
	for _, list := range [][]string{wordlists.English, wordlists.ChineseTraditional, wordlists.ChineseSimplified} {
		if m, ok := parseMark(words, list); ok {
			return m, nil
		}
	}
	return 0, ErrWords
}

func parseMark(words, list []string) (m Mark, ok bool) {
	at := make(map[string]int, len(list))
	for i, w := range list {
		at[w] = i
	}
	for _, w := range words {
		i, ok := at[w]
		if !ok {
			return 0, false
		}
		m = m<<wordBits | Mark(i)
	}
	return m, true
}
