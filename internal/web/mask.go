package web

import (
	"regexp"
	"strings"
)

// identity are numbers of identity documents: Macau, Hong Kong, Mainland. They
// are not in the page until somebody says that he needs them.
var identity = regexp.MustCompile(`\b[1578]/?\d{6}(?:/\d|\(\d\)|（\d）)|\b[A-Z]{1,2}\d{6}(?:\([0-9A]\)|（[0-9A]）)|\b[1-9]\d{16}[\dXx]\b`)

// mask keeps the length, so that search hits stay where they are.
func mask(s string) string {
	return identity.ReplaceAllStringFunc(s, func(m string) string { return strings.Repeat("•", len([]rune(m))) })
}

func unmasked(s string) string { return s }
