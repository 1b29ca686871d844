package web

import (
	"cmp"
	"slices"

	"github.com/labstack/echo/v4"

	"farol/internal/verify"
	"farol/templates"
	"farol/templates/ui"
)

var verifyStates = map[string]ui.State{verify.Running: ui.Run, verify.Waiting: ui.Signal, verify.Done: ui.Safe, verify.Failed: ui.Danger}

// verified is the table of what was read back.
func (s *Server) verified(c echo.Context) templates.Verified {
	ctx, w := c.Request().Context(), s.words(c)
	v, err := s.d.Machine.Verified(ctx)
	if err != nil {
		return templates.Verified{Panel: s.broken(c, "verified", err)}
	}
	names, _, err := s.deptNames(c)
	if err != nil {
		return templates.Verified{Panel: s.broken(c, "departments", err)}
	}
	var out templates.Verified
	slices.SortStableFunc(v.Parts, func(a, b verify.Part) int {
		return cmp.Or(cmp.Compare(a.Dept, b.Dept), cmp.Compare(kindOrder(a.Kind), kindOrder(b.Kind)))
	})
	for _, p := range v.Parts {
		row := templates.VerifiedPart{Dept: or(names[p.Dept], w.t("archive.nodept")), Kind: w.kind(p.Kind), Icon: kindIcons[p.Kind], Records: w.n(p.Records), Files: w.n(p.Files), Bytes: w.l.Size(p.Bytes),
			State: ui.Safe, Word: w.t("verify.same"), Root: p.Root}
		if p.Bad > 0 {
			row.State, row.Word = ui.Danger, w.t("verify.bad", "n", w.n(p.Bad))
		}
		out.When = w.moment(p.At)
		out.Parts = append(out.Parts, row)
	}
	for _, r := range v.Runs {
		out.Runs = append(out.Runs, w.reading(r))
	}
	return out
}

// reading is one run of the history.
func (w words) reading(r verify.Run) templates.VerifiedRun {
	row := templates.VerifiedRun{Started: w.moment(r.Started), What: w.t("verify.what." + r.What), State: verifyStates[r.State], Word: w.t("verify.is." + r.State), Records: w.n(r.Records), Bytes: w.l.Size(r.Bytes),
		Took: w.l.Duration(r.Took), By: w.by(r.By)}
	switch {
	case r.Bad > 0:
		row.State, row.Detail = ui.Danger, w.t("verify.bad", "n", w.n(r.Bad))
	case r.Missing > 0:
		row.State, row.Detail = ui.Danger, w.t("verify.missing", "n", w.n(r.Missing), "listed", w.n(r.Listed))
	case r.Healed > 0:
		row.State, row.Detail = ui.Signal, w.t("verify.healed", "n", w.n(r.Healed))
	case r.Listed > 0:
		row.Detail = w.t("verify.listed", "n", w.n(r.Listed))
	}
	return row
}
