package replica

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"farol/internal/record"
)

// lookedBack is a node whose clock a test sets.
type lookedBack struct {
	t    *testing.T
	dir  string
	node *Node
	c    *Client
	now  time.Time
}

func newLookedBack(t *testing.T) *lookedBack {
	l := &lookedBack{t: t, dir: t.TempDir(), now: time.Date(2026, 11, 29, 8, 0, 0, 0, time.UTC)}
	var err error
	if l.node, err = OpenNode(l.dir, nil, func() time.Time { return l.now }); err != nil {
		t.Fatal(err)
	}
	addr, _ := serve(t, l.node)
	_, vk := newLog(t, t.TempDir())
	l.c = enrolled(t, l.node, addr, vk)
	return l
}

func (l *lookedBack) vault() string { return filepath.Join(l.dir, "vaults", "a1") }

// at sends something at a minute past eight.
func (l *lookedBack) at(minute int, send func(ctx context.Context) error) {
	l.t.Helper()
	l.now = time.Date(2026, 11, 29, 8, minute, 0, 0, time.UTC)
	if err := send(l.t.Context()); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lookedBack) blob(name, b string) func(context.Context) error {
	return func(ctx context.Context) error {
		return l.c.blob(ctx, name, record.HashOf([]byte(b)), []byte(b), putAt{}, nil)
	}
}

func (l *lookedBack) day() {
	l.at(1, l.blob("p01", "a pack"))
	l.at(1, l.blob("kopia.maintenance.f", "first"))
	l.at(1, func(ctx context.Context) error { return l.c.journal(ctx, "1-1.fj", 0, []byte("hello")) })
	l.at(2, func(ctx context.Context) error { return l.c.entries(ctx, 0, [][]byte{[]byte("one")}) })
	l.at(3, l.blob("kopia.maintenance.f", "second"))
	l.at(4, func(ctx context.Context) error { return l.c.journal(ctx, "1-1.fj", 5, []byte(" world")) })
	l.at(5, l.blob("p02", "another pack"))
	l.at(5, l.blob("kopia.maintenance.f", "third"))
	l.at(6, func(ctx context.Context) error { return l.c.entries(ctx, 1, [][]byte{[]byte("two")}) })
	l.at(7, func(ctx context.Context) error { return l.c.journal(ctx, "1-2.fj", 0, []byte("new")) })
}

// TestTheNodeTellsWhatItHeldAtATime by its own clock, also after a restart and from
// a copy of its folder, in which every file is of today.
func TestTheNodeTellsWhatItHeldAtATime(t *testing.T) {
	l := newLookedBack(t)
	l.day()
	moved := filepath.Join(t.TempDir(), "a1")
	if err := os.CopyFS(moved, os.DirFS(l.vault())); err != nil {
		t.Fatal(err)
	}
	if _, err := openVault(moved); err != nil { // notes what it does not know
		t.Fatal(err)
	}
	listed, err := l.c.List(t.Context(), "blobs")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct {
		minute   int
		files    []string
		newest   string // of what kopia overwrites
		versions int
		journal  [2]int64
		entries  int64
	}{
		{0, nil, "", 0, [2]int64{0, 0}, 0},
		{2, []string{"p01"}, "first", 1, [2]int64{5, 0}, 7},
		{3, []string{"p01"}, "second", 2, [2]int64{5, 0}, 7},
		{5, []string{"p01", "p02"}, "third", 3, [2]int64{11, 0}, 7},
		{9, []string{"p01", "p02"}, "third", 3, [2]int64{11, 3}, -1},
	} {
		when := time.Date(2026, 11, 29, 8, want.minute, 30, 0, time.UTC)
		far, err := l.c.Moment(t.Context(), when)
		if err != nil {
			t.Fatal(err)
		}
		near, err := Standby{Archive: "a1", dir: moved}.moment(when)
		if err != nil {
			t.Fatal(err)
		}
		for where, m := range map[string]Moment{"over the wire": far, "from a copy of the folder": near} {
			files, versions := m.Versions(listed)
			if got := slices.Sorted(maps.Keys(files)); !slices.Equal(got, want.files) {
				t.Errorf("%s at 8:%02d: the files %v", where, want.minute, got)
			}
			vs := versions["kopia.maintenance.f"]
			if len(vs) != want.versions {
				t.Fatalf("%s at 8:%02d: %d versions", where, want.minute, len(vs))
			}
			if len(vs) > 0 {
				var b bytes.Buffer
				if err := l.c.Get(t.Context(), "blobs", vs[0], &b); err != nil || b.String() != want.newest {
					t.Errorf("%s at 8:%02d: the version is %q, %v", where, want.minute, b.String(), err)
				}
			}
			if got := [2]int64{m.Journal("1-1.fj", 11), m.Journal("1-2.fj", 3)}; got != want.journal {
				t.Errorf("%s at 8:%02d: the journal has %v", where, want.minute, got)
			}
			if _, n, _ := m.Log(); n != want.entries {
				t.Errorf("%s at 8:%02d: the log has %d bytes", where, want.minute, n)
			}
		}
	}
}

// TestAFolderFromBeforeTimesWereNotedTakesTheFilesOwn: later than true at worst, so
// that nothing looks older than it is.
func TestAFolderFromBeforeTimesWereNotedTakesTheFilesOwn(t *testing.T) {
	l := newLookedBack(t)
	l.day()
	if err := os.Remove(filepath.Join(l.vault(), arrivalsName)); err != nil {
		t.Fatal(err)
	}
	old := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	if err := os.Chtimes(filepath.Join(l.vault(), "blobs", "p01"), old, old); err != nil {
		t.Fatal(err)
	}
	if _, err := openVault(l.vault()); err != nil {
		t.Fatal(err)
	}
	s := Standby{Archive: "a1", dir: l.vault()}
	for when, want := range map[time.Time]int{old.Add(-time.Second): 0, old.Add(time.Second): 1, time.Now().Add(time.Hour): 2} {
		m, err := s.moment(when)
		if err != nil {
			t.Fatal(err)
		}
		files, _ := m.Versions(map[string]int64{"p01": 1, "p02": 1})
		if len(files) != want {
			t.Errorf("at %s: %v", when, files)
		}
	}
}

func TestATornLineAboutAnArrivalIsWrittenOver(t *testing.T) {
	l := newLookedBack(t)
	l.day()
	path := filepath.Join(l.vault(), arrivalsName)
	whole, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, append(whole, "b 17642"...), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	v, err := openVault(l.vault())
	if err != nil {
		t.Fatal(err)
	}
	if err := put(v, "after", putAt{}); err != nil {
		t.Fatal(err)
	}
	now, err := os.ReadFile(path)
	if err != nil || !bytes.HasPrefix(now, whole) || bytes.Contains(now, []byte("b 17642b")) || bytes.Count(now, []byte("\n")) != bytes.Count(whole, []byte("\n"))+1 {
		t.Errorf("%q %v", now[len(whole):], err)
	}
}

func TestANodeThatNotesNoTimesIsSaidToBeOne(t *testing.T) {
	l := newLookedBack(t)
	m := l.node.routes()
	older := http.NewServeMux()
	older.HandleFunc("GET /v1/state", m.ServeHTTP)
	base := serveTLS(t, l.node, l.node.says(older))
	l.c.base = base
	if _, err := l.c.Moment(t.Context(), l.now); !errors.Is(err, ErrNoTimes) {
		t.Errorf("an older node: %v", err)
	}
	if m, err := l.c.Moment(t.Context(), time.Time{}); err != nil || !m.Now() {
		t.Errorf("what it holds now: %v", err)
	}
}
