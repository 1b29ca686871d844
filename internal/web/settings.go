package web

import (
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"farol/internal/audit"
	"farol/internal/policy"
	"farol/templates"
	"farol/templates/ui"
)

func (s *Server) settings(c echo.Context) error { return render(c, http.StatusOK, s.settingsPage(c)) }

func (s *Server) settingsPage(c echo.Context) templates.Settings {
	ctx, v, w := c.Request().Context(), visitOf(c), s.words(c)
	p := templates.Settings{Shell: s.shell(c, w.t("settings.title"), "/settings"), Name: v.session.User.Name, Configure: policy.May(v.subject(), policy.Configure, w.now)}
	for _, t := range []string{"", "light", "dark"} {
		p.Themes = append(p.Themes, ui.Choice{Value: t, Label: w.t("theme." + or(t, "system")), On: t == v.theme})
	}
	list, err := s.d.Accounts.Sessions(ctx, v.session.User.ID)
	if err != nil {
		p.SessionsErr = s.broken(c, "sessions", err).Broken
	}
	for _, x := range list {
		p.Sessions = append(p.Sessions, templates.SessionRow{ID: x.ID, Agent: x.Agent, Source: x.Source, Since: w.moment(x.Created), Seen: w.moment(x.Seen), Here: x.ID == v.session.ID})
	}
	p.Machine = []templates.Pair{{Label: w.t("settings.version"), Value: s.d.Machine.Version()}, {Label: w.t("settings.fingerprint"), Value: s.d.Machine.Fingerprint()}}
	if p.Configure && s.standing(ctx).bound {
		p.Coverage, p.CoverageErr = s.coverage(c)
	}
	u := v.session.User
	p.Own = templates.Own{Breakglass: u.Breakglass, Codes: u.Codes, Manage: policy.May(v.subject(), policy.Accounts, w.now)}
	keys, err := s.d.Accounts.Passkeys(ctx, u.ID)
	if err != nil {
		p.Problems = append(p.Problems, ui.Problem{Text: s.broken(c, "passkeys", err).Broken})
	}
	for _, k := range keys {
		used := w.t("accounts.never")
		if !k.Used.IsZero() {
			used = w.moment(k.Used).Text
		}
		p.Own.Passkeys = append(p.Own.Passkeys, templates.PasskeyRow{ID: strconv.FormatInt(k.ID, 10), Name: k.Name, Line: w.t("passkey.line", "host", k.Host, "since", w.moment(k.Created).Text, "used", used)})
	}
	if p.Own.Link, err = s.linkPanel(c); err != nil {
		p.Problems = append(p.Problems, ui.Problem{Text: s.broken(c, "link", err).Broken})
	}
	return p
}

func (s *Server) endSession(c echo.Context) error {
	id := c.FormValue("id")
	if err := s.note(c, audit.Event{Operation: "session.revoke", Object: "session/" + blind(id), Outcome: "ok"}); err != nil {
		return err
	}
	if err := s.d.Accounts.End(c.Request().Context(), visitOf(c).session.User.ID, id); err != nil {
		return err
	}
	return seeOther(c, "/settings?done=session")
}
