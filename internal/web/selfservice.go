package web

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"farol/internal/audit"
	"farol/templates"
)

// selfService is the page with the switch: what members will see, and what has
// to be registered with DingTalk first.
func (s *Server) selfService(c echo.Context) error {
	ctx, w := c.Request().Context(), s.words(c)
	on, err := s.d.Members.On(ctx)
	if err != nil {
		return err
	}
	p := templates.SelfService{Shell: s.shell(c, w.t("self.switch"), "/consents"), On: on, Bound: s.standing(ctx).bound, Address: origin(c) + mePath, Callback: origin(c) + meCallback}
	p.SignIn.Callback = origin(c) + firstCallback
	if p.SignIn.On, err = s.d.Members.SignInOn(ctx); err != nil {
		return err
	}
	if on {
		if p.Sessions, err = s.d.Members.Count(ctx); err != nil {
			return err
		}
	}
	return render(c, http.StatusOK, p)
}

func (s *Server) selfSwitch(c echo.Context) error {
	on := c.FormValue("on") == "1"
	what := "off"
	if on {
		what = "on"
	}
	setting, done, turn := "self.service", "self.", s.d.Members.Switch
	if c.FormValue("what") == "signin" {
		setting, done, turn = "signin.dingtalk", "signin.", s.d.Members.SwitchSignIn
	}
	if err := s.note(c, audit.Event{Operation: "config.change", Object: "setting/" + setting, Outcome: "ok", Detail: map[string]string{"what": what}}); err != nil {
		return err
	}
	if err := turn(c.Request().Context(), on); err != nil {
		return err
	}
	return seeOther(c, "/consents/self?done="+done+what)
}
