package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// outsideProgram builds the shipped text in a folder of its own, as an auditor
// would, and returns the program.
var outsideProgram = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "farol-check-*")
	if err != nil {
		return "", err
	}
	for name, as := range map[string]string{"main.go": "main.go", "go.mod.txt": "go.mod", "go.sum.txt": "go.sum"} {
		b, err := fs.ReadFile(Outside, "outside/"+name)
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(dir, as), b, 0o600); err != nil {
			return "", err
		}
	}
	cmd := exec.Command("go", "build", "-o", "farol-check", ".")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the outside program: %w\n%s", err, out)
	}
	return filepath.Join(dir, "farol-check"), nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if program, err := outsideProgram(); err == nil {
		os.RemoveAll(filepath.Dir(program))
	}
	os.Exit(code)
}

// outside runs the program and reports whether it accepts, and its words.
func outside(t *testing.T, args ...string) (ok bool, words string) {
	t.Helper()
	program, err := outsideProgram()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(program, args...).CombinedOutput()
	return err == nil, string(out)
}

func jsonFile(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return textFile(t, b)
}

func textFile(t *testing.T, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTheOutsideProgramUsesNothingOfOurs(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "outside/main.go", nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	foreign := []string{"golang.org/x/mod/sumdb/note", "golang.org/x/mod/sumdb/tlog"}
	for _, imp := range f.Imports {
		path, err := strconv.Unquote(imp.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		if first, _, _ := strings.Cut(path, "/"); strings.Contains(first, ".") && !slices.Contains(foreign, path) || first == "farol" {
			t.Errorf("the outside program imports %s", path)
		}
	}
	ours, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := os.ReadFile("outside/go.mod.txt")
	if err != nil {
		t.Fatal(err)
	}
	_, version, _ := strings.Cut(string(theirs), "require ")
	if version = strings.TrimSpace(version); version == "" || !strings.Contains(string(ours), version) {
		t.Errorf("the outside program is built with %q, Farol with another version", version)
	}
}

func TestAnOutsiderAcceptsWhatIsTrueAndRefusesEveryLie(t *testing.T) {
	s, v, key := testKeys(t)
	_, _, otherKey := testKeys(t)
	l := fill(t, t.TempDir(), s, v, 13)
	defer l.Close()
	old := l.Checkpoint()
	for i := range 8 {
		if _, err := l.Append(t.Context(), Event{Actor: "b", Operation: "view", Outcome: "ok", Object: fmt.Sprint("record/", i)}); err != nil {
			t.Fatal(err)
		}
	}
	grown, err := l.Consistency(13)
	if err != nil {
		t.Fatal(err)
	}
	// The same key signs another history: what an appliance that lies would show.
	fork := fill(t, t.TempDir(), s, v, 12)
	defer fork.Close()
	for range 9 {
		if _, err := fork.Append(t.Context(), Event{Actor: "b", Operation: "logout", Outcome: "ok"}); err != nil {
			t.Fatal(err)
		}
	}
	forked, err := fork.Consistency(13)
	if err != nil {
		t.Fatal(err)
	}
	proof := func(seq int64) *EntryProof {
		p, err := l.Inclusion(seq)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for seq := range l.Size() {
		if ok, words := outside(t, "-key", key, "entry", jsonFile(t, proof(seq))); !ok {
			t.Fatalf("entry %d: %s", seq, words)
		}
	}
	if ok, words := outside(t, "-key", textFile(t, []byte(key+"\n")), "extends", textFile(t, old), textFile(t, l.Checkpoint()), jsonFile(t, hashTexts(grown))); !ok {
		t.Fatalf("the log that grew: %s", words)
	}
	if ok, words := outside(t, "-key", key, "extends", textFile(t, fork.Checkpoint()), textFile(t, fork.Checkpoint()), jsonFile(t, []string{})); !ok {
		t.Fatalf("the fork agrees with itself: %s", words) // so what is refused below is the lie, not the form
	}
	entry := func(change func(*EntryProof)) []string {
		p := proof(15)
		change(p)
		return []string{"-key", key, "entry", jsonFile(t, p)}
	}
	for lie, args := range map[string][]string{
		"a changed entry":                       entry(func(p *EntryProof) { p.Entry = bytes.Replace(p.Entry, []byte("record/2"), []byte("record/3"), 1) }),
		"a removed entry":                       entry(func(p *EntryProof) { p.Path = p.Path[1:] }),
		"swapped order":                         entry(func(p *EntryProof) { o := proof(16); p.Seq, p.Path = o.Seq, o.Path }),
		"a moved number":                        entry(func(p *EntryProof) { p.Seq = 14 }),
		"another salt":                          entry(func(p *EntryProof) { p.Salt[3] ^= 4 }),
		"an old checkpoint shown as the newest": {"-key", key, "extends", textFile(t, l.Checkpoint()), textFile(t, old), jsonFile(t, hashTexts(grown))},
		"a proof of nothing":                    {"-key", key, "extends", textFile(t, old), textFile(t, l.Checkpoint()), jsonFile(t, []string{})},
		"a fork, with its own proof":            {"-key", key, "extends", textFile(t, old), textFile(t, fork.Checkpoint()), jsonFile(t, hashTexts(forked))},
		"a fork, with the true proof":           {"-key", key, "extends", textFile(t, old), textFile(t, fork.Checkpoint()), jsonFile(t, hashTexts(grown))},
		"an entry of the fork":                  entry(func(p *EntryProof) { p.Checkpoint = string(fork.Checkpoint()) }),
		"another key":                           {"-key", otherKey, "entry", jsonFile(t, proof(15))},
		"a changed size":                        entry(func(p *EntryProof) { p.Checkpoint = strings.Replace(p.Checkpoint, "\n21\n", "\n22\n", 1) }),
		"no witness where one is asked for":     {"-key", key, "-witness", otherKey, "entry", jsonFile(t, proof(15))},
	} {
		if ok, words := outside(t, args...); ok || !strings.HasPrefix(words, "REFUSED:") {
			t.Errorf("%s was accepted: %s", lie, words)
		}
	}
}
