package appliance

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"farol/internal/audit"
	"farol/internal/record"
)

// unpacked is a bundle as a supporter reads it.
func unpacked(t *testing.T, path string) map[string]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if fi, err := f.Stat(); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("others may read the bundle: %v %v", fi.Mode(), err)
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		} else if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.Base(h.Name)] = string(b)
	}
}

// journalOf is a journal as journalctl prints it, with lines of a log.
func journalOf(t *testing.T, lines []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	say := func(by, msg string) {
		x, err := json.Marshal(map[string]any{"__REALTIME_TIMESTAMP": "1796000000000000", "PRIORITY": "4", "SYSLOG_IDENTIFIER": by, "MESSAGE": msg})
		if err != nil {
			t.Fatal(err)
		}
		b.Write(append(x, '\n'))
	}
	say("systemd", "farol.service: Main process exited, code=killed, status=9/KILL")
	say("farol", "set-up code: ABCD-EFGH")
	for line := range strings.Lines(string(lines)) {
		say("farol", strings.TrimSuffix(line, "\n"))
	}
	return b.Bytes()
}

// searchBundle makes a bundle of a living appliance, with its own log at its most
// talkative as the journal, and looks for every canary and every name in it.
func searchBundle(t *testing.T, h *started, log []byte, leaves []string, search func(string, []byte)) []string {
	t.Helper()
	ctx, a := t.Context(), h.a
	was := a.audit.Size()
	b := &bundle{cfg: a.cfg, now: time.Now(), lines: journalOf(t, log), show: []byte("ActiveState=active\nNRestarts=2\nFragmentPath=/home/ana/x\n")}
	if err := b.gather(ctx); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "b.tar.gz")
	if err := b.write(path); err != nil {
		t.Fatal(err)
	}
	files := unpacked(t, path)
	names := []string{"maria", "陳大文", h.nodeAddr, h.base, "ABCD-EFGH", a.archive.ID(), a.cfg.StateDir, a.cfg.ArchiveDir, "127.0.0.1", "/home/ana"}
	depts, err := a.catalog.Depts(ctx)
	if err != nil || len(depts) == 0 {
		t.Fatal(len(depts), err)
	}
	for _, d := range depts {
		names = append(names, d.Name)
	}
	for _, k := range record.Kinds {
		cs, err := a.catalog.Holders(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range cs {
			if c.Kind == k && len([]rune(c.Title)) > 3 {
				names = append(names, c.Title)
			}
		}
	}
	for name, text := range files {
		search("the bundle's "+name, []byte(text))
		for _, n := range names {
			if i := strings.Index(text, n); n != "" && i >= 0 {
				t.Errorf("the bundle's %s holds %q: %.120s", name, n, text[max(0, i-60):])
			}
		}
		if name != "README.txt" && strings.ContainsFunc(text, func(r rune) bool { return r > 0x2fff }) {
			t.Errorf("the bundle's %s holds a text in Chinese", name)
		}
	}
	for name, want := range map[string]string{"README.txt": "of the audit log", "about.json": `"cpus"`, "config.json": `"log_level": "error"`, "doctor.json": `"daemon"`, "status.json": `"what": "full"`, "metrics.txt": "farol_records{kind=\"chat\"}",
		"goroutines.txt": "farol/internal/backup.(*Engine).Run(…)", "unit.txt": "NRestarts=2", "journal.txt": "systemd: farol.service: Main process exited", "files.json": `"journal"`} {
		if !strings.Contains(files[name], want) {
			t.Errorf("the bundle's %s does not say %s: %.300s", name, want, files[name])
		}
	}
	if !strings.Contains(files["journal.txt"], "level=DEBUG") && !strings.Contains(files["journal.txt"], "level=INFO") {
		t.Errorf("the journal's lines are gone: %.300s", files["journal.txt"])
	}
	if len(names) < 12 {
		t.Errorf("%d names were looked for: this test no longer knows the house", len(names))
	}
	found, _, err := a.audit.List(audit.Filter{Operation: "support.bundle"}, 0, 5)
	if err != nil || len(found) != 1 || found[0].Seq < was {
		t.Errorf("its entry: %+v %v", found, err)
	}
	return leaves
}

// TestABundleIsMadeWhileTheDaemonIsDown: that is when it is needed most.
func TestABundleIsMadeWhileTheDaemonIsDown(t *testing.T) {
	cfg := bench(t)
	cfg.Listen, cfg.TLSCert, cfg.TLSKey, cfg.Metrics = "intranet.firma.example:8443", "/etc/firma/cert.pem", "/etc/firma/key.pem", "/etc/firma/token"
	path := filepath.Join(t.TempDir(), "b.tar.gz")
	b := &bundle{cfg: cfg, now: time.Now()}
	if err := b.gather(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.write(path); err != nil {
		t.Fatal(err)
	}
	files := unpacked(t, path)
	if !strings.Contains(files["README.txt"], "did not answer") || files["status.json"] != "" || !strings.Contains(files["doctor.json"], "state folder") || !strings.Contains(files["journal.txt"], "not given") || !strings.Contains(files["unit.txt"], "not given") {
		t.Errorf("of a daemon that is down: %v", files)
	}
	for name, text := range files {
		if strings.Contains(text, "firma") || strings.Contains(text, filepath.Dir(cfg.StateDir)) {
			t.Errorf("%s names the house: %s", name, text)
		}
	}
	var said map[string]any
	if err := json.Unmarshal([]byte(files["config.json"]), &said); err != nil {
		t.Fatal(err)
	}
	for i := range reflect.TypeFor[Config]().NumField() { // a new key is looked at by a person
		key := reflect.TypeFor[Config]().Field(i).Tag.Get("yaml")
		if _, ok := said[key]; !ok {
			t.Errorf("the bundle says nothing of %s", key)
		}
	}
	if err := b.write(path); err == nil {
		t.Error("it overwrites a file")
	}
}

// TestWhatALineOfTheLogMayStillSay: words and counts of ours stay, whatever names
// somebody or opens something goes.
func TestWhatALineOfTheLogMayStillSay(t *testing.T) {
	long := strings.Repeat("k3", 20)
	for line, want := range map[string]string{
		`level=WARN msg="it waits" err="dial tcp 10.0.9.4:8444: connect: connection refused" again_in=2s`: `level=WARN msg="it waits" err="dial tcp [ip]:8444: connect: connection refused" again_in=2s`,
		`time=2026-11-29T10:00:00Z level=INFO msg=ready address=10.0.0.1:8443 version=1.2`:                `time=2026-11-29T10:00:00Z level=INFO msg=ready address=- version=1.2`,
		`level=ERROR msg=x err="open /srv/公司/陳大文.txt: permission denied"`:                                 `level=ERROR msg=x err="open [path]: permission denied"`,
		`level=ERROR msg=x err="lookup node.firma.mo on [fe80::1]:53: no such host"`:                      `level=ERROR msg=x err="lookup [host] on [[ip]]:53: no such host"`,
		`level=ERROR msg=x err="get https://a.example/?token=1: bad"`:                                     `level=ERROR msg=x err="get [url] bad"`,
		`level=ERROR msg=x err="key ` + long + `"`:                                                        `level=ERROR msg=x err="key [long]"`,
		`level=ERROR msg=x err="named \"Ana Souza\" by ana@firma.mo"`:                                     `level=ERROR msg=x err="named [long] by [address]"`,
		`level=INFO msg=x by=ana from=10.1.1.1`:                                                           `level=INFO msg=x by=- from=-`,
		`set-up code: ABCD-EFGH`:                                                                          `(22 bytes that are no line of the log)`,
		`goroutine 7 [select, 3 minutes]:`:                                                                `goroutine 7 [select, 3 minutes]:`,
		`farol/internal/backup.(*Engine).Run(0xc000123, {0x61, 0x6e})`:                                    `farol/internal/backup.(*Engine).Run(…)`,
		"\t/home/ana/src/farol/internal/backup/engine.go:120 +0x1d":                                       "  …/internal/backup/engine.go:120",
		`panic: index out of range [3] with length 2`:                                                     `panic: index out of range [3] with length 2`,
	} {
		want = strings.ReplaceAll(want, "named [long]", `named \"…\"`)
		if got := cleanLine(line); got != want {
			t.Errorf("%s\n gives %s\n  want %s", line, got, want)
		}
	}
	if got := cleanText(fmt.Sprint("at 10:05:21 ", "::1")); got != "at 10:05:21 [ip]" {
		t.Errorf("times and addresses: %s", got)
	}
}
