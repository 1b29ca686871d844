package replica

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"farol/internal/archive"
	"farol/internal/record"
)

// FuzzArrivals: whatever a node says of when things arrived, what is asked for
// stays below the vault, and no more of a file than there is.
func FuzzArrivals(f *testing.F) {
	f.Add([]byte("b 1000 q1\nj 1000 1-1.fj 0\nj 2000 1-1.fj 512\nl 1000 0\nl 2000 77\nc 1500 YQ==\nk 1800 log.kept-20261129T080000\n"), int64(1600), "q1", "q1")
	f.Add([]byte("k 5 ../../etc\nj 9 1-1.fj -5\nl 9 -77\nb 1 ../../x\nc 1 %%%\nz 1 later\n"), int64(3), "../../x", "kopia.repository@1")
	f.Add([]byte("b 99999999999999999999 q\nb -1 kopia.repository\nj 1 2-1.fj 9223372036854775807\n"), int64(0), "kopia.repository", "kopia.repository@zzzzzzzzzzzz")
	f.Add([]byte("b 1 q1\nx 2 q1\ny 3 q1\nx 4 ../../x\nt 4 1-1.fj 9\nt 4 1-2.fj -9\nt 4 ../1 1\n"), int64(0), "q1", "q1")
	f.Add([]byte("b 1 kopia.x\n"), int64(3), "kopia.x/../../../tmp/evil", "kopia.x/../../evil@1")
	f.Fuzz(func(t *testing.T, file []byte, ms int64, one, two string) {
		at := time.UnixMilli(ms)
		if ms == 0 {
			at = time.Time{} // now
		}
		m, err := momentOf(bytes.NewReader(file), at)
		if err != nil {
			return
		}
		folder, entries, _ := m.Log()
		if folder != "log" && !keptLog.MatchString(folder) || entries < -1 {
			t.Errorf("the log is in %q, %d bytes of it", folder, entries)
		}
		for name := range m.cut {
			m.journal[name] = m.Journal(name, 100)
		}
		for name := range m.journal {
			if n := m.Journal(name, 100); n < 0 || n > 100 || strings.ContainsAny(name, "/\\") {
				t.Errorf("%d of 100 bytes of %q", n, name)
			}
		}
		for _, m := range []Moment{m, {entries: -1, log: "log"}} { // then, and now
			files, versions := m.Versions(map[string]int64{one: 1, two: 1})
			for deep := range files {
				if archive.RepoFile(deep) && !filepath.IsLocal(deep) { // what both who recover ask first
					t.Errorf("a file would lie at %q", deep)
				}
			}
			for deep, names := range versions {
				for _, name := range names {
					if !filepath.IsLocal(deep) || name != filepath.Base(name) || !filepath.IsLocal(name) {
						t.Errorf("%q would lie at %q", name, deep)
					}
				}
			}
		}
	})
}

// FuzzSeed: a drive that was prepared by somebody else names nothing outside its
// own folder, and is refused in words.
func FuzzSeed(f *testing.F) {
	sum := record.HashOf([]byte("a")).String()
	f.Add([]byte(`{"archive":"a","epoch":1,"time":"2026-11-29T00:00:00Z","files":1,"bytes":1,"sha256":"` + sum + `"}` + "\n\n— x y\n"))
	f.Add([]byte(`{"name":"q1","size":1,"sha256":"` + sum + `"}`))
	f.Add([]byte(`{"name":"../../../etc/passwd","size":1}`))
	f.Add([]byte(`{"name":"..","size":-1}`))
	f.Add([]byte(`{"name":"a.tmp","size":1,"files":-1}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := parseSeedHead(b); err != nil && !errors.Is(err, ErrSeed) || h.Files < 0 || h.Bytes < 0 {
			t.Errorf("%+v %v", h, err)
		}
		s, err := parseSeedFile(b)
		if err != nil && !errors.Is(err, ErrSeed) {
			t.Error(err)
		}
		if err == nil && (s.Name != filepath.Base(s.Name) || !filepath.IsLocal(s.Name) || s.Size < 0) {
			t.Errorf("%+v is taken", s)
		}
	})
}
