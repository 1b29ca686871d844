package archive

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"farol/internal/record"
)

// TestStockKopiaReadsWhatWasFolded needs the stock program. Build it with
//
//	cd $(go env GOMODCACHE)/github.com/kopia/kopia@v0.22.3 && CGO_ENABLED=0 go build -o /tmp/kopia .
//
// and run the test with FAROL_KOPIA=/tmp/kopia.
func TestStockKopiaReadsWhatWasFolded(t *testing.T) {
	bin := os.Getenv("FAROL_KOPIA")
	if bin == "" {
		t.Skip("FAROL_KOPIA does not name the stock kopia program")
	}
	ctx := context.Background()
	a, dir := newArchive(t, Options{Org: "示範公司"})
	var recs []record.Record
	for i, name := range oddNames {
		r := message(name, i)
		b, err := a.PutBlob(ctx, name, -1, strings.NewReader("attachment "+name))
		if err != nil {
			t.Fatal(err)
		}
		r.Blobs = []record.Blob{b}
		recs = append(recs, r)
	}
	big, err := a.PutBlob(ctx, "合同.pdf", -1, bytes.NewReader(filler(3, 3<<20)))
	if err != nil {
		t.Fatal(err)
	}
	recs = append(recs, record.Record{Ref: record.Ref{Kind: record.Files, Container: "space 1", ID: "dentry"}, Time: day, Raw: []byte(`{"name":"合同.pdf"}`), Blobs: []record.Blob{big}})
	commit(t, a, recs...)
	fold(t, a)
	commit(t, a, messages("群", 0, 3000)...)
	p := fold(t, a)
	if err := a.Maintain(ctx, true); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	kopia := stockKopia(t, bin, dir)
	if out := kopia("snapshot", "list", "--all"); !strings.Contains(out, p.root) {
		t.Errorf("the point is not in the list:\n%s", out)
	}
	t.Log(kopia("snapshot", "verify", "--verify-files-percent=100"))
	kopia("content", "verify", "--full")
	to := filepath.Join(t.TempDir(), "restored")
	kopia("snapshot", "restore", p.ID, to)

	lines, files := 0, map[string]string{}
	err = filepath.WalkDir(to, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(to, path)
		if !strings.HasPrefix(rel, farolDir+"/") && filepath.Ext(rel) == segmentExt {
			return eachLine(b, 0, func(line []byte, _ int64) error {
				lines++
				_, err := parseLine(line)
				return err
			})
		}
		files[record.HashOf(b).String()] = rel
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if lines != len(recs)+3000 {
		t.Errorf("%d lines were restored, want %d", lines, len(recs)+3000)
	}
	for _, r := range recs {
		for _, b := range r.Blobs {
			if files[b.SHA256.String()] == "" {
				t.Errorf("attachment %q was not restored", b.Name)
			}
		}
	}
	t.Log(files[big.SHA256.String()], fmt.Sprintf("%d files", len(files)))
}

// stockKopia connects the stock program to the archive in dir and returns what
// runs it.
func stockKopia(t testing.TB, bin, dir string) func(args ...string) string {
	t.Helper()
	home := t.TempDir()
	kopia := func(args ...string) string {
		t.Helper()
		cmd := exec.Command(bin, append(args, "--config-file="+filepath.Join(home, "config"))...)
		cmd.Env = append(os.Environ(), "KOPIA_PASSWORD="+Password(testRoot), "HOME="+home, "KOPIA_CHECK_FOR_UPDATES=false",
			"XDG_CACHE_HOME="+home, "KOPIA_LOG_DIR="+home, "KOPIA_CACHE_DIRECTORY="+filepath.Join(home, "cache"))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("kopia %s: %v\n%s", args[0], err, out)
		}
		return string(out)
	}
	kopia("repository", "connect", "filesystem", "--path="+filepath.Join(dir, repoDir), "--readonly")
	return kopia
}
