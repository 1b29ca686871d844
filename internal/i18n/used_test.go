package i18n

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	asked   = regexp.MustCompile(`(?:\bT\(ctx, |\.T\(|\.t\(|\bID: )"([a-z][a-z0-9_.]*[a-z0-9_])"[,)}\s]`)
	literal = regexp.MustCompile(`"([a-z][a-z0-9_]*(?:\.[a-z0-9_]*)+)"`)
)

// follow are endings that a program adds to an id which it names.
var follow = []string{".text", ".do", ".then", ".hint", ".advice"}

// TestEveryMessageIsUsedAndEveryUsedMessageExists reads the sources: an id that
// is asked for must be in the catalogs, and a message must be named somewhere,
// whole or by the part before a value ("gap." + reason).
func TestEveryMessageIsUsedAndEveryUsedMessageExists(t *testing.T) {
	named, prefixes := map[string]bool{}, []string{}
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && d.Name() != ".." || d.Name() == "fixtures" || d.Name() == "simulator") {
			return filepath.SkipDir
		}
		if filepath.Ext(path) != ".go" && filepath.Ext(path) != ".templ" || strings.HasSuffix(path, "_templ.go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range asked.FindAllStringSubmatch(string(b), -1) {
			if strings.Contains(m[1], ".") && !Has(m[1]) {
				t.Errorf("%s asks for %q, which no catalog has", path, m[1])
			}
		}
		for _, m := range literal.FindAllStringSubmatch(string(b), -1) {
			if strings.HasSuffix(m[1], ".") {
				prefixes = append(prefixes, m[1])
			}
			named[m[1]] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	used := func(id string) bool {
		if named[id] || !strings.Contains(id, ".") {
			return true
		}
		for _, f := range follow {
			if base, ok := strings.CutSuffix(id, f); ok && named[base] {
				return true
			}
		}
		for _, p := range prefixes {
			if strings.HasPrefix(id, p) {
				return true
			}
		}
		return false
	}
	for id := range catalogs[EN] {
		if !used(id) {
			t.Errorf("nothing uses %s", id)
		}
	}
}
