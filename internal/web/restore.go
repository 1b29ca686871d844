package web

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"
	"github.com/labstack/echo/v4"

	"farol/internal/i18n"
	"farol/internal/record"
	"farol/internal/restore"
	"farol/templates"
	"farol/templates/ui"
)

// wish is what a person chose to give back, as the form says it.
type wish struct{ kind, dept, container, asOf, from, to string }

func readWish(c echo.Context) wish {
	v := func(n string) string { return strings.TrimSpace(c.FormValue(n)) }
	return wish{v("kind"), v("dept"), v("container"), v("as_of"), v("from"), v("to")}
}

func (x wish) fields() []templates.Kept {
	var out []templates.Kept
	for _, k := range []templates.Kept{{Name: "kind", Value: x.kind}, {Name: "dept", Value: x.dept}, {Name: "container", Value: x.container}, {Name: "as_of", Value: x.asOf}, {Name: "from", Value: x.from}, {Name: "to", Value: x.to}} {
		if k.Value != "" {
			out = append(out, k)
		}
	}
	return out
}

// selection is the wish as the door takes it; problems are what cannot be read.
func (x wish) selection(w words) (restore.Selection, []ui.Problem) {
	var sel restore.Selection
	var problems []ui.Problem
	if k, err := record.ParseKind(x.kind); err == nil {
		sel.Kinds = []record.Kind{k}
	} else if x.kind != "" {
		problems = append(problems, ui.Problem{Field: "kind", Text: w.t("restore.badkind")})
	}
	for _, f := range []struct {
		name, value string
		to          *[]int64
	}{{"dept", x.dept, &sel.Depts}, {"container", x.container, &sel.Containers}} {
		if f.value == "" {
			continue
		}
		id, err := strconv.ParseInt(f.value, 10, 64)
		if err != nil {
			problems = append(problems, ui.Problem{Field: f.name, Text: w.t("restore.badchoice")})
			continue
		}
		*f.to = []int64{id}
	}
	if x.asOf != "" {
		n, err := strconv.ParseUint(x.asOf, 10, 63)
		if err != nil {
			problems = append(problems, ui.Problem{Field: "as_of", Text: w.t("restore.badchoice")})
		}
		sel.AsOf = n
	}
	var ok bool
	if sel.From, sel.To, ok = dates(x.from, x.to); !ok {
		problems = append(problems, ui.Problem{Field: "from", Text: w.t("filter.baddates")})
	}
	return sel, problems
}

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
			p.Jobs = append(p.Jobs, w.job(j.Snapshot()))
		}
		return p, nil
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
	ctx, w, rq := c.Request().Context(), s.words(c), s.request(c)
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
	if target == "dingtalk" {
		j, err := s.d.Door.StartRestore(ctx, rq, sel)
		if err != nil {
			return err
		}
		return seeOther(c, "/restore/job/"+j.Snapshot().ID)
	}
	body := &lateZip{c: c, name: "farol-" + or(x.kind, "all") + "-" + s.d.Now().In(i18n.Macau).Format("20060102-1504") + ".zip"}
	z := restore.NewZip(body)
	_, err := s.d.Door.Export(ctx, rq, sel, w.l, z, nil)
	if err == nil {
		err = z.Close()
	}
	if err != nil && body.begun {
		s.d.Log.ErrorContext(ctx, "export broken off", "number", visitOf(c).number, "err", err)
		panic(http.ErrAbortHandler) // the browser must not take half a zip for a whole one
	}
	return err
}

// lateZip sends the headers with the first byte, so that a refusal before it
// is still a page.
type lateZip struct {
	c     echo.Context
	name  string
	begun bool
	w     http.ResponseWriter
}

func (z *lateZip) Write(b []byte) (int, error) {
	if !z.begun {
		z.begun = true
		z.w = moving(z.c)
		attach(z.w, z.name, "application/zip")
		z.w.WriteHeader(http.StatusOK)
	}
	return z.w.Write(b)
}

// moving extends the time of an answer for as long as its bytes are taken.
func moving(c echo.Context) http.ResponseWriter {
	return &movingWriter{c.Response(), http.NewResponseController(c.Response()), time.Time{}}
}

type movingWriter struct {
	http.ResponseWriter
	rc   *http.ResponseController
	last time.Time
}

func (m *movingWriter) Write(b []byte) (int, error) {
	if now := time.Now(); now.Sub(m.last) > time.Second {
		m.last = now
		if err := m.rc.SetWriteDeadline(now.Add(writeTime)); err != nil && !isUnsupported(err) {
			return 0, err
		}
	}
	return m.ResponseWriter.Write(b)
}

var jobStates = map[string]ui.State{"running": ui.Run, "done": ui.Safe, "failed": ui.Danger, "cancelled": ui.Idle}

func (w words) job(j restore.JobState) templates.JobRow {
	return templates.JobRow{Href: "/restore/job/" + j.ID, Title: w.t("restore.job", "id", j.ID), State: jobStates[j.State], Word: w.t("job." + j.State), Started: w.moment(j.Started), Amount: w.t("restore.done.of", "done", w.n(j.Done), "total", w.n(j.Total))}
}

var outcomes = map[string]ui.State{restore.Restored: ui.Safe, restore.StillThere: ui.Safe, restore.NotWritable: ui.Idle, restore.InPart: ui.Signal, restore.NotRestored: ui.Danger}

// shownItems is how many results a page lists, the newest first.
const shownItems = 200

func (w words) jobPage(j restore.JobState) templates.RestoreJob {
	p := templates.RestoreJob{ID: j.ID, Crumb: w.t("restore.job", "id", j.ID), Running: j.State == "running", State: jobStates[j.State], Heading: w.t("job.title." + j.State)}
	p.Line = w.t("restore.by", "when", w.moment(j.Started).Text, "who", j.By)
	n := map[string]int64{}
	for _, it := range j.Items {
		n[it.Outcome]++
	}
	if n[restore.InPart] > 0 && p.State == ui.Safe || n[restore.NotRestored] > 0 && p.State == ui.Safe {
		p.State = ui.Signal
	}
	p.Result = w.t("job.result."+j.State, "n", w.n(n[restore.Restored]), "same", w.n(n[restore.StillThere]), "failed", w.n(n[restore.NotRestored]), "part", w.n(n[restore.InPart]), "kept", w.n(n[restore.NotWritable]))
	p.Where = w.t("restore.where")
	if j.Problem != "" {
		p.Problem = w.t(j.Problem)
	}
	if j.Total > 0 {
		p.Percent = int(j.Done * 100 / j.Total)
	}
	p.Amount = w.t("restore.done.of", "done", w.n(j.Done), "total", w.n(j.Total))
	took := w.now.Sub(j.Started)
	if !j.Ended.IsZero() {
		took = j.Ended.Sub(j.Started)
	}
	for _, o := range []string{restore.Restored, restore.StillThere, restore.InPart, restore.NotWritable, restore.NotRestored} {
		p.Figures = append(p.Figures, templates.Figure{Label: w.t("outcome." + o), Number: w.n(n[o]), Unit: w.t("restore.of", "n", w.n(j.Total))})
	}
	p.Figures = append(p.Figures, templates.Figure{Label: w.t("runs.took"), Number: w.l.Duration(took)})
	for i, it := range slices.Backward(j.Items) {
		if len(j.Items)-i > shownItems {
			break
		}
		row := templates.RestoredItem{Icon: hitIcons[it.Kind], Name: or(it.Name, w.t("items.untitled")), Container: it.Container, State: outcomes[it.Outcome], Word: w.t("outcome." + it.Outcome)}
		if it.Detail != "" {
			row.Detail = w.t(it.Detail)
		}
		if !it.SHA256.IsZero() {
			row.Hash = it.SHA256.String()
		}
		p.Items = append(p.Items, row)
	}
	p.More = w.t("restore.shown", "n", w.n(int64(len(p.Items))), "total", w.n(int64(len(j.Items))))
	if j.Summary.AuditSeq > 0 {
		p.Audit = ui.Link{Label: w.t("restore.audit", "n", w.n(j.Summary.AuditSeq)), Href: fmt.Sprintf("/audit/%d", j.Summary.AuditSeq)}
	}
	return p
}

func (s *Server) findJob(c echo.Context) (*restore.Job, error) {
	j, ok := s.d.Door.Job(c.Param("id"))
	if !ok {
		return nil, restore.ErrNotFound
	}
	return j, nil
}

func (s *Server) restoreJob(c echo.Context) error {
	j, err := s.findJob(c)
	if err != nil {
		return err
	}
	p := s.words(c).jobPage(j.Snapshot())
	p.Shell = s.shell(c, p.Heading, "/restore")
	return render(c, http.StatusOK, p)
}

func (s *Server) restoreCancel(c echo.Context) error {
	j, err := s.findJob(c)
	if err != nil {
		return err
	}
	j.Cancel()
	return seeOther(c, "/restore/job/"+c.Param("id"))
}

func (s *Server) restoreEvents(c echo.Context) error {
	j, err := s.findJob(c)
	if err != nil {
		return err
	}
	l := visitOf(c).lang
	return s.stream(c, j.Changed, func() (templ.Component, bool) {
		snap := j.Snapshot()
		return words{l, s.d.Now()}.jobPage(snap).Panel(), snap.State == "running"
	})
}
