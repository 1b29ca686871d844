package web

import (
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

// How fast the off-site node is sent to, and when.

func hhmm(minute int) string {
	return time.Date(2026, 1, 1, 0, minute, 0, 0, time.UTC).Format("15:04")
}

func mbit(kbit int64) string {
	return strconv.FormatFloat(float64(kbit)/1000, 'f', -1, 64)
}

// limit is the limit in words.
func (w words) limit(l settings.OffsiteLimit) string {
	if l.Kbit == 0 {
		return w.t("limit.none")
	}
	days := w.t("limit.daily")
	switch {
	case len(l.Days) == 7:
	case slices.Equal(l.Days, workdays):
		days = w.t("limit.weekdays")
	default:
		var names []string
		for _, d := range l.Days {
			names = append(names, w.t("weekday."+weekdayNames[d]))
		}
		days = strings.Join(names, w.t("list.comma"))
	}
	if l.From == l.To {
		return w.t("limit.is.all", "mbit", mbit(l.Kbit), "days", days)
	}
	return w.t("limit.is", "mbit", mbit(l.Kbit), "days", days, "from", hhmm(l.From), "to", hhmm(l.To))
}

// limitForm is the limit in force, and its form.
func (s *Server) limitForm(c echo.Context) templates.Limit {
	w := s.words(c)
	l, err := s.d.Settings.OffsiteLimit(c.Request().Context())
	if err != nil {
		return templates.Limit{Panel: s.broken(c, "limit", err)}
	}
	p := templates.Limit{Words: w.limit(l)}
	on := l.Kbit > 0
	if !on { // what most who want one want
		l = settings.OffsiteLimit{Kbit: 2000, Days: workdays, From: 8 * 60, To: 20 * 60}
	}
	w.fillLimit(&p, on, mbit(l.Kbit), l.Days, hhmm(l.From), hhmm(l.To))
	return p
}

func (w words) fillLimit(p *templates.Limit, on bool, mbit string, days []time.Weekday, from, to string) {
	p.On, p.From, p.To, p.Days = on, from, to, nil
	p.Speed = ui.Input{Name: "mbit", Label: w.t("limit.speed"), Hint: w.t("limit.speed.hint"), Value: mbit, Mode: "decimal", Class: "narrow", Max: 8, Auto: "off"}
	for _, d := range backup.Weekdays {
		p.Days = append(p.Days, ui.Choice{Value: strconv.Itoa(int(d)), Label: w.t("weekday." + weekdayNames[d]), On: slices.Contains(days, d)})
	}
}

// readLimit is what the form says, kept in p as it was typed.
func (s *Server) readLimit(c echo.Context, p *templates.Limit) (l settings.OffsiteLimit, problems []ui.Problem) {
	w := s.words(c)
	v := func(n string) string { return strings.TrimSpace(c.FormValue(n)) }
	if form, err := c.FormParams(); err == nil {
		for _, d := range backup.Weekdays {
			if slices.Contains(form["limit_day"], strconv.Itoa(int(d))) {
				l.Days = append(l.Days, d)
			}
		}
	}
	on := v("limit") == "1"
	w.fillLimit(p, on, v("mbit"), l.Days, v("limit_from"), v("limit_to"))
	if !on {
		return settings.OffsiteLimit{}, nil
	}
	speed, err := strconv.ParseFloat(strings.Replace(v("mbit"), ",", ".", 1), 64)
	if err != nil || !(speed*1000 >= settings.LeastKbit && speed*1000 <= settings.MostKbit) {
		p.Speed.Err = w.t("limit.speed.bad", "least", mbit(settings.LeastKbit), "most", mbit(settings.MostKbit))
		problems = append(problems, ui.Problem{Field: "mbit", Text: p.Speed.Err})
	} else {
		l.Kbit = int64(speed*1000 + .5)
	}
	if len(l.Days) == 0 {
		p.DaysErr = w.t("schedule.noday")
		problems = append(problems, ui.Problem{Field: "limit_days", Text: p.DaysErr})
	}
	for _, f := range []struct {
		name string
		to   *int
		err  *string
	}{{"limit_from", &l.From, &p.FromErr}, {"limit_to", &l.To, &p.ToErr}} {
		t, err := time.Parse("15:04", v(f.name))
		if err != nil {
			*f.err = w.t("limit.time.bad")
			problems = append(problems, ui.Problem{Field: f.name, Text: *f.err})
			continue
		}
		*f.to = t.Hour()*60 + t.Minute()
	}
	return l, problems
}

// numbers is a limit as the log keeps it.
func numbers(l settings.OffsiteLimit) string {
	if l.Kbit == 0 {
		return "0"
	}
	var days []string
	for _, d := range l.Days {
		days = append(days, strconv.Itoa(int(d)))
	}
	return strconv.FormatInt(l.Kbit, 10) + " kbit/s " + strings.Join(days, ",") + " " + hhmm(l.From) + "-" + hhmm(l.To)
}

func (s *Server) assuranceLimit(c echo.Context) error {
	ctx := c.Request().Context()
	p := s.assurancePage(c)
	l, problems := s.readLimit(c, &p.Limit)
	if len(problems) > 0 {
		p.Problems, p.Limit.Open = problems, true
		return render(c, http.StatusUnprocessableEntity, p)
	}
	was, err := s.d.Settings.OffsiteLimit(ctx)
	if err != nil {
		return err
	}
	if err := s.note(c, audit.Event{Operation: "config.change", Object: "setting/offsite.limit", Outcome: "ok", Detail: map[string]string{"before": numbers(was), "after": numbers(l)}}); err != nil {
		return err
	}
	if err := s.d.Machine.LimitOffsite(ctx, l); err != nil {
		return err
	}
	s.stale()
	return seeOther(c, "/assurance?done=limit")
}
