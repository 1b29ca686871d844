package web

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"farol/internal/audit"
	"farol/internal/backup"
	"farol/internal/policy"
	"farol/internal/settings"
	"farol/templates"
	"farol/templates/ui"
)

var runStates = map[string]ui.State{backup.Waiting: ui.Idle, backup.Listing: ui.Run, backup.Running: ui.Run, backup.Done: ui.Safe, backup.Partial: ui.Signal,
	backup.Failed: ui.Danger, backup.Cancelled: ui.Idle, backup.Interrupted: ui.Signal}

// run is a run as a row of the history.
func (w words) run(r backup.Run) templates.RunRow {
	row := templates.RunRow{State: runStates[r.State], Word: w.t("run." + r.State), Title: w.mode(r.What), Started: w.moment(r.Started), By: w.by(r.By), Took: "–"}
	if !r.Ended.IsZero() {
		row.Took = w.l.Duration(r.Ended.Sub(r.Started))
	}
	var listed, added, changed, gaps int64
	var problems []string
	for _, k := range r.Kinds {
		listed, added, changed, gaps = listed+k.Listed, added+k.Added, changed+k.Changed, gaps+k.Gaps
		if k.Problem != "" {
			problems = append(problems, w.t("run.problem", "kind", w.kind(k.Kind), "problem", w.problem(k)))
		}
	}
	row.Listed, row.Added, row.Gaps = w.n(listed), w.n(added+changed), w.n(gaps)
	row.Detail = strings.Join(problems, " ")
	if row.Detail == "" && (r.State == backup.Done || r.State == backup.Partial) {
		row.Detail = w.t("run.sum", "added", w.n(added), "changed", w.n(changed), "gaps", w.n(gaps), "took", row.Took)
	}
	return row
}

// problem says why a kind could not be read, naming the permissions.
func (w words) problem(k backup.KindProgress) string {
	if len(k.Scopes) > 0 {
		return w.t("problem.permission_named", "scopes", strings.Join(k.Scopes, w.t("list.comma")))
	}
	return w.t("problem." + k.Problem)
}

// progress is a run under way.
func (w words) progress(p backup.Progress) templates.Progress {
	out := templates.Progress{Running: p.Running, Title: w.t("progress.title", "mode", w.mode(string(p.Mode)), "n", p.ID), State: ui.Run, Word: w.t("run.running"), Percent: int(p.Part * 100), Since: w.moment(p.Started), By: p.By}
	out.Line = w.t("progress.line.unknown", "rate", w.l.Decimal(p.Rate, 0), "took", w.age(p.Started))
	if p.Left >= 0 {
		out.Line = w.t("progress.line", "left", w.l.Duration(p.Left), "rate", w.l.Decimal(p.Rate, 0), "took", w.age(p.Started))
	}
	w.kinds(&out, p.Kinds)
	return out
}

// ended is a run of the history in the shape of a running one.
func (w words) ended(r backup.Run) templates.Progress {
	out := templates.Progress{Title: w.t("progress.title", "mode", w.mode(r.What), "n", r.ID), State: runStates[r.State], Word: w.t("run." + r.State), Percent: 100, Since: w.moment(r.Started), By: r.By}
	out.Line = w.t("progress.ended", "when", w.moment(r.Ended).Text, "took", w.l.Duration(r.Ended.Sub(r.Started)))
	w.kinds(&out, r.Kinds)
	return out
}

func (w words) kinds(out *templates.Progress, kinds []backup.KindProgress) {
	var listed, gaps int64
	for _, k := range kinds {
		listed, gaps = listed+k.Listed, gaps+k.Gaps
		row := templates.KindProgress{Name: w.kind(k.Kind), Icon: kindIcons[k.Kind], State: runStates[k.State], Word: w.t("run." + k.State), Amount: w.t("progress.amount", "n", w.n(k.Listed))}
		switch {
		case k.State == backup.Done || k.State == backup.Failed:
			row.Percent = 100
		case k.Containers > 0:
			row.Percent = int(min((float64(k.Finished)+k.Part)/float64(k.Containers), 1) * 100)
		}
		if k.State == backup.Waiting {
			row.Amount = w.t("run.waiting")
		}
		if k.Listed > 0 {
			row.Detail = w.t("progress.detail", "added", w.n(k.Added), "changed", w.n(k.Changed), "same", w.n(k.Same), "gaps", w.n(k.Gaps), "size", w.l.Size(k.Bytes))
		}
		if k.Gaps > 0 && row.State == ui.Safe {
			row.State = ui.Signal
		}
		if k.Problem != "" {
			row.Problem = w.problem(k)
		}
		out.Kinds = append(out.Kinds, row)
	}
	out.Total = w.t("progress.total", "listed", w.n(listed), "held", w.n(listed-gaps), "gaps", w.n(gaps))
}

// progressNow is the run under way, else the last one.
func (s *Server) progressNow(w words, f facts) (p templates.Progress, ended bool) {
	if f.progress.Running {
		return w.progress(f.progress), false
	}
	for _, r := range f.runs {
		if !r.Ended.IsZero() {
			return w.ended(r), true
		}
	}
	return templates.Progress{Title: w.t("progress.none"), State: ui.Idle, Word: w.t("run.waiting")}, true
}

func (s *Server) backupPage(c echo.Context) templates.Backup {
	ctx, v, w := c.Request().Context(), visitOf(c), s.words(c)
	s.stale()
	f := s.standing(ctx)
	p := templates.Backup{Shell: s.shell(c, w.t("backup.title"), "/backup"), Bound: f.bound, Paused: f.paused, Configure: policy.May(v.subject(), policy.Configure, w.now)}
	if f.progress.Running {
		pr := w.progress(f.progress)
		p.Progress = &pr
	}
	p.NextInc, p.NextFull = w.moment(f.nextInc), w.moment(f.nextFull)
	if f.nextErr != nil {
		p.NextErr = s.broken(c, "schedule", f.nextErr).Broken
	}
	p.Lag = w.t("backup.events.none")
	if f.lag.Events > 0 {
		p.Lag = w.t("backup.events.lag", "p50", w.l.Duration(f.lag.P50), "p99", w.l.Duration(f.lag.P99), "n", w.n(f.lag.Events))
	}
	if f.runsErr != nil {
		p.RunsP = s.broken(c, "runs", f.runsErr)
	}
	for _, r := range f.runs {
		p.Runs = append(p.Runs, w.run(r))
	}
	if f.gapsErr != nil {
		p.GapsP = s.broken(c, "gaps", f.gapsErr)
	}
	for _, g := range f.gaps {
		p.Gaps = append(p.Gaps, w.gap(g))
	}
	p.GapsMore = len(f.gaps) == gapLimit
	p.Schedules = s.schedules(c, "backup.schedule", "/backup/schedule", backups, p.Configure)
	return p
}

// chosen is a setting, or what holds when nobody chose.
func (s *Server) chosen(c echo.Context, name, def string) string {
	v, err := s.d.Settings.Get(c.Request().Context(), name)
	if err != nil || v == "" {
		return def
	}
	return v
}

func (w words) gap(g backup.Gap) templates.Gap {
	out := templates.Gap{Kind: w.kind(g.Kind), Icon: kindIcons[g.Kind], Item: g.Item, Reason: w.t("gap." + g.Reason), Advice: w.t("gap." + g.Reason + ".advice"), State: ui.Signal,
		First: w.moment(g.First), Retry: w.moment(g.Retry), Tries: w.t("gap.tries", "n", g.Tries), Lost: g.Lost}
	if g.Lost {
		out.State, out.Retry = ui.Idle, ui.Moment{Text: w.t("gap.noretry")}
	}
	return out
}

func (s *Server) backup(c echo.Context) error { return render(c, http.StatusOK, s.backupPage(c)) }

func (s *Server) backupStart(c echo.Context) error {
	mode := backup.Incremental
	if c.FormValue("mode") == string(backup.Full) {
		mode = backup.Full
	}
	if _, err := s.d.Engine.Start(c.Request().Context(), mode, visitOf(c).session.User.Name); err != nil {
		return err
	}
	s.stale()
	return seeOther(c, "/backup?done=started")
}

func (s *Server) backupCancel(c echo.Context) error {
	if err := s.note(c, audit.Event{Operation: "config.change", Object: "run/cancel", Outcome: "ok"}); err != nil {
		return err
	}
	if err := s.d.Engine.Cancel(); err != nil {
		return err
	}
	s.stale()
	return seeOther(c, "/backup?done=cancelled")
}

func (s *Server) backupPause(c echo.Context) error {
	value, said := "", "resumed"
	if c.FormValue("paused") == "1" {
		value, said = "yes", "paused"
	}
	if err := s.note(c, audit.Event{Operation: "config.change", Object: "setting/" + settings.BackupPaused, Outcome: "ok", Detail: map[string]string{"paused": c.FormValue("paused")}}); err != nil {
		return err
	}
	if err := s.d.Settings.Set(c.Request().Context(), map[string]string{settings.BackupPaused: value}); err != nil {
		return err
	}
	s.stale()
	return seeOther(c, "/backup?done="+said)
}
