package auth

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"farol/internal/db"
)

type xorBox struct{}

func (xorBox) Seal(p, _ []byte) []byte {
	out := make([]byte, len(p))
	for i, b := range p {
		out[i] = b ^ 0x5A
	}
	return out
}
func (b xorBox) Open(s, a []byte) ([]byte, error) { return b.Seal(s, a), nil }

const goodPassword = "correct horse 電池 釘書"

type fixture struct {
	*Accounts
	now    time.Time
	secret Secret
	path   string
}

func (f *fixture) code() string {
	c, _ := totp.GenerateCode(f.secret.Text, f.now)
	return c
}

// login signs in and gives the token, as most tests want it.
func (f *fixture) login(name, password, code, source string) (string, Session, error) {
	o, err := f.Login(context.Background(), Try{Name: name, Password: password, Code: code, Source: source, Agent: "browser"})
	return o.Token, o.Session, err
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{now: time.Unix(1.8e9, 0), path: filepath.Join(t.TempDir(), "control.db")}
	clock := func() time.Time { return f.now }
	d, err := db.Open(t.Context(), f.path, db.Control, clock)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	if f.Accounts, err = New(d, xorBox{}, clock); err != nil {
		t.Fatal(err)
	}
	f.params.Memory, f.params.Iterations = 8, 1 // speed; the real cost is not what is tested
	if f.secret, err = NewSecret("maria"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Create(t.Context(), NewAccount{"maria", "Maria", "owner", goodPassword, f.secret, f.code()}); err != nil {
		t.Fatal(err)
	}
	f.now = f.now.Add(time.Minute)
	return f
}

func TestACodeWorksOnce(t *testing.T) {
	f := newFixture(t)
	code := f.code()
	tok, _, err := f.login("Maria", goodPassword, code, "10.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Session(t.Context(), tok); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.login("maria", goodPassword, code, "10.0.0.1"); !errors.Is(err, ErrLogin) {
		t.Fatalf("the same code again: %v", err)
	}
	if _, err := f.StepUp(t.Context(), tok, code); !errors.Is(err, ErrCode) {
		t.Fatalf("the same code for a step-up: %v", err)
	}
	f.now = f.now.Add(time.Minute)
	fresh, err := f.StepUp(t.Context(), tok, f.code())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Session(t.Context(), tok); !errors.Is(err, ErrSession) {
		t.Fatalf("the token before the step-up still works: %v", err)
	}
	if s, err := f.Session(t.Context(), fresh.Token); err != nil || !s.FreshAt(f.now) || s.FreshAt(f.now.Add(Fresh)) {
		t.Fatal(s, err)
	}
}

func TestEveryWrongAnswerIsTheSameAndSlowsDown(t *testing.T) {
	f := newFixture(t)
	for _, c := range [][3]string{{"maria", "wrong password 123", f.code()}, {"nobody", goodPassword, f.code()}, {"maria", goodPassword, "000000"}, {"maria", goodPassword, ""}} {
		if _, _, err := f.login(c[0], c[1], c[2], "10.0.0.2"); !errors.Is(err, ErrLogin) {
			t.Errorf("%v: %v", c[0], err)
		}
	}
	for range 5 {
		f.login("maria", "x", "1", "10.0.0.2")
	}
	var slow *Slow
	if _, _, err := f.login("maria", goodPassword, f.code(), "10.0.0.2"); !errors.As(err, &slow) {
		t.Fatalf("not slowed: %v", err)
	}
	if _, _, err := f.login("maria", goodPassword, f.code(), "10.0.0.3"); err != nil {
		t.Fatalf("another source was locked out: %v", err)
	}
	f.now = f.now.Add(slow.Wait + time.Minute)
	if _, _, err := f.login("maria", goodPassword, f.code(), "10.0.0.2"); err != nil {
		t.Fatalf("after the wait: %v", err)
	}
}

func TestSessionsEnd(t *testing.T) {
	f := newFixture(t)
	tok, _, err := f.login("maria", goodPassword, f.code(), "s")
	if err != nil {
		t.Fatal(err)
	}
	f.now = f.now.Add(Idle + time.Second)
	if _, err := f.Session(t.Context(), tok); !errors.Is(err, ErrSession) {
		t.Fatal(err)
	}
}

// TestASessionEndsAlsoForWhoNeverRests: twelve hours after the login, whatever
// was done in between, step-ups included.
func TestASessionEndsAlsoForWhoNeverRests(t *testing.T) {
	f := newFixture(t)
	tok, _, err := f.login("maria", goodPassword, f.code(), "s")
	if err != nil {
		t.Fatal(err)
	}
	for began := f.now; f.now.Sub(began) <= Absolute-20*time.Minute; {
		f.now = f.now.Add(20 * time.Minute)
		st, err := f.StepUp(t.Context(), tok, f.code())
		if err != nil {
			t.Fatalf("after %s: %v", f.now.Sub(began), err)
		}
		tok = st.Token
	}
	f.now = f.now.Add(20 * time.Minute)
	if _, err := f.Session(t.Context(), tok); !errors.Is(err, ErrSession) {
		t.Errorf("it lives on: %v", err)
	}
}

// TestPasswordsRestStretched holds what is set for everybody, which the other
// tests turn down.
func TestPasswordsRestStretched(t *testing.T) {
	d, err := db.Open(t.Context(), filepath.Join(t.TempDir(), "control.db"), db.Control, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	a, err := New(d, xorBox{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	h, err := a.createHash(t.Context(), goodPassword)
	if err != nil || !strings.HasPrefix(h, "$argon2id$v=19$m=65536,t=3,p=2$") {
		t.Errorf("%.40s %v", h, err)
	}
	if again, err := a.createHash(t.Context(), goodPassword); err != nil || again == h {
		t.Errorf("two hashes of a password are the same, %v", err)
	}
}

func TestTheFileHoldsNoSecret(t *testing.T) {
	f := newFixture(t)
	tok, _, err := f.login("maria", goodPassword, f.code(), "s")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{f.path, f.path + "-wal"} {
		b, _ := os.ReadFile(p)
		for _, s := range []string{goodPassword, f.secret.Text, tok} {
			if bytes.Contains(b, []byte(s)) {
				t.Errorf("%s holds a secret", filepath.Base(p))
			}
		}
	}
}

func TestPasswordsThatAreGuessedAreRefused(t *testing.T) {
	for pw, want := range map[string]error{
		"short": ErrShort, "password12345": ErrWeak, "aaaaaaaaaaaaaa": ErrWeak, "123456789012": ErrWeak, "maria1234567": ErrWeak, "passwordpassword": ErrWeak,
		"farol2026!!!": ErrWeak, "startfinding": ErrWeak, "QWEasdzxc123": ErrWeak, "liverpool1985!!": ErrWeak, "2019_Franklampard": ErrWeak, "butterflybutterfly": ErrWeak, goodPassword: nil, "燈塔守護者的鑰匙在海邊第三塊": nil, "Tr0ub4dor&3xyz": nil,
	} {
		if err := CheckPassword(pw, "maria"); !errors.Is(err, want) {
			t.Errorf("%q: %v", pw, err)
		}
	}
}

// TestALongPasswordCountsToItsEnd: nothing is cut off, no letter is made
// another, and there is no longest.
func TestALongPasswordCountsToItsEnd(t *testing.T) {
	f := newFixture(t)
	tok, _, err := f.login("maria", goodPassword, f.code(), "s")
	if err != nil {
		t.Fatal(err)
	}
	f.now = f.now.Add(time.Minute)
	long := strings.Repeat("Every keeper writes the log 守燈. ", 8) + "x"
	if _, err := f.ChangePassword(t.Context(), tok, goodPassword, long, f.code(), nothing); err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []string{long[:len(long)-1], long[:72], strings.ToLower(long), long + " "} {
		f.now = f.now.Add(time.Hour)
		if _, _, err := f.login("maria", wrong, f.code(), "s"); !errors.Is(err, ErrLogin) {
			t.Errorf("%d bytes of it: %v", len(wrong), err)
		}
	}
	f.now = f.now.Add(time.Hour)
	if _, _, err := f.login("maria", long, f.code(), "s"); err != nil {
		t.Error(err)
	}
}

func TestTheSetupCodeAllowsTenTries(t *testing.T) {
	c := NewClaim()
	if err := c.Check(" " + c.Code() + " "); err != nil {
		t.Fatal(err)
	}
	for range 9 {
		if err := c.Check("nope"); !errors.Is(err, ErrSetup) {
			t.Fatal(err)
		}
	}
	if err := c.Check("nope"); !errors.Is(err, ErrNoTries) {
		t.Fatal(err)
	}
	if err := c.Check(c.Code()); !errors.Is(err, ErrNoTries) {
		t.Fatal("the right code passed after ten wrong ones")
	}
}

// TestAWrongClockLocksNobodyOut: somebody signs in while the clock is a year
// ahead, then it is put right; and the other way.
func TestAWrongClockLocksNobodyOut(t *testing.T) {
	f := newFixture(t)
	right := f.now
	f.now = right.AddDate(1, 0, 0)
	token, _, err := f.login("maria", goodPassword, f.code(), "10.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	for range 8 {
		if _, _, err := f.login("maria", "a wrong one", "000000", "10.0.0.1"); err == nil {
			t.Fatal("a wrong password was taken")
		}
	}
	f.now = right
	if _, err := f.Session(t.Context(), token); !errors.Is(err, ErrSession) {
		t.Errorf("a session from the future lives for a year: %v", err)
	}
	code := f.code()
	token, _, err = f.login("maria", goodPassword, code, "10.0.0.1")
	if err != nil {
		t.Fatalf("nobody can sign in until that year is over: %v", err)
	}
	if _, _, err := f.login("maria", goodPassword, code, "10.0.0.2"); !errors.Is(err, ErrLogin) {
		t.Errorf("a code counts twice: %v", err)
	}
	f.now = f.now.Add(time.Minute)
	if _, err := f.StepUp(t.Context(), token, f.code()); err != nil {
		t.Errorf("a fresh code: %v", err)
	}
	f.now = f.now.Add(-time.Hour) // back an hour
	f.now = f.now.Add(10 * time.Second)
	if _, _, err := f.login("maria", goodPassword, f.code(), "10.0.0.3"); err != nil {
		t.Errorf("after the clock went back an hour: %v", err)
	}
}
