package web

import (
	"net/http"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"farol/internal/backup"
	"farol/internal/catalog"
	"farol/internal/i18n"
	"farol/internal/policy"
	"farol/internal/record"
	"farol/templates"
	"farol/templates/ui"
)

// tideDays is how long the tide strip is.
const tideDays = 30

func (s *Server) dashboard(c echo.Context) error {
	ctx, v, w := c.Request().Context(), visitOf(c), s.words(c)
	sub := v.subject()
	if over, err := s.finished(c); err != nil {
		return err
	} else if !over && policy.May(sub, policy.Configure, w.now) {
		return c.Redirect(http.StatusSeeOther, "/setup")
	}
	f := s.standing(ctx)
	p := templates.Dashboard{Shell: s.shell(c, w.t("nav.home"), "/"), Operate: policy.May(sub, policy.Operate, w.now), Todos: s.todos(c, &f)}
	p.Watch = f.watch(w)
	if !p.Operate {
		p.Watch.Action = ui.Link{}
	}
	s.tides(c, &p, f)
	if f.runsErr != nil {
		p.RunsP = s.broken(c, "runs", f.runsErr)
	}
	if f.progress.Running {
		pr := w.progress(f.progress)
		p.Running = &pr
	}
	for _, r := range f.runs {
		if len(p.Recent) < 4 && r.State != backup.Running {
			p.Recent = append(p.Recent, w.run(r))
		}
	}
	p.Storage = s.storagePanel(c, f)
	p.Offsite = f.offsitePanel(w)
	p.Check = s.checkPanel(c, f)
	return render(c, http.StatusOK, p)
}

// watch is the panel that answers whether everything is safe.
func (f *facts) watch(w words) templates.Watch {
	say := f.say(w)
	p := templates.Watch{State: say.State, Heading: say.Bold, Text: say.Text, Action: ui.Link{Label: say.Action, Href: say.Href}}
	if say.State == ui.Safe {
		p.Heading, p.Text = w.t("watch.safe"), w.t("watch.safe.text", "n", f.runsOfDay())
	}
	loss := templates.Answer{Question: w.t("watch.loss"), State: ui.Safe}
	switch {
	case !f.offsite.Set:
		loss.Figure, loss.Yard, loss.State = w.t("watch.loss.all"), w.t("watch.loss.single"), ui.Danger
	default:
		loss.Figure, loss.Unit, loss.Yard = w.lag(f.offsite.Lag), w.t("watch.loss.unit"), w.t("watch.loss.goal", "goal", w.l.Duration(offsiteLimit))
		if f.offsite.Lag > offsiteLimit || !f.offsite.Connected {
			loss.State = ui.Danger
		}
	}
	have := templates.Answer{Question: w.t("watch.have"), Figure: w.t("watch.unknown"), Yard: w.t("watch.have.unknown"), State: ui.Idle}
	if f.listedErr == nil && !f.walked.IsZero() {
		have.Figure, have.State = w.l.Percent(f.archived, f.listed), ui.Safe
		have.Yard = w.t("watch.have.of", "held", w.n(f.archived), "listed", w.n(f.listed))
		if f.archived < f.listed {
			have.State = ui.Signal
		}
	}
	last := templates.Answer{Question: w.t("watch.last"), Figure: w.t("watch.never"), Yard: w.t("watch.last.none"), State: ui.Idle}
	if !f.last.IsZero() {
		last.Figure, last.Unit, last.State = w.age(f.last), w.t("watch.last.ago"), ui.Safe
		last.Yard = w.t("watch.last.next", "when", w.moment(f.nextInc).Text)
		if f.lag.Events > 0 {
			last.Yard = w.t("watch.last.events", "p99", w.l.Duration(f.lag.P99), "n", w.n(f.lag.Events))
		}
		if w.now.Sub(f.last) > worst {
			last.State = ui.Danger
		}
	}
	p.Answers = []templates.Answer{loss, have, last}
	p.Ruler, p.Caption = f.ruler(w)
	return p
}

func (f *facts) runsOfDay() int {
	n := 0
	for _, r := range f.runs {
		if (r.State == backup.Done || r.State == backup.Partial) && f.at.Sub(r.Ended) < 24*time.Hour {
			n++
		}
	}
	return n
}

// ruler draws the last 24 hours: a mark per finished run.
func (f *facts) ruler(w words) (c templComponent, caption string) {
	start := w.now.Add(-24 * time.Hour)
	at := func(t time.Time) float64 { return max(0, min(1, t.Sub(start).Hours()/24)) }
	var hours []ui.RulerHour
	h := start.In(i18n.Macau).Truncate(time.Hour)
	for t := h; t.Before(w.now); t = t.Add(time.Hour) {
		hour := ui.RulerHour{At: at(t), Dark: t.In(i18n.Macau).Hour()%2 == 1}
		if t.In(i18n.Macau).Hour()%3 == 0 {
			hour.Label = w.l.Clock(t)
		}
		hours = append(hours, hour)
	}
	var marks []ui.RulerMark
	for _, r := range slices.Backward(f.runs) {
		if r.Ended.Before(start) || r.State != backup.Done && r.State != backup.Partial {
			continue
		}
		marks = append(marks, ui.RulerMark{At: at(r.Ended), Tall: r.What == string(backup.Full), Late: r.State == backup.Partial, Title: w.t("ruler.run", "when", w.l.Clock(r.Ended), "what", w.mode(r.What), "state", w.t("run."+r.State))})
	}
	caption = w.t("ruler.caption", "n", len(marks))
	return ui.Ruler(hours, marks, nil, w.t("ruler.now", "time", w.l.Clock(w.now)), caption), caption
}

func (w words) mode(what string) string { return w.t("mode." + what) }

// tides is 30 days per kind, with the share that is held of what was listed.
func (s *Server) tides(c echo.Context, p *templates.Dashboard, f facts) {
	ctx, w := c.Request().Context(), s.words(c)
	days, err := s.d.Engine.Days(ctx, tideDays)
	comp, cerr := s.d.Engine.Completeness(ctx)
	if err == nil {
		err = cerr
	}
	if err != nil {
		p.TidesP = s.broken(c, "days", err)
		return
	}
	first := w.now.In(i18n.Macau).AddDate(0, 0, -tideDays+1)
	p.From = w.day(first)
	good := s.d.Engine.LastGood()
	for _, k := range record.Kinds {
		row := templates.TideRow{Kind: w.kind(k), Icon: kindIcons[k], State: ui.Idle, Complete: w.t("watch.unknown"), Last: w.moment(good[k])}
		if good[k].IsZero() {
			row.Last = w.moment(lastRunOf(f.runs, k))
		}
		var listed, archived int64
		walked := false
		for _, x := range comp {
			if x.Kind == k {
				listed, archived, walked = listed+x.Listed, archived+x.Archived, true
			}
		}
		if walked {
			row.Complete, row.State = w.l.Percent(archived, listed), ui.Safe
			if listed == 0 {
				row.Complete = w.t("tide.nothing")
			} else if archived < listed {
				row.State = ui.Signal
			}
		}
		row.Strip = w.strip(k, days, first, row.Complete)
		p.Tides = append(p.Tides, row)
	}
}

func (w words) strip(k record.Kind, days []backup.Day, first time.Time, now string) templComponent {
	byDay := map[string]backup.Day{}
	for _, d := range days {
		if d.Kind == k {
			byDay[d.Day] = d
		}
	}
	var out []ui.TideDay
	for i := range tideDays {
		day := first.AddDate(0, 0, i)
		d, ok := byDay[day.Format(time.DateOnly)]
		t := ui.TideDay{None: !ok, Failed: ok && d.Failed, Part: 1}
		switch {
		case !ok:
			t.Title = w.t("tide.day.none", "day", w.day(day))
		case d.Failed:
			t.Title = w.t("tide.day.failed", "day", w.day(day), "n", w.n(d.Items))
		default:
			if d.Gaps > 0 {
				t.Part = float64(d.Items) / float64(d.Items+d.Gaps)
			}
			t.Title = w.t("tide.day", "day", w.day(day), "n", w.n(d.Items), "gaps", w.n(d.Gaps))
		}
		out = append(out, t)
	}
	return ui.Tide(out, w.t("tide.label", "kind", w.kind(k), "now", now))
}

func lastRunOf(runs []backup.Run, k record.Kind) time.Time {
	for _, r := range runs {
		for _, x := range r.Kinds {
			if x.Kind == k && x.State == backup.Done {
				return r.Ended
			}
		}
	}
	return time.Time{}
}

// storagePanel says what fills the disk, by what the catalog counts.
func (s *Server) storagePanel(c echo.Context, f facts) templates.Storage {
	w := s.words(c)
	if f.healthErr != nil {
		return templates.Storage{Panel: s.broken(c, "storage", f.healthErr)}
	}
	var used, total, free int64
	for _, p := range f.health.Places {
		used, total, free = used+p.Used, total+p.Total, free+p.Free
	}
	counts, err := s.d.Catalog.Counts(c.Request().Context())
	if err != nil {
		return templates.Storage{Panel: s.broken(c, "counts", err)}
	}
	out := templates.Storage{Line: w.t("storage.line", "used", w.l.Size(used), "total", w.l.Size(total)), State: ui.Safe, Health: w.t("storage.ok", "free", w.l.Size(free))}
	out.Full = w.t("storage.points", "n", w.n(int64(f.health.Points)))
	out.More = policy.May(visitOf(c).subject(), policy.Operate, w.now)
	out.Outlook, out.Pace = w.outlook(f.health.Outlook)
	if f.full() {
		out.State, out.Health = ui.Danger, w.t("storage.full")
	}
	other := total - free - used
	parts := []ui.BarPart{{Value: float64(used), Title: w.t("storage.archive", "size", w.l.Size(used))}}
	legend := []string{parts[0].Title}
	if other > 0 {
		parts = append(parts, ui.BarPart{Value: float64(other), Title: w.t("storage.other", "size", w.l.Size(other))})
		legend = append(legend, parts[1].Title)
	}
	out.Bar = ui.StackBar(parts, float64(total), out.Line)
	out.Legend = append(legend, w.t("storage.free", "size", w.l.Size(free)))
	if src := bytesOf(counts); src > used && used > 0 {
		out.Full = w.t("storage.saved", "source", w.l.Size(src), "p", w.l.Percent(src-used, src))
	}
	return out
}

func bytesOf(counts []catalog.Count) (n int64) {
	for _, x := range counts {
		n += x.Bytes
	}
	return n
}

func (f *facts) offsitePanel(w words) templates.Offsite {
	o := f.offsite
	p := templates.Offsite{Set: o.Set}
	if !o.Set {
		return p
	}
	p.Line = w.t("offsite.line", "lag", w.lag(o.Lag))
	p.State, p.Word = ui.Safe, w.t("offsite.connected")
	if !o.Connected {
		p.State, p.Word = ui.Danger, w.t("offsite.lost")
	} else if o.Lag > offsiteLimit {
		p.State, p.Word = ui.Signal, w.t("offsite.late", "goal", w.l.Duration(offsiteLimit))
	}
	if o.Connected && o.SlowKbit > 0 {
		p.Slow = w.t("offsite.slow", "mbit", mbit(o.SlowKbit), "until", w.moment(o.SlowUntil).Text)
	}
	p.Address, p.Behind, p.Last = o.Address, w.l.Size(o.BehindBytes), w.moment(o.LastAck).Text
	p.Log = w.t("offsite.entries", "n", w.n(o.CheckpointSize))
	p.Read = w.t("node.verified.never")
	if o.Damaged > 0 {
		p.Read = w.t("offsite.verified.damaged", "n", w.n(int64(o.Damaged)))
	} else if !o.Verified.IsZero() {
		p.Read = w.t("node.verified.at", "when", w.moment(o.Verified).Text, "n", w.n(o.VerifiedFiles))
	}
	if o.Problem != "" {
		p.Problem = w.t(o.Problem)
	}
	return p
}

func (s *Server) checkPanel(c echo.Context, f facts) templates.Check {
	w := s.words(c)
	if f.healthErr != nil {
		return templates.Check{Panel: s.broken(c, "health", f.healthErr)}
	}
	h := f.health
	switch {
	case h.Checking:
		p := templates.Check{State: ui.Run, Line: w.t("check.running"), Text: w.t("check.running.text", "done", w.n(h.CheckDone), "total", w.n(h.CheckTotal))}
		p.When.Text = w.t("check.leave")
		return p
	case h.Damage > 0:
		return templates.Check{State: ui.Danger, Line: w.t("check.damage", "n", w.n(int64(h.Damage))), Text: w.t("check.damage.text"), When: w.moment(h.CheckedAt)}
	case h.CheckedAt.IsZero():
		p := templates.Check{State: ui.Idle, Line: w.t("check.never"), Text: w.t("check.never.text")}
		p.When.Text = w.t("check.never.when")
		return p
	}
	return templates.Check{State: ui.Safe, Line: w.t("check.good", "n", w.n(h.CheckedRecords)), Text: w.t("check.good.text", "size", w.l.Size(h.CheckedBytes), "took", w.l.Duration(h.CheckTook)), When: w.moment(h.CheckedAt)}
}
