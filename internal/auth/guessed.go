package auth

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"sort"
	"strings"
	"unicode/utf8"
)

// guessed are the passwords that leaked most often, as the first five bytes of
// the SHA-256 of each in lower case, sorted: nobody needs to read them here.
//
// They come from five published lists, entries of five characters and more;
// FAROL_GUESSED="file file file" go test ./internal/auth -run GuessedIsMade
// adds lists to the file:
//
//   - NCSC and Have I Been Pwned, PwnedPasswordsTop100k.txt, as at
//     https://www.ncsc.gov.uk/static-assets/documents/PwnedPasswordsTop100k.txt,
//     sha256 3fd4ce60530d6ee1085350838f9c748eff618ecd9ec0e4aba9b90f778c557ff5
//   - github.com/FlameOfIgnis/Pwdb-Public 9b53917431ed, wordlists/ignis-100K.txt, MIT,
//     sha256 07f876a616f08fb2cc5c3e0ce04e4a6d1123380580472b0997baebc4e8226977
//   - the ten million of Mark Burnett, public domain, the first 100,000, as in
//     github.com/andrewlock/CommonPasswordsValidator 4054ab96e4c5, MIT,
//     sha256 95ac56cbccc008f6cc2a29e4ea77982eb504285bb7ab9b05e4dd39f251c3f4cc
//   - the first 175,000 of the same, as in github.com/Pqncakes/r-dontjump ebf4b93,
//     sha256 1a3c94068d3d37bbf408fc8abbf25b8e8bcbf45d9753d5f97de98f96f2e5a9f1
//   - github.com/duyet/bruteforce-database 233b5e5, 8-more-passwords.txt, MIT,
//     61,682 of eight characters and more, sha256 769d73eb2214a83b8638c60cd692f48e43177c054a7d2734035989150a1de78c
//
//go:embed guessed.bin
var guessed []byte

const (
	guessedSize     = 5 // bytes an entry
	guessedShortest = 5 // characters
)

func guessedSum(low string) []byte {
	sum := sha256.Sum256([]byte(low))
	return sum[:guessedSize]
}

// leaked reports whether a password in lower case is one of them.
func leaked(low string) bool {
	if utf8.RuneCountInString(low) < guessedShortest {
		return false
	}
	want := guessedSum(low)
	n := len(guessed) / guessedSize
	at := func(i int) []byte { return guessed[i*guessedSize : (i+1)*guessedSize] }
	i := sort.Search(n, func(i int) bool { return bytes.Compare(at(i), want) >= 0 })
	return i < n && bytes.Equal(at(i), want)
}

// digitsAndSigns are what people put before and behind a password to make it
// long enough.
const digitsAndSigns = "0123456789!@#$%&*._-+? "

// easy reports whether a password is one that leaked, or one with nothing but
// digits and signs around it, or one twice.
func easy(low string) bool {
	core := strings.Trim(low, digitsAndSigns)
	half := len(core) / 2
	return leaked(low) || leaked(strings.TrimRight(low, digitsAndSigns)) || leaked(core) || len(core)%2 == 0 && core[:half] == core[half:] && leaked(core[:half])
}
