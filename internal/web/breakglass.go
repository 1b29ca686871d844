package web

import (
	"context"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"farol/internal/audit"
	"farol/internal/auth"
	"farol/internal/i18n"
	"farol/internal/record"
	"farol/internal/watch"
	"farol/templates"
)

// envelope makes the account for the day on which nobody else can sign in. The
// page is its only copy, made for printing.
func (s *Server) envelope(c echo.Context) error {
	ctx, v, w := c.Request().Context(), visitOf(c), s.words(c)
	if !s.covers(v.subject(), "owner") {
		if err := s.note(c, audit.Event{Operation: "breakglass.make", Object: "account", Outcome: "denied"}); err != nil {
			return err
		}
		return &denied{}
	}
	e, err := s.d.Accounts.NewBreakglass(ctx, v.session.User, "owner", w.t("breakglass.title"), func(u auth.User) error {
		return s.note(c, audit.Event{Operation: "breakglass.make", Object: accountRef(u.ID), Outcome: "ok"})
	})
	if err != nil {
		return err
	}
	return render(c, http.StatusOK, templates.Envelope{Shell: s.shell(c, w.t("breakglass.title"), "/accounts"), Address: origin(c), Name: e.User.Name, Password: e.Password, Codes: e.Codes, Made: w.full(w.now)})
}

// glassBroken writes the entry about a login from the envelope and opens the
// alarm that stays until somebody answers it. The entry comes first: without
// it nobody gets in. The alarm is not allowed to keep the person out on a day
// like that, but the log says when it could not be opened.
func (s *Server) glassBroken(c echo.Context, reason string) error {
	ctx, v := context.WithoutCancel(c.Request().Context()), visitOf(c)
	ev := audit.Event{Operation: "breakglass.use", Object: accountRef(v.session.User.ID), Hash: record.HashOf([]byte(reason)).String(), Outcome: "ok"}
	if err := s.note(c, ev); err != nil {
		return err
	}
	day := s.d.Now().In(i18n.Macau)
	uses, err := s.d.Accounts.Uses(ctx, time.Date(day.Year(), day.Month(), day.Day(), 0, 0, 0, 0, i18n.Macau))
	if err == nil {
		err = s.d.Watch.Raise(ctx, watch.Finding{Cause: watch.Breakglass, Seen: int64(len(uses))})
	}
	s.stale()
	if err == nil {
		return nil
	}
	s.d.Log.ErrorContext(ctx, "no alarm for the break-glass account", "number", v.number, "err", err)
	ev.Operation, ev.Outcome = "alarm.open", "failed"
	return s.note(c, ev)
}

// glassUses adds to an alarm who used the envelope, and why.
func (s *Server) glassUses(c echo.Context, p *templates.Alarm, a *watch.Alarm) error {
	w := s.words(c)
	uses, err := s.d.Accounts.Uses(c.Request().Context(), a.Opened.Add(-time.Minute)) // the login comes a moment before its alarm
	if err != nil {
		return err
	}
	for _, u := range uses {
		if a.Closed.IsZero() || u.At.Before(a.Closed) {
			p.Facts = append(p.Facts, templates.Pair{Label: w.moment(u.At).Text, Value: w.t("breakglass.use", "source", u.Source, "reason", u.Reason)})
		}
	}
	return nil
}
