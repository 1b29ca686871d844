package web

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"farol/internal/audit"
	"farol/internal/backup"
	"farol/internal/settings"
	"farol/templates"
	"farol/templates/ui"
)

// The wizard's steps in order.
var setupSteps = []struct{ key, href string }{
	{"claim", "/setup/claim"}, {"admin", "/setup/admin"}, {"bind", "/setup/dingtalk"}, {"scope", "/setup/scope"},
	{"storage", "/setup/storage"}, {"kit", "/setup/kit"}, {"run", "/setup/run"},
}

// wizard is the frame of step n, from 1.
func (s *Server) wizard(c echo.Context, n int) templates.Setup {
	w := s.words(c)
	p := templates.Setup{Bare: s.bare(c, w.t("setup."+setupSteps[n-1].key+".title")), Number: n}
	p.Line = w.t("setup.line")
	reached := n
	if v, err := s.d.Settings.Get(c.Request().Context(), settings.SetupStep); err == nil {
		if r, err := strconv.Atoi(v); err == nil {
			reached = max(n, r)
		}
	}
	for i, st := range setupSteps {
		step := ui.Step{Label: w.t("setup." + st.key + ".label"), Text: w.t("setup." + st.key + ".sub"), Now: i+1 == n, Done: i+1 < reached && i+1 != n}
		if i >= 2 && i+1 <= reached { // the account is made once; what follows can be gone back to
			step.Href = st.href
		}
		p.Steps = append(p.Steps, step)
	}
	return p
}

// reach notes the furthest step.
func (s *Server) reach(c echo.Context, n int) error {
	ctx := c.Request().Context()
	v, err := s.d.Settings.Get(ctx, settings.SetupStep)
	if err != nil {
		return err
	}
	if was, err := strconv.Atoi(v); err == nil && was >= n {
		return nil
	}
	return s.d.Settings.Set(ctx, map[string]string{settings.SetupStep: strconv.Itoa(n)})
}

// setupHome goes to the step that is due.
func (s *Server) setupHome(c echo.Context) error {
	ctx := c.Request().Context()
	has, err := s.isClaimed(ctx)
	if err != nil {
		return err
	}
	if !has {
		if _, ok := s.claimOf(c); ok {
			return c.Redirect(http.StatusSeeOther, "/setup/admin")
		}
		return c.Redirect(http.StatusSeeOther, "/setup/claim")
	}
	if visitOf(c).session == nil {
		return c.Redirect(http.StatusSeeOther, "/login?next=/setup")
	}
	finished, err := s.finished(c)
	if err != nil {
		return err
	}
	if finished {
		return c.Redirect(http.StatusSeeOther, "/")
	}
	v, err := s.d.Settings.Get(ctx, settings.SetupStep)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 3 || n > len(setupSteps) {
		n = 3
	}
	return c.Redirect(http.StatusSeeOther, setupSteps[n-1].href)
}

// finished reports whether the set-up is over.
func (s *Server) finished(c echo.Context) (bool, error) {
	if s.done.Load() {
		return true, nil
	}
	v, err := s.d.Settings.Get(c.Request().Context(), settings.SetupDone)
	if v != "" {
		s.done.Store(true)
	}
	return v != "", err
}

func (s *Server) setupScopeForm(c echo.Context) error {
	tree, err := s.savedTree(c, "/setup/scope")
	if err != nil {
		return err
	}
	return render(c, http.StatusOK, templates.SetupScope{Setup: s.wizard(c, 4), Tree: tree})
}

func (s *Server) setupScope(c echo.Context) error {
	tree, saved, err := s.takeScope(c, "/setup/scope")
	if err != nil {
		return err
	}
	if !saved {
		return render(c, http.StatusOK, templates.SetupScope{Setup: s.wizard(c, 4), Tree: tree})
	}
	if err := s.reach(c, 5); err != nil {
		return err
	}
	return seeOther(c, "/setup/storage")
}

func (s *Server) firstRun(c echo.Context) error {
	p, err := s.runPage(c)
	if err != nil {
		return err
	}
	return render(c, http.StatusOK, p)
}

func (s *Server) runPage(c echo.Context) (templates.SetupRun, error) {
	ctx, w := c.Request().Context(), s.words(c)
	s.stale()
	f := s.standing(ctx)
	p := templates.SetupRun{Setup: s.wizard(c, 7), Started: f.progress.Running || len(f.runs) > 0}
	miss := func(ok bool, id, href string) {
		if ok {
			p.Missing = append(p.Missing, ui.Link{Label: w.t(id), Href: href})
		}
	}
	miss(!f.bound, "setup.run.nobind", "/setup/dingtalk")
	miss(f.bound && f.consented == 0, "setup.run.noconsent", "/setup/dingtalk")
	miss(f.kit == nil, "setup.run.nokit", "/setup/kit")
	if p.Started {
		p.Progress, p.Finished = s.progressNow(w, f)
	}
	return p, nil
}

func (s *Server) firstStart(c echo.Context) error {
	ctx, v := c.Request().Context(), visitOf(c)
	if _, err := s.d.Engine.Start(ctx, backup.Full, v.session.User.Name); err != nil && !errors.Is(err, backup.ErrBusy) {
		a := answerTo(err, v.lang)
		if a.code == http.StatusInternalServerError {
			return err
		}
		p, perr := s.runPage(c)
		if perr != nil {
			return perr
		}
		p.Problems = []ui.Problem{{Text: v.lang.T(a.id + ".text")}}
		return render(c, http.StatusUnprocessableEntity, p)
	}
	if err := s.d.Machine.FinishSetup(ctx); err != nil {
		return err
	}
	if err := s.note(c, audit.Event{Operation: "config.change", Object: "setup", Outcome: "ok"}); err != nil {
		return err
	}
	s.stale()
	return seeOther(c, "/setup/run")
}
