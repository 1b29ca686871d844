package web

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"farol/internal/approval"
	"farol/internal/audit"
	"farol/internal/i18n"
	"farol/internal/policy"
	"farol/internal/record"
	"farol/internal/settings"
	"farol/templates"
)

// circleList shows which departments belong to a closed circle: some by their
// name, others because it was said here.
func (s *Server) circleList(c echo.Context) error {
	w := s.words(c)
	_, depts, err := s.deptNames(c)
	if err != nil {
		return err
	}
	said, err := s.d.Settings.Circles(c.Request().Context())
	if err != nil {
		return err
	}
	f := newFamily(depts)
	p := templates.Circles{Shell: s.shell(c, w.t("circles.title"), "/access"), Was: circlesWord(said)}
	for _, x := range circles {
		p.Names = append(p.Names, w.t("access.circle."+x.name))
	}
	for _, d := range f.order {
		row := templates.CircleRow{Name: d.Name, Depth: f.depth[d.ID]}
		up := above(depts, d.ID)
		for _, x := range circles {
			cell := templates.CircleCell{Field: x.name, Value: strconv.FormatInt(d.ID, 10), Label: d.Name + " · " + w.t("access.circle."+x.name), On: slices.Contains(said[x.realm], d.ID)}
			switch {
			case circlesByName(depts, d.ID)&x.realm != 0:
				cell.Why = w.t("circles.byname")
			case !cell.On && slices.ContainsFunc(up, func(id int64) bool { return slices.Contains(said[x.realm], id) }):
				cell.Why = w.t("circles.above")
			}
			row.Cells = append(row.Cells, cell)
		}
		p.Rows = append(p.Rows, row)
	}
	return render(c, http.StatusOK, p)
}

// circlesByName are the circles that a department is in by its name and those
// above.
func circlesByName(all []record.Dept, id int64) record.Realms {
	f := policy.Facts{Kind: record.Chat}
	up := above(all, id)
	for _, d := range all {
		if slices.Contains(up, d.ID) {
			f.DeptNames = append(f.DeptNames, d.Name)
		}
	}
	return policy.RealmsOf(f)
}

// circleKeep takes the form. Closing and opening both need another person:
// who closes a department hides it from those who look into it.
func (s *Server) circleKeep(c echo.Context) error {
	ctx, w := c.Request().Context(), s.words(c)
	form, err := c.FormParams()
	if err != nil {
		return err
	}
	names, _, err := s.deptNames(c)
	if err != nil {
		return err
	}
	was, err := s.d.Settings.Circles(ctx)
	if err != nil {
		return err
	}
	if c.FormValue("was") != circlesWord(was) { // the form says how all are to be, not what is to change
		return &i18n.Error{ID: "circles.moved"}
	}
	next, shown, detail := settings.Circles{}, []string{w.t("circles.title")}, map[string]string{}
	for _, x := range circles {
		for _, v := range form[x.name] {
			id, err := strconv.ParseInt(v, 10, 64)
			if _, ok := names[id]; err != nil || !ok {
				return echo.NewHTTPError(http.StatusUnprocessableEntity)
			}
			next[x.realm] = append(next[x.realm], id)
		}
		for _, id := range was[x.realm] { // one that DingTalk no longer has keeps its records closed
			if _, ok := names[id]; !ok {
				next[x.realm] = append(next[x.realm], id)
			}
		}
		in, out := without(next[x.realm], was[x.realm]), without(was[x.realm], next[x.realm])
		for key, ids := range map[string][]int64{"circles.in": in, "circles.out": out} {
			if len(ids) > 0 {
				shown = append(shown, w.t(key, "circle", w.t("access.circle."+x.name), "depts", w.list(ids, names)))
			}
		}
		detail[x.name] = fmt.Sprintf("+%d -%d", len(in), len(out))
	}
	if len(shown) == 1 {
		return seeOther(c, "/access/circles")
	}
	slices.Sort(shown[1:])
	if ok, err := s.agreed(c, approval.Circles, shown...); err != nil || !ok {
		return err
	}
	if err := s.note(c, audit.Event{Operation: "classification.rule.change", Object: "circles", Approval: visitOf(c).agreed, Outcome: "ok", Detail: detail}); err != nil {
		return err
	}
	if err := s.d.Settings.KeepCircles(ctx, next); err != nil {
		return err
	}
	return seeOther(c, "/access/circles?done=circles")
}

// circlesWord stands for what the circles are.
func circlesWord(c settings.Circles) string {
	var out []string
	for _, x := range circles {
		ids := slices.Sorted(slices.Values(c[x.realm]))
		out = append(out, strings.Trim(fmt.Sprint(ids), "[]"))
	}
	return strings.Join(out, ";")
}

func without(ids, others []int64) (out []int64) {
	for _, id := range ids {
		if !slices.Contains(others, id) {
			out = append(out, id)
		}
	}
	return out
}

// list names departments.
func (w words) list(ids []int64, names map[int64]string) string {
	var out []string
	for _, id := range ids {
		out = append(out, or(names[id], strconv.FormatInt(id, 10)))
	}
	return strings.Join(out, w.t("access.and"))
}
