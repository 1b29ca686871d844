package web

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"farol/internal/audit"
	"farol/internal/i18n"
	"farol/internal/matter"
	"farol/internal/policy"
	"farol/templates"
	"farol/templates/ui"
)

func (s *Server) purposeForm(c echo.Context) error {
	p, err := s.purposePage(c, local(c.QueryParam("next")))
	if err != nil {
		return err
	}
	return render(c, http.StatusOK, p)
}

// purposePage offers the reader's own open matters and a new one. Others are
// joined by their number: what a case is called may say too much.
func (s *Server) purposePage(c echo.Context, next string) (templates.Purpose, error) {
	v, w := visitOf(c), s.words(c)
	claims := func(p policy.Purpose) bool { return mayClaim(v.subject(), p) }
	p := templates.Purpose{Shell: s.shell(c, w.t("purpose.title"), ""), Next: next, Choices: w.purposes(claims, v.session.Purpose), Bases: []ui.Choice{{Label: w.t("matter.basis.usual")}}}
	list, err := s.d.Matters.List(c.Request().Context())
	if err != nil {
		return p, err
	}
	for i := range list {
		if m := &list[i]; m.Open(w.now) && strings.EqualFold(m.By, v.session.User.Name) && claims(m.Purpose) {
			p.Open = append(p.Open, ui.Choice{Value: m.Number, Label: w.t("matter.line", "number", m.Number, "title", m.Title), Hint: w.purpose(string(m.Purpose)) + " · " + w.basis(m.Basis), On: m.Number == v.matter})
		}
	}
	var ids []string
	for _, u := range policy.Purposes {
		for _, id := range matter.Bases[u] {
			if claims(u) && !slices.Contains(ids, id) {
				ids = append(ids, id)
				p.Bases = append(p.Bases, ui.Choice{Value: id, Label: w.basis(id)})
			}
		}
	}
	return p, nil
}

// basis is a legal basis with what its article is about.
func (w words) basis(id string) string {
	l := audit.Laws[id]
	about := l.EN
	switch w.l {
	case i18n.ZhHant, i18n.ZhHans:
		about = or(l.ZH, l.EN)
	case i18n.PT:
		about = or(l.PT, l.EN)
	}
	return w.law(l) + " · " + about
}

// mayClaim reports whether any grant of the subject serves the purpose.
func mayClaim(sub policy.Subject, p policy.Purpose) bool {
	return slices.ContainsFunc(sub.Grants, func(g policy.Grant) bool { return slices.Contains(g.Purposes, p) })
}

// purpose takes the reason for which content is opened: an open matter by its
// number, or a new one.
func (s *Server) purpose(c echo.Context) error {
	ctx, v, w, next := c.Request().Context(), visitOf(c), s.words(c), local(c.FormValue("next"))
	number, chosen := strings.TrimSpace(c.FormValue("matter")), policy.Purpose(c.FormValue("purpose"))
	refuse := func(field, id string) error {
		p, err := s.purposePage(c, next)
		if err != nil {
			return err
		}
		p.Name, p.Number, p.Problems = c.FormValue("title"), number, []ui.Problem{{Field: field, Text: w.t(id)}}
		for i := range p.Choices {
			p.Choices[i].On = p.Choices[i].Value == string(chosen)
		}
		return render(c, http.StatusUnprocessableEntity, p)
	}
	var m matter.Matter
	var err error
	if number != "" {
		if m, err = s.d.Matters.Get(ctx, number); errors.Is(err, matter.ErrNotFound) || err == nil && (!m.Open(w.now) || !mayClaim(v.subject(), m.Purpose)) {
			return refuse("matter", "matter.none")
		}
	} else {
		if !slices.Contains(policy.Purposes, chosen) || !mayClaim(v.subject(), chosen) {
			return refuse("purpose", "purpose.pick")
		}
		m, err = s.d.Matters.Enter(ctx, chosen, or(c.FormValue("basis"), matter.Bases[chosen][0]), c.FormValue("title"), v.session.User.Name)
		switch {
		case errors.Is(err, matter.ErrTitle):
			return refuse("title", "matter.title.bad")
		case errors.Is(err, matter.ErrBasis):
			return refuse("basis", "matter.basis.bad")
		case err == nil:
			err = s.note(c, audit.Event{Operation: "matter.open", Object: "matter/" + m.Number, Purpose: string(m.Purpose), Outcome: "ok", Detail: map[string]string{"basis": m.Basis}})
		}
	}
	if err != nil {
		return err
	}
	if err := s.note(c, audit.Event{Operation: "purpose.declare", Object: "session/" + v.session.ID, Purpose: string(m.Purpose), Outcome: "ok", Detail: map[string]string{"matter": m.Number}}); err != nil {
		return err
	}
	if err := s.d.Accounts.SetPurpose(ctx, v.token, string(m.Purpose)+" "+m.Number); err != nil {
		return err
	}
	return seeOther(c, next)
}

// declared splits what the session keeps into purpose and matter. A matter
// that has ended serves no more: the reader has to say anew why he reads.
func (s *Server) declared(c echo.Context, v *visit) error {
	purpose, number, _ := strings.Cut(v.session.Purpose, " ")
	v.session.Purpose = ""
	if number == "" {
		return nil
	}
	m, err := s.d.Matters.For(c.Request().Context(), number, policy.Purpose(purpose), s.d.Now())
	if errors.Is(err, matter.ErrNotFound) {
		return nil
	} else if err != nil {
		return err
	}
	v.session.Purpose, v.matter = string(m.Purpose), m.Number
	return nil
}

// matters is the register: what was opened for which reason, by whom.
func (s *Server) matters(c echo.Context) error {
	w := s.words(c)
	p := templates.Matters{Shell: s.shell(c, w.t("matter.title"), "/matters")}
	list, err := s.d.Matters.List(c.Request().Context())
	if err != nil {
		p.Panel = s.broken(c, "matters", err)
	}
	for i := range list {
		m := &list[i]
		row := templates.MatterRow{Number: m.Number, Title: m.Title, Purpose: w.purpose(string(m.Purpose)), Basis: w.basis(m.Basis), By: m.By, Opened: w.moment(m.Opened), Until: w.date(m.Until),
			State: ui.Safe, Word: w.t("matter.open"), Open: m.Open(w.now), Log: query("/audit", "matter", m.Number)}
		switch {
		case !m.Closed.IsZero():
			row.State, row.Word = ui.Idle, w.t("matter.closed", "by", m.ClosedBy)
		case !row.Open:
			row.State, row.Word = ui.Idle, w.t("matter.lapsed")
		}
		p.Rows = append(p.Rows, row)
	}
	return render(c, http.StatusOK, p)
}

func (s *Server) matterClose(c echo.Context) error {
	number := c.Param("number")
	m, err := s.d.Matters.Get(c.Request().Context(), number)
	if err == nil && !m.Open(s.d.Now()) {
		err = matter.ErrNotFound
	}
	if err != nil {
		return err
	}
	if err := s.note(c, audit.Event{Operation: "matter.close", Object: "matter/" + number, Outcome: "ok"}); err != nil {
		return err
	}
	if err := s.d.Matters.Close(c.Request().Context(), number, visitOf(c).session.User.Name); err != nil {
		return err
	}
	return seeOther(c, "/matters?done=matterclosed")
}
