package web

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"farol/internal/i18n"
	"farol/internal/keys"
	"farol/internal/kit"
	"farol/internal/settings"
	"farol/templates"
	"farol/templates/ui"
)

// kitPage is the making of the recovery kit: k of n shares. The usual split is
// two of three.
func (s *Server) kitPage(c echo.Context, n, k int) (templates.SetupKit, error) {
	ctx, w := c.Request().Context(), s.words(c)
	p := templates.SetupKit{Setup: s.wizard(c, 6), N: n, K: k}
	var err error
	if p.Over, err = s.finished(c); err != nil {
		return p, err
	}
	if p.Firm, err = s.d.Settings.Get(ctx, settings.CorpName); err != nil {
		return p, err
	}
	switch now, err := s.d.Kit.Current(ctx); {
	case err == nil:
		p.Proved, p.Made, p.N, p.K = true, true, now.N, now.K
	case !errors.Is(err, kit.ErrNone):
		return p, err
	}
	p.Drawing = templates.ShareDrawing{N: p.N, K: p.K, Any: w.t("setup.kit.any", "k", p.K), Alone: w.t("setup.kit.alone"), Label: w.t("setup.kit.drawing", "n", p.N, "k", p.K)}
	for i := range p.N {
		p.Drawing.Names = append(p.Drawing.Names, w.t("setup.kit.piece", "i", i+1))
	}
	return p, nil
}

func (s *Server) kitForm(c echo.Context) error {
	p, err := s.kitPage(c, 3, 2)
	if err != nil {
		return err
	}
	return render(c, http.StatusOK, p)
}

func (s *Server) kitMake(c echo.Context) error {
	n, _ := strconv.Atoi(c.FormValue("n")) // what is no number is 0, which is refused
	k, _ := strconv.Atoi(c.FormValue("k"))
	v := visitOf(c)
	shares, err := s.d.Machine.Kit(c.Request().Context(), v.session.User.Name, n, k)
	if text, ok := said(err, v.lang); ok {
		p, err := s.kitPage(c, 3, 2)
		if err != nil {
			return err
		}
		p.Problems = []ui.Problem{{Field: "n", Text: text}}
		return render(c, http.StatusUnprocessableEntity, p)
	}
	if err != nil {
		return err
	}
	return s.kitShares(c, shares, n, k, false)
}

// kitShares shows shares once. fresh: of a root key that does not count yet.
func (s *Server) kitShares(c echo.Context, shares []keys.Share, n, k int, fresh bool) error {
	p, err := s.kitPage(c, n, k)
	if err != nil {
		return err
	}
	p.Fresh = fresh
	p.N, p.K, p.Made, p.Proved, p.Typed = n, k, true, false, make([]string, k)
	for i := range shares {
		m, text := shares[i].Mark(), shares[i].Text()
		side, path, err := qrPath(text)
		if err != nil {
			return err
		}
		p.Shares = append(p.Shares, templates.Share{Number: shares[i].Number, Text: text, English: m.English(), Chinese: m.Chinese(visitOf(c).lang == i18n.ZhHans), Side: side, Path: path})
	}
	return render(c, http.StatusOK, p)
}

func (s *Server) kitConfirm(c echo.Context) error {
	form, err := c.FormParams()
	if err != nil {
		return err
	}
	typed, was := form["share"], s.d.Machine.KeyCheck()
	if err := s.d.Machine.ConfirmKit(c.Request().Context(), visitOf(c).session.User.Name, typed); err != nil {
		text, ok := said(err, visitOf(c).lang)
		if !ok {
			return err
		}
		k := max(len(typed), 2)
		p, perr := s.kitPage(c, max(k, 3), k)
		if perr != nil {
			return perr
		}
		p.Made, p.Proved, p.Typed = true, false, append(typed, make([]string, k-len(typed))...)
		p.Problems = []ui.Problem{{Field: "share-1", Text: text}}
		return render(c, http.StatusUnprocessableEntity, p)
	}
	s.stale()
	if over, err := s.finished(c); err != nil || over {
		if s.d.Machine.KeyCheck() != was {
			return errors.Join(err, seeOther(c, "/kit/locks?done=rotated"))
		}
		return errors.Join(err, seeOther(c, "/kit"))
	}
	if err := s.reach(c, 7); err != nil {
		return err
	}
	return seeOther(c, "/setup/run")
}
