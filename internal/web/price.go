package web

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"farol/internal/growth"
	"farol/internal/record"
	"farol/templates"
	"farol/templates/ui"
)

// What a further copy costs, at the price that somebody gave.

func (w words) money(hundredths int64, currency string) string {
	return currency + "\u00a0" + w.l.Number(hundredths/100) + w.l.Decimal(float64(hundredths%100)/100, 2)[1:]
}

// cost is what a copy costs a month: what it holds now, and in a year where the
// archive's growth says so. It is "" without a price, and where nobody knows
// what the place holds.
func (w words) cost(x Copy, o growth.Outlook) string {
	if x.Price.PerGB == 0 || x.State == "waiting" && x.Done == 0 {
		return ""
	}
	now := w.money(x.Price.Month(x.Done), x.Price.Currency)
	more, ok := o.After(365 * 24 * time.Hour)
	if !ok {
		return w.t("places.cost.now", "now", now)
	}
	return w.t("places.cost.year", "now", now, "then", w.money(x.Price.Month(max(x.Done, x.Total)+more), x.Price.Currency), "n", o.Days)
}

func (s *Server) copyPricePage(c echo.Context) (templates.CopyPrice, error) {
	x, err := s.findCopy(c)
	if err != nil {
		return templates.CopyPrice{}, err
	}
	w := s.words(c)
	return templates.CopyPrice{Shell: s.shell(c, w.t("places.cost"), "/storage"), ID: x.ID, Name: or(x.Name, w.t("places.unnamed")), Price: x.Price.String()}, nil
}

func (s *Server) copyPrice(c echo.Context) error {
	p, err := s.copyPricePage(c)
	if err != nil {
		return err
	}
	return render(c, http.StatusOK, p)
}

func (s *Server) copyPriceKeep(c echo.Context) error {
	p, err := s.copyPricePage(c)
	if err != nil {
		return err
	}
	p.Price = c.FormValue("price")
	price, err := record.ParsePrice(p.Price)
	if err != nil {
		p.Err = s.words(c).t("places.price.bad")
		p.Problems = []ui.Problem{{Field: "price", Text: p.Err}}
		return render(c, http.StatusUnprocessableEntity, p)
	}
	if err := s.d.Machine.PriceCopy(c.Request().Context(), visitOf(c).session.User.Name, p.ID, price); err != nil {
		return err
	}
	return seeOther(c, "/storage?done=price")
}
