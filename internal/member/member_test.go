package member

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"farol/internal/connector"
	"farol/internal/db"
	"farol/internal/dingtalk"
	"farol/internal/policy"
	"farol/internal/record"
	"farol/internal/settings"
)

// glass is no cipher: it binds what it holds to its place, and lets the test
// look in.
type glass struct{}

func (glass) Seal(p, aad []byte) []byte { return append(slices.Clone(aad), p...) }
func (glass) Open(s, aad []byte) ([]byte, error) {
	if len(s) < len(aad) || !slices.Equal(s[:len(aad)], aad) {
		return nil, errors.New("sealed for another place")
	}
	return s[len(aad):], nil
}

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) pass(d time.Duration) { c.mu.Lock(); c.now = c.now.Add(d); c.mu.Unlock() }

func house(t *testing.T) (*Members, *clock, *db.DB, *connector.Directory) {
	t.Helper()
	c := &clock{now: time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)}
	now := func() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }
	control, err := db.Open(t.Context(), filepath.Join(t.TempDir(), "control.db"), db.Control, now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { control.Close() })
	people := connector.NewDirectory()
	people.Add(connector.User{UserID: "u1", UnionID: "U1", Name: "韋"})
	client := dingtalk.New(dingtalk.Config{Hosts: dingtalk.SameHost("http://127.0.0.1:1")})
	m := New(Deps{Control: control, Box: glass{}, Settings: settings.New(control, glass{}), People: people, Client: func() *dingtalk.Client { return client }, Now: now,
		Refresh: func(context.Context) error { return nil }, Aliases: func(context.Context, string) ([]string, error) { return []string{"D1"}, nil }})
	return m, c, control, people
}

var wai = Person{UserID: "u1", UnionID: "U1", Names: policy.Names{record.Chat: {"D1"}}}

// TestNothingIsKeptOfASignInButWhoHeIs reads the rows as they lie there.
func TestNothingIsKeptOfASignInButWhoHeIs(t *testing.T) {
	m, _, control, _ := house(t)
	token, s, err := m.Open(t.Context(), wai)
	if err != nil || s.ID == "" || len(token) < 50 {
		t.Fatal(s, err)
	}
	err = control.View(t.Context(), func(tx *db.Tx) error {
		var hash, person []byte
		if err := tx.QueryRowContext(t.Context(), "SELECT hash, person FROM member_session").Scan(&hash, &person); err != nil {
			return err
		}
		if slices.Equal(hash, []byte(token)) || len(hash) != 32 {
			t.Error("the token itself is kept")
		}
		var kept map[string]any
		if err := json.Unmarshal(person[len(hash):], &kept); err != nil {
			return err
		}
		if got := slices.Sorted(maps.Keys(kept)); !slices.Equal(got, []string{"names", "union", "user"}) {
			t.Errorf("kept: %v", got)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	// a row put under another hash opens nothing
	err = control.Update(t.Context(), func(tx *db.Tx) error {
		_, err := tx.ExecContext(t.Context(), "INSERT INTO member_session SELECT ?, person, created, seen FROM member_session", tokenHash("stolen"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := m.Session(t.Context(), token); err != nil || got.UserID != "u1" || got.Shown != "韋" {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := m.Session(t.Context(), "stolen"); err == nil {
		t.Error("a session put under another hash is open")
	}
}

func TestASessionNeedsAPresentMember(t *testing.T) {
	for what, change := range map[string]func(*connector.Directory){
		"he left":                     func(d *connector.Directory) { d.Remove("u1") },
		"another has his union id":    func(d *connector.Directory) { d.Remove("u1"); d.Add(connector.User{UserID: "u2", UnionID: "U1"}) },
		"his union id is another's":   func(d *connector.Directory) { d.Remove("u1"); d.Add(connector.User{UserID: "u1", UnionID: "U9"}) },
		"a user id is like his union": func(d *connector.Directory) { d.Remove("u1"); d.Add(connector.User{UserID: "U1", UnionID: "U7"}) },
	} {
		m, _, _, people := house(t)
		token, _, err := m.Open(t.Context(), wai)
		if err != nil {
			t.Fatal(err)
		}
		change(people)
		if s, err := m.Session(t.Context(), token); !errors.Is(err, ErrLeft) || s.Ref() != wai.Ref() {
			t.Errorf("%s: %v", what, err)
		}
		people.Add(connector.User{UserID: "u1", UnionID: "U1"})
		if _, err := m.Session(t.Context(), token); !errors.Is(err, ErrSession) {
			t.Errorf("%s: it opens again: %v", what, err)
		}
	}
}

func TestASessionUnderAWrongClockIsOver(t *testing.T) {
	m, c, _, _ := house(t)
	token, _, err := m.Open(t.Context(), wai)
	if err != nil {
		t.Fatal(err)
	}
	c.pass(-time.Hour)
	if _, err := m.Session(t.Context(), token); !errors.Is(err, ErrSession) {
		t.Error(err)
	}
	if n, err := m.Count(t.Context()); n != 0 || err != nil {
		t.Error(n, err)
	}
}

// TestAnyStretchHoldsNoMoreThanItsRate takes as fast as it may, at uneven
// times, and looks at every stretch.
func TestAnyStretchHoldsNoMoreThanItsRate(t *testing.T) {
	m, c, _, _ := house(t)
	var taken []time.Time
	told := 0
	for i := range 4000 {
		err := m.View(&wai)
		var slow *Slow
		switch {
		case err == nil:
			taken = append(taken, c.now)
		case errors.As(err, &slow):
			if slow.First {
				told++
			}
			if slow.Wait < time.Second || slow.Wait > views.per || !slow.Until.After(c.now) {
				t.Fatalf("%+v", slow)
			}
		default:
			t.Fatal(err)
		}
		c.pass(time.Duration(i*7919%900) * time.Millisecond)
	}
	for i := views.n; i < len(taken); i++ {
		if taken[i].Sub(taken[i-views.n]) < views.per {
			t.Fatalf("%d within %s", views.n+1, taken[i].Sub(taken[i-views.n]))
		}
	}
	if len(taken) < 1000 || told == 0 || told > 40 {
		t.Errorf("%d taken, told %d times", len(taken), told)
	}
	// what is told is true
	for m.View(&wai) == nil {
	}
	var slow *Slow
	if !errors.As(m.View(&wai), &slow) {
		t.Fatal("not slowed down")
	}
	c.pass(slow.Until.Sub(c.now))
	if err := m.View(&wai); err != nil {
		t.Error("at the time that was told:", err)
	}
	other := Person{UserID: "u2"}
	if err := m.View(&other); err != nil {
		t.Error("another pays for it:", err)
	}
	if err := m.Search(&wai); err != nil {
		t.Error("a search pays for views:", err)
	}
}

func TestOldCountsAreForgotten(t *testing.T) {
	m, c, control, _ := house(t)
	for i := range manyKeys + 10 {
		if err := m.View(&Person{UserID: string(rune('a'+i%26)) + time.Duration(i).String()}); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Download(t.Context(), &wai); err != nil {
		t.Fatal(err)
	}
	c.pass(25 * time.Hour)
	if err := m.View(&wai); err != nil || len(m.recent) > 2 {
		t.Errorf("%d keys, %v", len(m.recent), err)
	}
	if err := m.Download(t.Context(), &Person{UserID: "u2"}); err != nil {
		t.Fatal(err)
	}
	n := 0
	if err := control.View(t.Context(), func(tx *db.Tx) error {
		return tx.QueryRowContext(t.Context(), "SELECT count(*) FROM member_take").Scan(&n)
	}); err != nil || n != 1 {
		t.Errorf("%d rows, %v", n, err)
	}
}

func TestSignInsUnderWayAreBounded(t *testing.T) {
	m, c, _, _ := house(t)
	for i := range maxPending {
		if _, _, err := m.Begin(t.Context(), Own, "https://x/me/callback", time.Duration(i/50).String()); err != nil {
			t.Fatal(i, err)
		}
	}
	if _, _, err := m.Begin(t.Context(), Own, "https://x/me/callback", "another"); !errors.Is(err, ErrSlow) {
		t.Error(err)
	}
	c.pass(SignInLife + time.Second)
	if _, _, err := m.Begin(t.Context(), Own, "https://x/me/callback", "another"); err != nil || len(m.pending) != 1 {
		t.Errorf("%d, %v", len(m.pending), err)
	}
}

func TestOffEndsEverySession(t *testing.T) {
	m, _, _, _ := house(t)
	if on, err := m.On(t.Context()); on || err != nil {
		t.Fatal("on from the beginning", err)
	}
	for _, on := range []bool{true, false, true} {
		token, _, err := m.Open(t.Context(), wai)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Switch(t.Context(), on); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Session(t.Context(), token); !errors.Is(err, ErrSession) {
			t.Errorf("switched to %v: %v", on, err)
		}
		if got, err := m.On(t.Context()); got != on || err != nil {
			t.Error(got, err)
		}
	}
}
