package archive

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"farol/internal/record"
)

// maxName is the longest file name the tree uses, in bytes. Restored trees
// must fit file systems that end at 255.
const maxName = 180

// maxItem leaves room for a version and a name behind an item's id.
const maxItem = 40

// encodeName makes any upstream id or title a file name: letters and digits
// of every script stay, everything else that a file system, a shell or an eye
// could trip over becomes %XX of its UTF-8 bytes. It is reversible unless the
// result would be longer than maxName; then it is cut and ends in ~ and a
// hash, and the exact name is in the record.
func encodeName(s string) string { return encodeUpTo(s, maxName) }

func encodeUpTo(s string, most int) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if plainRune(r, n) && !(r == '.' && (i == 0 || i+1 == len(s))) && !(r == ' ' && (i == 0 || i+1 == len(s))) {
			b.WriteString(s[i : i+n])
		} else {
			for _, c := range []byte(s[i : i+n]) {
				fmt.Fprintf(&b, "%%%02X", c)
			}
		}
		i += n
	}
	out := b.String()
	switch {
	case out == "":
		return "%"
	case deviceName(out):
		out = fmt.Sprintf("%%%02X%s", out[0], out[1:])
	}
	if len(out) <= most {
		return out
	}
	sum := sha256.Sum256([]byte(s))
	tail := "~" + hex.EncodeToString(sum[:8])
	cut := out[:most-len(tail)]
	for !utf8.ValidString(cut) {
		cut = cut[:len(cut)-1]
	}
	return cut + tail
}

func plainRune(r rune, n int) bool {
	switch {
	case r == utf8.RuneError && n <= 1:
		return false
	case r < 0x80:
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.+=@,()[] ", r)
	}
	return unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.IsMark(r) || unicode.Is(unicode.So, r) || unicode.IsPunct(r)
}

// deviceName reports names that Windows keeps for devices.
func deviceName(s string) bool {
	base, _, _ := strings.Cut(strings.ToLower(s), ".")
	switch base {
	case "con", "prn", "aux", "nul":
		return true
	}
	return len(base) == 4 && (strings.HasPrefix(base, "com") || strings.HasPrefix(base, "lpt")) && base[3] >= '1' && base[3] <= '9'
}

// decodeName is the inverse of encodeName; ok is false for a name that was
// cut.
func decodeName(s string) (out string, ok bool) {
	if strings.Contains(s, "~") {
		return "", false
	}
	if s == "%" {
		return "", true
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", false
		}
		c, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
		if err != nil {
			return "", false
		}
		b.WriteByte(byte(c))
		i += 2
	}
	return b.String(), true
}

// shard spreads names over 256 directories.
func shard(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:1])
}

func kindDir(k record.Kind) string {
	switch k {
	case record.Chat:
		return "chats"
	case record.Files, record.Approvals, record.Contacts:
		return string(k)
	}
	return encodeName(string(k))
}

// containerPath is the directory of a container below the root.
func containerPath(org string, k record.Kind, container string) []string {
	return []string{org, kindDir(k), shard(container), encodeName(container)}
}

// isMonth reports whether a directory below a container holds segments.
func isMonth(s string) bool {
	return len(s) == 7 && s[4] == '-' && strings.Trim(s[:4]+s[5:], "0123456789") == ""
}

// orgDir is the tenant's directory; the name of ours is taken.
func orgDir(org string) string {
	if n := encodeName(org); n != farolDir {
		return n
	}
	return farolDir + "_"
}
