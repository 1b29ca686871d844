package web

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"farol/internal/audit"
	"farol/internal/policy"
	"farol/internal/record"
	"farol/internal/watch"
	"farol/templates"
	"farol/templates/ui"
)

// alarmLimit is how many alarms the page lists.
const alarmLimit = 100

// placeLimit is how many places of an alarm the page lists.
const placeLimit = 60

var causeIcons = map[watch.Cause]string{watch.LogTamper: "octagon-x", watch.Ransom: "octagon-x", watch.Damage: "octagon-x", watch.Refused: "octagon-x", watch.Deletion: "octagon-x", watch.Missing: "file-search", watch.Change: "refresh-cw", watch.Shrink: "file-search", watch.Silence: "messages-square", watch.Breakglass: "key-round"}

// alarmTitle is the alarm in one sentence, with how many it is about.
func (w words) alarmTitle(a *watch.Alarm) string {
	seen, _, _ := a.Sums()
	containers, depts := a.Counts()
	kind := w.t("alarm.anykind")
	if a.Kind != "" {
		kind = w.kind(a.Kind)
	}
	if a.Cause == watch.Refused && a.Witness == audit.SecondWitness {
		return w.t("alarm.cause.refused.witness")
	}
	return w.t("alarm.cause."+string(a.Cause), "n", w.n(seen), "kind", kind, "containers", w.n(int64(containers)), "depts", w.n(int64(depts)))
}

func (s *Server) alarmCard(w words, a *watch.Alarm, sub policy.Subject) templates.AlarmCard {
	seen, usual, held := a.Sums()
	containers, depts := a.Counts()
	card := templates.AlarmCard{Href: "/alarms/" + strconv.FormatInt(a.ID, 10), Icon: causeIcons[a.Cause], Title: w.alarmTitle(a), Text: w.t("alarm.do." + string(a.Cause)), Opened: w.moment(a.Opened)}
	if a.Cause == watch.Refused && a.Witness == audit.SecondWitness {
		card.Text = w.t("alarm.do.refused.witness")
	}
	add := func(id, value string) {
		card.Facts = append(card.Facts, templates.Pair{Label: w.t(id), Value: value})
	}
	if a.Cause == watch.Breakglass { // about a person, not about data
		return card
	}
	if a.Kind != "" {
		add("alarm.kind", w.kind(a.Kind))
	}
	if a.Witness != "" {
		add("alarm.witness", w.t("alarm.witness."+string(a.Witness)))
	}
	if a.Cause == watch.Silence {
		add("alarm.usual", w.t("alarm.usual.day", "n", w.n(usual)))
	} else {
		add("alarm.seen", w.t("alarm.seen.of", "n", w.n(seen), "held", w.n(held)))
		if a.Cause == watch.Deletion || a.Cause == watch.Change {
			add("alarm.usual", w.t("alarm.usual.most", "n", w.n(usual)))
		}
	}
	switch {
	case containers == 0 && depts > 0:
		add("alarm.spread", w.t("alarm.spread.depts", "depts", w.n(int64(depts))))
	case containers > 0:
		add("alarm.spread", w.t("alarm.spread.of", "containers", w.n(int64(containers)), "depts", w.n(int64(depts))))
	}
	card.GoodAt, card.Good = w.alarmGood(a), w.t("alarm.good.commit", "commit", w.n(int64(a.GoodSeq)))
	switch {
	case a.Point != "" && a.PointSeq == a.GoodSeq:
		card.Good = w.t("alarm.good.same", "commit", w.n(int64(a.GoodSeq)))
	case a.Point != "":
		card.Good = w.t("alarm.good.point", "point", w.n(int64(a.PointSeq)), "commit", w.n(int64(a.GoodSeq)))
	}
	if a.Kind != "" && a.PointSeq > 0 && policy.May(sub, policy.Restore, w.now) {
		card.Restore = query("/restore", "kind", string(a.Kind), "as_of", strconv.FormatUint(a.PointSeq, 10))
	}
	return card
}

// alarmGood is the time of the last good point; before the first point was
// folded it is the moment at which the alarm began.
func (w words) alarmGood(a *watch.Alarm) ui.Moment {
	if a.Point != "" {
		return w.moment(a.PointTime)
	}
	return w.moment(a.Began)
}

func (s *Server) alarms(c echo.Context) error {
	w := s.words(c)
	p := templates.Alarms{Shell: s.shell(c, w.t("alarm.title"), "/alarms")}
	list, err := s.d.Watch.Alarms(c.Request().Context(), alarmLimit)
	if err != nil {
		p.Panel = s.broken(c, "alarms", err)
	}
	for i := range list {
		a := &list[i]
		card := s.alarmCard(w, a, visitOf(c).subject())
		if a.Closed.IsZero() {
			p.Open = append(p.Open, card)
			continue
		}
		seen, _, _ := a.Sums()
		p.Past = append(p.Past, templates.AlarmRow{Href: card.Href, Title: card.Title, Opened: card.Opened, Closed: w.moment(a.Closed), By: w.by(a.By), Seen: w.n(seen)})
	}
	return render(c, http.StatusOK, p)
}

// alarmOf is the alarm that the address names.
func (s *Server) alarmOf(c echo.Context) (watch.Alarm, error) {
	id, err := strconv.ParseInt(c.Param("id"), 10, 64)
	if err != nil {
		return watch.Alarm{}, echo.NewHTTPError(http.StatusNotFound)
	}
	return s.d.Watch.Alarm(c.Request().Context(), id)
}

func (s *Server) alarmPage(c echo.Context) (p templates.Alarm, err error) {
	v, w := visitOf(c), s.words(c)
	a, err := s.alarmOf(c)
	if err != nil {
		return p, err
	}
	p = templates.Alarm{AlarmCard: s.alarmCard(w, &a, v.subject()), State: ui.Danger, Word: w.t("alarm.is.open"), Updated: w.moment(a.Updated), CanClose: policy.May(v.subject(), policy.Configure, w.now)}
	p.Shell = s.shell(c, p.AlarmCard.Title, "/alarms")
	if !a.Closed.IsZero() {
		p.State, p.Word, p.Closed, p.ClosedAt, p.By, p.NoteText = ui.Idle, w.t("alarm.is.closed"), true, w.moment(a.Closed), w.by(a.By), a.Note
	}
	if a.Cause == watch.Breakglass {
		return p, s.glassUses(c, &p, &a)
	}
	return p, s.alarmPlaces(c, &p, &a)
}

// alarmPlaces lists where the alarm was seen. A reader with a purpose sees the
// names of the containers that his grants cover, and the log says so; others
// see a number.
func (s *Server) alarmPlaces(c echo.Context, p *templates.Alarm, a *watch.Alarm) error {
	ctx, v, w := c.Request().Context(), visitOf(c), s.words(c)
	depts, _, err := s.deptNames(c)
	if err != nil {
		return err
	}
	reads := policy.May(v.subject(), policy.Read, w.now)
	p.Names = reads && v.session.Purpose != ""
	if p.Names {
		if err := s.note(c, audit.Event{Operation: "view", Object: "alarm/" + strconv.FormatInt(a.ID, 10), Outcome: "ok"}); err != nil {
			return err
		}
	}
	for i, x := range a.Places {
		if i == placeLimit {
			p.More = w.t("alarm.places.more", "n", w.n(int64(len(a.Places)-placeLimit)))
			break
		}
		row := templates.AlarmPlace{Dept: or(depts[x.Dept], w.t("archive.nodept")), Name: w.t("alarm.whole"), Day: w.alarmDay(x.Day), Seen: w.n(x.Seen), Usual: w.n(x.Usual), Held: w.n(x.Held)}
		if x.Container != 0 {
			row.Name = w.t("alarm.unnamed", "n", i+1)
			if p.Names {
				if info, err := s.d.Door.Container(ctx, s.request(c), x.Container, 0); err == nil {
					row.Name = w.title(info)
				}
			}
			if reads && a.Kind != "" {
				row.Href = query(archivePath(a.Kind)+"/"+strconv.FormatInt(x.Container, 10), "as_of", strconv.FormatUint(a.GoodSeq, 10))
			}
		}
		p.Places = append(p.Places, row)
	}
	return nil
}

func (w words) alarmDay(day string) string {
	t, err := time.Parse(time.DateOnly, day)
	if err != nil {
		return day
	}
	return w.day(t)
}

func (s *Server) alarm(c echo.Context) error {
	p, err := s.alarmPage(c)
	if err != nil {
		return err
	}
	return render(c, http.StatusOK, p)
}

// alarmClose acknowledges an alarm: a note and a fresh code are needed.
func (s *Server) alarmClose(c echo.Context) error {
	w := s.words(c)
	a, err := s.alarmOf(c)
	if err != nil {
		return err
	}
	err = s.d.Watch.Acknowledge(c.Request().Context(), a.ID, s.event(c, audit.Event{}), c.FormValue("note"))
	if errors.Is(err, watch.ErrNote) {
		p, err := s.alarmPage(c)
		if err != nil {
			return err
		}
		p.NoteErr = w.t("alarm.note.missing")
		p.Problems = []ui.Problem{{Field: "note", Text: p.NoteErr}}
		return render(c, http.StatusUnprocessableEntity, p)
	}
	if err != nil {
		return err
	}
	s.stale()
	return seeOther(c, "/alarms?done=alarm")
}

// kindOrder is the place of a kind on pages.
func kindOrder(k record.Kind) int {
	for i, x := range record.Kinds {
		if x == k {
			return i
		}
	}
	return len(record.Kinds)
}
