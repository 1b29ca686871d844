package auth

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestGuessedIsMadeFromItsSources adds the lists that FAROL_GUESSED names to
// guessed.bin, and counts what of them an account could have had.
func TestGuessedIsMadeFromItsSources(t *testing.T) {
	files := strings.Fields(os.Getenv("FAROL_GUESSED"))
	if len(files) == 0 {
		t.Skip("FAROL_GUESSED names no lists")
	}
	set := map[string]bool{}
	for i := 0; i < len(guessed); i += guessedSize {
		set[string(guessed[i:i+guessedSize])] = true
	}
	long := map[string]bool{}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for s := bufio.NewScanner(f); s.Scan(); {
			w := strings.ToLower(strings.TrimRight(s.Text(), "\r"))
			if strings.HasPrefix(w, "***") || !utf8.ValidString(w) || utf8.RuneCountInString(w) < guessedShortest {
				continue // a list's own words, or nothing that is looked up
			}
			set[string(guessedSum(w))] = true
			if utf8.RuneCountInString(w) >= 12 {
				long[w] = true
			}
		}
	}
	var all []byte
	sums := make([]string, 0, len(set))
	for s := range set {
		sums = append(sums, s)
	}
	slices.Sort(sums)
	for _, s := range sums {
		all = append(all, s...)
	}
	if err := os.WriteFile("guessed.bin", all, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d passwords, %d of them long enough for an account", len(set), len(long))
	guessed = all
	for w := range long {
		if err := CheckPassword(w, "maria"); !errors.Is(err, ErrWeak) {
			t.Errorf("%q: %v", w, err)
		}
	}
}

func TestGuessedIsSortedAndLarge(t *testing.T) {
	if n := len(guessed) / guessedSize; len(guessed)%guessedSize != 0 || n < 250_000 {
		t.Errorf("%d entries in %d bytes", n, len(guessed))
	}
	for i := guessedSize; i < len(guessed); i += guessedSize {
		if bytes.Compare(guessed[i-guessedSize:i], guessed[i:i+guessedSize]) >= 0 {
			t.Fatalf("entry %d is out of order", i/guessedSize)
		}
	}
}
