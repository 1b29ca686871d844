package web

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"farol/internal/audit"
	"farol/internal/backup"
	"farol/internal/settings"
	"farol/templates"
	"farol/templates/ui"
)

var weekdayNames = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// workdays are Monday to Friday.
var workdays = backup.Weekdays[:5]

// plan says a schedule in plain words.
func (w words) plan(p backup.Plan) string {
	at := time.Date(2026, 1, 1, p.Hour, p.Minute, 0, 0, time.UTC).Format("15:04")
	switch {
	case !p.Simple:
		return w.t("schedule.is.cron", "cron", p.Text)
	case len(p.Days) == 7:
		return w.t("schedule.is.daily", "at", at)
	case slices.Equal(p.Days, workdays):
		return w.t("schedule.is.weekdays", "at", at)
	}
	var names []string
	for _, d := range p.Days {
		names = append(names, w.t("weekday."+weekdayNames[d]))
	}
	return w.t("schedule.is.days", "days", strings.Join(names, w.t("list.comma")), "at", at)
}

// how is which of the form's choices a schedule is.
func how(p backup.Plan) string {
	switch {
	case !p.Simple:
		return "cron"
	case len(p.Days) == 7:
		return "daily"
	case slices.Equal(p.Days, workdays):
		return "weekdays"
	}
	return "days"
}

// schedule is one schedule with its form as it is kept.
func (w words) schedule(name, label, text string) (templates.Schedule, error) {
	s := templates.Schedule{Name: name, Label: label, Cron: text, At: "04:30"}
	p, err := backup.ParsePlan(text)
	if err != nil {
		s.Words = w.t("backup.cron.bad")
	} else {
		s.Words = w.plan(p)
		for _, d := range p.Dates(w.now, 3) {
			m := w.full(d)
			m.Text = w.weekday(d) + " " + w.l.Clock(d)
			s.Dates = append(s.Dates, m)
		}
	}
	on := how(p)
	if p.Simple {
		s.At = time.Date(2026, 1, 1, p.Hour, p.Minute, 0, 0, time.UTC).Format("15:04")
	}
	w.choose(&s, on, p.Days)
	return s, err
}

func (w words) choose(s *templates.Schedule, on string, days []time.Weekday) {
	s.Hows, s.Days = nil, nil
	for _, h := range []string{"daily", "weekdays", "days", "cron"} {
		s.Hows = append(s.Hows, ui.Choice{Value: h, Label: w.t("schedule.how." + h), On: h == on})
	}
	for _, d := range backup.Weekdays {
		s.Days = append(s.Days, ui.Choice{Value: strconv.Itoa(int(d)), Label: w.t("weekday." + weekdayNames[d]), On: slices.Contains(days, d)})
	}
}

// scheduled is one line of a panel: the thing, its setting, and when nobody
// chose.
type scheduled struct{ name, label, set, def string }

var backups = []scheduled{{"incremental", "mode.incremental", settings.ScheduleNight, backup.DefaultNight}, {"full", "mode.full", settings.ScheduleWeek, backup.DefaultWeek}}

// schedules is a panel of schedules.
func (s *Server) schedules(c echo.Context, title, action string, list []scheduled, configure bool) templates.Schedules {
	w := s.words(c)
	p := templates.Schedules{Title: w.t(title), Action: action, Configure: configure}
	for _, x := range list {
		one, err := w.schedule(x.name, w.t(x.label), s.chosen(c, x.set, x.def))
		if err != nil {
			p.Err = w.t("backup.cron.bad")
		}
		p.List = append(p.List, one)
	}
	return p
}

// readSchedules fills the panel with what its form says and returns the
// settings, their words for the log, and what is wrong.
func (s *Server) readSchedules(c echo.Context, p *templates.Schedules, list []scheduled) (values, detail map[string]string, problems []ui.Problem) {
	w := s.words(c)
	values, detail = map[string]string{}, map[string]string{}
	for i, x := range list {
		one := &p.List[i]
		plan, on, days, problem := readPlan(c, one.Name)
		values[x.set], detail[one.Name] = plan.Text, plan.Text
		one.Cron = or(c.FormValue(one.Name), one.Cron)
		if at := c.FormValue(one.Name + "_at"); at != "" {
			one.At = at
		}
		w.choose(one, on, days)
		if problem != "" {
			one.Err = w.t(problem)
			problems = append(problems, ui.Problem{Field: one.Name, Text: w.t("schedule.wrong", "what", one.Label, "why", one.Err)})
		}
	}
	return values, detail, problems
}

// keepSchedules writes the entry and then the settings.
func (s *Server) keepSchedules(c echo.Context, object string, values, detail map[string]string) error {
	if err := s.note(c, audit.Event{Operation: "config.change", Object: object, Outcome: "ok", Detail: detail}); err != nil {
		return err
	}
	if err := s.d.Settings.Set(c.Request().Context(), values); err != nil {
		return err
	}
	s.stale()
	return nil
}

// readPlan is what the form says of one schedule. Without a choice the field
// itself is cron: so programs send it.
func readPlan(c echo.Context, name string) (p backup.Plan, on string, days []time.Weekday, problem string) {
	on = c.FormValue(name + "_how")
	form, err := c.FormParams()
	if err == nil {
		for _, v := range form[name+"_day"] {
			if n, err := strconv.Atoi(v); err == nil && n >= 0 && n < 7 {
				days = append(days, time.Weekday(n))
			}
		}
	}
	if on == "" || on == "cron" {
		if p, err = backup.ParsePlan(c.FormValue(name)); errors.Is(err, backup.ErrNever) {
			problem = "schedule.never"
		} else if err != nil {
			problem = "backup.cron.bad"
		}
		return p, "cron", days, problem
	}
	at, err := time.Parse("15:04", strings.TrimSpace(c.FormValue(name+"_at")))
	chosen := days
	switch on {
	case "daily":
		chosen = backup.Weekdays
	case "weekdays":
		chosen = workdays
	case "days":
		if len(days) == 0 {
			problem = "schedule.noday"
		}
	default:
		problem = "schedule.nohow"
	}
	if err != nil {
		problem = "schedule.notime"
	}
	if problem != "" {
		return p, on, days, problem
	}
	return backup.WeeklyPlan(chosen, at.Hour(), at.Minute()), on, days, ""
}

func (s *Server) backupSchedule(c echo.Context) error {
	p := s.backupPage(c)
	values, detail, problems := s.readSchedules(c, &p.Schedules, backups)
	if len(problems) > 0 {
		p.Problems, p.Schedules.Open, p.Schedules.Err = problems, true, ""
		return render(c, http.StatusUnprocessableEntity, p)
	}
	if err := s.keepSchedules(c, "setting/schedule", values, detail); err != nil {
		return err
	}
	return seeOther(c, "/backup?done=schedule")
}
