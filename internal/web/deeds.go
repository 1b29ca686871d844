package web

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"farol/internal/approval"
	"farol/internal/audit"
	"farol/internal/restore"
	"farol/templates"
	"farol/templates/ui"
)

// deed is an act of a form that another person has to agree to first: the form
// as it was filled in, for exactly that to be carried out.
type deed struct {
	Path string     `json:"path"`
	Form url.Values `json:"form"`
}

// unasked is a deed whose asker still has to say why. It may hold a secret he
// typed, so it waits here and not in the page.
type unasked struct {
	session string
	until   time.Time
	what    approval.What
	need    int
	purpose string
	shown   string
	payload []byte
	back    string // where whoever leaves it goes
}

// unaskedLife is how long a reason may take to be written.
const unaskedLife = 15 * time.Minute

// payload is the form of this request, without what a step-up added to it.
func payload(c echo.Context) ([]byte, error) {
	form, err := c.FormParams()
	if err != nil {
		return nil, err
	}
	kept := url.Values{}
	for k, v := range form {
		if !slices.Contains([]string{"totp", "recovery", "ticket", "credential", "next", "again"}, k) {
			kept[k] = v
		}
	}
	return json.Marshal(deed{c.Request().URL.Path, kept})
}

// agreed reports whether what the form does may be done now: others agreed to
// exactly that, or nobody else could. Else it answers with the question why.
// shown is what those who decide will read.
func (s *Server) agreed(c echo.Context, what approval.What, shown ...string) (bool, error) {
	ctx, v := c.Request().Context(), visitOf(c)
	for i := range shown { // what was typed must not add lines of its own
		shown[i] = strings.Join(strings.Fields(shown[i]), " ")
	}
	if over, err := s.finished(c); err != nil || !over {
		return !over && err == nil, err // during set-up there is one person
	}
	form, err := payload(c)
	if err != nil {
		return false, err
	}
	ev := audit.Event{Operation: "change.run", Object: "change/" + string(what), Approval: v.agreed, Outcome: "ok"}
	if v.agreed != "" {
		if err := s.d.Approvals.Use(ctx, v.agreed, v.session.User.Name, what, 1, form); err != nil {
			return false, err
		}
		return true, s.note(c, ev)
	}
	others, err := s.others(c)
	if err != nil {
		return false, err
	}
	if !others {
		ev.Detail = map[string]string{"four_eyes": "alone"}
		err := s.note(c, ev)
		return err == nil, err
	}
	u := unasked{what: what, need: 1, shown: strings.Join(shown, "\n"), payload: form}
	return false, render(c, http.StatusOK, s.deedPage(c, s.whyFirst(c, &u), &u))
}

// whyFirst keeps a request until its asker has said why, and returns the ticket
// for that.
func (s *Server) whyFirst(c echo.Context, u *unasked) (ticket string) {
	ticket = rand.Text()
	now := s.d.Now()
	u.session, u.until = visitOf(c).session.ID, now.Add(unaskedLife)
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, u := range s.unasked {
		if now.After(u.until) {
			delete(s.unasked, k)
		}
	}
	s.unasked[ticket] = *u
	return ticket
}

func (s *Server) deedPage(c echo.Context, ticket string, u *unasked) templates.Deed {
	w := s.words(c)
	p := templates.Deed{Shell: s.shell(c, w.t("deed.title"), ""), Title: w.t("inbox.what." + string(u.what)), Ticket: ticket,
		Lead: w.t("deed.lead"), Leave: ui.Link{Label: w.t("deed.leave"), Href: or(u.back, "/")}}
	lines := strings.Split(u.shown, "\n")
	if u.what.Deed() {
		p.Facts = w.deedFacts(lines)
		return p
	}
	p.Facts = w.exportFacts(lines)
	p.Lead, p.Leave.Label = w.t("take.lead", "n", u.need), w.t("take.leave")
	return p
}

// askTake asks why a confidential record should leave, which others have to
// agree to.
func (s *Server) askTake(c echo.Context, un *restore.Unagreed) error {
	w, one := s.words(c), un.One
	names, _, err := s.deptNames(c)
	if err != nil {
		return err
	}
	what := []string{w.kind(one.Hit.Kind), w.title(one.Container), w.full(one.Hit.Time).Text}
	if name := names[one.Hit.Dept]; name != "" {
		what = slices.Insert(what, 1, name)
	}
	shown := []string{strings.Join(what, " · "), w.t("asof.now"), w.t("take.one"), w.class(un.Class)}
	for i := range shown {
		shown[i] = strings.Join(strings.Fields(shown[i]), " ")
	}
	u := unasked{what: un.What, need: un.Need, purpose: visitOf(c).session.Purpose, shown: strings.Join(shown, "\n"), payload: un.Payload, back: recordPath(one.Hit.ID)}
	p := s.deedPage(c, s.whyFirst(c, &u), &u)
	return render(c, http.StatusConflict, p)
}

func (w words) deedFacts(shown []string) (out []templates.Pair) {
	for i, line := range shown {
		label := w.t("deed.change")
		if i > 0 {
			label = w.t("deed.detail")
		}
		out = append(out, templates.Pair{Label: label, Value: line})
	}
	return out
}

// deedAsk takes the reason and asks the others.
func (s *Server) deedAsk(c echo.Context) error {
	ctx, v, w, ticket := c.Request().Context(), visitOf(c), s.words(c), c.FormValue("ticket")
	s.mu.Lock()
	u, ok := s.unasked[ticket]
	s.mu.Unlock()
	if !ok || u.session != v.session.ID || s.d.Now().After(u.until) {
		return approval.ErrNotFound
	}
	rq := approval.Request{What: u.what, By: v.session.User.Name, Purpose: u.purpose, Need: u.need, Reason: c.FormValue("reason"), Shown: u.shown, Payload: u.payload}
	if rq.Check() != nil {
		p := s.deedPage(c, ticket, &u)
		need := w.t("deed.reason.need")
		if !u.what.Deed() {
			need = w.t("inbox.reason.need", "n", u.need)
		}
		p.Reason, p.Problems = rq.Reason, []ui.Problem{{Field: "reason", Text: need}}
		return render(c, http.StatusUnprocessableEntity, p)
	}
	s.mu.Lock()
	_, ok = s.unasked[ticket]
	delete(s.unasked, ticket) // once
	s.mu.Unlock()
	if !ok {
		return approval.ErrNotFound
	}
	got, err := s.d.Approvals.Ask(ctx, rq)
	if err != nil {
		return err
	}
	if err := s.note(c, audit.Event{Operation: asksOf(u.what).ask, Object: "approval/" + got.ID, Approval: got.ID, Outcome: "ok"}); err != nil {
		return errors.Join(err, s.d.Approvals.Withdraw(context.WithoutCancel(ctx), got.ID, rq.By)) // no entry, no request
	}
	return seeOther(c, "/inbox/"+got.ID+"?done=asked")
}

// deedRun sends the form that others agreed to on its way again. All that
// guards its route guards it now: rights may have changed since it was asked.
func (s *Server) deedRun(c echo.Context, r *approval.Request) error {
	var d deed
	if err := json.Unmarshal(r.Payload, &d); err != nil {
		return err
	}
	visitOf(c).agreed = r.ID
	rq := c.Request().Clone(c.Request().Context())
	rq.URL, rq.Body, rq.ContentLength = &url.URL{Path: d.Path}, http.NoBody, 0
	rq.Form, rq.PostForm = d.Form, d.Form
	c.SetRequest(rq)
	s.e.Router().Find(http.MethodPost, d.Path, c)
	return c.Handler()(c)
}
