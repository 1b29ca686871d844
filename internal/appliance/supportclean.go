package appliance

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// What a supporter may read of a log line is what these lists allow. Everything
// else is left out: a list of what is forbidden always misses something.

// cleanKeys are the attributes of our log lines whose values are counts, words of
// ours and what went wrong.
var cleanKeys = []string{"level", "msg", "err", "number", "kind", "run", "place", "entries", "what", "took", "again_in", "why", "seq", "records", "offset", "memory_mb", "job", "healed", "forgotten",
	"version", "usual", "try", "times", "seen", "part", "of", "needed", "machine_mb", "kept", "its_fold", "fold", "heard", "first", "files", "end", "cpus", "containers", "code", "cause", "bytes", "api", "alarm", "refused", "protocol", "panel", "stack"}

var (
	logPair   = regexp.MustCompile(`^([a-z_.]+)=("(?:[^"\\]|\\.)*"|[^\s"]*)\s*`)
	traceLine = regexp.MustCompile(`^(goroutine \d+ .*|created by [\w./*()\[\]\-{}·]+.*|\s+\S+\.go:\d+.*|[\w./%\-]+\.[\w.()*\[\]·/%\-{}]+\(.*\)|(panic|fatal error|SIG[A-Z]+|runtime): .*|exit status \d+|\s*)$`)
	traceArgs = regexp.MustCompile(`\([^()]*\)( in goroutine \d+)?$`)
	traceFile = regexp.MustCompile(`\S*?((?:/[^/\s]+){1,3}\.go:\d+)( \+0x[0-9a-f]+)?`)
	quoted    = regexp.MustCompile(`"[^"]*"|'[^']*'`)
	anyURL    = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://\S+`)
	lookup    = regexp.MustCompile(`lookup [^\s:]+`)
	mailLike  = regexp.MustCompile(`[^\s@]+@[^\s@]+`)
	anyPath   = regexp.MustCompile(`(^|[\s(=\[])(/[^\s:,;)]+)`)
	fourParts = regexp.MustCompile(`\b\d{1,3}(\.\d{1,3}){3}\b`)
	colons    = regexp.MustCompile(`[0-9A-Fa-f]{0,4}(:[0-9A-Fa-f]{0,4}){2,7}`)
	longWord  = regexp.MustCompile(`[A-Za-z0-9_+/=-]{24,}`)
	foreign   = regexp.MustCompile(`[^\x20-\x7e]+`)
)

// cleanText leaves of what went wrong the words: no quotation, address, path,
// long word that may be a key, nor anything that is not plain English.
func cleanText(s string) string {
	s = quoted.ReplaceAllString(s, `"…"`)
	s = anyURL.ReplaceAllString(s, "[url]")
	s = lookup.ReplaceAllString(s, "lookup [host]")
	s = mailLike.ReplaceAllString(s, "[address]")
	s = anyPath.ReplaceAllString(s, "$1[path]")
	s = cleanAddresses(s)
	s = longWord.ReplaceAllString(s, "[long]")
	return foreign.ReplaceAllString(s, "…")
}

func cleanAddresses(s string) string {
	s = fourParts.ReplaceAllString(s, "[ip]")
	return colons.ReplaceAllStringFunc(s, func(x string) string {
		if _, err := netip.ParseAddr(x); err == nil {
			return "[ip]"
		}
		return x
	})
}

// cleanTrace leaves of a dump of goroutines which functions wait where: values
// that were passed are left out.
func cleanTrace(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		line = strings.TrimRight(line, "\n")
		switch {
		case !traceLine.MatchString(line):
			line = fmt.Sprintf("(%d bytes left out)", len(line))
		case strings.HasPrefix(line, "panic: "), strings.HasPrefix(line, "fatal error: "), strings.HasPrefix(line, "runtime: "):
			line = cleanText(line)
		case strings.HasPrefix(line, "\t"), strings.HasPrefix(line, " "):
			line = foreign.ReplaceAllString("  "+strings.TrimSpace(traceFile.ReplaceAllString(line, "…$1")), "…")
		default:
			line = foreign.ReplaceAllString(traceArgs.ReplaceAllString(line, "(…)$1"), "…")
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}

// cleanLine is a line of our log as a supporter may read it.
func cleanLine(s string) string {
	if !strings.HasPrefix(s, "level=") && !strings.HasPrefix(s, "time=") {
		if traceLine.MatchString(s) {
			return strings.TrimRight(cleanTrace(s), "\n")
		}
		return fmt.Sprintf("(%d bytes that are no line of the log)", len(s))
	}
	var out []string
	for s != "" {
		m := logPair.FindStringSubmatch(s)
		if m == nil {
			out = append(out, fmt.Sprintf("(%d bytes left out)", len(s)))
			break
		}
		s = s[len(m[0]):]
		key, value := m[1], m[2]
		if u, err := strconv.Unquote(value); err == nil {
			value = u
		}
		switch {
		case key == "time" && len(out) == 0:
		case !slices.Contains(cleanKeys, key):
			value = "-"
		case key == "stack":
			value = cleanTrace(value)
		default:
			value = cleanText(value)
		}
		if strings.ContainsAny(value, " \n\"=") {
			value = strconv.Quote(value)
		}
		out = append(out, key+"="+value)
	}
	return strings.Join(out, " ")
}
