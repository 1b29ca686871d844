package web

import (
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"

	"farol/internal/audit"
	"farol/internal/policy"
	"farol/templates"
	"farol/templates/ui"
)

func (s *Server) purposeForm(c echo.Context) error {
	return render(c, http.StatusOK, s.purposePage(c, local(c.QueryParam("next"))))
}

func (s *Server) purposePage(c echo.Context, next string) templates.Purpose {
	v, w := visitOf(c), s.words(c)
	return templates.Purpose{Shell: s.shell(c, w.t("purpose.title"), ""), Next: next, Choices: w.purposes(func(p policy.Purpose) bool { return mayClaim(v.subject(), p) }, v.session.Purpose)}
}

// mayClaim reports whether any grant of the subject serves the purpose.
func mayClaim(sub policy.Subject, p policy.Purpose) bool {
	return slices.ContainsFunc(sub.Grants, func(g policy.Grant) bool { return slices.Contains(g.Purposes, p) })
}

func (s *Server) purpose(c echo.Context) error {
	v, next, chosen := visitOf(c), local(c.FormValue("next")), c.FormValue("purpose")
	if !slices.Contains(policy.Purposes, policy.Purpose(chosen)) || !mayClaim(v.subject(), policy.Purpose(chosen)) {
		p := s.purposePage(c, next)
		p.Problems = []ui.Problem{{Field: "purpose", Text: v.lang.T("purpose.pick")}}
		return render(c, http.StatusUnprocessableEntity, p)
	}
	if err := s.note(c, audit.Event{Operation: "purpose.declare", Object: "session/" + v.session.ID, Purpose: chosen, Outcome: "ok"}); err != nil {
		return err
	}
	if err := s.d.Accounts.SetPurpose(c.Request().Context(), v.token, chosen); err != nil {
		return err
	}
	return seeOther(c, next)
}
