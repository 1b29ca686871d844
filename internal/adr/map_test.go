package adr

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

type goPackage struct {
	ImportPath string
	Doc        string
	Imports    []string
	Deps       []string
}

func list(t *testing.T, args ...string) []goPackage {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Imports,Doc,Deps"}, args...)...)
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var ps []goPackage
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return ps
		} else if err != nil {
			t.Fatal(err)
		}
		ps = append(ps, p)
	}
}

// owner is the package of the map that an import path belongs to.
func owner(path string) string {
	path = strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(path, "farol/"), "internal/"), "packaging/")
	name, _, _ := strings.Cut(path, "/")
	return name
}

var row = regexp.MustCompile("(?m)^\\| `([a-z0-9]+)` \\| .* \\| (.*) \\|$")
var name = regexp.MustCompile("`([a-z0-9]+)`")

func TestTheReadmesMapIsTheCode(t *testing.T) {
	b, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	may := map[string][]string{"templates": {"i18n", "static"}, "static": nil}
	for _, m := range row.FindAllStringSubmatch(strings.ReplaceAll(string(b), " | |\n", " |  |\n"), -1) {
		may[m[1]] = nil
		for _, n := range name.FindAllStringSubmatch(m[2], -1) {
			may[m[1]] = append(may[m[1]], n[1])
		}
	}
	for _, p := range list(t, "./internal/...", "./templates/...", "./static/...", "./packaging/...") {
		from := owner(p.ImportPath)
		allowed, known := may[from]
		if !known {
			t.Errorf("%s is not in the README's map", p.ImportPath)
			continue
		}
		for _, imp := range p.Imports {
			if to := owner(imp); strings.HasPrefix(imp, "farol/") && to != from && from != "appliance" && !slices.Contains(allowed, to) {
				t.Errorf("%s imports %s: the map does not allow `%s` → `%s`", p.ImportPath, imp, from, to)
			}
		}
		if p.Doc == "" {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}

func TestOnlyTheirOwnersImportForeignParts(t *testing.T) {
	for _, p := range list(t, "./...") {
		for _, imp := range p.Imports {
			for prefix, only := range map[string][]string{"github.com/labstack/echo": {"web"}, "github.com/kopia/": {"archive"}, "modernc.org/sqlite": {"db"},
				"github.com/yuin/goldmark": {"docs"}, "github.com/minio/": {"replica"}, "github.com/pkg/sftp": {"replica"}} {
				if strings.HasPrefix(imp, prefix) && !slices.Contains(only, owner(p.ImportPath)) {
					t.Errorf("%s imports %s", p.ImportPath, imp)
				}
			}
		}
	}
	for _, p := range list(t, "./cmd/farol") {
		if slices.Contains(p.Deps, "farol/internal/dingtalk/simulator") {
			t.Error("farol links the simulator")
		}
	}
}
