package web

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"farol/internal/policy"
	"farol/templates"
	"farol/templates/ui"
)

func (s *Server) assurancePage(c echo.Context) templates.Assurance {
	ctx, v, w := c.Request().Context(), visitOf(c), s.words(c)
	s.stale()
	f := s.standing(ctx)
	p := templates.Assurance{Shell: s.shell(c, w.t("assurance.title"), "/assurance"), Check: s.checkPanel(c, f), Offsite: f.offsitePanel(w), Configure: policy.May(v.subject(), policy.Configure, w.now)}
	p.CanVerify = f.healthErr == nil && !f.health.Checking
	if f.healthErr != nil {
		p.FactsErr = s.broken(c, "archive", f.healthErr).Broken
	} else {
		for _, d := range f.health.Places {
			pl := w.place(d)
			p.Facts = append(p.Facts, templates.Pair{Label: pl.Path, Value: w.t("assurance.place", "used", pl.Used, "free", pl.Free, "total", pl.Total, "reserve", w.l.Size(d.Reserve))})
		}
		p.Facts = append(p.Facts,
			templates.Pair{Label: w.t("assurance.points"), Value: w.n(int64(f.health.Points))},
			templates.Pair{Label: w.t("assurance.fold"), Value: w.moment(f.health.LastFold).Text},
			templates.Pair{Label: w.t("assurance.journal"), Value: w.t("assurance.journal.value", "size", w.l.Size(f.health.JournalBytes), "n", w.n(f.health.JournalCommits))})
	}
	p.Verified = s.verified(c)
	p.Schedules = s.readingSchedules(c, p.Configure)
	p.Kit = w.kitCheck(f.kit, f.root)
	p.Limit = s.limitForm(c)
	p.Place = s.nodePlace(c)
	p.Witness = s.witnessPanel(c)
	return p
}

func (s *Server) assurance(c echo.Context) error {
	return render(c, http.StatusOK, s.assurancePage(c))
}

func (s *Server) assuranceVerify(c echo.Context) error {
	if err := s.d.Machine.Verify(c.Request().Context(), visitOf(c).session.User.Name); err != nil {
		return err
	}
	s.stale()
	return seeOther(c, "/assurance?done=verify")
}

func (s *Server) assuranceOffsite(c echo.Context) error {
	address, code := strings.TrimSpace(c.FormValue("offsite_address")), strings.TrimSpace(c.FormValue("offsite_code"))
	problems, addrErr, codeErr := s.enrol(c, address, code)
	if len(problems) > 0 {
		p := s.assurancePage(c)
		p.Address, p.Code, p.AddrErr, p.CodeErr, p.Problems = address, code, addrErr, codeErr, problems
		p.Country, p.CountryErr = c.FormValue("country"), ui.Wrong(problems, "country")
		return render(c, http.StatusUnprocessableEntity, p)
	}
	return seeOther(c, "/assurance?done=offsite")
}
