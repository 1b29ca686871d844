package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"farol/internal/audit"
	"farol/internal/auth"
	"farol/templates"
	"farol/templates/ui"
)

func (s *Server) loginPage(c echo.Context) templates.Login {
	w := s.words(c)
	on, err := s.d.Members.SignInOn(c.Request().Context())
	if err != nil { // name and password go on working
		s.d.Log.WarnContext(c.Request().Context(), "sign-in by DingTalk", "number", visitOf(c).number, "err", err)
	}
	return templates.Login{Bare: s.bare(c, w.t("login.title")), Next: local(c.FormValue("next")), Version: s.d.Machine.Version(), DingTalk: on}
}

func (s *Server) loginForm(c echo.Context) error {
	v := visitOf(c)
	if v.session != nil && c.QueryParam("done") != "anew" {
		return c.Redirect(http.StatusSeeOther, local(c.QueryParam("next")))
	}
	p := s.loginPage(c)
	switch c.QueryParam("done") {
	case "logout":
		p.Done = v.lang.T("login.out")
	case "account":
		p.Done = v.lang.T("login.account")
	case "anew":
		p.Done = v.lang.T("login.anew")
	}
	return render(c, http.StatusOK, p)
}

// codeOf is the second factor of a form: a recovery code has a field of its
// own, since the keyboard for the other shows digits only.
func codeOf(c echo.Context) string {
	return or(strings.TrimSpace(c.FormValue("recovery")), c.FormValue("totp"))
}

func (s *Server) login(c echo.Context) error {
	r, name, reason := c.Request(), strings.TrimSpace(c.FormValue("name")), strings.TrimSpace(c.FormValue("reason"))
	try := auth.Try{Name: name, Password: c.FormValue("password"), Code: codeOf(c), Passkey: response(c), Reason: reason[:min(len(reason), 2000)], Source: c.RealIP(), Agent: agent(r), Device: cookie(c, deviceCookie)}
	if c.FormValue("first") != "" {
		return s.firstLogin(c, try)
	}
	o, err := s.d.Accounts.Login(r.Context(), try)
	if err != nil {
		return s.loginWrong(c, name, err)
	}
	return s.opened(c, o, reason, factor(o.Passkey))
}

// opened takes a session that was opened into the log and into the browser.
func (s *Server) opened(c echo.Context, o auth.Opened, reason string, detail map[string]string) error {
	r := c.Request()
	v := visitOf(c)
	if v.session != nil { // one browser, one session
		if err := s.d.Accounts.Logout(r.Context(), v.token); err != nil {
			return err
		}
	}
	v.session = &o.Session
	next := local(c.FormValue("next"))
	err := errors.Join(s.note(c, audit.Event{Operation: "login", Object: "session/" + o.Session.ID, Outcome: "ok", Detail: detail}), s.recovered(c, o.Recovery))
	if o.Session.User.Breakglass && err == nil {
		err, next = s.glassBroken(c, reason), "/purpose?next="+url.QueryEscape(next)
	}
	if err != nil {
		return errors.Join(err, s.d.Accounts.Logout(context.WithoutCancel(r.Context()), o.Token)) // no entry, no session
	}
	setCookie(c, sessionCookie, o.Token, 0, http.SameSiteStrictMode)
	if o.Device != "" {
		setCookie(c, deviceCookie, o.Device, int(auth.DeviceLife.Seconds()), http.SameSiteStrictMode)
	}
	return seeOther(c, next)
}

// factor says in the log that a passkey was the second factor.
func factor(passkey bool) map[string]string {
	if passkey {
		return map[string]string{"factor": "passkey"}
	}
	return nil
}

// loginWrong is the one answer to every wrong name, password and code.
func (s *Server) loginWrong(c echo.Context, name string, err error) error {
	w := s.words(c)
	p, code := s.loginPage(c), http.StatusUnprocessableEntity
	p.Name, p.Reason, p.Other = name, c.FormValue("reason"), c.FormValue("recovery") != ""
	var slow *auth.Slow
	switch {
	case errors.Is(err, auth.ErrReason): // everything else was right
		p.Other, p.Problems = true, []ui.Problem{{Field: "reason", Text: w.t("login.reason.missing")}}
		return render(c, code, p)
	case errors.As(err, &slow):
		code = http.StatusTooManyRequests
		p.Problems = []ui.Problem{{Field: "name", Text: w.t("login.slow", "wait", w.l.Duration(slow.Wait))}}
	case errors.Is(err, auth.ErrLogin):
		p.Problems = []ui.Problem{{Field: "name", Text: w.t("login.wrong")}}
	default:
		return err
	}
	object := "account/" + blind(name) // what was typed may be a password: the log gets its hash
	if nerr := errors.Join(s.note(c, audit.Event{Operation: "login.failed", Object: object, Outcome: "denied"}), s.begun(c, err, object)); nerr != nil {
		return nerr
	}
	if c.FormValue("ticket") != "" {
		if slow == nil {
			p.Problems[0] = ui.Problem{Text: w.t("passkey.wrong")}
		}
		return s.passkeyWrong(c, code, p.Problems[0])
	}
	return render(c, code, p)
}

func agent(r *http.Request) string {
	a := r.UserAgent()
	return a[:min(len(a), 200)]
}

func (s *Server) logout(c echo.Context) error {
	v := visitOf(c)
	if err := s.note(c, audit.Event{Operation: "logout", Object: "session/" + v.session.ID, Outcome: "ok"}); err != nil {
		return err
	}
	if err := s.d.Accounts.Logout(c.Request().Context(), v.token); err != nil {
		return err
	}
	setCookie(c, sessionCookie, "", -1, http.SameSiteStrictMode)
	c.Response().Header().Set("Clear-Site-Data", `"cache", "storage"`)
	return seeOther(c, "/login?done=logout")
}

// keep is asked by the page whose session is about to end: being seen is
// enough to keep it.
func (s *Server) keep(c echo.Context) error {
	if c.Request().Header.Get("Sec-Fetch-Mode") == "navigate" {
		return c.Redirect(http.StatusSeeOther, "/")
	}
	return c.NoContent(http.StatusNoContent)
}

// askStepUp puts the form that waits for a fresh code in place of the answer.
// What was posted goes on with it.
func (s *Server) askStepUp(c echo.Context) error {
	w, r := s.words(c), c.Request()
	if r.Method == http.MethodGet {
		return c.Redirect(http.StatusSeeOther, "/stepup?next="+url.QueryEscape(visitOf(c).next))
	}
	p := templates.StepUp{Shell: s.shell(c, w.t("stepup.title"), ""), Next: r.URL.Path, Post: true}
	var err error
	if p.Ask, err = s.ownAsk(c); err != nil {
		return err
	}
	if p.Kept, err = kept(c); err != nil {
		return err
	}
	return render(c, http.StatusForbidden, p)
}

// kept are the fields that wait for a fresh code. A secret is never in a page:
// it is asked again.
func kept(c echo.Context) ([]templates.Kept, error) {
	form, err := c.FormParams()
	if err != nil {
		return nil, err
	}
	var out []templates.Kept
	for _, name := range sorted(form) {
		if slices.Contains([]string{"totp", "recovery", "ticket", "credential", "next", "again"}, name) || strings.Contains(name, "secret") || strings.Contains(name, "password") {
			continue
		}
		for _, value := range form[name] {
			out = append(out, templates.Kept{Name: name, Value: value})
		}
	}
	return out, nil
}

func sorted(v url.Values) []string {
	var out []string
	for k := range v {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

func (s *Server) stepUpForm(c echo.Context) error {
	w := s.words(c)
	ask, err := s.ownAsk(c)
	if err != nil {
		return err
	}
	return render(c, http.StatusOK, templates.StepUp{Shell: s.shell(c, w.t("stepup.title"), ""), Next: local(c.QueryParam("next")), Ask: ask})
}

func (s *Server) stepUp(c echo.Context) error {
	v, w := visitOf(c), s.words(c)
	next, again := local(c.FormValue("next")), c.FormValue("again") == "post"
	ctx, r := c.Request().Context(), response(c)
	var st auth.Stepped
	var err error
	if r.JSON != "" {
		st, err = s.d.Accounts.StepUpPasskey(ctx, v.token, r)
	} else {
		st, err = s.d.Accounts.StepUp(ctx, v.token, codeOf(c))
	}
	var slow *auth.Slow
	if errors.Is(err, auth.ErrCode) || errors.As(err, &slow) {
		object := "session/" + v.session.ID
		if nerr := errors.Join(s.note(c, audit.Event{Operation: "stepup", Object: object, Outcome: "denied"}), s.begun(c, err, object)); nerr != nil {
			return nerr
		}
		p := templates.StepUp{Shell: s.shell(c, w.t("stepup.title"), ""), Next: next, Post: again, Problems: []ui.Problem{{Field: "totp", Text: w.t("stepup.wrong")}}}
		if p.Ask, err = s.ownAsk(c); err != nil {
			return err
		}
		code := http.StatusUnprocessableEntity
		if slow != nil {
			code = http.StatusTooManyRequests
			p.Problems[0].Text = w.t("login.slow", "wait", w.l.Duration(slow.Wait))
		}
		if again {
			if p.Kept, err = kept(c); err != nil {
				return err
			}
		}
		return render(c, code, p)
	}
	if err != nil {
		return err
	}
	if err := errors.Join(s.note(c, audit.Event{Operation: "stepup", Object: "session/" + v.session.ID, Outcome: "ok"}), s.recovered(c, st.Recovery)); err != nil {
		return err
	}
	setCookie(c, sessionCookie, st.Token, 0, http.SameSiteStrictMode)
	if again {
		return c.Redirect(http.StatusTemporaryRedirect, next) // the browser posts the same fields on
	}
	return seeOther(c, next)
}
