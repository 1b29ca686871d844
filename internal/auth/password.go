package auth

import (
	"strings"
	"unicode/utf8"
)

// CheckPassword refuses passwords that are short or easy to guess. Any script
// and any character may be used.
func CheckPassword(password, name string) error {
	if utf8.RuneCountInString(password) < 12 {
		return ErrShort
	}
	low := strings.ToLower(password)
	for _, w := range []string{strings.ToLower(name), "farol", "dingtalk", "釘釘", "守燈"} {
		if w != "" && strings.Contains(low, w) && utf8.RuneCountInString(low)-utf8.RuneCountInString(w) < 8 {
			return ErrWeak
		}
	}
	if easy(low) {
		return ErrWeak
	}
	plain := strings.TrimRight(low, "0123456789!@#$.")
	for _, w := range common {
		if plain == w || low == w || strings.ReplaceAll(low, w, "") == "" {
			return ErrWeak
		}
	}
	distinct := map[rune]bool{}
	run, prev := 0, rune(0)
	for _, r := range low {
		distinct[r] = true
		if r == prev+1 || r == prev {
			run++
		}
		prev = r
	}
	if len(distinct) < 5 || run > utf8.RuneCountInString(low)*2/3 {
		return ErrWeak
	}
	return nil
}

// common are the stems of the commonest passwords; with digits behind or
// repeated they are still easy to guess.
var common = []string{
	"password", "passw0rd", "p@ssword", "p@ssw0rd", "qwerty", "qwertyuiop", "qwerty123456", "asdfghjkl", "zxcvbnm", "iloveyou", "iloveyoubaby",
	"administrator", "admin", "welcome", "letmein", "monkey", "dragon", "football", "baseball", "superman", "princess", "sunshine", "master",
	"changeme", "default", "secret", "company", "internet", "computer", "1q2w3e4r", "1q2w3e4r5t", "1q2w3e4r5t6y", "1qaz2wsx", "1qaz2wsx3edc", "zaq12wsx",
	"woaini", "woaini1314", "wodemima", "123qwe", "abc", "abcd", "abcdef", "abcdefgh", "macau", "macao", "senha", "palavrapasse", "benfica", "portugal",
	"5201314", "147258369", "123123123", "321321321", "112233445566", "qazwsxedc", "qwer", "asdf", "trustno1", "starwars", "whatever", "hello", "freedom",
}
