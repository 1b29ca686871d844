package web

import (
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"farol/internal/audit"
	"farol/internal/auth"
	"farol/templates"
	"farol/templates/ui"
)

// password changes the reader's own password: the old one and a fresh code are
// asked here, so that no password waits in a page for a code.
func (s *Server) password(c echo.Context) error {
	ctx, v, w := c.Request().Context(), visitOf(c), s.words(c)
	ev := audit.Event{Operation: "password.change", Object: accountRef(v.session.User.ID), Outcome: "ok"}
	st, err := s.d.Accounts.ChangePassword(ctx, v.token, c.FormValue("password_old"), c.FormValue("password_new"), c.FormValue("totp"), func() error { return s.note(c, ev) })
	field, id := ownProblem(err)
	var slow *auth.Slow
	switch {
	case err == nil:
		setCookie(c, sessionCookie, st.Token, 0, http.SameSiteStrictMode)
		if err := s.recovered(c, st.Recovery); err != nil {
			return err
		}
		return seeOther(c, "/settings?done=password")
	case errors.Is(err, auth.ErrFixed):
		return &denied{}
	case id == "" && !errors.As(err, &slow):
		return err
	}
	ev.Outcome = "denied"
	if nerr := errors.Join(s.note(c, ev), s.begun(c, err, ev.Object)); nerr != nil {
		return nerr
	}
	p := s.settingsPage(c)
	code, text := http.StatusUnprocessableEntity, ""
	switch {
	case slow != nil:
		code, field, text = http.StatusTooManyRequests, "totp", w.t("login.slow", "wait", w.l.Duration(slow.Wait))
		p.Own.CodeErr = text
	case field == "totp":
		text = w.t("stepup.wrong")
		p.Own.CodeErr = text
	case errors.Is(err, auth.ErrPass):
		field, text = "password_old", w.t(id)
		p.Own.OldErr = text
	default:
		field, text = "password_new", w.t(id)
		p.Own.NewErr = text
	}
	p.Problems = append(p.Problems, ui.Problem{Field: field, Text: text})
	return render(c, code, p)
}

// recovered writes that a recovery code took the authenticator's place.
func (s *Server) recovered(c echo.Context, used bool) error {
	if !used {
		return nil
	}
	return s.note(c, audit.Event{Operation: "recovery.use", Object: accountRef(visitOf(c).session.User.ID), Outcome: "ok"})
}

// recoveryCodes makes the reader's codes anew and shows them, once.
func (s *Server) recoveryCodes(c echo.Context) error {
	v, w := visitOf(c), s.words(c)
	if v.session.User.Breakglass {
		return &denied{}
	}
	codes, err := s.d.Accounts.RenewCodes(c.Request().Context(), v.session.User.ID, v.token, func() error {
		return s.note(c, audit.Event{Operation: "recovery.renew", Object: accountRef(v.session.User.ID), Outcome: "ok"})
	})
	if err != nil {
		return err
	}
	v.session.User.Codes = len(codes)
	return render(c, http.StatusOK, templates.Codes{SignedIn: true, Shell: s.shell(c, w.t("own.codes"), "/settings"), Name: v.session.User.Name, Codes: codes, Next: ui.Link{Label: w.t("own.codes.done"), Href: "/settings"}})
}

// newSecret is the secret that the reader is about to take into an
// authenticator. It stays here until it is proven: a form could be told
// another.
func (s *Server) newSecret(c echo.Context, anew bool) (auth.Secret, error) {
	u := visitOf(c).session.User
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.enrolling[u.ID]
	if ok && !anew && s.d.Now().Before(k.until) {
		return auth.SecretOf(u.Name, k.secret)
	}
	if !anew {
		return auth.Secret{}, echo.NewHTTPError(http.StatusNotFound)
	}
	secret, err := auth.NewSecret(u.Name)
	if err != nil {
		return secret, err
	}
	s.enrolling[u.ID] = claimed{s.d.Now().Add(claimLife), secret.Text}
	return secret, nil
}

func (s *Server) authenticatorPage(c echo.Context, secret auth.Secret) templates.Authenticator {
	return templates.Authenticator{Shell: s.shell(c, s.words(c).t("own.factor"), "/settings"), Spaced: spaced(secret.Text), URL: secret.URL}
}

func (s *Server) authenticatorForm(c echo.Context) error {
	if visitOf(c).session.User.Breakglass {
		return &denied{}
	}
	secret, err := s.newSecret(c, true)
	if err != nil {
		return err
	}
	return render(c, http.StatusOK, s.authenticatorPage(c, secret))
}

func (s *Server) authenticatorQR(c echo.Context) error {
	secret, err := s.newSecret(c, false)
	if err != nil {
		return err
	}
	return qr(c, secret)
}

func (s *Server) authenticator(c echo.Context) error {
	v, w := visitOf(c), s.words(c)
	secret, err := s.newSecret(c, false)
	if err != nil {
		return seeOther(c, "/settings/authenticator") // it has lain too long
	}
	ev := audit.Event{Operation: "totp.enrol", Object: accountRef(v.session.User.ID), Outcome: "ok"}
	token, err := s.d.Accounts.NewAuthenticator(c.Request().Context(), v.token, secret, c.FormValue("totp"), func() error { return s.note(c, ev) })
	if errors.Is(err, auth.ErrCode) {
		ev.Outcome = "denied"
		if err := s.note(c, ev); err != nil {
			return err
		}
		p := s.authenticatorPage(c, secret)
		p.Code = w.t("setup.admin.badcode")
		p.Problems = []ui.Problem{{Field: "totp", Text: p.Code}}
		return render(c, http.StatusUnprocessableEntity, p)
	} else if errors.Is(err, auth.ErrFixed) {
		return &denied{}
	} else if err != nil {
		return err
	}
	s.mu.Lock()
	delete(s.enrolling, v.session.User.ID)
	s.mu.Unlock()
	setCookie(c, sessionCookie, token, 0, http.SameSiteStrictMode)
	return seeOther(c, "/settings?done=authenticator")
}
