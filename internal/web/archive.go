package web

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"farol/internal/catalog"
	"farol/internal/policy"
	"farol/internal/record"
	"farol/internal/restore"
	"farol/templates"
)

// pageSize is how many items a page of a container shows.
const pageSize = 60

func (s *Server) archiveHome(c echo.Context) error {
	return c.Redirect(http.StatusSeeOther, archivePath(record.Chat))
}

func (s *Server) kindOf(c echo.Context) (record.Kind, error) {
	k, err := record.ParseKind(c.Param("kind"))
	if err != nil {
		return "", echo.NewHTTPError(http.StatusNotFound)
	}
	return k, nil
}

// deptNames is every department's name by number.
func (s *Server) deptNames(c echo.Context) (map[int64]string, []record.Dept, error) {
	ds, err := s.d.Catalog.Depts(c.Request().Context())
	names := map[int64]string{}
	for _, d := range ds {
		names[d.ID] = d.Name
	}
	return names, ds, err
}

func (s *Server) containers(c echo.Context) error {
	ctx, w := c.Request().Context(), s.words(c)
	k, err := s.kindOf(c)
	if err != nil {
		return err
	}
	a, err := s.readAsOf(c)
	if err != nil {
		return err
	}
	if a.moved != "" {
		return c.Redirect(http.StatusSeeOther, a.moved)
	}
	list, err := s.d.Door.Containers(ctx, s.request(c), k, a.seq)
	if err != nil {
		return err
	}
	names, _, err := s.deptNames(c)
	if err != nil {
		return err
	}
	_, find, _ := s.keptWords(c) // kept no longer: the whole list
	var rows []templates.ContainerRow
	for _, i := range list {
		row := w.container(i, names, a.param())
		if find == "" || strings.Contains(strings.ToLower(row.Title+" "+row.Dept), strings.ToLower(find)) {
			rows = append(rows, row)
		}
	}
	if here := c.QueryParam("side"); here != "" { // the list beside a conversation
		for i := range rows {
			rows[i].Here = strings.HasPrefix(strings.TrimPrefix(rows[i].Href, archivePath(k)+"/"), here)
		}
		return part(c, templates.ThreadSide(rows))
	}
	p := templates.Containers{Shell: s.shell(c, w.kind(k), archivePath(k)), Kind: w.kind(k), Icon: kindIcons[k], Purpose: w.purpose(visitOf(c).session.Purpose), Rows: rows, Find: find,
		FindAction: c.Request().URL.Path, Unit: w.t("unit.items." + string(k)), EmptyText: w.t("archive.empty." + string(k)), AsOf: s.asOfBar(c, a)}
	return render(c, http.StatusOK, p)
}

// containersAsk takes the words that narrow the list.
func (s *Server) containersAsk(c echo.Context) error {
	k, err := s.kindOf(c)
	if err != nil {
		return err
	}
	return s.askWords(c, archivePath(k), func() error { return s.containers(c) })
}

// container is a container as a row.
func (w words) container(i catalog.ContainerInfo, names map[int64]string, asOf string) templates.ContainerRow {
	row := templates.ContainerRow{Href: query(archivePath(i.Kind)+"/"+strconv.FormatInt(i.CatalogID, 10), "as_of", asOf), Title: w.title(i), Dept: names[i.Dept], Items: w.t("count."+string(i.Kind), "n", w.n(i.Items)),
		Size: w.l.Size(i.Bytes), Last: w.moment(i.Last), Private: i.Private, Gone: i.Gone}
	if row.Dept == "" {
		row.Dept = w.t("archive.nodept")
	}
	if !i.Last.IsZero() {
		if row.Day = w.day(i.Last); w.day(w.now) == row.Day {
			row.Day = w.l.Clock(i.Last)
		}
	}
	if i.Deleted > 0 {
		row.Deleted = w.t("archive.deleted", "n", w.n(i.Deleted))
	}
	return row
}

func (w words) title(i catalog.ContainerInfo) string {
	switch {
	case i.Kind == record.Contacts:
		return w.t("kind.contacts")
	case i.Title != "":
		return i.Title
	}
	return w.t("archive.untitled")
}

// container opens a stretch of what a container holds.
func (s *Server) container(c echo.Context) error {
	ctx, w := c.Request().Context(), s.words(c)
	k, err := s.kindOf(c)
	if err != nil {
		return err
	}
	a, err := s.readAsOf(c)
	if err != nil {
		return err
	}
	if a.moved != "" {
		return c.Redirect(http.StatusSeeOther, a.moved)
	}
	id, err := strconv.ParseInt(c.Param("id"), 10, 64)
	if err != nil {
		return echo.NewHTTPError(http.StatusNotFound)
	}
	rq := s.request(c)
	q := catalog.PageQuery{Container: id, AsOf: a.seq, Limit: pageSize, Before: number(c, "before"), After: number(c, "after")}
	near := number(c, "near")
	if near != 0 {
		q.Before, q.After = near+1, 0
	}
	page, err := s.d.Door.Page(ctx, rq, q)
	if err != nil {
		return err
	}
	if page.Container.Kind != k {
		return restore.ErrNotFound
	}
	if near != 0 { // what was said next belongs to it
		after, err := s.d.Door.Page(ctx, rq, catalog.PageQuery{Container: id, AsOf: a.seq, Limit: pageSize / 3, After: near})
		if err != nil {
			return err
		}
		page.Items, page.Newer = append(page.Items, after.Items...), after.Newer
	}
	names, _, err := s.deptNames(c)
	if err != nil {
		return err
	}
	class := record.Open
	for _, it := range page.Items {
		class = max(class, it.Class)
	}
	here := c.Request().URL.Path
	older, newer := "", ""
	if page.Older != 0 {
		older = query(here, "as_of", a.param(), "before", strconv.FormatInt(page.Older, 10))
	}
	if page.Newer != 0 {
		newer = query(here, "as_of", a.param(), "after", strconv.FormatInt(page.Newer, 10))
	}
	info, name := page.Container, w.title(page.Container)
	export := ""
	if policy.May(rq.Subject, policy.Restore, w.now) {
		export = query("/restore", "kind", string(k), "container", strconv.FormatInt(id, 10), "as_of", a.param(), "step", "2")
	}
	find := query("/search", "as_of", a.param(), "in", strconv.FormatInt(id, 10))
	line := w.t("thread.line", "n", w.n(info.Items), "dept", or(names[info.Dept], w.t("archive.nodept")))
	if info.Private {
		line = w.t("thread.line.private", "n", w.n(info.Items))
	}
	shell, purpose := s.shell(c, name, archivePath(k)), w.purpose(string(rq.Purpose))
	if k == record.Chat {
		p := templates.Thread{Shell: shell, ID: strconv.FormatInt(id, 10), Name: name, Line: line, Class: int(class), ClassName: w.class(class), Purpose: purpose, AsOf: s.asOfBar(c, a),
			Older: older, Newer: newer, Newest: query(here, "as_of", a.param()), SearchHref: find, ExportHref: export}
		day := ""
		for _, it := range page.Items {
			m := w.message(it, nil, a.param())
			if d := w.weekday(it.Time); d != day {
				m.Day, day = d, d
			}
			m.Dept = names[it.Dept]
			if it.Dept == info.Dept {
				m.Dept = "" // said once in the head
			}
			m.Hit = it.ID == near
			if m.Hit {
				p.Selected = s.proofCard(c, it, 0, a.param())
			}
			p.Messages = append(p.Messages, m)
		}
		return render(c, http.StatusOK, p)
	}
	p := templates.Items{Shell: shell, Kind: w.kind(k), KindHref: archivePath(k), Icon: kindIcons[k], Name: name, Line: line, Class: int(class), ClassName: w.class(class), Purpose: purpose, AsOf: s.asOfBar(c, a),
		Older: older, Newer: newer, SearchHref: find, ExportHref: export, EmptyText: w.t("archive.empty." + string(k))}
	for _, f := range itemColumns[k] {
		p.Columns = append(p.Columns, w.t(f))
	}
	for _, it := range slices.Backward(page.Items) { // newest first in a list
		p.Rows = append(p.Rows, w.item(it, a.param()))
	}
	return render(c, http.StatusOK, p)
}

func or(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

func number(c echo.Context, name string) int64 {
	n, err := strconv.ParseInt(c.QueryParam(name), 10, 64)
	if err != nil {
		return 0
	}
	return n
}
