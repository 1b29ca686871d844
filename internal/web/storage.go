package web

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"farol/internal/growth"
	"farol/internal/policy"
	"farol/templates"
	"farol/templates/ui"
)

// span is a long time in words: days, months, or years and months.
func (w words) span(d time.Duration) string {
	days := int(d.Hours()/24 + .5)
	months := int(d.Hours()/24/30.44 + .5)
	switch {
	case days == 1:
		return w.t("span.day")
	case days < 60:
		return w.t("span.days", "n", days)
	case months < 24:
		return w.t("span.months", "n", months)
	case months%12 == 0:
		return w.t("span.years", "n", months/12)
	case months%12 == 1:
		return w.t("span.years.month", "n", months/12)
	}
	return w.t("span.years.months", "n", months/12, "m", months%12)
}

// outlook is when the disk is full, and what that is taken from.
func (w words) outlook(o growth.Outlook) (line, pace string) {
	switch o.State {
	case growth.Full:
		return w.t("outlook.full"), ""
	case growth.Until:
		line = w.t("outlook.until", "span", w.span(o.Left))
	case growth.Beyond:
		line = w.t("outlook.beyond", "span", w.span(o.Left))
	case growth.Never:
		return w.t("outlook.never"), w.t("outlook.flat", "n", o.Days)
	default:
		return w.t("outlook.early"), w.t("outlook.early.text", "n", growth.LeastDays, "have", o.Days)
	}
	return line, w.t("outlook.pace", "size", w.l.Size(o.PerDay), "n", o.Days)
}

var copyIcons = map[string]string{"dir": "folder", "s3": "archive", "sftp": "plug"}

var copyStates = map[string]ui.State{"new": ui.Idle, "filling": ui.Run, "current": ui.Safe, "waiting": ui.Danger, "retired": ui.Idle}

// disk is a disk of the archive's own.
func (w words) disk(d Place, o growth.Outlook) templates.DiskCard {
	c := templates.DiskCard{Path: d.Path, State: ui.Safe, Word: w.t("places.disk.ok")}
	other := d.Total - d.Free - d.Used
	parts := []ui.BarPart{{Value: float64(d.Used), Title: w.t("storage.archive", "size", w.l.Size(d.Used))}}
	c.Legend = []string{parts[0].Title}
	if other > 0 {
		parts = append(parts, ui.BarPart{Value: float64(other), Title: w.t("storage.other", "size", w.l.Size(other))})
		c.Legend = append(c.Legend, parts[1].Title)
	}
	c.Bar = ui.StackBar(parts, float64(d.Total), w.t("storage.line", "used", w.l.Size(d.Used), "total", w.l.Size(d.Total)))
	c.Legend = append(c.Legend, w.t("places.free", "free", w.l.Size(d.Free), "reserve", w.l.Size(d.Reserve), "total", w.l.Size(d.Total)))
	c.Outlook, c.Pace = w.outlook(o)
	switch {
	case d.Total > 0 && d.Free <= d.Reserve:
		c.State, c.Word, c.Advice = ui.Danger, w.t("storage.full"), w.t("places.disk.full.advice")
	case o.State == growth.Until && o.Left < 60*24*time.Hour:
		c.State, c.Word, c.Advice = ui.Signal, w.t("places.disk.soon"), w.t("places.disk.full.advice")
	}
	return c
}

// copyCard is a further copy in words.
func (w words) copyCard(x Copy, o growth.Outlook) templates.CopyCard {
	c := templates.CopyCard{ID: x.ID, Name: or(x.Name, w.t("places.unnamed")), Icon: copyIcons[x.Kind], Kind: w.t("places.kind." + x.Kind), Where: x.Where, State: copyStates[x.State], Word: w.t("places.state." + x.State),
		CanAct: x.Work == "", Ended: w.moment(x.Ended)}
	if x.State == "retired" {
		c.Word = w.t("places.retired.kept")
		if x.Erased {
			c.Word = w.t("places.retired.erased")
		}
		return c
	}
	if x.State == "waiting" && x.Problem != "" {
		c.Problem, c.Advice = w.t(x.Problem), w.t(x.Problem+".advice")
		if x.Problem == "place.gone" {
			c.Word = w.t("places.state.gone")
		}
	}
	if x.WorkProblem != "" {
		c.WorkProblem = w.t("places.work.failed", "why", w.t(x.WorkProblem))
	}
	held := w.t("places.held.all", "size", w.l.Size(x.Done))
	if x.Done < x.Total && x.State != "current" {
		held = w.t("places.held.of", "done", w.l.Size(x.Done), "total", w.l.Size(x.Total))
	}
	lag := w.t("lag.none")
	if x.State != "current" {
		lag = w.t("places.lag.never")
		if !x.Whole.IsZero() {
			lag = w.age(x.Whole)
		}
	}
	if x.State == "waiting" && x.Done == 0 { // not asked since the start: no figure
		held = w.t("time.unknown")
	}
	verified := w.t("places.verified.never")
	if !x.Verified.IsZero() {
		verified = w.t("places.verified.good", "when", w.moment(x.Verified).Text, "n", w.n(x.VerifiedFiles))
		if x.VerifiedDamaged > 0 {
			verified = w.t("places.verified.healed", "when", w.moment(x.Verified).Text, "n", w.n(int64(x.VerifiedDamaged)))
		}
	}
	country := w.transfer(x.Transfer)
	c.Pairs = []templates.Pair{{Label: w.t("places.held"), Value: held}, {Label: w.t("places.lag"), Value: lag}, {Label: w.t("places.answer"), Value: w.moment(x.Answer).Text}, {Label: w.t("places.verified"), Value: verified}}
	if x.Size > 0 {
		c.Pairs = append(c.Pairs, templates.Pair{Label: w.t("places.room"), Value: w.t("setup.storage.place", "free", w.l.Size(x.Free), "total", w.l.Size(x.Size))})
	}
	c.Pairs = append(c.Pairs, templates.Pair{Label: w.t("places.law"), Value: country})
	if x.Lock.Days > 0 {
		c.Pairs = append(c.Pairs, templates.Pair{Label: w.t("places.lock"), Value: w.lock(x.Lock)})
		if x.Lock.Open > 0 {
			c.Notes = append(c.Notes, w.t("places.lock.open", "n", x.Lock.Open, "asked", x.Lock.Asked))
		}
	}
	if cost := w.cost(x, o); cost != "" {
		c.Pairs = append(c.Pairs, templates.Pair{Label: w.t("places.cost"), Value: cost})
	}
	if x.SameDisk {
		c.Notes = append(c.Notes, w.t("places.samedisk"))
	}
	if x.State == "filling" && x.Total > 0 {
		c.Work, c.Percent = w.t("places.filling", "done", w.l.Size(min(x.Done, x.Total)), "total", w.l.Size(x.Total)), int(min(x.Done, x.Total)*100/x.Total)
	}
	switch x.Work {
	case "verify":
		c.Work, c.Percent = w.t("places.verifying", "done", w.l.Size(x.WorkDone), "total", w.l.Size(x.WorkTotal)), percent(x.WorkDone, x.WorkTotal)
	case "retire":
		c.State, c.Word = ui.Run, w.t("places.state.retiring")
		c.Work = w.t("places.retiring")
		if x.WorkTotal > 0 {
			c.Work, c.Percent = w.t("places.erasing", "done", w.n(x.WorkDone), "total", w.n(x.WorkTotal)), percent(x.WorkDone, x.WorkTotal)
		}
	}
	return c
}

// lock is how long what a bucket holds cannot be deleted.
func (w words) lock(l CopyLock) string {
	id := "places.lock.governance"
	if l.Strict {
		id = "places.lock.compliance"
	}
	line := w.t(id, "n", l.Days)
	if l.Asked > l.Open {
		line = w.t("places.lock.until", "lock", line, "n", l.Asked-l.Open, "first", w.l.Date(l.First), "last", w.l.Date(l.Last))
	}
	return line
}

func percent(done, total int64) int {
	if total <= 0 {
		return 0
	}
	return int(min(done, total) * 100 / total)
}

func (s *Server) placesPage(c echo.Context) templates.StoragePlaces {
	ctx, v, w := c.Request().Context(), visitOf(c), s.words(c)
	f := s.standing(ctx)
	p := templates.StoragePlaces{Shell: s.shell(c, w.t("places.title"), "/storage"), Node: f.offsitePanel(w), Configure: policy.May(v.subject(), policy.Configure, w.now)}
	if f.healthErr != nil {
		p.DisksP = s.broken(c, "disk", f.healthErr)
	} else {
		for _, d := range f.health.Places {
			p.Disks = append(p.Disks, w.disk(d, f.health.Outlook))
		}
	}
	copies, err := s.d.Machine.Copies(ctx)
	if err != nil {
		p.CopiesP = s.broken(c, "copies", err)
	}
	for _, x := range copies {
		card := w.copyCard(x, f.health.Outlook)
		if x.State == "retired" {
			p.Retired = append(p.Retired, card)
			continue
		}
		p.Copies = append(p.Copies, card)
		p.Working = p.Working || x.Work != "" || x.State == "filling" || x.State == "new"
	}
	return p
}

func (s *Server) places(c echo.Context) error {
	return render(c, http.StatusOK, s.placesPage(c), "places")
}
