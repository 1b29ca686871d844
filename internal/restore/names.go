package restore

import (
	"path"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// safeName makes an upstream name a file name on every system: no separators,
// no control characters, no reserved endings, at most 120 bytes.
func safeName(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError, unicode.IsControl(r), strings.ContainsRune(`/\:*?"<>|`, r), unicode.Is(unicode.Cf, r):
			return '_'
		}
		return r
	}, s)
	s = strings.Trim(s, " .")
	ext := path.Ext(s)
	if len(ext) > 16 {
		ext = ""
	}
	base := strings.TrimSuffix(s, ext)
	for len(base)+len(ext) > 120 {
		_, n := utf8.DecodeLastRuneInString(base)
		base = base[:len(base)-n]
	}
	base = strings.TrimRight(base, " ")
	switch strings.ToUpper(base) {
	case "", "CON", "PRN", "AUX", "NUL", "COM1", "COM2", "COM3", "COM4", "LPT1", "LPT2", "LPT3":
		base = "_" + base
	}
	return base + ext
}

// safePath makes each part of an upstream path safe; ".." becomes a name.
func safePath(s string) string {
	var parts []string
	for p := range strings.SplitSeq(strings.Trim(s, "/"), "/") {
		parts = append(parts, safeName(p))
	}
	return strings.Join(parts, "/")
}

// free returns name, or name with a number when it is taken, regardless of
// case: some file systems do not tell case apart.
func (x *exporter) free(name string) string {
	ext := path.Ext(name)
	base := strings.TrimSuffix(name, ext)
	for i := 1; ; i++ {
		if i > 1 {
			name = base + " (" + strconv.Itoa(i) + ")" + ext
		}
		if key := strings.ToLower(name); !x.names[key] {
			x.names[key] = true
			return name
		}
	}
}
