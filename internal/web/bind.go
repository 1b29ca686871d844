package web

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"farol/internal/approval"
	"farol/internal/audit"
	"farol/internal/settings"
	"farol/templates"
	"farol/templates/ui"
)

// pending is a consent under way. DingTalk's state alone proves nothing about
// the browser that brings it back: it must be the one that was sent out.
type pending struct {
	until time.Time
	owner string // blind name of the session, or of the member's cookie
}

const pendingLife = 10 * time.Minute

// expect remembers who was sent to the consent page at address.
func (s *Server) expect(address, owner string) error {
	u, err := url.Parse(address)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, p := range s.pending {
		if s.d.Now().After(p.until) {
			delete(s.pending, k)
		}
	}
	s.pending[u.Query().Get("state")] = pending{s.d.Now().Add(pendingLife), owner}
	return nil
}

// expected reports whether state was given to owner, and forgets it.
func (s *Server) expected(state, owner string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.pending[state]
	if !ok || p.owner != owner || s.d.Now().After(p.until) {
		return false
	}
	delete(s.pending, state)
	return true
}

// origin is this console's own address, as the browser knows it.
func origin(c echo.Context) string { return "https://" + c.Request().Host }

const (
	setupCallback = "/setup/dingtalk/callback"
	joinCallback  = "/consent/callback"
)

func (s *Server) bindPage(c echo.Context) (templates.SetupBind, error) {
	ctx, w := c.Request().Context(), s.words(c)
	p := templates.SetupBind{Setup: s.wizard(c, 3), Callback: origin(c) + setupCallback}
	var err error
	if p.ClientID, err = s.d.Settings.Get(ctx, settings.ClientID); err != nil {
		return p, err
	}
	if p.Firm, err = s.d.Settings.Get(ctx, settings.CorpName); err != nil {
		return p, err
	}
	p.Bound = p.ClientID != ""
	p.Regions = w.regions("china")
	if !p.Bound {
		return p, nil
	}
	consents, err := s.d.Settings.Consents(ctx)
	if err != nil {
		return p, err
	}
	p.Consented = len(consents) > 0
	p.Readers = w.t("setup.consent.given", "n", len(consents))
	p.Coverage, p.CoverageErr = s.coverage(c)
	return p, nil
}

func (w words) regions(on string) []ui.Choice {
	var out []ui.Choice
	for _, r := range []string{"china", "international", "custom"} {
		out = append(out, ui.Choice{Value: r, Label: w.t("region." + r), Hint: w.t("region." + r + ".hint"), On: r == on})
	}
	return out
}

// coverage asks what can be had, and says it.
func (s *Server) coverage(c echo.Context) ([]templates.Coverage, string) {
	w := s.words(c)
	rows, err := s.d.Machine.Coverage(c.Request().Context())
	if err != nil {
		return nil, s.broken(c, "coverage", err).Broken
	}
	var out []templates.Coverage
	for _, r := range rows {
		row := templates.Coverage{Kind: w.kind(r.Kind), Icon: kindIcons[r.Kind], Route: w.t("route." + r.Route), Word: w.t("coverage.is." + r.State)}
		row.State = map[string]ui.State{"captured": ui.Safe, "partial": ui.Signal, "consent": ui.Signal, "unavailable": ui.Danger}[r.State]
		if r.Reason != "" {
			row.Reason = w.t(r.Reason, append([]any{"n", r.N, "m", r.M}, r.Args...)...)
		}
		out = append(out, row)
	}
	return out, ""
}

func (s *Server) bindForm(c echo.Context) error {
	p, err := s.bindPage(c)
	if err != nil {
		return err
	}
	switch c.QueryParam("problem") {
	case "denied":
		p.Problems = []ui.Problem{{Text: visitOf(c).lang.T("consent.denied")}}
	case "state":
		p.Problems = []ui.Problem{{Text: visitOf(c).lang.T("consent.lapsed")}}
	}
	return render(c, http.StatusOK, p)
}

func (s *Server) bind(c echo.Context) error {
	w := s.words(c)
	b := Binding{Region: c.FormValue("region"), BaseURL: strings.TrimSpace(c.FormValue("base_url")), ClientID: strings.TrimSpace(c.FormValue("client_id")), ClientSecret: strings.TrimSpace(c.FormValue("client_secret"))}
	if b.Region != "china" && b.Region != "international" {
		b.Region = "custom"
	}
	var problems []ui.Problem
	urlErr, idErr, secErr := "", "", ""
	if b.ClientID == "" {
		idErr = w.t("setup.bind.noid")
		problems = append(problems, ui.Problem{Field: "client_id", Text: idErr})
	}
	if b.ClientSecret == "" {
		secErr = w.t("setup.bind.nosecret")
		problems = append(problems, ui.Problem{Field: "client_secret", Text: secErr})
	}
	if b.Region == "custom" && b.BaseURL == "" {
		urlErr = w.t("bind.address")
		problems = append(problems, ui.Problem{Field: "base_url", Text: urlErr})
	}
	if len(problems) == 0 {
		where := b.BaseURL
		if b.Region != "custom" {
			where = w.t("region." + b.Region)
		}
		if ok, err := s.agreed(c, approval.Connect, where, b.ClientID); !ok {
			return err
		}
		if err := s.d.Machine.Bind(c.Request().Context(), b); err != nil {
			text, ok := said(err, w.l)
			if !ok {
				text = s.broken(c, "bind", err).Broken
			}
			problems = append(problems, ui.Problem{Field: "client_id", Text: text})
		}
	}
	if len(problems) > 0 {
		p, err := s.bindPage(c)
		if err != nil {
			return err
		}
		p.Regions, p.BaseURL, p.ClientID = w.regions(b.Region), b.BaseURL, b.ClientID
		p.Problems, p.URLErr, p.IDErr, p.SecErr = problems, urlErr, idErr, secErr
		return render(c, http.StatusUnprocessableEntity, p)
	}
	if err := s.note(c, audit.Event{Operation: "config.change", Object: "setting/tenant", Outcome: "ok"}); err != nil {
		return err
	}
	s.stale()
	return seeOther(c, "/setup/dingtalk")
}

// setupConsent sends the administrator to DingTalk. It changes nothing but the
// memory of who was sent.
func (s *Server) setupConsent(c echo.Context) error {
	address, err := s.d.Machine.ConsentURL(c.Request().Context(), origin(c)+setupCallback)
	if err != nil {
		return err
	}
	if err := s.expect(address, visitOf(c).session.ID); err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, address)
}

// setupCallback is where DingTalk sends the administrator back to. The
// session's cookie is SameSite=Strict, so the browser does not send it on that
// step; the page then asks for itself again, which is a step of this site.
func (s *Server) setupCallback(c echo.Context) error {
	v := visitOf(c)
	if v.session == nil {
		if c.QueryParam("again") != "" {
			return c.Redirect(http.StatusSeeOther, "/login?next=/setup/dingtalk")
		}
		q := c.QueryParams()
		q.Set("again", "1")
		w := s.words(c)
		return render(c, http.StatusOK, templates.Returning{Bare: s.bare(c, w.t("returning.title")), Next: setupCallback + "?" + q.Encode()})
	}
	state, code := c.QueryParam("state"), c.QueryParam("authCode")
	if !s.expected(state, v.session.ID) {
		if err := s.refused(c, "state"); err != nil {
			return err
		}
		return c.Redirect(http.StatusSeeOther, "/setup/dingtalk?problem=state")
	}
	if c.QueryParam("error") != "" || code == "" {
		return c.Redirect(http.StatusSeeOther, "/setup/dingtalk?problem=denied")
	}
	if _, err := s.d.Machine.CompleteConsent(c.Request().Context(), state, code); err != nil {
		text, ok := said(err, v.lang)
		if !ok {
			return err
		}
		p, perr := s.bindPage(c)
		if perr != nil {
			return perr
		}
		p.Problems = []ui.Problem{{Text: text}}
		return render(c, http.StatusUnprocessableEntity, p)
	}
	s.stale()
	if err := s.reach(c, 4); err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, "/setup/dingtalk")
}
