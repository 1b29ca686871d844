package web

import (
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"farol/internal/approval"
	"farol/internal/record"
	"farol/templates"
	"farol/templates/ui"
)

// Where copies lie, and what lets the bytes leave Macau.

func readTransfer(c echo.Context) record.Transfer {
	v := func(n string) string { return strings.TrimSpace(c.FormValue(n)) }
	t := record.Transfer{Country: strings.ToUpper(v("country")), Basis: v("basis"), City: v("city"), Filing: v("filing"), Filed: v("filed"), Until: v("until"), Reviewer: v("reviewer")}
	if t.Country == "MO" { // what stands beside it says nothing there
		return record.Transfer{Country: "MO"}
	}
	if t.Country != "CN" {
		t.City = ""
	}
	return t
}

// transferMissing are the fields that must be given, with what is wrong.
func (w words) transferMissing(t record.Transfer) (out []ui.Problem) {
	if t.Country == "" {
		return []ui.Problem{{Field: "country", Text: w.t("places.need.country")}}
	}
	for _, f := range t.Missing(w.now) {
		id := "transfer.need." + f
		switch {
		case f == "country":
			id = "places.need.country"
		case f == "basis" && t.Country == "CN":
			id = "transfer.need.contract"
		}
		out = append(out, ui.Problem{Field: f, Text: w.t(id)})
	}
	return out
}

func (w words) transferForm(t record.Transfer) templates.TransferForm {
	f := templates.TransferForm{Country: or(t.Country, "MO"), Filing: t.Filing, Filed: t.Filed, Until: t.Until, Reviewer: t.Reviewer,
		Bases: []ui.Choice{{Label: w.t("transfer.none"), On: t.Basis == ""}}, Cities: []ui.Choice{{Label: w.t("transfer.none"), On: t.City == ""}}}
	for _, b := range record.TransferBases {
		f.Bases = append(f.Bases, ui.Choice{Value: b, Label: w.t("transfer.basis." + b), On: b == t.Basis})
	}
	for _, x := range record.BayCities {
		f.Cities = append(f.Cities, ui.Choice{Value: x, Label: w.t("transfer.city." + x), On: x == t.City})
	}
	return f
}

// transfer says where a copy lies, in a line.
func (w words) transfer(t record.Transfer) string {
	if !t.Abroad() {
		return w.t("places.macau")
	}
	where := t.Country
	if slices.Contains(record.BayCities, t.City) {
		where += " " + w.t("transfer.city."+t.City)
	}
	if m := t.Missing(w.now); len(m) > 0 {
		var names []string
		for _, f := range m {
			names = append(names, w.t("transfer.field."+f))
		}
		return w.t("transfer.closed", "country", where, "missing", strings.Join(names, w.t("list.comma")))
	}
	return w.t("places.abroad", "country", where, "basis", w.t("transfer.basis."+t.Basis), "filing", t.Filing, "until", t.Until)
}

func (w words) transferState(t record.Transfer) ui.State {
	if len(t.Missing(w.now)) > 0 {
		return ui.Danger
	}
	return ui.Safe
}

// nodePlace is where the off-site node lies.
func (s *Server) nodePlace(c echo.Context) templates.NodePlace {
	w := s.words(c)
	t, err := s.d.Settings.OffsiteTransfer(c.Request().Context())
	if err != nil {
		return templates.NodePlace{Panel: s.broken(c, "transfer", err)}
	}
	return templates.NodePlace{State: w.transferState(t), Words: w.transfer(t)}
}

func (s *Server) transferPage(c echo.Context, up ui.Link, name string, t record.Transfer) templates.TransferPage {
	w := s.words(c)
	return templates.TransferPage{Shell: s.shell(c, w.t("places.law"), up.Href), Up: up, Name: name, Action: c.Request().URL.Path, State: w.transferState(t), Words: w.transfer(t), Form: w.transferForm(t)}
}

// transferKeep takes the form. keep is called once nothing is missing and, where
// there is a second person, that one agreed.
func (s *Server) transferKeep(c echo.Context, p templates.TransferPage, done string, keep func(t record.Transfer) error) error {
	w, t := s.words(c), readTransfer(c)
	if p.Problems = w.transferMissing(t); len(p.Problems) > 0 {
		p.Form = w.transferForm(t)
		p.Form.Country, p.Form.Errs = t.Country, map[string]string{}
		for _, x := range p.Problems {
			p.Form.Errs[x.Field] = x.Text
		}
		return render(c, http.StatusUnprocessableEntity, p)
	}
	if ok, err := s.agreed(c, approval.Place, w.t("deed.transfer", "name", p.Name), w.transfer(t)); !ok {
		return err
	}
	if err := keep(t); err != nil {
		return err
	}
	s.stale()
	return seeOther(c, done)
}

func (s *Server) nodeTransferPage(c echo.Context) (templates.TransferPage, error) {
	t, err := s.d.Settings.OffsiteTransfer(c.Request().Context())
	w := s.words(c)
	return s.transferPage(c, ui.Link{Label: w.t("assurance.title"), Href: "/assurance"}, w.t("offsite.title"), t), err
}

func (s *Server) nodeTransfer(c echo.Context) error {
	p, err := s.nodeTransferPage(c)
	if err != nil {
		return err
	}
	return render(c, http.StatusOK, p)
}

func (s *Server) nodeTransferKeep(c echo.Context) error {
	p, err := s.nodeTransferPage(c)
	if err != nil {
		return err
	}
	return s.transferKeep(c, p, "/assurance?done=transfer", func(t record.Transfer) error {
		return s.d.Machine.TransferOffsite(c.Request().Context(), visitOf(c).session.User.Name, t)
	})
}

func (s *Server) copyTransferPage(c echo.Context) (templates.TransferPage, error) {
	x, err := s.findCopy(c)
	if err != nil {
		return templates.TransferPage{}, err
	}
	w := s.words(c)
	return s.transferPage(c, ui.Link{Label: w.t("nav.storage"), Href: "/storage"}, or(x.Name, w.t("places.unnamed")), x.Transfer), nil
}

func (s *Server) copyTransfer(c echo.Context) error {
	p, err := s.copyTransferPage(c)
	if err != nil {
		return err
	}
	return render(c, http.StatusOK, p)
}

func (s *Server) copyTransferKeep(c echo.Context) error {
	p, err := s.copyTransferPage(c)
	if err != nil {
		return err
	}
	return s.transferKeep(c, p, "/storage?done=transfer", func(t record.Transfer) error {
		return s.d.Machine.TransferCopy(c.Request().Context(), visitOf(c).session.User.Name, c.Param("id"), t)
	})
}
