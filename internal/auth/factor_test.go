package auth

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func nothing() error { return nil }

func (f *fixture) codes(t *testing.T) []string {
	t.Helper()
	s, err := f.RenewCodes(t.Context(), 1, "", nothing)
	if err != nil || len(s) != RecoveryCodes {
		t.Fatal(s, err)
	}
	return s
}

func TestARecoveryCodeWorksOnce(t *testing.T) {
	f := newFixture(t)
	codes := f.codes(t)
	o, err := f.Login(t.Context(), Try{Name: "maria", Password: goodPassword, Code: " " + strings.ToLower(codes[0]), Source: "s"})
	if err != nil || !o.Recovery {
		t.Fatal(o.Recovery, err)
	}
	if _, _, err := f.login("maria", goodPassword, codes[0], "s"); !errors.Is(err, ErrLogin) {
		t.Errorf("the same code again: %v", err)
	}
	if _, _, err := f.login("maria", "a wrong password", codes[1], "s"); !errors.Is(err, ErrLogin) {
		t.Errorf("with a wrong password: %v", err)
	}
	st, err := f.StepUp(t.Context(), o.Token, codes[1])
	if err != nil || !st.Recovery {
		t.Fatalf("a wrong password spent the code, or a step-up takes none: %v", err)
	}
	if _, err := f.StepUp(t.Context(), st.Token, codes[1]); !errors.Is(err, ErrCode) {
		t.Errorf("twice for a step-up: %v", err)
	}
	s, err := f.Session(t.Context(), st.Token)
	if err != nil || s.User.Codes != RecoveryCodes-2 {
		t.Errorf("%d codes left, %v", s.User.Codes, err)
	}
	fresh := f.codes(t)
	if _, _, err := f.login("maria", goodPassword, codes[2], "s2"); !errors.Is(err, ErrLogin) {
		t.Errorf("a code of the set before: %v", err)
	}
	if _, _, err := f.login("maria", goodPassword, fresh[2], "s2"); err != nil {
		t.Error(err)
	}
}

func TestRecoveryCodesAreHardToGuess(t *testing.T) {
	f := newFixture(t)
	for _, c := range f.codes(t) {
		if bits := len(squeeze(c)) * 5; bits < 112 {
			t.Errorf("%d bits", bits)
		}
		if codeHash(1, c) == codeHash(2, c) {
			t.Error("the code of one account is that of another")
		}
	}
}

func (f *fixture) session(t *testing.T) string {
	t.Helper()
	f.now = f.now.Add(time.Minute)
	tok, _, err := f.login("maria", goodPassword, f.code(), "s")
	if err != nil {
		t.Fatal(err)
	}
	f.now = f.now.Add(time.Minute)
	return tok
}

func TestANewPasswordNeedsTheOldOneAndAFreshCode(t *testing.T) {
	f := newFixture(t)
	other, here := f.session(t), f.session(t)
	const fresh = "a quite different sentence 海"
	for _, c := range []struct {
		old, new, code string
		want           error
	}{{"wrong", fresh, f.code(), ErrPass}, {goodPassword, "short", f.code(), ErrShort}, {goodPassword, fresh, "000000", ErrCode}} {
		if _, err := f.ChangePassword(t.Context(), here, c.old, c.new, c.code, nothing); !errors.Is(err, c.want) {
			t.Errorf("%v, want %v", err, c.want)
		}
	}
	broken := errors.New("the log is full")
	if _, err := f.ChangePassword(t.Context(), here, goodPassword, fresh, f.code(), func() error { return broken }); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	st, err := f.ChangePassword(t.Context(), here, goodPassword, fresh, f.code(), nothing)
	if err != nil {
		t.Fatal(err)
	}
	for _, tok := range []string{other, here} {
		if _, err := f.Session(t.Context(), tok); !errors.Is(err, ErrSession) {
			t.Errorf("a session of before lives: %v", err)
		}
	}
	if _, err := f.Session(t.Context(), st.Token); err != nil {
		t.Error(err)
	}
	f.now = f.now.Add(time.Minute)
	if _, _, err := f.login("maria", goodPassword, f.code(), "s"); !errors.Is(err, ErrLogin) {
		t.Errorf("the old password: %v", err)
	}
	if _, _, err := f.login("maria", fresh, f.code(), "s"); err != nil {
		t.Error(err)
	}
}

func TestANewAuthenticatorIsProvenAndEndsOtherSessions(t *testing.T) {
	f := newFixture(t)
	other, here := f.session(t), f.session(t)
	fresh, err := NewSecret("maria")
	if err != nil {
		t.Fatal(err)
	}
	old := f.secret
	if _, err := f.NewAuthenticator(t.Context(), here, fresh, f.code(), nothing); !errors.Is(err, ErrCode) {
		t.Fatalf("a code of the old secret proves the new one: %v", err)
	}
	f.secret = fresh
	tok, err := f.NewAuthenticator(t.Context(), here, fresh, f.code(), nothing)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{other, here} {
		if _, err := f.Session(t.Context(), s); !errors.Is(err, ErrSession) {
			t.Errorf("a session of before lives: %v", err)
		}
	}
	if _, err := f.StepUp(t.Context(), tok, f.code()); !errors.Is(err, ErrCode) {
		t.Errorf("the code that proved it counts again: %v", err)
	}
	f.now = f.now.Add(time.Minute)
	f.secret = old
	if _, err := f.StepUp(t.Context(), tok, f.code()); !errors.Is(err, ErrCode) {
		t.Errorf("the old authenticator still counts: %v", err)
	}
	f.secret = fresh
	if _, err := f.StepUp(t.Context(), tok, f.code()); err != nil {
		t.Error(err)
	}
}
