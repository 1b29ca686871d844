package web

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"farol/internal/approval"
	"farol/internal/audit"
	"farol/internal/policy"
	"farol/internal/restore"
	"farol/templates"
	"farol/templates/ui"
)

// The operations of the log for each thing that is asked for.
var asks = map[approval.What]struct{ ask, yes, no string }{
	approval.Export:  {"export.request", "export.approve", "export.reject"},
	approval.Restore: {"restore.request", "restore.approve", "restore.reject"},
	approval.Grant:   {"access.request", "access.approve", "access.reject"},
}

// asksOf falls back to what is logged of a change of the appliance itself.
func asksOf(w approval.What) (x struct{ ask, yes, no string }) {
	x, ok := asks[w]
	if !ok {
		x.ask, x.yes, x.no = "change.request", "change.approve", "change.reject"
	}
	return x
}

// others reports whether anybody but the reader may decide on what he asks
// for.
func (s *Server) others(c echo.Context) (bool, error) {
	names, err := s.d.Access.Approvers(c.Request().Context(), s.d.Now())
	for _, n := range names {
		if !strings.EqualFold(n, visitOf(c).session.User.Name) {
			return true, err
		}
	}
	return false, err
}

// askOthers enters a request for what the door would not do yet.
func (s *Server) askOthers(c echo.Context, x wish, u *restore.Unagreed) error {
	ctx, w, v := c.Request().Context(), s.words(c), visitOf(c)
	p, err := s.restorePage(c, x, 2)
	if err != nil {
		return err
	}
	p.Reason = c.FormValue("reason")
	for i := range p.Targets {
		p.Targets[i].On = p.Targets[i].Value == c.FormValue("target")
	}
	shown := strings.Join([]string{p.What, p.When, p.Items, w.class(u.Class)}, "\n")
	rq := approval.Request{What: u.What, By: v.session.User.Name, Purpose: v.session.Purpose, Need: u.Need, Reason: p.Reason, Shown: shown, Payload: u.Payload}
	if err := rq.Check(); err != nil {
		p.ReasonErr = w.t("inbox.reason.bad")
		p.Problems = []ui.Problem{{Field: "reason", Text: w.t("inbox.reason.need", "n", u.Need)}}
		return render(c, http.StatusUnprocessableEntity, p)
	}
	got, err := s.d.Approvals.Ask(ctx, rq)
	if err != nil {
		return err
	}
	if err := s.note(c, audit.Event{Operation: asksOf(u.What).ask, Object: "approval/" + got.ID, Approval: got.ID, Outcome: "ok"}); err != nil {
		return errors.Join(err, s.d.Approvals.Withdraw(context.WithoutCancel(ctx), got.ID, rq.By)) // no entry, no request
	}
	return seeOther(c, "/inbox/"+got.ID+"?done=asked")
}

// mayDecide reports whether the reader is one of those who may decide on r.
func (s *Server) mayDecide(v *visit, r *approval.Request) bool {
	if r.State != approval.Waiting || strings.EqualFold(r.By, v.session.User.Name) || !policy.May(v.subject(), policy.Approve, s.d.Now()) {
		return false
	}
	for _, d := range r.Decisions {
		if strings.EqualFold(d.By, v.session.User.Name) {
			return false
		}
	}
	return true
}

func (s *Server) inbox(c echo.Context) error {
	v, w := visitOf(c), s.words(c)
	p := templates.Inbox{Shell: s.shell(c, w.t("inbox.title"), "/inbox"), Decides: policy.May(v.subject(), policy.Approve, w.now)}
	list, err := s.d.Approvals.List(c.Request().Context(), 200)
	if err != nil {
		p.Panel = s.broken(c, "inbox", err)
		return render(c, http.StatusOK, p)
	}
	for i := range list {
		r := &list[i]
		own := strings.EqualFold(r.By, v.session.User.Name)
		switch row := w.ask(r); {
		case s.mayDecide(v, r):
			p.Waiting = append(p.Waiting, row)
		case own:
			p.Own = append(p.Own, row)
		case p.Decides:
			p.Past = append(p.Past, row)
		}
	}
	alone, err := s.others(c)
	if err != nil {
		return err
	}
	p.Alone = !alone && policy.May(v.subject(), policy.Export, w.now)
	return render(c, http.StatusOK, p)
}

var askStates = map[approval.State]ui.State{approval.Waiting: ui.Signal, approval.Agreed: ui.Safe, approval.Used: ui.Idle, approval.Refused: ui.Danger, approval.Expired: ui.Idle, approval.Withdrawn: ui.Idle}

func (w words) ask(r *approval.Request) templates.AskRow {
	what, _, _ := strings.Cut(r.Shown, "\n")
	return templates.AskRow{Href: "/inbox/" + r.ID, Title: w.t("inbox.what." + string(r.What)), What: what, By: r.By, Asked: w.moment(r.Asked), Expires: w.full(r.Expires),
		State: askStates[r.State], Word: w.t("inbox.state." + string(r.State)), Left: r.Left()}
}

// asked finds a request that the reader may see: his own, or any when he
// decides. Another's looks like one that never was.
func (s *Server) asked(c echo.Context) (approval.Request, error) {
	v := visitOf(c)
	r, err := s.d.Approvals.Get(c.Request().Context(), c.Param("id"))
	if err != nil {
		return r, err
	}
	if !strings.EqualFold(r.By, v.session.User.Name) && !policy.May(v.subject(), policy.Approve, s.d.Now()) {
		return r, approval.ErrNotFound
	}
	return r, nil
}

func (s *Server) ask(c echo.Context) error {
	r, err := s.asked(c)
	if err != nil {
		return err
	}
	return render(c, http.StatusOK, s.askPage(c, &r))
}

func (s *Server) askPage(c echo.Context, r *approval.Request) templates.Ask {
	v, w := visitOf(c), s.words(c)
	own := strings.EqualFold(r.By, v.session.User.Name)
	p := templates.Ask{Shell: s.shell(c, w.t("inbox.title"), "/inbox"), AskRow: w.ask(r), CanDecide: s.mayDecide(v, r),
		CanRun: own && r.State == approval.Agreed, CanWithdraw: own && (r.State == approval.Waiting || r.State == approval.Agreed)}
	switch lines := strings.Split(r.Shown, "\n"); {
	case r.What.Deed():
		p.Facts = w.deedFacts(lines)
	case r.What == approval.Grant:
		p.Facts = w.facts(lines, "access.for", "inbox.scope", "access.last", "access.act")
	default:
		p.Facts = w.exportFacts(lines)
	}
	if r.Purpose != "" {
		p.Facts = append(p.Facts, templates.Pair{Label: w.t("inbox.purpose"), Value: w.purpose(r.Purpose)})
	}
	p.Facts = append(p.Facts, templates.Pair{Label: w.t("inbox.reason"), Value: r.Reason})
	if r.State == approval.Waiting || r.State == approval.Agreed {
		p.Facts = append(p.Facts, templates.Pair{Label: w.t("inbox.until"), Value: w.full(r.Expires).Text})
	}
	for _, d := range r.Decisions {
		word, st := w.t("inbox.no"), ui.Danger
		if d.Yes {
			word, st = w.t("inbox.yes"), ui.Safe
		}
		p.Decisions = append(p.Decisions, templates.AskWord{By: d.By, State: st, Word: word, Note: d.Note, At: w.full(d.At)})
	}
	return p
}

func (w words) exportFacts(lines []string) []templates.Pair {
	return w.facts(lines, "inbox.scope", "asof.label", "restore.amount", "inbox.class")
}

func (w words) facts(lines []string, labels ...string) (out []templates.Pair) {
	for i, line := range lines[:min(len(lines), len(labels))] {
		out = append(out, templates.Pair{Label: w.t(labels[i]), Value: line})
	}
	return out
}

func (s *Server) askDecide(c echo.Context) error {
	ctx, v, w := c.Request().Context(), visitOf(c), s.words(c)
	r, err := s.asked(c)
	if err != nil {
		return err
	}
	word, note := c.FormValue("word"), strings.TrimSpace(c.FormValue("note"))
	problem := ""
	switch {
	case word != "yes" && word != "no":
		problem = w.t("inbox.pick")
	case word == "no" && note == "":
		problem = w.t("inbox.why.no")
	case len([]rune(note)) > 1000:
		problem = w.t("inbox.reason.bad")
	}
	if problem != "" {
		p := s.askPage(c, &r)
		p.Note, p.Problems = note, []ui.Problem{{Field: "note", Text: problem}}
		return render(c, http.StatusUnprocessableEntity, p)
	}
	ev := audit.Event{Operation: asksOf(r.What).no, Object: "approval/" + r.ID, Approval: r.ID, Outcome: "ok"}
	if word == "yes" {
		ev.Operation = asksOf(r.What).yes
	}
	if strings.EqualFold(r.By, v.session.User.Name) {
		ev.Outcome = "denied" // his own: the book refuses it
	}
	if err := s.note(c, ev); err != nil {
		return err
	}
	if _, err := s.d.Approvals.Decide(ctx, r.ID, v.session.User.Name, word == "yes", note); err != nil {
		return err
	}
	return seeOther(c, "/inbox/"+r.ID+"?done=decided")
}

func (s *Server) askWithdraw(c echo.Context) error {
	r, err := s.asked(c)
	if err != nil {
		return err
	}
	if !strings.EqualFold(r.By, visitOf(c).session.User.Name) {
		return approval.ErrNotFound // and no entry that says it was withdrawn
	}
	if err := s.note(c, audit.Event{Operation: asksOf(r.What).ask, Object: "approval/" + r.ID, Approval: r.ID, Outcome: "denied", Detail: map[string]string{"withdrawn": "1"}}); err != nil {
		return err
	}
	if err := s.d.Approvals.Withdraw(c.Request().Context(), r.ID, visitOf(c).session.User.Name); err != nil {
		return err
	}
	return seeOther(c, "/inbox/"+r.ID+"?done=unasked")
}

// askRun carries out what was agreed to, exactly that.
func (s *Server) askRun(c echo.Context) error {
	r, err := s.asked(c)
	if err != nil {
		return err
	}
	if !strings.EqualFold(r.By, visitOf(c).session.User.Name) {
		return errors.Join(approval.ErrOther, s.refused(c, "approval"))
	}
	switch {
	case r.State == approval.Waiting:
		return approval.ErrWaiting
	case r.State != approval.Agreed:
		return approval.ErrClosed
	case r.What == approval.Grant:
		return s.giveAgreed(c, &r)
	case r.What.Deed():
		return s.deedRun(c, &r)
	}
	a, err := restore.ReadAsked(r.Payload)
	if err != nil {
		return err
	}
	rq := s.request(c)
	rq.Approval, rq.Purpose = r.ID, a.Purpose
	name := "all"
	if len(a.Selection.Kinds) == 1 {
		name = string(a.Selection.Kinds[0])
	}
	return s.carryOut(c, rq, a.Selection, r.What == approval.Restore, name)
}

// giveAgreed gives the grant that others agreed to.
func (s *Server) giveAgreed(c echo.Context, r *approval.Request) error {
	var g gift
	if err := json.Unmarshal(r.Payload, &g); err != nil {
		return err
	}
	if !policy.May(visitOf(c).subject(), policy.Accounts, s.d.Now()) {
		return &denied{policy.Accounts}
	}
	if err := s.d.Approvals.Use(c.Request().Context(), r.ID, visitOf(c).session.User.Name, r.What, 1, r.Payload); err != nil {
		return err
	}
	err := s.give(c, g, r.ID)
	if problem := accessProblem(s.words(c), err); problem != nil {
		return s.refuseGift(c, g, *problem)
	}
	if err != nil {
		return err
	}
	return seeOther(c, "/access?done=given")
}

// inboxTodos are the requests that wait for the reader.
func (s *Server) inboxTodos(c echo.Context, w words) []templates.Todo {
	v := visitOf(c)
	list, err := s.d.Approvals.Pending(c.Request().Context())
	if err != nil {
		s.d.Log.WarnContext(c.Request().Context(), "list requests", "err", err)
		return nil
	}
	var out []templates.Todo
	for i := range list {
		r := &list[i]
		switch {
		case s.mayDecide(v, r):
			out = append(out, templates.Todo{State: ui.Signal, Icon: "inbox", Title: w.t("todo.decide", "by", r.By), Text: w.t("inbox.what." + string(r.What)), Action: w.t("todo.decide.do"), Href: "/inbox/" + r.ID})
		case r.State == approval.Agreed && strings.EqualFold(r.By, v.session.User.Name):
			out = append(out, templates.Todo{State: ui.Signal, Icon: "circle-check", Title: w.t("todo.agreed"), Text: w.t("inbox.what." + string(r.What)), Action: w.t("todo.agreed.do"), Href: "/inbox/" + r.ID})
		}
	}
	return out
}

// approvalAnswer says what a person may read of a refusal of the book.
func approvalAnswer(err error) (code int, id string) {
	for e, id := range map[error]string{approval.ErrOwn: "inbox.own", approval.ErrTwice: "inbox.twice", approval.ErrClosed: "inbox.closed", approval.ErrWaiting: "inbox.waiting", approval.ErrOther: "inbox.other"} {
		if errors.Is(err, e) {
			return http.StatusConflict, id
		}
	}
	return 0, ""
}
