package auth

import (
	"bytes"
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"
)

func (f *fixture) invite(t *testing.T, name, role string) string {
	t.Helper()
	token, _, err := f.Invite(t.Context(), Invitation{Name: name, Role: role, By: "maria"}, func(Invitation) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (f *fixture) accept(t *testing.T, token, password string) (User, []string, error) {
	t.Helper()
	in, err := f.Invited(t.Context(), token, "s")
	if err != nil {
		return User{}, nil, err
	}
	code, err := totp.GenerateCode(in.Secret.Text, f.now)
	if err != nil {
		t.Fatal(err)
	}
	return f.Accept(t.Context(), token, "s", password, code, func(User) error { return nil })
}

func TestALinkIsGoodOnceForThreeDays(t *testing.T) {
	f := newFixture(t)
	token := f.invite(t, "rui", "auditor")
	if _, _, err := f.Accept(t.Context(), token, "s", goodPassword, "000000", func(User) error { return nil }); !errors.Is(err, ErrCode) {
		t.Fatalf("without a proven code: %v", err)
	}
	if _, _, err := f.accept(t, token, "short"); !errors.Is(err, ErrShort) {
		t.Fatal(err)
	}
	u, codes, err := f.accept(t, token, goodPassword)
	if err != nil || u.Role != "auditor" || len(codes) != RecoveryCodes {
		t.Fatal(u, len(codes), err)
	}
	if _, _, err := f.login("rui", goodPassword, codes[0], "s"); err != nil {
		t.Error(err)
	}
	late, gone, replaced := f.invite(t, "late", "it"), f.invite(t, "gone", "it"), f.invite(t, "twice", "it")
	f.invite(t, "Twice", "it")
	list, err := f.Invitations(t.Context())
	if err != nil || len(list) != 3 {
		t.Fatal(list, err)
	}
	for _, in := range list {
		if in.Name == "gone" {
			if err := f.Withdraw(t.Context(), in.ID, nothing); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, tok := range map[string]string{"used": token, "withdrawn": gone, "replaced": replaced, "guessed": "AAAA", "empty": ""} {
		if _, _, err := f.accept(t, tok, goodPassword); !errors.Is(err, ErrLink) {
			t.Errorf("%s: %v", name, err)
		}
	}
	f.now = f.now.Add(LinkLife)
	if _, _, err := f.accept(t, late, goodPassword); !errors.Is(err, ErrLink) {
		t.Errorf("too late: %v", err)
	}
}

func TestGuessedLinksAreSlowedDownAndKeepNobodyOut(t *testing.T) {
	f := newFixture(t)
	token := f.invite(t, "rui", "auditor")
	var slow *Slow
	for range linked.free {
		if _, err := f.Invited(t.Context(), "guess", "10.0.0.1"); !errors.Is(err, ErrLink) {
			t.Fatal(err)
		}
	}
	if _, err := f.Invited(t.Context(), "guess", "10.0.0.1"); !errors.As(err, &slow) || slow.Wait > linked.most {
		t.Errorf("not slowed: %v", err)
	}
	for range 2 * linked.free {
		if _, err := f.Invited(t.Context(), token, "10.0.0.2"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheDatabaseHoldsNoLinkAndNoCode(t *testing.T) {
	f := newFixture(t)
	token := f.invite(t, "rui", "auditor")
	secrets := append(f.codes(t), token)
	e, err := f.NewBreakglass(t.Context(), User{Name: "maria"}, "owner", "envelope", func(User) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	secrets = append(append(secrets, e.Codes...), e.Password)
	const reason = "the office burns"
	if _, err := f.Login(t.Context(), Try{Name: e.User.Name, Password: e.Password, Code: e.Codes[0], Reason: reason, Source: "s"}); err != nil {
		t.Fatal(err)
	}
	f.login("a password in the name field", goodPassword, "000000", "s")
	secrets = append(secrets, reason, "a password in the name field")
	for _, p := range []string{f.path, f.path + "-wal"} {
		b, _ := os.ReadFile(p)
		for _, s := range secrets {
			if bytes.Contains(b, []byte(s)) || bytes.Contains(b, []byte(squeeze(s))) && len(squeeze(s)) >= codeLength {
				t.Errorf("a secret of %d characters is in the file", len(s))
			}
		}
	}
}

func keeper(role string) bool { return role == "owner" || role == "it" }

func act(by int64) Act {
	return Act{By: User{ID: by, Name: "by"}, Keeper: keeper, May: func(Account) error { return nil }, Entry: func(Account) error { return nil }}
}

// TestTheLastManagerStays: maria is the only one; another acts on her whose
// role cannot manage accounts, which the console would not even let through.
func TestTheLastManagerStays(t *testing.T) {
	f := newFixture(t)
	rui, _, err := f.accept(t, f.invite(t, "rui", "auditor"), goodPassword)
	if err != nil {
		t.Fatal(err)
	}
	acts := map[string]func() error{
		"disabled": func() error { return f.Disable(t.Context(), 1, act(rui.ID)) },
		"demoted":  func() error { return f.SetRole(t.Context(), 1, "auditor", act(rui.ID)) },
		"reset":    func() error { _, _, err := f.Reset(t.Context(), 1, LostFactor, act(rui.ID)); return err },
	}
	tok := f.session(t)
	for name, do := range acts {
		if err := do(); !errors.Is(err, ErrLast) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := f.SetRole(t.Context(), 1, "it", act(rui.ID)); err != nil {
		t.Errorf("a role that still manages accounts: %v", err)
	}
	if _, err := f.Session(t.Context(), tok); !errors.Is(err, ErrSession) {
		t.Errorf("the session outlives the role: %v", err)
	}
	if _, err := f.NewBreakglass(t.Context(), rui, "owner", "", func(User) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if err := f.Disable(t.Context(), 1, act(rui.ID)); err != nil {
		t.Errorf("with an envelope in the safe: %v", err)
	}
	if err := f.Disable(t.Context(), rui.ID, act(rui.ID)); !errors.Is(err, ErrSelf) {
		t.Errorf("himself: %v", err)
	}
}

func TestWhatIsTakenFromAnAccountStopsAtOnce(t *testing.T) {
	f := newFixture(t)
	if _, _, err := f.accept(t, f.invite(t, "rui", "owner"), goodPassword); err != nil {
		t.Fatal(err)
	}
	codes := f.codes(t)
	broken := errors.New("the log is full")
	none := act(2)
	none.Entry = func(Account) error { return broken }
	tok := f.session(t)
	if err := f.Disable(t.Context(), 1, none); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	if _, err := f.Session(t.Context(), tok); err != nil {
		t.Fatalf("without an entry something was done: %v", err)
	}
	if err := f.EndSessions(t.Context(), 1, act(2)); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Session(t.Context(), tok); !errors.Is(err, ErrSession) {
		t.Error(err)
	}
	tok = f.session(t)
	if err := f.Disable(t.Context(), 1, act(2)); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Session(t.Context(), tok); !errors.Is(err, ErrSession) {
		t.Error(err)
	}
	if _, _, err := f.login("maria", goodPassword, f.code(), "s9"); !errors.Is(err, ErrLogin) {
		t.Errorf("a disabled account: %v", err)
	}
	if err := f.Enable(t.Context(), 1, act(2)); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Session(t.Context(), tok); !errors.Is(err, ErrSession) {
		t.Errorf("the session came back: %v", err)
	}
	tok = f.session(t)
	link, in, err := f.Reset(t.Context(), 1, LostFactor, act(2))
	if err != nil || in.Account != 1 {
		t.Fatal(in, err)
	}
	if _, err := f.Session(t.Context(), tok); !errors.Is(err, ErrSession) {
		t.Error(err)
	}
	for what, code := range map[string]string{"authenticator": f.code(), "recovery code": codes[0]} {
		if _, _, err := f.login("maria", goodPassword, code, "s10"); !errors.Is(err, ErrLogin) {
			t.Errorf("the old %s: %v", what, err)
		}
	}
	if _, _, err := f.accept(t, link, "not the password of maria"); !errors.Is(err, ErrPass) {
		t.Errorf("the link alone opens the account: %v", err)
	}
	_, fresh, err := f.accept(t, link, goodPassword)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.login("maria", goodPassword, fresh[0], "s11"); err != nil {
		t.Error(err)
	}
	if link, _, err = f.Reset(t.Context(), 1, LostBoth, act(2)); err != nil {
		t.Fatal(err)
	}
	if err := f.Disable(t.Context(), 1, act(2)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.accept(t, link, goodPassword); !errors.Is(err, ErrLink) {
		t.Errorf("the link of a disabled account: %v", err)
	}
}

// TestAForgottenPasswordIsSetAnewOnlyWithTheSecondFactor: neither the link nor
// who made it gets into the account.
func TestAForgottenPasswordIsSetAnewOnlyWithTheSecondFactor(t *testing.T) {
	f := newFixture(t)
	codes := f.codes(t)
	rui, _, err := f.accept(t, f.invite(t, "rui", "owner"), goodPassword)
	if err != nil {
		t.Fatal(err)
	}
	forget := func() string {
		t.Helper()
		link, in, err := f.Reset(t.Context(), 1, LostPassword, act(rui.ID))
		if err != nil || !in.KeepFactor || !in.NewPassword {
			t.Fatal(in, err)
		}
		return link
	}
	accept := func(link, code string) error {
		_, fresh, err := f.Accept(t.Context(), link, "s", "a password nobody guessed", code, func(User) error { return nil })
		if len(fresh) != 0 {
			t.Errorf("%d new recovery codes", len(fresh))
		}
		return err
	}
	link := forget()
	in, err := f.Invited(t.Context(), link, "s")
	if err != nil {
		t.Fatal(err)
	}
	shown, err := totp.GenerateCode(in.Secret.Text, f.now)
	if err != nil {
		t.Fatal(err)
	}
	for what, code := range map[string]string{"nothing": "", "a code of the link's own secret": shown, "a made-up recovery code": "AAAAAA-AAAAAA-AAAAAA-AAAAAA"} {
		if err := accept(link, code); !errors.Is(err, ErrCode) {
			t.Errorf("%s: %v", what, err)
		}
	}
	used := f.code()
	if err := accept(link, used); err != nil {
		t.Fatal(err)
	}
	if err := accept(link, f.code()); !errors.Is(err, ErrLink) {
		t.Errorf("the link again: %v", err)
	}
	if _, _, err := f.login("maria", "a password nobody guessed", used, "s1"); !errors.Is(err, ErrLogin) {
		t.Errorf("the code that was spent: %v", err)
	}
	f.now = f.now.Add(time.Minute)
	if _, _, err := f.login("maria", goodPassword, f.code(), "s2"); !errors.Is(err, ErrLogin) {
		t.Errorf("the forgotten password: %v", err)
	}
	if _, _, err := f.login("maria", "a password nobody guessed", codes[0], "s3"); err != nil {
		t.Errorf("the recovery codes stay: %v", err)
	}
	link = forget()
	if err := accept(link, codes[0]); !errors.Is(err, ErrCode) {
		t.Errorf("a recovery code that was used: %v", err)
	}
	if err := accept(link, codes[1]); err != nil {
		t.Errorf("a recovery code: %v", err)
	}
	forget()
	if x, err := f.Account(t.Context(), 1); err != nil || !x.Enrol || x.NoFactor {
		t.Errorf("the second factor stays: %+v, %v", x, err)
	}
	if _, _, err := f.Reset(t.Context(), 1, LostFactor, act(rui.ID)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.Reset(t.Context(), 1, LostPassword, act(rui.ID)); !errors.Is(err, ErrNoFactor) {
		t.Errorf("asks for a factor that was reset: %v", err)
	}
}

func TestTheEnvelopeNeedsACodeAndAReason(t *testing.T) {
	f := newFixture(t)
	e, err := f.NewBreakglass(t.Context(), User{Name: "maria"}, "owner", "envelope", func(User) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	try := Try{Name: e.User.Name, Password: e.Password, Code: e.Codes[0], Source: "s"}
	if _, err := f.Login(t.Context(), try); !errors.Is(err, ErrReason) {
		t.Fatalf("without a reason: %v", err)
	}
	try.Reason = "nobody else can"
	o, err := f.Login(t.Context(), try)
	if err != nil || !o.Session.User.Breakglass {
		t.Fatalf("asking for the reason spent the code: %v", err)
	}
	if _, err := f.Login(t.Context(), try); !errors.Is(err, ErrLogin) {
		t.Errorf("the code again: %v", err)
	}
	uses, err := f.Uses(t.Context(), f.now.Add(-time.Minute))
	if err != nil || len(uses) != 1 || uses[0].Reason != try.Reason || uses[0].Source != "s" {
		t.Error(uses, err)
	}
	for what, err := range map[string]error{
		"role":     f.SetRole(t.Context(), e.User.ID, "it", act(1)),
		"password": second(f.ChangePassword(t.Context(), o.Token, e.Password, "another long sentence 2", e.Codes[1], nothing)),
		"factor":   second(f.NewAuthenticator(t.Context(), o.Token, f.secret, f.code(), nothing)),
	} {
		if !errors.Is(err, ErrFixed) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := f.NewBreakglass(t.Context(), User{Name: "maria"}, "owner", "envelope", func(User) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Session(t.Context(), o.Token); !errors.Is(err, ErrSession) {
		t.Error(err)
	}
	try.Code = e.Codes[2]
	if _, err := f.Login(context.Background(), try); !errors.Is(err, ErrLogin) {
		t.Errorf("the old envelope: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }
