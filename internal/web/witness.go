package web

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"farol/internal/approval"
	"farol/internal/policy"
	"farol/internal/record"
	"farol/internal/restore"
	"farol/templates"
	"farol/templates/ui"
)

// The second witness of the audit log: how it stands, adding and removing it, and
// where it lies.

func (s *Server) witnessPanel(c echo.Context) templates.WitnessPanel {
	ctx, w := c.Request().Context(), s.words(c)
	x := s.d.Machine.Witness(ctx)
	p := templates.WitnessPanel{Set: x.Set, Configure: policy.May(visitOf(c).subject(), policy.Configure, w.now)}
	if !x.Set {
		return p
	}
	t, err := s.d.Settings.WitnessTransfer(ctx)
	if err != nil {
		return templates.WitnessPanel{Panel: s.broken(c, "witness", err)}
	}
	p.State, p.Word = ui.Safe, w.t("offsite.connected")
	if !x.Connected {
		p.State, p.Word = ui.Danger, w.t("offsite.lost")
	}
	if x.Problem != "" {
		p.Problem = w.t(x.Problem)
	}
	p.Address, p.Log, p.Last, p.Where = x.Address, w.t("offsite.entries", "n", w.n(x.CheckpointSize)), w.moment(x.LastAck).Text, w.transfer(t)
	return p
}

func (s *Server) witnessAdd(c echo.Context) error {
	w := s.words(c)
	v := func(n string) string { return strings.TrimSpace(c.FormValue(n)) }
	address, code, country := v("witness_address"), v("witness_code"), strings.ToUpper(v("witness_country"))
	wrong := map[string]string{}
	if address == "" {
		wrong["witness_address"] = w.t("setup.storage.noaddress")
	}
	if code == "" {
		wrong["witness_code"] = w.t("setup.storage.nocode")
	}
	if len(country) != 2 {
		wrong["witness_country"] = w.t("places.need.country")
	}
	if len(wrong) == 0 {
		err := s.d.Machine.AddWitness(c.Request().Context(), visitOf(c).session.User.Name, address, code, record.Transfer{Country: country})
		if err == nil {
			return seeOther(c, "/assurance?done=witness")
		}
		text, ok := said(err, w.l)
		if !ok {
			text = s.broken(c, "witness", err).Broken
		}
		wrong["witness_address"] = text
	}
	p := s.assurancePage(c)
	p.Witness.Open, p.Witness.Errs = true, wrong
	p.Witness.TypedAddress, p.Witness.TypedCode, p.Witness.Country = address, code, c.FormValue("witness_country")
	for _, f := range []string{"witness_address", "witness_code", "witness_country"} {
		if wrong[f] != "" {
			p.Problems = append(p.Problems, ui.Problem{Field: f, Text: wrong[f]})
		}
	}
	return render(c, http.StatusUnprocessableEntity, p)
}

func (s *Server) witnessRemovePage(c echo.Context) (templates.WitnessRemove, error) {
	w, x := s.words(c), s.d.Machine.Witness(c.Request().Context())
	if !x.Set {
		return templates.WitnessRemove{}, restore.ErrNotFound
	}
	return templates.WitnessRemove{Shell: s.shell(c, w.t("witness.remove"), "/assurance"), Address: x.Address,
		Facts: []string{w.t("witness.remove.fact.stop"), w.t("witness.remove.fact.kept"), w.t("witness.remove.fact.again"), w.t("places.retire.fact.logged")}}, nil
}

func (s *Server) witnessRemoveForm(c echo.Context) error {
	p, err := s.witnessRemovePage(c)
	if err != nil {
		return err
	}
	return render(c, http.StatusOK, p)
}

func (s *Server) witnessRemove(c echo.Context) error {
	p, err := s.witnessRemovePage(c)
	if err != nil {
		return err
	}
	if ok, err := s.agreed(c, approval.Place, s.words(c).t("deed.witness.remove", "name", p.Address)); !ok {
		return err
	}
	if err := s.d.Machine.RemoveWitness(c.Request().Context(), visitOf(c).session.User.Name); err != nil {
		return err
	}
	return seeOther(c, "/assurance?done=witnessremove")
}

func (s *Server) witnessTransferPage(c echo.Context) (templates.TransferPage, error) {
	ctx, w := c.Request().Context(), s.words(c)
	if !s.d.Machine.Witness(ctx).Set {
		return templates.TransferPage{}, restore.ErrNotFound
	}
	t, err := s.d.Settings.WitnessTransfer(ctx)
	return s.transferPage(c, ui.Link{Label: w.t("assurance.title"), Href: "/assurance"}, w.t("witness.title"), t), err
}

func (s *Server) witnessTransfer(c echo.Context) error {
	p, err := s.witnessTransferPage(c)
	if err != nil {
		return err
	}
	return render(c, http.StatusOK, p)
}

func (s *Server) witnessTransferKeep(c echo.Context) error {
	p, err := s.witnessTransferPage(c)
	if err != nil {
		return err
	}
	return s.transferKeep(c, p, "/assurance?done=transfer", func(t record.Transfer) error {
		return s.d.Machine.TransferWitness(c.Request().Context(), visitOf(c).session.User.Name, t)
	})
}
