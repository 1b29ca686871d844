package web

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"farol/internal/audit"
	"farol/internal/auth"
	"farol/templates"
	"farol/templates/ui"
)

// response is a device's answer in a form.
func response(c echo.Context) auth.Response {
	return auth.Response{Ticket: c.FormValue("ticket"), JSON: c.FormValue("credential")}
}

// passkeyAsk asks for a passkey on a page; nil when the console is open under
// an address, where a browser has none.
func (s *Server) passkeyAsk(c echo.Context) (*templates.PasskeyAsk, error) {
	site, ok := auth.SiteOf(origin(c))
	if !ok {
		return nil, nil
	}
	r, err := s.d.Accounts.AskPasskey(site)
	return &templates.PasskeyAsk{Options: r.Options, Ticket: r.Ticket}, err
}

// ownAsk is passkeyAsk for a reader who has one.
func (s *Server) ownAsk(c echo.Context) (*templates.PasskeyAsk, error) {
	list, err := s.d.Accounts.Passkeys(c.Request().Context(), visitOf(c).session.User.ID)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return s.passkeyAsk(c)
}

func (s *Server) passkeyLoginPage(c echo.Context) (templates.PasskeyLogin, error) {
	p := templates.PasskeyLogin{Bare: s.bare(c, s.words(c).t("login.title")), Next: local(c.FormValue("next")), Name: c.FormValue("name")}
	var err error
	p.Ask, err = s.passkeyAsk(c)
	return p, err
}

func (s *Server) passkeyLoginForm(c echo.Context) error {
	p, err := s.passkeyLoginPage(c)
	if err != nil {
		return err
	}
	return render(c, http.StatusOK, p)
}

// passkeyWrong answers a sign-in with a passkey that was refused.
func (s *Server) passkeyWrong(c echo.Context, code int, problem ui.Problem) error {
	p, err := s.passkeyLoginPage(c)
	if err != nil {
		return err
	}
	p.Problems = []ui.Problem{problem}
	return render(c, code, p)
}

func (s *Server) passkeyForm(c echo.Context) error {
	v, w := visitOf(c), s.words(c)
	p := templates.PasskeyNew{Shell: s.shell(c, w.t("passkey.add"), "/settings")}
	if c.QueryParam("problem") != "" {
		p.Problems = []ui.Problem{{Text: w.t("passkey.wrong")}}
	}
	if site, ok := auth.SiteOf(origin(c)); ok {
		r, err := s.d.Accounts.MakePasskey(c.Request().Context(), v.session.User, site)
		if errors.Is(err, auth.ErrFixed) {
			return &denied{}
		} else if err != nil {
			return err
		}
		p.Ask = &templates.PasskeyAsk{Options: r.Options, Ticket: r.Ticket}
	}
	return render(c, http.StatusOK, p)
}

func (s *Server) passkeyAdd(c echo.Context) error {
	v := visitOf(c)
	u := v.session.User
	ev := audit.Event{Operation: "passkey.enrol", Object: accountRef(u.ID), Outcome: "ok"}
	err := s.d.Accounts.AddPasskey(c.Request().Context(), u, v.token, response(c), c.FormValue("name"), func() error { return s.note(c, ev) })
	if errors.Is(err, auth.ErrPasskey) {
		ev.Outcome = "denied"
		if err := s.note(c, ev); err != nil {
			return err
		}
		return seeOther(c, "/settings/passkey?problem=1")
	} else if err != nil {
		return err
	}
	return seeOther(c, "/settings?done=passkey")
}

func (s *Server) passkeyRemove(c echo.Context) error {
	v := visitOf(c)
	u := v.session.User
	id, err := strconv.ParseInt(c.FormValue("id"), 10, 64)
	if err != nil {
		return echo.NewHTTPError(http.StatusNotFound)
	}
	err = s.d.Accounts.RemovePasskey(c.Request().Context(), u.ID, v.token, id, func() error {
		return s.note(c, audit.Event{Operation: "passkey.remove", Object: accountRef(u.ID), Outcome: "ok"})
	})
	if errors.Is(err, auth.ErrPasskey) {
		return echo.NewHTTPError(http.StatusNotFound)
	} else if err != nil {
		return err
	}
	return seeOther(c, "/settings?done=nopasskey")
}
