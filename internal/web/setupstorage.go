package web

import (
	"cmp"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"farol/templates"
	"farol/templates/ui"
)

func (s *Server) storagePage(c echo.Context) templates.SetupStorage {
	ctx, w := c.Request().Context(), s.words(c)
	p := templates.SetupStorage{Setup: s.wizard(c, 5)}
	h, err := s.d.Machine.Health(ctx)
	if err != nil {
		p.PlacesErr = s.broken(c, "storage", err).Broken
	}
	for _, d := range h.Places {
		p.Places = append(p.Places, w.place(d))
	}
	if o := s.d.Machine.Offsite(ctx); o.Set {
		p.Paired = o.Address
	}
	return p
}

func (w words) place(d Place) templates.Place {
	used := d.Total - d.Free
	out := templates.Place{Path: d.Path, Used: w.l.Size(d.Used), Free: w.l.Size(d.Free), Total: w.l.Size(d.Total)}
	if d.Total > 0 {
		out.Percent = int(used * 100 / d.Total)
	}
	out.Label = w.t("setup.storage.place", "free", out.Free, "total", out.Total)
	return out
}

func (s *Server) storageForm(c echo.Context) error {
	return render(c, http.StatusOK, s.storagePage(c))
}

func (s *Server) storage(c echo.Context) error {
	address, code := strings.TrimSpace(c.FormValue("offsite_address")), strings.TrimSpace(c.FormValue("offsite_code"))
	if address != "" || code != "" {
		if problems, addr, cd := s.enrol(c, address, code); len(problems) > 0 {
			p := s.storagePage(c)
			p.Problems, p.Address, p.Code, p.AddrErr, p.CodeErr = problems, address, code, addr, cd
			p.Country, p.CountryErr = c.FormValue("country"), ui.Wrong(problems, "country")
			return render(c, http.StatusUnprocessableEntity, p)
		}
	}
	if err := s.reach(c, 6); err != nil {
		return err
	}
	return seeOther(c, "/setup/kit")
}

// enrol pairs the off-site node; what was wrong comes back as words.
func (s *Server) enrol(c echo.Context, address, code string) (problems []ui.Problem, addrErr, codeErr string) {
	w := s.words(c)
	if address == "" {
		addrErr = w.t("setup.storage.noaddress")
		problems = append(problems, ui.Problem{Field: "offsite_address", Text: addrErr})
	}
	if code == "" {
		codeErr = w.t("setup.storage.nocode")
		problems = append(problems, ui.Problem{Field: "offsite_code", Text: codeErr})
	}
	t := readTransfer(c)
	if len(t.Country) != 2 {
		problems = append(problems, ui.Problem{Field: "country", Text: w.t("places.need.country")})
	}
	if len(problems) > 0 {
		return problems, addrErr, codeErr
	}
	// Where a node that is paired lies is changed by two, on a page of its own.
	was, err := s.d.Settings.OffsiteTransfer(c.Request().Context())
	if err != nil {
		return []ui.Problem{{Field: "country", Text: s.broken(c, "transfer", err).Broken}}, "", ""
	}
	paired := s.d.Machine.Offsite(c.Request().Context()).Set
	if paired && t.Country != cmp.Or(was.Country, "MO") {
		return []ui.Problem{{Field: "country", Text: w.t("transfer.first")}}, "", ""
	}
	if paired {
		t = was
	}
	// First: of a node abroad nothing is sent before the rest is given.
	if err := s.d.Machine.TransferOffsite(c.Request().Context(), visitOf(c).session.User.Name, t); err != nil {
		return []ui.Problem{{Field: "country", Text: s.broken(c, "transfer", err).Broken}}, "", ""
	}
	if err := s.d.Machine.Enrol(c.Request().Context(), address, code); err != nil {
		text, ok := said(err, w.l)
		if !ok {
			text = s.broken(c, "enrol", err).Broken
		}
		return []ui.Problem{{Field: "offsite_address", Text: text}}, text, ""
	}
	s.stale()
	return nil, "", ""
}
