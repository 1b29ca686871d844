package web

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"farol/internal/approval"
	"farol/internal/policy"
	"farol/internal/restore"
	"farol/templates"
	"farol/templates/ui"
)

// pointsPerPage is how many points a page lists.
const pointsPerPage = 40

// ruleFields are the fields of the form, in its order.
var ruleFields = []string{"all", "daily", "weekly", "monthly", "from", "to"}

func (r *Rules) at(i int) *int {
	return []*int{&r.All, &r.Daily, &r.Weekly, &r.Monthly, &r.From, &r.To}[i]
}

// readRules reads the form; asked is false when it holds none of the fields.
func readRules(c echo.Context, w words, was Rules) (r Rules, typed map[string]string, asked bool, problems []ui.Problem) {
	r, typed = was, map[string]string{}
	for i, f := range ruleFields {
		v := strings.TrimSpace(c.FormValue(f))
		if v == "" {
			typed[f] = strconv.Itoa(*was.at(i))
			continue
		}
		asked, typed[f] = true, v
		n, err := strconv.Atoi(v)
		if most := map[bool]int{true: 100_000, false: 23}[i < 4]; err != nil || n < 0 || n > most {
			problems = append(problems, ui.Problem{Field: f, Text: w.t("points.rules.number", "what", w.t("points.rule."+f), "most", w.n(int64(most)))})
			continue
		}
		*r.at(i) = n
	}
	return r, typed, asked, problems
}

func (s *Server) points(c echo.Context) error {
	w := s.words(c)
	kept, err := s.d.Machine.Retention(c.Request().Context())
	if err != nil {
		return err
	}
	r, typed, asked, problems := readRules(c, w, kept.Rules)
	p, err := s.pointsPage(c, kept, r, typed, asked && len(problems) == 0)
	if err != nil {
		text, ok := said(err, w.l)
		if !ok {
			return err
		}
		problems = []ui.Problem{{Field: "all", Text: text}}
	}
	if len(problems) > 0 {
		if p, err = s.pointsPage(c, kept, kept.Rules, typed, false); err != nil {
			return err
		}
		p.Problems = problems
		return render(c, http.StatusUnprocessableEntity, p)
	}
	return render(c, http.StatusOK, p)
}

// pointsPage lists the points as rules see them; preview says that these are
// not kept yet.
func (s *Server) pointsPage(c echo.Context, kept Retention, r Rules, typed map[string]string, preview bool) (templates.Points, error) {
	v, w := visitOf(c), s.words(c)
	p := templates.Points{Shell: s.shell(c, w.t("points.title"), "/points"), Configure: policy.May(v.subject(), policy.Configure, w.now), Stopped: kept.Stopped, Typed: typed, Rules: w.rules(kept.Rules)}
	list, err := s.d.Machine.PlanPoints(c.Request().Context(), r)
	if err != nil {
		return p, err
	}
	goes, held := 0, 0
	whys := map[string]int{}
	for _, x := range list {
		whys[x.Why]++
		if x.Goes {
			goes++
		}
		if x.Held != "" {
			held++
		}
	}
	p.Line = w.t("points.line", "n", w.n(int64(len(list))), "held", w.n(int64(held)))
	p.Tonight = w.t("points.tonight.none")
	if goes > 0 {
		p.Tonight = w.t("points.tonight", "n", w.n(int64(goes)), "from", r.From, "to", r.To)
	}
	if preview {
		pv := &templates.PointsPreview{Line: w.t("points.preview.line", "goes", w.n(int64(goes)), "stays", w.n(int64(len(list)-goes))), Rules: w.rules(r)}
		for _, why := range []string{"newest", "held", "future", "all", "daily", "weekly", "monthly", "thinned", "expired"} {
			if n := whys[why]; n > 0 {
				pv.Whys = append(pv.Whys, templates.Pair{Label: w.t("retention." + why), Value: w.n(int64(n))})
			}
		}
		for i, f := range ruleFields {
			pv.Kept = append(pv.Kept, templates.Kept{Name: f, Value: strconv.Itoa(*r.at(i))})
		}
		p.Preview = pv
	}
	shown := list
	if preview { // what would go is the question
		shown = nil
		for _, x := range list {
			if x.Goes {
				shown = append(shown, x)
			}
		}
	}
	page := max(1, int(number(c, "page")))
	pages := (len(shown) + pointsPerPage - 1) / pointsPerPage
	page = min(page, max(1, pages))
	for _, x := range shown[(page-1)*pointsPerPage : min(page*pointsPerPage, len(shown))] {
		p.Rows = append(p.Rows, w.point(x, policy.May(v.subject(), policy.Read, w.now)))
	}
	to := func(n int) string {
		pairs := []string{"page", strconv.Itoa(n)}
		if preview {
			for _, k := range p.Preview.Kept {
				pairs = append(pairs, k.Name, k.Value)
			}
		}
		return query("/points", pairs...)
	}
	if page > 1 {
		p.Newer = to(page - 1)
	}
	if page < pages {
		p.Older = to(page + 1)
	}
	p.PageLine = w.t("points.page", "n", page, "of", max(1, pages))
	return p, nil
}

// rules says rules in words, one sentence a line.
func (w words) rules(r Rules) []string {
	out := []string{w.t("points.rules.all", "n", r.All), w.t("points.rules.daily", "n", r.Daily), w.t("points.rules.weekly", "n", r.Weekly), w.t("points.rules.monthly", "n", r.Monthly)}
	if r.From == r.To {
		return append(out, w.t("points.rules.anytime"))
	}
	return append(out, w.t("points.rules.window", "from", fmt.Sprintf("%02d:00", r.From), "to", fmt.Sprintf("%02d:00", r.To)))
}

func (w words) point(x Verdict, read bool) templates.PointRow {
	row := templates.PointRow{Href: "/points/" + x.ID, When: w.full(x.Time), Seq: w.t("asof.commit", "n", w.n(int64(x.Seq))), Records: w.n(x.Records), Size: w.l.Size(x.Bytes), Why: w.t("retention." + x.Why), State: ui.Safe, Held: x.Held}
	switch {
	case x.Goes:
		row.State = ui.Signal
	case x.Held != "":
		row.State = ui.Hold
	}
	if read {
		row.Look = query("/archive/chat", "as_of", strconv.FormatUint(x.Seq, 10))
	}
	return row
}

func (s *Server) pointsRules(c echo.Context) error {
	w := s.words(c)
	kept, err := s.d.Machine.Retention(c.Request().Context())
	if err != nil {
		return err
	}
	r, typed, asked, problems := readRules(c, w, kept.Rules)
	if !asked {
		problems = []ui.Problem{{Field: "all", Text: w.t("points.rules.bad")}}
	}
	if len(problems) == 0 {
		if ok, err := s.agreed(c, approval.Retention, strings.Join(w.rules(r), " · "), w.t("deed.before", "what", strings.Join(w.rules(kept.Rules), " · "))); !ok {
			return err
		}
		if err := s.d.Machine.KeepRules(c.Request().Context(), visitOf(c).session.User.Name, r); err != nil {
			text, ok := said(err, w.l)
			if !ok {
				return err
			}
			problems = []ui.Problem{{Field: "all", Text: text}}
		}
	}
	if len(problems) > 0 {
		p, err := s.pointsPage(c, kept, kept.Rules, typed, false)
		if err != nil {
			return err
		}
		p.Problems = problems
		return render(c, http.StatusUnprocessableEntity, p)
	}
	return seeOther(c, "/points?done=rules")
}

func (s *Server) pointPage(c echo.Context) (templates.PointPage, error) {
	ctx, v, w := c.Request().Context(), visitOf(c), s.words(c)
	kept, err := s.d.Machine.Retention(ctx)
	if err != nil {
		return templates.PointPage{}, err
	}
	list, err := s.d.Machine.PlanPoints(ctx, kept.Rules)
	if err != nil {
		return templates.PointPage{}, err
	}
	for _, x := range list {
		if x.ID == c.Param("id") {
			row := w.point(x, policy.May(v.subject(), policy.Read, w.now))
			return templates.PointPage{Shell: s.shell(c, w.t("points.one"), "/points"), ID: x.ID, Row: row, Configure: policy.May(v.subject(), policy.Configure, w.now)}, nil
		}
	}
	return templates.PointPage{}, restore.ErrNotFound
}

func (s *Server) pointForm(c echo.Context) error {
	p, err := s.pointPage(c)
	if err != nil {
		return err
	}
	return render(c, http.StatusOK, p)
}

// longestReason keeps a reason a sentence.
const longestReason = 200

func (s *Server) pointHold(c echo.Context) error {
	p, err := s.pointPage(c)
	if err != nil {
		return err
	}
	w, reason := s.words(c), strings.TrimSpace(c.FormValue("reason"))
	if n := utf8.RuneCountInString(reason); n == 0 || n > longestReason {
		p.Reason, p.ReasonErr = reason, w.t("points.hold.noreason", "n", longestReason)
		p.Problems = []ui.Problem{{Field: "reason", Text: p.ReasonErr}}
		return render(c, http.StatusUnprocessableEntity, p)
	}
	if err := s.d.Machine.HoldPoint(c.Request().Context(), visitOf(c).session.User.Name, p.ID, reason); err != nil {
		return err
	}
	return seeOther(c, "/points?done=held")
}

func (s *Server) pointUnhold(c echo.Context) error {
	p, err := s.pointPage(c)
	if err != nil {
		return err
	}
	if ok, err := s.agreed(c, approval.Unhold, p.Row.When.Text, p.Row.Held); !ok {
		return err
	}
	if err := s.d.Machine.UnholdPoint(c.Request().Context(), visitOf(c).session.User.Name, c.Param("id")); err != nil {
		return err
	}
	return seeOther(c, "/points?done=unheld")
}
