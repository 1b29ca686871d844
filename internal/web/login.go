package web

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"farol/internal/audit"
	"farol/internal/auth"
	"farol/internal/i18n"
	"farol/internal/policy"
	"farol/templates"
	"farol/templates/ui"
)

func (s *Server) loginPage(c echo.Context) templates.Login {
	w := s.words(c)
	return templates.Login{Bare: s.bare(c, w.t("login.title")), Next: local(c.FormValue("next")), Version: s.d.Machine.Version()}
}

func (s *Server) loginForm(c echo.Context) error {
	v := visitOf(c)
	if v.session != nil {
		return c.Redirect(http.StatusSeeOther, local(c.QueryParam("next")))
	}
	p := s.loginPage(c)
	p.Name = c.QueryParam("name")
	switch c.QueryParam("done") {
	case "logout":
		p.Done = v.lang.T("login.out")
	case "account":
		p.Done = v.lang.T("login.account")
	}
	return render(c, http.StatusOK, p)
}

func (s *Server) login(c echo.Context) error {
	r, w := c.Request(), s.words(c)
	name := strings.TrimSpace(c.FormValue("name"))
	token, sess, err := s.d.Accounts.Login(r.Context(), name, c.FormValue("password"), c.FormValue("totp"), c.RealIP(), agent(r))
	var slow *auth.Slow
	if errors.Is(err, auth.ErrLogin) || errors.As(err, &slow) {
		// the name typed may be a password: the log gets its hash
		if nerr := s.note(c, audit.Event{Operation: "login.failed", Object: "account/" + blind(name), Outcome: "denied"}); nerr != nil {
			return nerr
		}
		p, code := s.loginPage(c), http.StatusUnprocessableEntity
		p.Name = name
		p.Problems = []ui.Problem{{Field: "name", Text: w.t("login.wrong")}}
		if slow != nil {
			code = http.StatusTooManyRequests
			p.Problems[0].Text = w.t("login.slow", "wait", w.l.Duration(slow.Wait))
		}
		return render(c, code, p)
	}
	if err != nil {
		return err
	}
	if v := visitOf(c); v.session != nil { // one browser, one session
		if err := s.d.Accounts.Logout(r.Context(), v.token); err != nil {
			return err
		}
	}
	visitOf(c).session = &sess
	if err := s.note(c, audit.Event{Operation: "login", Object: "session/" + sess.ID, Outcome: "ok"}); err != nil {
		return errors.Join(err, s.d.Accounts.Logout(r.Context(), token)) // no entry, no session
	}
	setCookie(c, sessionCookie, token, 0, http.SameSiteStrictMode)
	return seeOther(c, local(c.FormValue("next")))
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
	c.Response().Header().Set("Clear-Site-Data", `"cache"`)
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
	form, err := c.FormParams()
	if err != nil {
		return err
	}
	for _, name := range sorted(form) {
		if name == "totp" || name == "next" || name == "again" || strings.Contains(name, "secret") { // a secret is never in a page: it is asked again
			continue
		}
		for _, value := range form[name] {
			p.Kept = append(p.Kept, templates.Kept{Name: name, Value: value})
		}
	}
	return render(c, http.StatusForbidden, p)
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
	return render(c, http.StatusOK, templates.StepUp{Shell: s.shell(c, w.t("stepup.title"), ""), Next: local(c.QueryParam("next"))})
}

func (s *Server) stepUp(c echo.Context) error {
	v, w := visitOf(c), s.words(c)
	next, again := local(c.FormValue("next")), c.FormValue("again") == "post"
	token, err := s.d.Accounts.StepUp(c.Request().Context(), v.token, c.FormValue("totp"))
	var slow *auth.Slow
	if errors.Is(err, auth.ErrCode) || errors.As(err, &slow) {
		if nerr := s.note(c, audit.Event{Operation: "stepup", Object: "session/" + v.session.ID, Outcome: "denied"}); nerr != nil {
			return nerr
		}
		p := templates.StepUp{Shell: s.shell(c, w.t("stepup.title"), ""), Next: next, Post: again, Problems: []ui.Problem{{Field: "totp", Text: w.t("stepup.wrong")}}}
		code := http.StatusUnprocessableEntity
		if slow != nil {
			code = http.StatusTooManyRequests
			p.Problems[0].Text = w.t("login.slow", "wait", w.l.Duration(slow.Wait))
		}
		if form, err := c.FormParams(); err == nil && again {
			for _, name := range sorted(form) {
				if name != "totp" && name != "next" && name != "again" {
					for _, value := range form[name] {
						p.Kept = append(p.Kept, templates.Kept{Name: name, Value: value})
					}
				}
			}
		}
		return render(c, code, p)
	}
	if err != nil {
		return err
	}
	if err := s.note(c, audit.Event{Operation: "stepup", Object: "session/" + v.session.ID, Outcome: "ok"}); err != nil {
		return err
	}
	setCookie(c, sessionCookie, token, 0, http.SameSiteStrictMode)
	if again {
		return c.Redirect(http.StatusTemporaryRedirect, next) // the browser posts the same fields on
	}
	return seeOther(c, next)
}

func (s *Server) purposeForm(c echo.Context) error {
	return render(c, http.StatusOK, s.purposePage(c, local(c.QueryParam("next"))))
}

func (s *Server) purposePage(c echo.Context, next string) templates.Purpose {
	v, w := visitOf(c), s.words(c)
	return templates.Purpose{Shell: s.shell(c, w.t("purpose.title"), ""), Next: next, Choices: w.purposes(func(p policy.Purpose) bool { return mayClaim(v.subject(), p) }, v.session.Purpose)}
}

// mayClaim reports whether any grant of the subject serves the purpose.
func mayClaim(sub policy.Subject, p policy.Purpose) bool {
	return slices.ContainsFunc(sub.Grants, func(g policy.Grant) bool { return slices.Contains(g.Purposes, p) })
}

func (s *Server) purpose(c echo.Context) error {
	v, next, chosen := visitOf(c), local(c.FormValue("next")), c.FormValue("purpose")
	if !slices.Contains(policy.Purposes, policy.Purpose(chosen)) || !mayClaim(v.subject(), policy.Purpose(chosen)) {
		p := s.purposePage(c, next)
		p.Problems = []ui.Problem{{Field: "purpose", Text: v.lang.T("purpose.pick")}}
		return render(c, http.StatusUnprocessableEntity, p)
	}
	if err := s.note(c, audit.Event{Operation: "purpose.declare", Object: "session/" + v.session.ID, Purpose: chosen, Outcome: "ok"}); err != nil {
		return err
	}
	if err := s.d.Accounts.SetPurpose(c.Request().Context(), v.token, chosen); err != nil {
		return err
	}
	return seeOther(c, next)
}

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
