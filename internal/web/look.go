package web

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"farol/internal/i18n"
)

// look keeps language and theme, for the account or for this browser.
func (s *Server) look(c echo.Context) error {
	v := visitOf(c)
	form, err := c.FormParams()
	if err != nil {
		return err
	}
	lang, theme := v.lang, v.theme
	if l, ok := i18n.Parse(form.Get("lang")); ok {
		lang = l
	}
	if form.Has("theme") {
		theme = cleanTheme(form.Get("theme"))
	}
	if v.session != nil {
		if err := s.d.Accounts.SetLook(c.Request().Context(), v.session.User.ID, string(lang), theme); err != nil {
			return err
		}
	}
	setCookie(c, lookCookie, string(lang)+"."+theme, 365*24*3600, http.SameSiteLaxMode)
	return c.Redirect(http.StatusSeeOther, local(form.Get("next")))
}
