package appliance

import (
	"archive/zip"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"farol/internal/audit"
)

func TestTheMachineWritesAPackageAndAnEntryOfIt(t *testing.T) {
	t.Parallel()
	cfg, _, _ := lived(t)
	a, stop := runs(t, cfg)
	out := filepath.Join(t.TempDir(), "audit.zip")
	ask := func(from, to, out string) error {
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/audit-package", strings.NewReader(`{"from":"`+from+`","to":"`+to+`","out":"`+out+`"}`))
		_, err := a.ctlAuditPackage(r)
		return err
	}
	if err := ask("2020-01-01", "2099-12-31", out); err != nil {
		t.Fatal(err)
	}
	z, err := zip.OpenReader(out)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	names := map[string]bool{}
	for _, f := range z.File {
		names[f.Name] = true
	}
	for _, want := range []string{"manifest.json", "entries.ndjson", "checkpoint", "checkpoint.first", "consistency.json", "log-key.txt", "verifier/main.go", "README.zh-Hant.md", "README.pt.md", "README.en.md"} {
		if !names[want] {
			t.Errorf("the package lacks %s", want)
		}
	}
	es, _, err := a.audit.List(audit.Filter{Operation: "audit.export"}, 0, 10)
	if err != nil || len(es) != 1 || es[0].Actor != machineUser {
		t.Errorf("%+v, %v", es, err)
	}
	for what, err := range map[string]error{
		"over a file":     ask("2020-01-01", "2099-12-31", out),
		"no day":          ask("2020-13-01", "2099-12-31", out+"2"),
		"backwards":       ask("2026-02-01", "2026-01-31", out+"2"),
		"an empty period": ask("2020-01-01", "2020-01-31", out+"2"),
		"into the state":  ask("2020-01-01", "2099-12-31", filepath.Join(cfg.StateDir, "x.zip")),
		"a relative path": ask("2020-01-01", "2099-12-31", "x.zip"),
	} {
		if err == nil {
			t.Errorf("%s: it was written", what)
		}
	}
	if n, heads, err := VerifyLog(t.Context(), cfg); err != nil || n != a.audit.Size() || heads == 0 { // beside the running appliance
		t.Errorf("%d entries, %d heads, %v", n, heads, err)
	}
	stop()
	dir := filepath.Join(cfg.StateDir, "log")
	fi, err := os.Stat(filepath.Join(dir, "entries.log"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(dir, "entries.log"), fi.Size()-1); err != nil {
		t.Fatal(err)
	}
	n, _, err := VerifyLog(t.Context(), cfg)
	var where *audit.Tampering
	if !errors.Is(err, ErrNotVerified) || !errors.As(err, &where) || where.From != n || where.To != n || n == 0 || where.Why != audit.Cut {
		t.Errorf("%d, %v", n, err)
	}
}
