package audit

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

// detailKeys is what Detail may hold in all the code, with what stands there.
// A new key is a decision: never content, a name, a file name, a search text.
var detailKeys = map[string]string{
	"added": "count", "as_of": "commit number", "attachment": "number", "bytes": "count", "containers": "count", "damage": "count", "decisions": "count", "departments": "count",
	"entries": "count", "files": "count", "healed": "count", "held": "count", "items": "count", "listed": "count", "missing": "count", "records": "count", "rows": "count", "seconds": "count",
	"seen": "count", "usual": "count", "locks": "count", "needed": "count", "opened": "count", "shares": "count, or numbers of shares", "began_seq": "commit number", "seq": "commit number", "point_time": "time",
	"cause": "word of a fixed list", "kind": "word of a fixed list", "kinds": "words of a fixed list", "mode": "word of a fixed list", "rule": "word of a fixed list", "step": "word of a fixed list",
	"what": "word of a fixed list", "witness": "word of a fixed list", "when": "word of a fixed list", "by": "word of a fixed list, or an account", "paused": "yes or no", "lock_days": "number of days", "lock_strict": "yes or no", "country": "code", "filing": "reference of a filing", "filed": "day", "until": "day",
	"four_eyes": "word of a fixed list", "matter": "number of a matter", "basis": "word of a fixed list", "role": "word of a fixed list", "why": "word of a fixed list", "realms": "bits", "password": "yes or no", "first": "word of a fixed list", "factor": "word of a fixed list", "withdrawn": "yes or no",
	"before": "rules in numbers", "after": "rules in numbers", "depts": "numbers", "reason_sha256": "hash",
	// references, which the lookup finds (refs.go)
	"dept": "reference", "person": "reference", "record": "reference", "container": "reference",
	"former_epoch": "number", "former_entry": "entry number", "former_time": "time", "former_operation": "id of an operation",
	// of this package and what it is wired to
	"from": "time or entry number", "to": "time or entry number", "old_size": "entry number", "old_root": "hash", "size": "entry number", "class": "word of a fixed list",
}

// computedKeys are the places where a key is no constant, with what it is.
var computedKeys = map[string]string{
	"internal/backup/run.go":   "a kind of record",
	"internal/restore/job.go":  "an outcome of a restore",
	"internal/web/schedule.go": "the name of a schedule",
	"internal/web/readback.go": "no entry: lines of a page",
	"internal/audit/expire.go": "a log class",
	"internal/web/circles.go":  "the name of a closed circle",
}

// TestNoEntryCanHoldContent reads all the code that writes entries and compares
// the keys of Detail with the list above.
func TestNoEntryCanHoldContent(t *testing.T) {
	seen := map[string]bool{}
	root := "../.."
	pkgs := map[string][]*ast.File{}
	names := map[*ast.File]string{}
	set := token.NewFileSet()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.HasPrefix(d.Name(), ".package-") { // machines that packages are tested on
			return fs.SkipDir
		}
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, "_templ.go") {
			return err
		}
		f, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		pkgs[filepath.Dir(rel)] = append(pkgs[filepath.Dir(rel)], f)
		names[f] = filepath.ToSlash(rel)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for dir, files := range pkgs {
		if dir != filepath.FromSlash("internal/audit") && !slices.ContainsFunc(files, importsAudit) {
			continue
		}
		takes := detailParams(files)
		for _, f := range files {
			r := detailReader{t: t, set: set, file: names[f], takes: takes, seen: seen}
			ast.Inspect(f, r.visit)
		}
	}
	if len(seen) < 20 {
		t.Fatalf("only %d keys were found: this test no longer sees the code", len(seen))
	}
}

func importsAudit(f *ast.File) bool {
	return slices.ContainsFunc(f.Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == `"farol/internal/audit"` })
}

// detailParams finds the functions of a package that take details, and where.
func detailParams(files []*ast.File) map[string]int {
	out := map[string]int{}
	for _, f := range files {
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			i := 0
			for _, p := range fn.Type.Params.List {
				for _, n := range p.Names {
					if _, isMap := p.Type.(*ast.MapType); isMap && n.Name == "detail" {
						out[fn.Name.Name] = i
					}
					i++
				}
			}
		}
	}
	return out
}

type detailReader struct {
	t     *testing.T
	set   *token.FileSet
	file  string
	takes map[string]int
	seen  map[string]bool
}

func (r *detailReader) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.CompositeLit:
		typ := exprName(n.Type)
		if sel, ok := n.Type.(*ast.SelectorExpr); ok {
			typ = sel.Sel.Name
		}
		for _, el := range n.Elts {
			kv, ok := el.(*ast.KeyValueExpr)
			if !ok || typ != "Event" || exprName(kv.Key) != "Detail" {
				continue
			}
			r.value(kv.Value)
			if v := exprName(kv.Value); v != "" && v != "detail" && computedKeys[r.file] == "" {
				r.t.Errorf("%s: name what becomes an entry's Detail detail, so that this test sees its keys", r.set.Position(kv.Pos()))
			}
		}
	case *ast.AssignStmt:
		for i, lhs := range n.Lhs {
			if at, ok := lhs.(*ast.IndexExpr); ok && isDetail(at.X) {
				r.key(at.Index)
			} else if isDetail(lhs) && i < len(n.Rhs) {
				r.value(n.Rhs[i])
			}
		}
	case *ast.CallExpr:
		name := ""
		switch f := n.Fun.(type) {
		case *ast.Ident:
			name = f.Name
		case *ast.SelectorExpr:
			name = f.Sel.Name
		}
		if i, ok := r.takes[name]; ok && i < len(n.Args) {
			r.value(n.Args[i])
		}
	}
	return true
}

// isDetail reports an expression that goes into an entry's Detail: the field, or
// a variable of the names that stand for it.
func isDetail(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name == "detail"
	case *ast.SelectorExpr:
		return e.Sel.Name == "Detail"
	}
	return false
}

// value checks what becomes a Detail: a literal is read here, a variable must be
// called so that its own assignments are.
func (r *detailReader) value(e ast.Expr) {
	lit, ok := e.(*ast.CompositeLit)
	if !ok {
		return
	}
	if m, ok := lit.Type.(*ast.MapType); !ok || exprName(m.Key) != "string" || exprName(m.Value) != "string" {
		return
	}
	for _, el := range lit.Elts {
		if kv, ok := el.(*ast.KeyValueExpr); ok {
			r.key(kv.Key)
		}
	}
}

func exprName(e ast.Expr) string {
	id, ok := e.(*ast.Ident)
	if !ok {
		return ""
	}
	return id.Name
}

func (r *detailReader) key(e ast.Expr) {
	lit, ok := e.(*ast.BasicLit)
	if !ok {
		if computedKeys[r.file] == "" {
			r.t.Errorf("%s: a key of Detail is computed; say what it is in computedKeys", r.set.Position(e.Pos()))
		}
		return
	}
	key, err := strconv.Unquote(lit.Value)
	if err != nil {
		r.t.Fatal(err)
	}
	r.seen[key] = true
	if detailKeys[key] == "" {
		r.t.Errorf("%s: Detail[%q] is on no list: entries hold references, counts and hashes, never content", r.set.Position(e.Pos()), key)
	}
}

func TestAnUnknownOperationIsKeptAndMarked(t *testing.T) {
	s, v, _ := testKeys(t)
	dir := t.TempDir()
	l := fill(t, dir, s, v, 1)
	if _, err := l.Append(t.Context(), Event{Actor: "a", Operation: "no.such.operation", Outcome: "ok"}); err != nil {
		t.Fatal(err)
	}
	l.Close()
	l = fill(t, dir, s, v, 0)
	defer l.Close()
	e, err := l.Entry(1)
	if err != nil || e.Severity != "warn" || !slices.Equal(e.Laws, []string{Unmapped}) || e.LogClass == "" {
		t.Errorf("%+v, %v", e, err)
	}
	if e, err := l.Entry(0); err != nil || e.Severity != "info" || slices.Contains(e.Laws, Unmapped) || e.LogClass != "auth" {
		t.Errorf("%+v, %v", e, err)
	}
}

func TestWhatWasSearchedForCannotBeGuessedFromTheEntry(t *testing.T) {
	s, v, _ := testKeys(t)
	objects := map[string]bool{}
	for _, key := range []string{"one", "one", "another"} {
		l, err := Open(t.TempDir(), Options{Box: plainBox{}, Signer: s, Verify: v, LookupKey: []byte(key)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Append(t.Context(), Event{Actor: "a", Operation: "search", Object: "query/0123456789ab", Outcome: "ok"}); err != nil {
			t.Fatal(err)
		}
		e, err := l.Entry(0)
		if err != nil || !strings.HasPrefix(e.Object, "query/") || strings.Contains(e.Object, "0123456789ab") {
			t.Errorf("%q, %v", e.Object, err)
		}
		objects[e.Object] = true
		l.Close()
	}
	if len(objects) != 2 {
		t.Errorf("%v: the same search must look the same, and only on the same appliance", objects)
	}
}

func TestEveryOperationIsWhole(t *testing.T) {
	for id, op := range Operations {
		if op.Title["zh-Hant"] == "" || op.Title["pt"] == "" || op.Title["en"] == "" {
			t.Errorf("%s lacks a title", id)
		}
		if Classes[op.Policy.Class].Default == "" {
			t.Errorf("%s is of class %q, which has no end", id, op.Policy.Class)
		}
		if !slices.Contains([]string{"info", "notice", "warn", "critical"}, op.Policy.Severity) {
			t.Errorf("%s has severity %q", id, op.Policy.Severity)
		}
		for _, law := range op.Laws {
			if _, ok := Laws[law]; !ok {
				t.Errorf("%s names the unknown law %s", id, law)
			}
		}
	}
}
