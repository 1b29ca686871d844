package adr

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// official are the requirements of level 1 and of level 2 in each chapter of
// OWASP ASVS 5.0.0, counted in 5.0/docs_en/…_5.0.0_en.csv of the repository
// OWASP/ASVS at the tag v5.0.0_release; the tables in 5.0/en say the same.
var official = [...][2]int{1: {8, 19}, {4, 7}, {8, 11}, {2, 8}, {4, 5}, {13, 22}, {6, 12}, {4, 3}, {4, 3}, {5, 24}, {3, 11}, {3, 6}, {1, 12}, {2, 7}, {3, 10}, {0, 16}, {0, 7}}

// officialWords is the SHA-256 of "number level words\n" of each of them in
// order, from the same file, runs of white space made one.
const officialWords = "076f3faa4d93770a2d0ba15e953485f8fea0441f19158476b80a0858e7f760a3"

// requirement is one row of asvs.md.
type requirement struct {
	at                        [3]int // chapter, section, number
	level                     int
	words, applies, how, held string
}

func asvs(t *testing.T) []requirement {
	t.Helper()
	b, err := os.ReadFile("asvs.md")
	if err != nil {
		t.Fatal(err)
	}
	var out []requirement
	for _, line := range strings.Split(string(b), "\n") {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| number ") {
			continue
		}
		col := strings.Split(strings.TrimSuffix(strings.TrimPrefix(line, "| "), " |"), " | ")
		if len(col) != 6 {
			t.Fatalf("%d columns: %.80s", len(col), line)
		}
		r := requirement{words: col[2], applies: col[3], how: col[4], held: col[5]}
		if n, err := fmt.Sscanf(col[0], "%d.%d.%d", &r.at[0], &r.at[1], &r.at[2]); n != 3 || err != nil {
			t.Fatalf("%q is no number", col[0])
		}
		if r.level, err = strconv.Atoi(col[1]); err != nil {
			t.Fatalf("%s has the level %q", col[0], col[1])
		}
		out = append(out, r)
	}
	return out
}

func (r requirement) String() string { return fmt.Sprintf("%d.%d.%d", r.at[0], r.at[1], r.at[2]) }

func TestEveryRequirementOfLevelsOneAndTwoIsAnswered(t *testing.T) {
	var counts [len(official)][2]int
	var last [3]int
	all, applies, met, notMet := 0, 0, 0, 0
	words := sha256.New()
	for _, r := range asvs(t) {
		if slices.Compare(r.at[:], last[:]) <= 0 {
			t.Errorf("%s comes after %v: twice, or out of order", r, last)
		}
		last = r.at
		if r.at[0] < 1 || r.at[0] >= len(official) || r.level < 1 || r.level > 2 {
			t.Fatalf("%s is of level %d", r, r.level)
		}
		counts[r.at[0]][r.level-1]++
		fmt.Fprintf(words, "%s %d %s\n", r, r.level, r.words)
		all++
		reason, no := strings.CutPrefix(r.applies, "no: ")
		_, isMet := strings.CutPrefix(r.how, "met: ")
		missing, isNot := strings.CutPrefix(r.how, "not met: ")
		switch {
		case no && len(reason) > 5 && r.how == "–" && r.held != "":
		case r.applies == "yes" && isMet && len(r.how) > 10 && strings.Contains(r.held, "`"):
			applies, met = applies+1, met+1
		case r.applies == "yes" && isNot && len(missing) > 20 && r.held != "":
			applies, notMet = applies+1, notMet+1
		default:
			t.Errorf("%s is not answered: %q, %q, %q", r, r.applies, r.how, r.held)
		}
	}
	for ch := 1; ch < len(official); ch++ {
		if counts[ch] != official[ch] {
			t.Errorf("V%d has %v of levels 1 and 2, the standard %v", ch, counts[ch], official[ch])
		}
	}
	if got := hex.EncodeToString(words.Sum(nil)); got != officialWords {
		t.Errorf("a requirement is not in the words of the standard: %s", got)
	}
	t.Logf("%d requirements: %d apply, %d are met, %d are not met", all, applies, met, notMet)
}

var (
	quoted   = regexp.MustCompile("`([^`]+)`")
	testName = regexp.MustCompile(`^(Test|Fuzz)[A-Z]\w*$`)
	ourPath  = regexp.MustCompile(`^(\.ci|internal|templates|static|systemd|cmd|packaging)(/[\w.-]+)*$|^(Makefile|go\.mod|go\.sum)$`)
)

// TestWhatTheAnswersNameIsThere: tests as functions, files as files, addresses
// as routes, keys of the configuration as such, and anything else word for word
// in the code, the units or the Makefile.
func TestWhatTheAnswersNameIsThere(t *testing.T) {
	funcs, text := repository(t)
	routes, err := os.ReadFile("matrix.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]bool{}
	for _, r := range asvs(t) {
		for _, m := range quoted.FindAllStringSubmatch(r.applies+" "+r.how+" "+r.held, -1) {
			name, ok := m[1], false
			key, isKey := strings.CutPrefix(name, "farol.yaml: ")
			switch {
			case testName.MatchString(name):
				ok, tests[name] = funcs[name], true
			case ourPath.MatchString(name):
				_, err := os.Stat(filepath.Join("../..", name))
				ok = err == nil
			case strings.HasPrefix(name, "/"):
				ok = strings.Contains(string(routes), " `"+name+"` ")
			case isKey:
				ok = strings.Contains(text, `yaml:"`+key+`"`)
			case banned[name] != "":
				ok = true // held by TestTheProductDoesWithoutDangerousParts
			default:
				ok = strings.Contains(text, name)
			}
			if !ok {
				t.Errorf("%s names %s, which is not there", r, name)
			}
		}
	}
	t.Logf("%d tests are named", len(tests))
}

// repository gives the names of all test functions, and the text of everything
// that is built or run.
func repository(t *testing.T) (funcs map[string]bool, text string) {
	t.Helper()
	funcs = map[string]bool{}
	var all strings.Builder
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && (d.Name() == ".git" || strings.HasPrefix(d.Name(), ".package-")) { // machines that packages are tested on
			return cmp.Or(err, fs.SkipDir)
		}
		if strings.HasSuffix(path, "_test.go") {
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil {
					funcs[fn.Name.Name] = true
				}
			}
			return nil
		}
		if d.IsDir() || !slices.Contains([]string{".go", ".templ", ".js", ".service", ".socket", ".yaml"}, filepath.Ext(path)) && d.Name() != "Makefile" {
			return nil
		}
		b, err := os.ReadFile(path)
		all.Write(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return funcs, all.String()
}
