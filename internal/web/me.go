package web

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"farol/internal/audit"
	"farol/internal/member"
	"farol/internal/policy"
	"farol/internal/restore"
	"farol/internal/settings"
	"farol/templates"
)

// The pages of a member of the company, who has no account here. They know
// nothing of a console session, and the console nothing of theirs.
const (
	mePath     = "/me"
	meCallback = "/me/callback"
)

func isMe(path string) bool { return path == mePath || strings.HasPrefix(path, mePath+"/") }

// errLeft is told to a member whose session ended because he left.
var errLeft = errors.New("the member has left")

// arriveMember finds the session of a member.
func (s *Server) arriveMember(c echo.Context, v *visit) error {
	v.token = cookie(c, memberCookie)
	if v.token == "" {
		return nil
	}
	sess, err := s.d.Members.Session(c.Request().Context(), v.token)
	switch {
	case err == nil:
		v.member = &sess
	case errors.Is(err, member.ErrLeft):
		v.left = true
		return s.note(c, audit.Event{Actor: sess.Ref(), Role: policy.RoleMember, Session: sess.ID, Operation: "member.logout", Object: "session/" + sess.ID, Outcome: "ok", Detail: map[string]string{"why": "left"}})
	case !errors.Is(err, member.ErrSession):
		return err
	}
	return nil
}

// guardMember lets a member through, while the pages are switched on.
func (s *Server) guardMember(a rights, h echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		ctx, v := c.Request().Context(), visitOf(c)
		claimed, err := s.isClaimed(ctx)
		if err != nil {
			return err
		}
		on, err := s.d.Members.On(ctx)
		switch {
		case err != nil:
			return err
		case !claimed || !on:
			return member.ErrOff
		case !a.open && v.member == nil:
			to := mePath
			if v.left {
				to += "?problem=left"
			}
			return seeOther(c, to)
		}
		return h(c)
	}
}

// own is a member's visit as the door out takes it.
func (s *Server) own(c echo.Context) restore.Request {
	m := visitOf(c).member
	return restore.Request{Subject: policy.Member(m.Ref(), m.Names), Session: m.ID, Source: c.RealIP(), Purpose: policy.Self}
}

// meProblems are the causes that the sign-in page may speak of after a step;
// the address carries only the name.
var meProblems = map[string]error{"left": errLeft, "state": member.ErrState, "denied": errDenied}

var errDenied = errors.New("he did not agree on DingTalk's page")

// meWhy is how a sign-in that failed is named: in the log, and with "self.why."
// before it in the catalogs.
func meWhy(err error) string {
	switch {
	case errors.Is(err, errLeft):
		return "left"
	case errors.Is(err, errDenied):
		return "denied"
	case errors.Is(err, member.ErrState):
		return "state"
	case errors.Is(err, member.ErrCompany):
		return "company"
	case errors.Is(err, member.ErrStranger):
		return "stranger"
	case errors.Is(err, member.ErrUnbound):
		return "unbound"
	case errors.Is(err, member.ErrUpstream):
		return "upstream"
	}
	return ""
}

func (s *Server) meBare(c echo.Context, title string) templates.Bare {
	b := s.bare(c, title)
	b.Home = mePath
	return b
}

func (s *Server) meDoor(c echo.Context, code int, problem error) error {
	w := s.words(c)
	firm, err := s.d.Settings.Get(c.Request().Context(), settings.CorpName)
	if err != nil {
		return err
	}
	p := templates.MeDoor{Bare: s.meBare(c, w.t("self.title")), Firm: firm}
	p.Bare.Path = mePath
	if problem != nil {
		p.Problem = w.t("self.why." + meWhy(problem))
	}
	if c.QueryParam("done") == "out" {
		p.Done = w.t("self.out")
	}
	return render(c, code, p)
}

// me is the sign-in page, or what is kept of who is signed in.
func (s *Server) me(c echo.Context) error {
	if visitOf(c).member != nil {
		return s.meHome(c)
	}
	problem := meProblems[c.QueryParam("problem")]
	if visitOf(c).left {
		problem = errLeft
	}
	return s.meDoor(c, http.StatusOK, problem)
}

// meGo sends him to DingTalk. A cookie of his own, sent also when he comes back
// from the other site, says that it is he.
func (s *Server) meGo(c echo.Context) error {
	address, browser, err := s.d.Members.Begin(c.Request().Context(), member.Own, origin(c)+meCallback, c.RealIP())
	if errors.Is(err, member.ErrUnbound) {
		return s.meDoor(c, http.StatusConflict, err)
	}
	if err != nil {
		return s.slowed(c, err)
	}
	setCookie(c, memberGoCookie, browser, int(member.SignInLife.Seconds()), http.SameSiteLaxMode)
	return c.Redirect(http.StatusSeeOther, address)
}

// meCallback is where DingTalk sends him back to. His session's cookie is
// SameSite=Strict: the page goes on by itself, which is a step of this site.
func (s *Server) meCallback(c echo.Context) error {
	ctx, w := c.Request().Context(), s.words(c)
	p, err := s.returned(c, member.Own, memberGoCookie)
	if err != nil {
		why := meWhy(err)
		if why == "" {
			return s.slowed(c, err)
		}
		if nerr := s.note(c, audit.Event{Operation: "member.login.failed", Object: "page" + c.Path(), Outcome: "denied", Detail: map[string]string{"why": why}}); nerr != nil {
			return nerr
		}
		return s.meDoor(c, http.StatusUnprocessableEntity, err)
	}
	token, sess, err := s.d.Members.Open(ctx, p)
	if err != nil {
		return err
	}
	visitOf(c).member = &sess
	if err := s.note(c, audit.Event{Operation: "member.login", Object: "session/" + sess.ID, Outcome: "ok"}); err != nil {
		return errors.Join(err, s.d.Members.End(context.WithoutCancel(ctx), token)) // no entry, no session
	}
	setCookie(c, memberCookie, token, 0, http.SameSiteStrictMode)
	b := s.meBare(c, w.t("returning.title"))
	b.Path = mePath
	return render(c, http.StatusOK, templates.Returning{Bare: b, Next: mePath})
}

func (s *Server) meLogout(c echo.Context) error {
	v := visitOf(c)
	if err := s.note(c, audit.Event{Operation: "member.logout", Object: "session/" + v.member.ID, Outcome: "ok"}); err != nil {
		return err
	}
	if err := s.d.Members.End(c.Request().Context(), v.token); err != nil {
		return err
	}
	setCookie(c, memberCookie, "", -1, http.SameSiteStrictMode)
	c.Response().Header().Set("Clear-Site-Data", `"cache"`)
	return seeOther(c, mePath+"?done=out")
}

// slowed writes, once a time, that a member was slowed down.
func (s *Server) slowed(c echo.Context, err error) error {
	var slow *member.Slow
	if errors.As(err, &slow) && slow.First {
		return errors.Join(err, s.note(c, audit.Event{Operation: "access.denied", Object: "page" + c.Path(), Outcome: "denied", Detail: map[string]string{"why": "rate"}}))
	}
	return err
}
