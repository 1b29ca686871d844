package web

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"farol/internal/audit"
	"farol/internal/auth"
	"farol/internal/settings"
	"farol/templates"
	"farol/templates/ui"
)

// linkLife is how long a browser that opened a link may go on without opening
// it again.
const linkLife = time.Hour

// joinOpen is where a link leads. Its token stands after the #, which a browser
// sends to nobody: a script, or the reader, puts it into the form.
func (s *Server) joinOpen(c echo.Context) error {
	return render(c, http.StatusOK, templates.OpenLink{Bare: s.bare(c, s.words(c).t("join.open")), Action: "/join"})
}

// joinToken takes the token of a link, and goes on to what it opens.
func (s *Server) joinToken(c echo.Context) error {
	token := strings.TrimSpace(c.FormValue("token"))
	if _, err := s.invitationOf(c, token); err != nil {
		return err
	}
	setCookie(c, linkCookie, token, int(linkLife.Seconds()), http.SameSiteStrictMode)
	return c.Redirect(http.StatusSeeOther, joinPath)
}

const joinPath = "/join/account"

// invitationOf finds an invitation. Wrong, used, withdrawn and too old are one
// answer and one entry; the log never holds the token.
func (s *Server) invitationOf(c echo.Context, token string) (auth.Invitation, error) {
	in, err := s.d.Accounts.Invited(c.Request().Context(), token, c.RealIP())
	return in, s.badLink(c, token, err)
}

// badLink writes the entry about a link that is not good.
func (s *Server) badLink(c echo.Context, token string, err error) error {
	var slow *auth.Slow
	if !errors.Is(err, auth.ErrLink) && !errors.As(err, &slow) {
		return err
	}
	object := "invitation/" + blind(token)
	if nerr := s.note(c, audit.Event{Operation: "user.join", Object: object, Outcome: "denied"}); nerr != nil {
		return nerr
	}
	return errors.Join(err, s.begun(c, err, object))
}

// begun writes that the waits begin, when they do.
func (s *Server) begun(c echo.Context, err error, object string) error {
	if !errors.Is(err, auth.ErrBegun) {
		return nil
	}
	return s.note(c, audit.Event{Operation: "login.locked", Object: object, Outcome: "denied"})
}

func spaced(secret string) string {
	var groups []string
	for i := 0; i < len(secret); i += 4 {
		groups = append(groups, secret[i:min(i+4, len(secret))])
	}
	return strings.Join(groups, " ")
}

func (s *Server) joinPage(c echo.Context, in auth.Invitation) (templates.Join, error) {
	w := s.words(c)
	firm, err := s.d.Settings.Get(c.Request().Context(), settings.CorpName)
	title := "join.title"
	switch {
	case in.KeepFactor:
		title = "join.password"
	case in.Account != 0:
		title = "join.anew"
	}
	p := templates.Join{Bare: s.bare(c, w.t(title)), Firm: firm, Anew: in.Account != 0, NewPassword: in.NewPassword, KeepFactor: in.KeepFactor, Name: in.Name, Shown: in.Shown, Role: w.role(in.Role), By: in.By, Spaced: spaced(in.Secret.Text), URL: in.Secret.URL, Action: joinPath}
	p.Bare.Line = firm
	return p, err
}

func (s *Server) joinForm(c echo.Context) error {
	token := cookie(c, linkCookie)
	if token == "" {
		return c.Redirect(http.StatusSeeOther, "/join")
	}
	in, err := s.invitationOf(c, token)
	if err != nil {
		return err
	}
	p, err := s.joinPage(c, in)
	if err != nil {
		return err
	}
	return render(c, http.StatusOK, p)
}

func (s *Server) joinQR(c echo.Context) error {
	in, err := s.invitationOf(c, cookie(c, linkCookie))
	if err != nil {
		return err
	}
	if in.KeepFactor { // the authenticator stays: this link makes none
		return auth.ErrLink
	}
	return qr(c, in.Secret)
}

func qr(c echo.Context, secret auth.Secret) error {
	png, err := secret.QR(320)
	if err != nil {
		return err
	}
	return c.Blob(http.StatusOK, "image/png", png)
}

// joinAccept makes the account, or enrols its second factor anew, and answers
// with the recovery codes, once.
func (s *Server) joinAccept(c echo.Context) error {
	w := s.words(c)
	token := cookie(c, linkCookie)
	in, err := s.invitationOf(c, token)
	if err != nil {
		return err
	}
	u, codes, err := s.d.Accounts.Accept(c.Request().Context(), token, c.RealIP(), c.FormValue("password"), c.FormValue("totp"), func(u auth.User) error {
		ops := []string{"user.create", "totp.enrol"}
		switch {
		case in.KeepFactor:
			ops = []string{"password.change"}
		case in.Account != 0 && in.NewPassword:
			ops = []string{"totp.enrol", "password.change"}
		case in.Account != 0:
			ops = ops[1:]
		}
		for _, op := range ops {
			if err := s.note(c, audit.Event{Actor: u.Name, Role: u.Role, Operation: op, Object: accountRef(u.ID), Outcome: "ok"}); err != nil {
				return err
			}
		}
		return nil
	})
	switch field, id := ownProblem(err); {
	case err == nil:
	case id != "":
		return s.joinWrong(c, in, err, field, w.t(id))
	case errors.Is(err, auth.ErrLink):
		return s.badLink(c, token, err)
	default:
		return err
	}
	setCookie(c, linkCookie, "", -1, http.SameSiteStrictMode)
	if in.KeepFactor { // its recovery codes stay as well
		return c.Redirect(http.StatusSeeOther, "/login")
	}
	p := templates.Codes{Bare: s.bare(c, w.t("own.codes")), Name: u.Name, Codes: codes, Next: ui.Link{Label: w.t("join.login"), Href: "/login"}}
	p.Bare.Path = "/login" // this page is not to be had again
	return render(c, http.StatusOK, p)
}

func (s *Server) joinWrong(c echo.Context, in auth.Invitation, err error, field, text string) error {
	object := "invitation/" + blind(cookie(c, linkCookie))
	if errors.Is(err, auth.ErrPass) || errors.Is(err, auth.ErrCode) {
		if nerr := s.note(c, audit.Event{Operation: "user.join", Object: object, Outcome: "denied"}); nerr != nil {
			return nerr
		}
	}
	if nerr := s.begun(c, err, object); nerr != nil {
		return nerr
	}
	p, perr := s.joinPage(c, in)
	if perr != nil {
		return perr
	}
	p.Bare.Path = p.Action
	p.Problems = []ui.Problem{{Field: field, Text: text}}
	switch field {
	case "password":
		p.PassErr = text
	case "totp":
		p.Code = text
	}
	return render(c, http.StatusUnprocessableEntity, p)
}

// ownProblem is the field and the message of what a person may mend himself.
func ownProblem(err error) (field, id string) {
	switch {
	case errors.Is(err, auth.ErrShort):
		return "password", "setup.admin.short"
	case errors.Is(err, auth.ErrWeak):
		return "password", "setup.admin.weak"
	case errors.Is(err, auth.ErrPass):
		return "password", "own.password.wrong"
	case errors.Is(err, auth.ErrCode):
		return "totp", "setup.admin.badcode"
	case errors.Is(err, auth.ErrTaken):
		return "", "setup.admin.taken"
	}
	return "", ""
}
