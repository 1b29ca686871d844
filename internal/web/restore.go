package web

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"farol/internal/i18n"
	"farol/internal/record"
	"farol/internal/restore"
	"farol/templates"
	"farol/templates/ui"
)

func (s *Server) restoreForm(c echo.Context) error {
	x := readWish(c)
	step := 1
	if c.QueryParam("step") == "2" {
		step = 2
	}
	p, err := s.restorePage(c, x, step)
	if err != nil {
		return err
	}
	if len(p.Problems) > 0 {
		p.Step = 1
		return render(c, http.StatusUnprocessableEntity, p)
	}
	return render(c, http.StatusOK, p)
}

func (s *Server) restorePage(c echo.Context, x wish, step int) (templates.RestoreNew, error) {
	ctx, w, rq := c.Request().Context(), s.words(c), s.request(c)
	names, depts, err := s.deptNames(c)
	if err != nil {
		return templates.RestoreNew{}, err
	}
	p := templates.RestoreNew{Shell: s.shell(c, w.t("restore.new"), "/restore"), Purpose: w.purpose(string(rq.Purpose)), Kinds: w.kindChoices(x.kind), Depts: w.deptChoices(depts, x.dept), From: x.from, To: x.to, Step: step, Kept: x.fields()}
	sel, problems := x.selection(w)
	p.Problems = problems
	f := s.standing(ctx)
	p.Bound = f.bound
	kind := record.Kind("")
	if len(sel.Kinds) == 1 {
		kind = sel.Kinds[0]
	}
	list, err := s.d.Door.Containers(ctx, rq, kind, sel.AsOf)
	if err != nil {
		return p, err
	}
	var under []int64
	if len(sel.Depts) > 0 {
		under = restore.Below(depts, sel.Depts)
	}
	p.Containers = []ui.Choice{{Label: w.t("restore.allcontainers"), On: x.container == ""}}
	var items int64
	what := []string{w.t("filter.allkinds")}
	if kind != "" {
		what[0] = w.kind(kind)
	}
	if len(sel.Depts) > 0 {
		what = append(what, names[sel.Depts[0]])
	}
	for _, i := range list {
		if under != nil && !slices.Contains(under, i.Dept) {
			continue
		}
		id := strconv.FormatInt(i.CatalogID, 10)
		on := id == x.container
		if len(p.Containers) < 500 || on {
			p.Containers = append(p.Containers, ui.Choice{Value: id, Label: w.t("restore.choice", "name", w.title(i), "kind", w.kind(i.Kind), "n", w.n(i.Items)), On: on})
		}
		if on {
			what = append(what, w.title(i))
		}
		if on || x.container == "" {
			items += i.Items
		}
	}
	p.What = strings.Join(what, " · ")
	p.Items = w.t("restore.items.most", "n", w.n(items))
	if x.from == "" && x.to == "" {
		p.Items = w.t("restore.items.count", "n", w.n(items))
	}
	s.restorePoints(c, &p, x)
	if step == 1 {
		for _, j := range s.d.Door.Jobs() {
			if now := j.Snapshot(); s.startedBy(c, now) {
				p.Jobs = append(p.Jobs, w.job(now))
			}
		}
		return p, nil
	}
	if p.Others, err = s.others(c); err != nil {
		return p, err
	}
	p.Targets = []ui.Choice{{Value: "zip", Label: w.t("restore.zip"), Hint: w.t("restore.zip.hint"), On: true}}
	if f.bound {
		p.Targets = append(p.Targets, ui.Choice{Value: "dingtalk", Label: w.t("restore.dingtalk"), Hint: w.t("restore.dingtalk.hint")})
		if kind != "" {
			p.Note = w.t("restore.back." + string(kind))
		} else {
			p.Note = w.t("restore.back.all")
		}
	} else {
		p.Note = w.t("restore.unbound")
	}
	return p, nil
}

func (s *Server) restorePoints(c echo.Context, p *templates.RestoreNew, x wish) {
	w := s.words(c)
	points, err := s.d.Machine.Points(c.Request().Context())
	if err != nil {
		p.PointsErr = s.broken(c, "points", err).Broken
		return
	}
	slices.SortFunc(points, func(a, b Point) int { return b.Time.Compare(a.Time) })
	p.When = w.t("asof.now")
	p.Points = []ui.Choice{{Label: w.t("asof.now"), On: x.asOf == ""}}
	known := x.asOf == ""
	for _, pt := range points {
		seq := strconv.FormatUint(pt.Seq, 10)
		on := seq == x.asOf
		if on {
			p.When, known = w.full(pt.Time).Text, true
		}
		p.Points = append(p.Points, ui.Choice{Value: seq, Label: w.full(pt.Time).Text, On: on})
	}
	if !known {
		p.When = w.t("asof.commit", "n", x.asOf)
		p.Points = append(p.Points, ui.Choice{Value: x.asOf, Label: p.When, On: true})
	}
}

// restoreRun starts what the form asks for: a zip to take away, or giving back
// into DingTalk. It never overwrites anything.
func (s *Server) restoreRun(c echo.Context) error {
	w, rq := s.words(c), s.request(c)
	x := readWish(c)
	sel, problems := x.selection(w)
	target := c.FormValue("target")
	if target != "zip" && target != "dingtalk" {
		problems = append(problems, ui.Problem{Field: "target", Text: w.t("restore.pick.target")})
	}
	if len(problems) > 0 {
		p, err := s.restorePage(c, x, 2)
		if err != nil {
			return err
		}
		p.Problems = problems
		return render(c, http.StatusUnprocessableEntity, p)
	}
	err := s.carryOut(c, rq, sel, target == "dingtalk", or(x.kind, "all"))
	var u *restore.Unagreed
	if errors.As(err, &u) {
		return s.askOthers(c, x, u)
	}
	return err
}

// carryOut gives a selection back into DingTalk, or as a zip to take away.
func (s *Server) carryOut(c echo.Context, rq restore.Request, sel restore.Selection, intoDingTalk bool, name string) error {
	ctx := c.Request().Context()
	if intoDingTalk {
		j, err := s.d.Door.StartRestore(ctx, rq, sel)
		if err != nil {
			return err
		}
		return seeOther(c, "/restore/job/"+j.Snapshot().ID)
	}
	body := &lateZip{c: c, name: "farol-" + name + "-" + s.d.Now().In(i18n.Macau).Format("20060102-1504") + ".zip"}
	z := restore.NewZip(body)
	_, err := s.d.Door.Export(ctx, rq, sel, visitOf(c).lang, z, nil)
	if err == nil {
		err = z.Close()
	}
	if err != nil && body.begun {
		s.d.Log.ErrorContext(ctx, "export broken off", "number", visitOf(c).number, "err", err)
		panic(http.ErrAbortHandler) // the browser must not take half a zip for a whole one
	}
	return err
}
