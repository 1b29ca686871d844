package adr

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// banned are parts that nothing of ours in the product may use, with the reason
// that asvs.md relies on.
var banned = map[string]string{
	"os/exec": "no command is run", "plugin": "no code is loaded", "unsafe": "memory stays safe", "net/smtp": "no mail is sent", "net/rpc": "no objects come from outside", "encoding/gob": "no objects come from outside",
	"encoding/xml": "no XML is read", "text/template": "no template without escaping", "net/http/pprof": "no debugging door", "expvar": "no debugging door", "net/http/cgi": "no program is run",
	"math/rand": "no weak chance", "crypto/md5": "no weak hash", "crypto/sha1": "no weak hash", "crypto/des": "no weak cipher", "crypto/rc4": "no weak cipher", "crypto/rsa": "no padding to get wrong", "crypto/dsa": "no weak signature",
}

// chance is where quick chance is enough: waits and samples, never a secret.
var chance = []string{"farol/internal/backup", "farol/internal/dingtalk", "farol/internal/verify"}

func TestTheProductDoesWithoutDangerousParts(t *testing.T) {
	seen := 0
	for _, p := range list(t, "./internal/...", "./templates/...", "./static/...", "./cmd/farol") {
		if strings.HasPrefix(p.ImportPath, "farol/internal/dingtalk/simulator") {
			continue // is not part of the product, see TestOnlyTheirOwnersImportForeignParts
		}
		seen++
		for _, imp := range p.Imports {
			if why := banned[imp]; why != "" {
				t.Errorf("%s imports %s: %s", p.ImportPath, imp, why)
			}
			if imp == "math/rand/v2" && !slices.Contains(chance, p.ImportPath) {
				t.Errorf("%s imports %s: use crypto/rand, or say in this test why chance that can be guessed is enough", p.ImportPath, imp)
			}
		}
	}
	if seen < 30 {
		t.Fatalf("only %d packages were looked at", seen)
	}
}

// composed are the files that put SQL together. What they add is columns,
// conditions and places for values, all constants of the code; values travel
// as arguments. A new file is a decision: read it, then list it.
var composed = []string{
	"internal/access/access.go", "internal/approval/approval.go", "internal/audit/find.go", "internal/audit/lookup.go", "internal/auth/factor.go", "internal/auth/throttle.go",
	"internal/catalog/containers.go", "internal/catalog/counts.go", "internal/catalog/own.go", "internal/catalog/read.go", "internal/catalog/rebuild.go", "internal/catalog/search.go",
	"internal/matter/matter.go", "internal/verify/store.go", "internal/watch/alarm.go", "internal/watch/store.go",
}

// TestSQLAndPatternsAreTheCodesOwn: no text from outside becomes SQL or a
// pattern.
func TestSQLAndPatternsAreTheCodesOwn(t *testing.T) {
	found := map[string]bool{}
	set := token.NewFileSet()
	err := filepath.WalkDir("../../internal", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		f, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		name, err := filepath.Rel("../..", path)
		if err != nil {
			return err
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BinaryExpr:
				if n.Op == token.ADD && (isSQL(n.X) || isSQL(n.Y)) {
					found[filepath.ToSlash(name)] = true
				}
			case *ast.CallExpr:
				sel, ok := n.Fun.(*ast.SelectorExpr)
				if ok && strings.HasPrefix(sel.Sel.Name, "Sprint") && slices.ContainsFunc(n.Args, isSQL) {
					t.Errorf("%s: SQL goes through %s", set.Position(n.Pos()), sel.Sel.Name)
				}
				if ok && selects(sel, "regexp") && !strings.Contains(name, "simulator") {
					if _, fixed := n.Args[0].(*ast.BasicLit); !fixed {
						t.Errorf("%s: a pattern is made of what somebody typed", set.Position(n.Pos()))
					}
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range found {
		if !slices.Contains(composed, name) {
			t.Errorf("%s puts SQL together", name)
		}
	}
	for _, name := range composed {
		if !found[name] {
			t.Errorf("%s puts no SQL together: strike it from the list", name)
		}
	}
}

// selects reports a call into a package, by its name in the code.
func selects(sel *ast.SelectorExpr, pkg string) bool {
	id, ok := sel.X.(*ast.Ident)
	return ok && id.Name == pkg && sel.Sel.IsExported()
}

func isSQL(e ast.Expr) bool {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return false
	}
	s, err := strconv.Unquote(lit.Value)
	return err == nil && slices.ContainsFunc([]string{"SELECT ", "INSERT INTO ", "UPDATE ", "DELETE FROM ", " WHERE ", " FROM "}, func(w string) bool {
		return strings.HasPrefix(strings.TrimSpace(s)+" ", strings.TrimSpace(w)+" ") || strings.Contains(s, w) && strings.Contains(s, "=?")
	})
}
