package web

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"farol/internal/audit"
	"farol/internal/auth"
	"farol/internal/member"
	"farol/templates"
	"farol/templates/ui"
)

// An account may be linked to one person in DingTalk, who then stands in for
// its password. The second factor is asked as ever.
const firstCallback = "/login/dingtalk/callback"

// signInOn answers as for a page that is not there while it is switched off.
func (s *Server) signInOn(c echo.Context) error {
	on, err := s.d.Members.SignInOn(c.Request().Context())
	if err == nil && !on {
		err = echo.NewHTTPError(http.StatusNotFound)
	}
	return err
}

// goTo sends the browser to DingTalk, with a cookie that says that it is he who
// comes back.
func (s *Server) goTo(c echo.Context, use member.Use) error {
	address, browser, err := s.d.Members.Begin(c.Request().Context(), use, origin(c)+firstCallback, c.RealIP())
	if err != nil {
		return s.slowed(c, err)
	}
	setCookie(c, linkGoCookie, browser, int(member.SignInLife.Seconds()), http.SameSiteLaxMode)
	return c.Redirect(http.StatusSeeOther, address)
}

// firstGo begins a sign-in with DingTalk as the first factor.
func (s *Server) firstGo(c echo.Context) error {
	if err := s.signInOn(c); err != nil {
		return err
	}
	err := s.goTo(c, member.SignIn)
	if errors.Is(err, member.ErrUnbound) {
		return s.firstRefused(c, err)
	}
	return err
}

// linkGo begins to link the reader's account. The fresh code was asked for
// here; coming back asks for none.
func (s *Server) linkGo(c echo.Context) error {
	if err := s.signInOn(c); err != nil {
		return err
	}
	if visitOf(c).session.User.Breakglass {
		return &denied{}
	}
	err := s.goTo(c, member.Link)
	if errors.Is(err, member.ErrUnbound) {
		return s.linkRefused(c, err)
	}
	return err
}

// firstCallback is where DingTalk sends both back to. For a link the session is
// needed, whose cookie does not come with a step from another site: the page
// then asks for itself again, as after the consent of set-up.
func (s *Server) firstCallback(c echo.Context) error {
	if err := s.signInOn(c); err != nil {
		return err
	}
	if s.d.Members.UseOf(c.QueryParam("state")) != member.Link {
		return s.firstFinish(c)
	}
	if visitOf(c).session == nil {
		if c.QueryParam("again") != "" {
			return c.Redirect(http.StatusSeeOther, "/login?next="+url.QueryEscape("/settings"))
		}
		q := c.QueryParams()
		q.Set("again", "1")
		return render(c, http.StatusOK, templates.Returning{Bare: s.bare(c, s.words(c).t("returning.title")), Next: firstCallback + "?" + q.Encode()})
	}
	return s.linkFinish(c)
}

// returned takes what DingTalk sent back for a use, to the browser that has
// this cookie.
func (s *Server) returned(c echo.Context, use member.Use, name string) (member.Person, error) {
	code, browser := c.QueryParam("authCode"), cookie(c, name)
	setCookie(c, name, "", -1, http.SameSiteLaxMode)
	refused := c.QueryParam("error") != "" || code == ""
	if refused {
		code = ""
	}
	p, err := s.d.Members.Finish(c.Request().Context(), use, c.RealIP(), c.QueryParam("state"), code, browser)
	if refused && errors.Is(err, member.ErrState) {
		err = errDenied
	}
	if errors.Is(err, member.ErrUpstream) {
		s.d.Log.WarnContext(c.Request().Context(), "sign-in by DingTalk", "number", visitOf(c).number, "err", err)
	}
	return p, err
}

// firstFinish asks for the second factor of the account that is linked to who
// came back.
func (s *Server) firstFinish(c echo.Context) error {
	p, err := s.returned(c, member.SignIn, linkGoCookie)
	if err != nil {
		return s.firstRefused(c, err)
	}
	ticket, err := s.d.Accounts.First(c.Request().Context(), p.UnionID)
	if errors.Is(err, auth.ErrUnlinked) {
		return s.firstRefused(c, err)
	} else if err != nil {
		return err
	}
	setCookie(c, firstCookie, ticket, int(auth.FirstLife.Seconds()), http.SameSiteStrictMode)
	page, err := s.firstPage(c)
	if err != nil {
		return err
	}
	return render(c, http.StatusOK, page)
}

func (s *Server) firstPage(c echo.Context) (templates.FirstFactor, error) {
	p := templates.FirstFactor{Bare: s.bare(c, s.words(c).t("login.title"))}
	p.Bare.Path = "/login" // this page is not to be had again
	var err error
	p.Ask, err = s.passkeyAsk(c)
	return p, err
}

// firstRefused answers a first factor that was not given. Only who has proven
// who he is learns that no account is linked to him.
func (s *Server) firstRefused(c echo.Context, err error) error {
	why := meWhy(err)
	if errors.Is(err, auth.ErrUnlinked) {
		why = "unlinked"
	}
	if why == "" {
		return s.slowed(c, err)
	}
	if nerr := s.note(c, audit.Event{Operation: "login.failed", Object: "page/login/dingtalk", Outcome: "denied", Detail: map[string]string{"why": why}}); nerr != nil {
		return nerr
	}
	p := s.loginPage(c)
	p.Bare.Path = "/login"
	p.Problems = []ui.Problem{{Field: "name", Text: s.words(c).t("self.why." + why)}}
	return render(c, http.StatusUnprocessableEntity, p)
}

// firstLogin takes the second factor of who gave the first by DingTalk.
func (s *Server) firstLogin(c echo.Context, try auth.Try) error {
	if err := s.signInOn(c); err != nil {
		return err
	}
	w := s.words(c)
	try.First = cookie(c, firstCookie)
	object := accountRef(s.d.Accounts.FirstOf(try.First))
	o, err := s.d.Accounts.Login(c.Request().Context(), try)
	var slow *auth.Slow
	switch {
	case err == nil:
		setCookie(c, firstCookie, "", -1, http.SameSiteStrictMode)
		detail := map[string]string{"first": "dingtalk"}
		if o.Passkey {
			detail["factor"] = "passkey"
		}
		return s.opened(c, o, "", detail)
	case errors.Is(err, auth.ErrFirst) || try.First == "":
		setCookie(c, firstCookie, "", -1, http.SameSiteStrictMode)
		return s.firstRefused(c, member.ErrState)
	case !errors.Is(err, auth.ErrLogin) && !errors.As(err, &slow):
		return err
	}
	if nerr := errors.Join(s.note(c, audit.Event{Operation: "login.failed", Object: object, Outcome: "denied", Detail: map[string]string{"first": "dingtalk"}}), s.begun(c, err, object)); nerr != nil {
		return nerr
	}
	p, perr := s.firstPage(c)
	if perr != nil {
		return perr
	}
	code := http.StatusUnprocessableEntity
	p.Problems = []ui.Problem{{Field: "totp", Text: w.t("stepup.wrong")}}
	if slow != nil {
		code = http.StatusTooManyRequests
		p.Problems[0].Text = w.t("login.slow", "wait", w.l.Duration(slow.Wait))
	}
	return render(c, code, p)
}

// linkedPerson is what is kept of who is linked.
type linkedPerson struct {
	UserID  string `json:"user"`
	UnionID string `json:"union"`
}

// linkFinish links the reader's account to who came back.
func (s *Server) linkFinish(c echo.Context) error {
	u := visitOf(c).session.User
	p, err := s.returned(c, member.Link, linkGoCookie)
	if err != nil {
		return s.linkRefused(c, err)
	}
	b, err := json.Marshal(linkedPerson{p.UserID, p.UnionID})
	if err != nil {
		return err
	}
	err = s.d.Accounts.SetLink(c.Request().Context(), u, p.UnionID, string(b), func() error {
		return s.note(c, audit.Event{Operation: "account.link", Object: accountRef(u.ID), Outcome: "ok", Detail: map[string]string{"person": s.d.Door.Person(p.UserID)}})
	})
	switch {
	case errors.Is(err, auth.ErrLinked):
		return s.linkRefused(c, err)
	case errors.Is(err, auth.ErrFixed):
		return &denied{}
	case err != nil:
		return err
	}
	return c.Redirect(http.StatusSeeOther, "/settings?done=linked")
}

func (s *Server) linkRefused(c echo.Context, err error) error {
	why := meWhy(err)
	if errors.Is(err, auth.ErrLinked) {
		why = "linked"
	}
	if why == "" {
		return s.slowed(c, err)
	}
	if nerr := s.note(c, audit.Event{Operation: "account.link", Object: accountRef(visitOf(c).session.User.ID), Outcome: "denied", Detail: map[string]string{"why": why}}); nerr != nil {
		return nerr
	}
	p := s.settingsPage(c)
	p.Shell.Path = "/settings"
	p.Problems = append(p.Problems, ui.Problem{Text: s.words(c).t("self.why." + why)})
	return render(c, http.StatusUnprocessableEntity, p)
}

func (s *Server) linkRemove(c echo.Context) error {
	u := visitOf(c).session.User
	err := s.d.Accounts.Unlink(c.Request().Context(), u.ID, func() error {
		return s.note(c, audit.Event{Operation: "account.unlink", Object: accountRef(u.ID), Outcome: "ok"})
	})
	if errors.Is(err, auth.ErrUnlinked) {
		return echo.NewHTTPError(http.StatusNotFound)
	} else if err != nil {
		return err
	}
	return seeOther(c, "/settings?done=unlinked")
}

// linkPanel says on the page of settings to whom the account is linked.
func (s *Server) linkPanel(c echo.Context) (templates.Link, error) {
	ctx, w := c.Request().Context(), s.words(c)
	on, err := s.d.Members.SignInOn(ctx)
	if err != nil {
		return templates.Link{}, err
	}
	l, ok, err := s.d.Accounts.LinkOf(ctx, visitOf(c).session.User.ID)
	out := templates.Link{On: on, Linked: ok}
	if err != nil || !ok {
		return out, err
	}
	var p linkedPerson
	if err := json.Unmarshal([]byte(l.Person), &p); err != nil {
		return out, err
	}
	out.Line = w.t("link.line", "name", or(s.d.Members.Shown(p.UnionID), w.t("link.left")), "since", w.moment(l.Since).Text)
	return out, nil
}
