package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"

	"farol/internal/access"
	"farol/internal/approval"
	"farol/internal/audit"
	"farol/internal/auth"
	"farol/internal/backup"
	"farol/internal/i18n"
	"farol/internal/matter"
	"farol/internal/member"
	"farol/internal/policy"
	"farol/internal/restore"
	"farol/internal/watch"
	"farol/templates"
	"farol/templates/ui"
)

// fail is the one place where an error becomes an answer: a sentinel its
// status, an i18n.Error its words, anything else "internal error" with the
// number under which the log has it.
func (s *Server) fail(err error, c echo.Context) {
	if c.Response().Committed || errors.Is(err, context.Canceled) && c.Request().Context().Err() != nil {
		return
	}
	v := visitOf(c)
	var werr error
	switch {
	case errors.Is(err, policy.ErrPurpose) && v.session != nil:
		werr = c.Redirect(http.StatusSeeOther, "/purpose?next="+url.QueryEscape(v.next))
	case errors.Is(err, restore.ErrStepUp) && v.session != nil:
		werr = s.askStepUp(c)
	default:
		werr = s.failPage(c, err)
	}
	if werr != nil {
		s.d.Log.ErrorContext(c.Request().Context(), "error page", "number", v.number, "err", werr)
	}
}

// answer is how an error is said.
type answer struct {
	code int
	id   string // of the message's heading; ".text" and ".then" follow
	text string // instead of the catalog's
	log  bool
}

func answerTo(err error, l i18n.Lang) answer {
	var slow *auth.Slow
	var rate *member.Slow
	var said *i18n.Error
	var he *echo.HTTPError
	if code, id := approvalAnswer(err); code != 0 {
		return answer{code: code, id: "error.approval", text: l.T(id)}
	}
	switch {
	case errors.Is(err, policy.ErrDenied):
		return answer{code: http.StatusForbidden, id: "error.403"}
	case errors.Is(err, approval.ErrNotFound), errors.Is(err, access.ErrNotFound), errors.Is(err, matter.ErrNotFound), errors.Is(err, restore.ErrNotFound), errors.Is(err, audit.ErrNotFound), errors.Is(err, watch.ErrGone), errors.Is(err, auth.ErrUnknown):
		return answer{code: http.StatusNotFound, id: "error.404"}
	case errors.Is(err, member.ErrOff):
		return answer{code: http.StatusNotFound, id: "self.off"}
	case errors.As(err, &rate):
		return answer{code: http.StatusTooManyRequests, id: "self.slow", text: l.T("self.slow.text", "wait", l.Duration(rate.Wait), "until", l.Time(rate.Until))}
	case errors.Is(err, auth.ErrLink):
		return answer{code: http.StatusNotFound, id: "join.bad"}
	case errors.Is(err, restore.ErrEmpty):
		return answer{code: http.StatusUnprocessableEntity, id: "error.empty"}
	case errors.Is(err, restore.ErrDamaged):
		return answer{code: http.StatusInternalServerError, id: "error.damaged", log: true}
	case errors.Is(err, audit.ErrTampered):
		return answer{code: http.StatusInternalServerError, id: "error.tampered", log: true}
	case errors.Is(err, backup.ErrBusy):
		return answer{code: http.StatusConflict, id: "error.busy"}
	case errors.Is(err, backup.ErrIdle):
		return answer{code: http.StatusConflict, id: "error.idle"}
	case errors.Is(err, backup.ErrPaused):
		return answer{code: http.StatusConflict, id: "error.paused"}
	case errors.Is(err, backup.ErrUnbound), errors.Is(err, restore.ErrUnbound):
		return answer{code: http.StatusConflict, id: "error.unbound"}
	case errors.As(err, &slow):
		return answer{code: http.StatusTooManyRequests, id: "error.slow", text: l.T("login.slow", "wait", l.Duration(slow.Wait))}
	case errors.As(err, &said):
		return answer{code: http.StatusUnprocessableEntity, id: "error.422", text: said.Text(l), log: said.Err != nil}
	case errors.As(err, &he):
		switch he.Code {
		case http.StatusNotFound, http.StatusMethodNotAllowed:
			return answer{code: he.Code, id: "error.404"}
		case http.StatusRequestEntityTooLarge:
			return answer{code: he.Code, id: "error.413"}
		case http.StatusBadRequest, http.StatusUnprocessableEntity:
			return answer{code: http.StatusUnprocessableEntity, id: "error.422"}
		case http.StatusUnauthorized:
			return answer{code: he.Code, id: "error.401"}
		}
	}
	return answer{code: http.StatusInternalServerError, id: "error.500", log: true}
}

func (s *Server) failPage(c echo.Context, err error) error {
	v, ctx := visitOf(c), c.Request().Context()
	a := answerTo(err, v.lang)
	if a.log {
		s.d.Log.ErrorContext(ctx, "request failed", "number", v.number, "method", c.Request().Method, "route", c.Path(), "err", err)
	}
	if strings.HasPrefix(c.Request().URL.Path, "/api/") {
		return c.JSON(a.code, map[string]string{"error": v.lang.T(a.id), "number": v.number})
	}
	p := templates.Failure{Code: a.code, Heading: v.lang.T(a.id), Text: a.text, Then: v.lang.T(a.id + ".then"), Back: ui.Link{Label: v.lang.T("error.home"), Href: "/"}}
	if p.Text == "" {
		p.Text = v.lang.T(a.id + ".text")
	}
	if a.code >= 500 {
		p.Number = v.number
	}
	if a.code == http.StatusForbidden {
		p.People = s.whoGrants(ctx)
	}
	if isMe(c.Request().URL.Path) {
		p.Back, p.People, p.Bare = ui.Link{Label: v.lang.T("self.home"), Href: mePath}, nil, s.meBare(c, p.Heading)
		if errors.Is(err, member.ErrOff) { // there is no page to go back to
			p.Back = ui.Link{}
		}
	} else if v.session != nil {
		p.SignedIn, p.Shell = true, s.shell(c, p.Heading, "")
	} else {
		p.Bare = s.bare(c, p.Heading)
	}
	return render(c, a.code, p)
}

// whoGrants names the accounts that may give permissions.
func (s *Server) whoGrants(ctx context.Context) []string {
	users, err := s.d.Accounts.List(ctx)
	if err != nil {
		s.d.Log.WarnContext(ctx, "list accounts", "err", err)
		return nil
	}
	var out []string
	for _, u := range users {
		if !u.Breakglass && policy.May(policy.Subject{Grants: policy.GrantsOf(u.Role)}, policy.Accounts, s.d.Now()) {
			out = append(out, u.Shown)
		}
	}
	return out
}

// said is what a person may read of an error; ok is false when nothing.
func said(err error, l i18n.Lang) (string, bool) {
	var ie *i18n.Error
	if errors.As(err, &ie) {
		return ie.Text(l), true
	}
	return "", false
}

// broken is the sentence of a panel that could not be filled; the cause goes
// to the log under the request's number.
func (s *Server) broken(c echo.Context, what string, err error) templates.Panel {
	v := visitOf(c)
	s.d.Log.ErrorContext(c.Request().Context(), "panel not filled", "number", v.number, "panel", what, "err", err)
	text, ok := said(err, v.lang)
	if !ok {
		text = v.lang.T("panel.broken")
	}
	return templates.Panel{Broken: text, Number: v.number}
}
