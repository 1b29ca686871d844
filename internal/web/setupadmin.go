package web

import (
	"errors"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"farol/internal/audit"
	"farol/internal/auth"
	"farol/templates"
	"farol/templates/ui"
)

func (s *Server) adminPage(c echo.Context, name, text string) (templates.SetupAdmin, error) {
	shown := name
	if shown == "" {
		shown = "admin"
	}
	secret, err := auth.SecretOf(shown, text)
	if err != nil {
		return templates.SetupAdmin{}, err
	}
	p := templates.SetupAdmin{Setup: s.wizard(c, 2), Name: name, Secret: secret.Text, Spaced: spaced(secret.Text), URL: secret.URL, QR: "/setup/admin/qr.png"}
	return p, nil
}

func (s *Server) adminForm(c echo.Context) error {
	k, ok := s.claimOf(c)
	if !ok {
		return c.Redirect(http.StatusSeeOther, "/setup/claim")
	}
	p, err := s.adminPage(c, "", k.secret)
	if err != nil {
		return err
	}
	return render(c, http.StatusOK, p)
}

func (s *Server) adminQR(c echo.Context) error {
	k, ok := s.claimOf(c)
	if !ok {
		return echo.NewHTTPError(http.StatusNotFound)
	}
	secret, err := auth.SecretOf("admin", k.secret)
	if err != nil {
		return err
	}
	return qr(c, secret)
}

func (s *Server) admin(c echo.Context) error {
	ctx, w := c.Request().Context(), s.words(c)
	k, ok := s.claimOf(c)
	if !ok {
		return c.Redirect(http.StatusSeeOther, "/setup/claim")
	}
	name := strings.TrimSpace(c.FormValue("name"))
	secret, err := auth.SecretOf(name, c.FormValue("secret"))
	if err != nil { // the field was tampered with: begin again with ours
		if secret, err = auth.SecretOf(name, k.secret); err != nil {
			return err
		}
	}
	u, err := s.d.Accounts.Create(ctx, auth.NewAccount{Name: name, Role: "owner", Password: c.FormValue("password"), Secret: secret, Code: c.FormValue("totp")})
	if err != nil {
		p, perr := s.adminPage(c, name, secret.Text)
		if perr != nil {
			return perr
		}
		field, id := "", ""
		switch {
		case errors.Is(err, auth.ErrName):
			field, id = "name", "setup.admin.badname"
		case errors.Is(err, auth.ErrTaken):
			field, id = "name", "setup.admin.taken"
		case errors.Is(err, auth.ErrShort):
			field, id = "password", "setup.admin.short"
		case errors.Is(err, auth.ErrWeak):
			field, id = "password", "setup.admin.weak"
		case errors.Is(err, auth.ErrCode):
			field, id = "totp", "setup.admin.badcode"
		default:
			return err
		}
		text := w.t(id)
		p.Problems = []ui.Problem{{Field: field, Text: text}}
		switch field {
		case "name":
			p.NameErr = text
		case "password":
			p.PassErr = text
		case "totp":
			p.CodeErr = text
		}
		return render(c, http.StatusUnprocessableEntity, p)
	}
	s.claimed.Store(true)
	s.mu.Lock()
	clear(s.claims)
	s.mu.Unlock()
	for _, op := range []string{"setup.claim", "user.create", "totp.enrol"} {
		if err := s.note(c, audit.Event{Actor: u.Name, Role: u.Role, Operation: op, Object: accountRef(u.ID), Outcome: "ok"}); err != nil {
			return err
		}
	}
	if err := s.reach(c, 3); err != nil {
		return err
	}
	setCookie(c, claimCookie, "", -1, http.SameSiteStrictMode)
	return seeOther(c, query("/login", "done", "account", "name", u.Name, "next", "/setup/dingtalk"))
}
