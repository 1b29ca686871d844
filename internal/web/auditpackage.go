package web

import (
	"errors"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"farol/internal/audit"
	"farol/templates"
	"farol/templates/ui"
)

// auditPackage sends the package of a period to whoever will check it. The
// entry is written before the first byte leaves.
func (s *Server) auditPackage(c echo.Context) error {
	w := s.words(c)
	from, to, ok := dates(c.FormValue("from"), c.FormValue("to"))
	if !ok || from.IsZero() || to.IsZero() {
		return s.auditPackageAgain(c, "filter.baddates")
	}
	first, end, err := s.d.Audit.Between(from, to)
	if err != nil {
		return err
	}
	if first >= end {
		return s.auditPackageAgain(c, "audit.pack.empty")
	}
	ctx := c.Request().Context()
	if err := s.note(c, audit.Event{Operation: "audit.export", Object: "audit", Outcome: "ok", Detail: map[string]string{"from": from.UTC().Format(time.RFC3339), "to": to.UTC().Format(time.RFC3339)}}); err != nil {
		return err
	}
	attach(c.Response(), "farol-audit-"+c.FormValue("from")+"-"+c.FormValue("to")+".zip", "application/zip")
	p, err := s.d.Audit.WritePackage(ctx, c.Response(), from, to)
	if err != nil {
		// The headers are gone: the reader gets a zip that is cut off, which no
		// program opens, and the log says why.
		s.d.Log.WarnContext(ctx, "a package of the audit log was cut off", "err", err)
		return errors.Join(http.ErrAbortHandler, err)
	}
	s.d.Log.InfoContext(ctx, "a package of the audit log left", "first", p.First, "end", p.End, "lang", w.l)
	return nil
}

// auditPackageAgain shows the form again with what was wrong.
func (s *Server) auditPackageAgain(c echo.Context, id string) error {
	w := s.words(c)
	p := templates.AuditList{Shell: s.shell(c, w.t("audit.title"), "/audit"), Seal: s.seal(c), Heading: w.t("audit.shown", "n", 0)}
	s.auditFilter(c, nil, &p)
	p.Pack = templates.PackForm{From: c.FormValue("from"), To: c.FormValue("to"), Err: w.t(id)}
	p.Problems = []ui.Problem{{Field: "pack-from", Text: p.Pack.Err}}
	return render(c, http.StatusUnprocessableEntity, p)
}
