package web

import (
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"

	"farol/internal/audit"
	"farol/internal/auth"
	"farol/internal/i18n"
	"farol/internal/member"
	"farol/internal/policy"
	"farol/internal/restore"
)

// Cookies. All are __Host-: this host only, Secure, the whole site.
const (
	sessionCookie = "__Host-farol"
	claimCookie   = "__Host-farol-claim"
	deviceCookie  = "__Host-farol-device" // a browser that signed in before: guesses from elsewhere do not slow it down
	lookCookie    = "__Host-farol-look"   // language and theme before there is a session
	joinCookie    = "__Host-farol-join"   // a member on his way to DingTalk and back
	linkCookie    = "__Host-farol-link"   // the token of a link that was opened
	memberCookie  = "__Host-farol-me"     // a member at his own records, who has no account

	memberGoCookie = "__Host-farol-me-go" // the same on his way to DingTalk and back
	linkGoCookie   = "__Host-farol-go"    // the owner of an account on his way to DingTalk and back
	firstCookie    = "__Host-farol-first" // a first factor that waits for the second
)

// visit is one request by one browser.
type visit struct {
	token   string
	session *auth.Session   // nil without one
	member  *member.Session // on the pages of members only; never together with session
	left    bool            // the member's session has just ended, because he left
	grants  []policy.Grant
	matter  string // number of the matter that is declared
	agreed  string // the request others agreed to, while it is carried out
	lang    i18n.Lang
	theme   string
	number  string // request id, for the log and the error page
	next    string // address to come back to
}

// visitOf is the visit of a request; the outermost middleware made it.
func visitOf(c echo.Context) *visit {
	v, ok := c.Get("visit").(*visit)
	if !ok {
		return &visit{lang: i18n.ZhHant}
	}
	return v
}

func (v *visit) subject() policy.Subject {
	if v.session == nil {
		return policy.Subject{}
	}
	u := v.session.User
	return policy.Subject{Account: u.Name, Role: u.Role, Grants: v.grants}
}

// request is the visit as the door out takes it.
func (s *Server) request(c echo.Context) restore.Request {
	v := visitOf(c)
	return restore.Request{Subject: v.subject(), Session: v.session.ID, Source: c.RealIP(), Purpose: policy.Purpose(v.session.Purpose), Matter: v.matter, Fresh: v.session.FreshAt(s.d.Now())}
}

func (s *Server) router() *echo.Echo {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.IPExtractor = echo.ExtractIPDirect() // the audit log must not record forged addresses
	e.HTTPErrorHandler = s.fail
	e.Use(s.measured, s.headers, middleware.RecoverWithConfig(middleware.RecoverConfig{LogErrorFunc: func(c echo.Context, err error, stack []byte) error {
		s.d.Log.ErrorContext(c.Request().Context(), "panic", "number", visitOf(c).number, "err", err, "stack", string(stack))
		return err
	}}), s.arrive, s.crossOrigin(), s.inbound())
	for _, r := range s.routes() {
		e.Add(r.method, r.path, s.guard(r.access, r.handler)).Name = r.access.name
	}
	return e
}

// crossOrigin refuses what another site sends. Without the headers of a
// browser nothing can be decided and nothing is refused: such a client has no
// foreign page to be misled by.
func (s *Server) crossOrigin() echo.MiddlewareFunc {
	p := http.NewCrossOriginProtection()
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if p.Check(c.Request()) == nil {
				return next(c)
			}
			if err := s.note(c, audit.Event{Operation: "access.denied", Object: "page" + c.Path(), Outcome: "denied", Detail: map[string]string{"why": "cross-origin"}}); err != nil {
				return err
			}
			return c.String(http.StatusForbidden, "cross-origin request refused\n")
		}
	}
}

// arrive finds the session and the language.
func (s *Server) arrive(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		v := &visit{number: shortNumber(), next: "/"}
		if r.Method == http.MethodGet {
			v.next = r.URL.RequestURI()
		}
		c.Set("visit", v)
		lang, theme, _ := strings.Cut(cookie(c, lookCookie), ".")
		v.theme = cleanTheme(theme)
		var chosen bool
		if v.lang, chosen = i18n.Parse(lang); !chosen {
			v.lang = i18n.Match(r.Header.Get("Accept-Language"))
		}
		if isMe(r.URL.Path) {
			if err := s.arriveMember(c, v); err != nil {
				return err
			}
		} else if v.token = cookie(c, sessionCookie); v.token != "" && !strings.HasPrefix(r.URL.Path, "/static/") {
			find := s.d.Accounts.Session
			if byItself(r) {
				find = s.d.Accounts.Peek
			}
			sess, err := find(r.Context(), v.token)
			switch {
			case err == nil:
				v.session = &sess
				if v.grants, err = s.d.Access.Of(r.Context(), sess.User.ID, sess.User.Role, s.d.Now()); err != nil {
					return err
				}
				if err := s.declared(c, v); err != nil {
					return err
				}
				if l, ok := i18n.Parse(sess.User.Lang); ok {
					v.lang = l
				}
				if sess.User.Theme != "" {
					v.theme = cleanTheme(sess.User.Theme)
				}
			case !errors.Is(err, auth.ErrSession) && !isHelp(r.URL.Path):
				return err
			}
		}
		c.SetRequest(r.WithContext(i18n.With(r.Context(), v.lang)))
		return next(c)
	}
}

// byItself reports whether the page asks without a person: such a request must
// not keep an idle session alive.
func byItself(r *http.Request) bool {
	return r.URL.Path == "/status/band" || strings.HasPrefix(r.URL.Path, "/events/") || r.Header.Get("HX-Trigger") == "watch"
}

func cleanTheme(t string) string {
	if t == "light" || t == "dark" {
		return t
	}
	return ""
}

func shortNumber() string { t := rand.Text(); return t[:4] + "-" + t[4:6] }

func cookie(c echo.Context, name string) string {
	k, err := c.Cookie(name)
	if err != nil {
		return ""
	}
	return k.Value
}

func setCookie(c echo.Context, name, value string, seconds int, same http.SameSite) {
	c.SetCookie(&http.Cookie{Name: name, Value: value, Path: "/", MaxAge: seconds, Secure: true, HttpOnly: true, SameSite: same})
}

// headers are sent with every answer.
func (s *Server) headers(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		h := c.Response().Header()
		h.Set("Content-Security-Policy", "default-src 'self'; object-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'")
		h.Set("Strict-Transport-Security", "max-age=63072000; includeSubDomains")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=(), usb=()")
		if !strings.HasPrefix(c.Request().URL.Path, "/static/") {
			h.Set("Cache-Control", "no-store")
		}
		return next(c)
	}
}

// guard lets a request through to a route, or says what is missing.
func (s *Server) guard(a rights, h echo.HandlerFunc) echo.HandlerFunc {
	if a.member {
		return s.guardMember(a, h)
	}
	return func(c echo.Context) error {
		ctx, v := c.Request().Context(), visitOf(c)
		claimed, err := s.isClaimed(ctx)
		if err != nil {
			return err
		}
		path := c.Request().URL.Path
		switch {
		case a.claim && claimed:
			return c.Redirect(http.StatusSeeOther, "/setup")
		case !claimed && !a.open:
			return c.Redirect(http.StatusSeeOther, "/setup")
		case !claimed && strings.HasPrefix(path, "/login"):
			return c.Redirect(http.StatusSeeOther, "/setup")
		case a.open:
			return h(c)
		case v.session == nil && v.token != "":
			if err := s.refused(c, "session"); err != nil { // ended, or never given out
				return err
			}
		}
		switch {
		case v.session == nil && strings.HasPrefix(path, "/api/"):
			return echo.NewHTTPError(http.StatusUnauthorized)
		case v.session == nil:
			return s.toLogin(c)
		}
		if a.action != "" && !policy.May(v.subject(), a.action, s.d.Now()) {
			if err := s.note(c, audit.Event{Operation: "access.denied", Object: "page" + c.Path(), Outcome: "denied"}); err != nil {
				return err
			}
			return &denied{a.action}
		}
		if a.content && v.session.Purpose == "" {
			return policy.ErrPurpose
		}
		if a.anew && s.d.Now().Sub(v.session.Created) >= auth.Fresh {
			next := v.next
			if c.Request().Method != http.MethodGet {
				next = "/settings"
			}
			return c.Redirect(http.StatusSeeOther, query("/login", "done", "anew", "next", next))
		}
		fresh := a.fresh
		if a.setup {
			if fresh, err = s.finished(c); err != nil {
				return err
			}
		}
		if fresh && !v.session.FreshAt(s.d.Now()) {
			return restore.ErrStepUp
		}
		if a.content {
			if err := s.paced(c, v.session.User.Name); err != nil {
				return err
			}
		}
		return h(c)
	}
}

// denied is policy.ErrDenied with the action, so that the page can say who may
// grant it.
type denied struct{ action policy.Action }

func (d *denied) Error() string { return "not permitted: " + string(d.action) }
func (d *denied) Unwrap() error { return policy.ErrDenied }

// isClaimed reports whether there is an account.
func (s *Server) isClaimed(ctx context.Context) (bool, error) {
	if s.claimed.Load() {
		return true, nil
	}
	n, err := s.d.Accounts.Count(ctx)
	if err == nil && n > 0 {
		s.claimed.Store(true)
	}
	return n > 0, err
}

func (s *Server) toLogin(c echo.Context) error {
	if c.Request().Header.Get("HX-Request") != "" { // a fragment must not become the sign-in page
		c.Response().Header().Set("HX-Redirect", "/login")
		return c.NoContent(http.StatusUnauthorized)
	}
	to := "/login"
	if n := visitOf(c).next; n != "/" {
		to += "?next=" + url.QueryEscape(n)
	}
	return c.Redirect(http.StatusSeeOther, to)
}

// local lets only an address of this console through, else it is "/".
func local(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n\t") {
		return "/"
	}
	return next
}

// note writes an audit entry about this request.
func (s *Server) note(c echo.Context, ev audit.Event) error {
	s.d.Noted(ev.Operation)
	_, err := s.d.Audit.Append(context.WithoutCancel(c.Request().Context()), s.event(c, ev))
	return err
}

// event fills in who asks, in which session and from where.
func (s *Server) event(c echo.Context, ev audit.Event) audit.Event {
	v := visitOf(c)
	if v.session != nil {
		ev.Actor, ev.Role, ev.Session = v.session.User.Name, v.session.User.Role, v.session.ID
		if ev.Purpose == "" {
			ev.Purpose = v.session.Purpose
			if v.matter != "" {
				ev.Detail = withMatter(ev.Detail, v.matter)
			}
		}
	}
	if v.member != nil {
		ev.Actor, ev.Role, ev.Session, ev.Purpose = v.member.Ref(), policy.RoleMember, v.member.ID, string(policy.Self)
	}
	if ev.Actor == "" {
		ev.Actor = "unknown"
	}
	if ev.Approval == "" && v.agreed != "" {
		ev.Approval = v.agreed
	}
	ev.Source = c.RealIP()
	return ev
}

func withMatter(d map[string]string, number string) map[string]string {
	out := map[string]string{"matter": number}
	maps.Copy(out, d)
	return out
}
