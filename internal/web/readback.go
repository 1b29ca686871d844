package web

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"farol/internal/settings"
	"farol/internal/verify"
	"farol/templates"
	"farol/templates/ui"
)

// readings are what is read back, by schedule and no longer than a budget.
var readings = []scheduled{{"sample", "verify.what.sample", settings.VerifyNight, verify.Default.Night}, {"all", "verify.what.all", settings.VerifyWeek, verify.Default.Week}}

// budgets are how long each of the readings may take, in the same order.
var budgets = []struct {
	set, label, says, wrong string
	unit, def               time.Duration
	least, most             int
}{
	{settings.VerifyMinutes, "verify.minutes", "verify.for.night", "verify.minutes.bad", time.Minute, verify.Default.NightTime, 1, 240},
	{settings.VerifyHours, "verify.hours", "verify.for.week", "verify.hours.bad", time.Hour, verify.Default.WeekTime, 1, 12},
}

// readingSchedules is the panel of the assurance page.
func (s *Server) readingSchedules(c echo.Context, configure bool) templates.Schedules {
	w := s.words(c)
	p := s.schedules(c, "verify.schedule", "/assurance/schedule", readings, configure)
	for i, b := range budgets {
		v := s.chosen(c, b.set, strconv.Itoa(int(b.def/b.unit)))
		p.List[i].Limit = ui.Input{Name: p.List[i].Name + "_for", Label: w.t(b.label), Value: v, Mode: "numeric", Class: "narrow", Max: 3, Required: true, Auto: "off"}
		if n, err := strconv.Atoi(v); err == nil {
			p.List[i].For = w.t(b.says, "time", w.l.Duration(time.Duration(n)*b.unit))
		}
	}
	return p
}

func (s *Server) assuranceSchedule(c echo.Context) error {
	w, p := s.words(c), s.assurancePage(c)
	values, detail, problems := s.readSchedules(c, &p.Schedules, readings)
	for i, b := range budgets {
		one := &p.Schedules.List[i]
		one.Limit.Value = strings.TrimSpace(c.FormValue(one.Limit.Name))
		n, err := strconv.Atoi(one.Limit.Value)
		if err != nil || n < b.least || n > b.most {
			one.Limit.Err = w.t(b.wrong, "least", b.least, "most", b.most)
			problems = append(problems, ui.Problem{Field: one.Limit.Name, Text: w.t("schedule.wrong", "what", one.Label, "why", one.Limit.Err)})
			continue
		}
		values[b.set], detail[one.Limit.Name] = strconv.Itoa(n), strconv.Itoa(n)
	}
	if len(problems) > 0 {
		p.Problems, p.Schedules.Open, p.Schedules.Err = problems, true, ""
		return render(c, http.StatusUnprocessableEntity, p)
	}
	if err := s.keepSchedules(c, "setting/verify", values, detail); err != nil {
		return err
	}
	return seeOther(c, "/assurance?done=schedule")
}
