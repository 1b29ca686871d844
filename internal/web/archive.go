package web

import (
	"fmt"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"farol/internal/catalog"
	"farol/internal/connector"
	"farol/internal/i18n"
	"farol/internal/policy"
	"farol/internal/record"
	"farol/internal/restore"
	"farol/templates"
	"farol/templates/ui"
)

// pageSize is how many items a page of a container shows.
const pageSize = 60

func (s *Server) archiveHome(c echo.Context) error {
	return c.Redirect(http.StatusSeeOther, archivePath(record.Chat))
}

// asOf is the commit that a page is seen at, 0 for now. Pressing the slider
// sends a place in the list; the address then gets the commit, which stays
// true when points are added.
type asOf struct {
	seq    uint64
	points []Point
	err    error
	moved  string // address to go to
}

func (s *Server) readAsOf(c echo.Context) (asOf, error) {
	var a asOf
	a.points, a.err = s.d.Machine.Points(c.Request().Context())
	slices.SortFunc(a.points, func(x, y Point) int { return int(int64(x.Seq) - int64(y.Seq)) })
	if at := c.QueryParam("at"); at != "" {
		q := c.QueryParams()
		q.Del("at")
		q.Del("as_of")
		for _, k := range []string{"before", "after", "near"} {
			q.Del(k)
		}
		if i, err := strconv.Atoi(at); err == nil && i >= 0 && i < len(a.points) {
			q.Set("as_of", strconv.FormatUint(a.points[i].Seq, 10))
		}
		a.moved = c.Request().URL.Path
		if len(q) > 0 {
			a.moved += "?" + q.Encode()
		}
	}
	if when := c.QueryParam("when"); when != "" {
		seq, err := s.commitAt(c, when)
		if err != nil {
			return a, err
		}
		q := c.QueryParams()
		for _, k := range []string{"when", "before", "after", "near"} {
			q.Del(k)
		}
		q.Set("as_of", strconv.FormatUint(seq, 10))
		a.moved = c.Request().URL.Path + "?" + q.Encode()
	}
	var err error
	a.seq, err = readSeq(c)
	return a, err
}

func (a *asOf) param() string {
	if a.seq == 0 {
		return ""
	}
	return strconv.FormatUint(a.seq, 10)
}

// bar is the point-in-time bar of a page; hidden goes along.
func (s *Server) asOfBar(c echo.Context, a asOf, hidden ...templates.Kept) templates.AsOf {
	w := s.words(c)
	bar := templates.AsOf{Action: c.Request().URL.Path, Hidden: hidden}
	if t := s.timeOf(a.seq); a.seq != 0 && !t.IsZero() {
		bar.When = t.In(i18n.Macau).Format(whenLayout)
	}
	if a.err != nil {
		bar.Err = s.broken(c, "points", a.err).Broken
		return bar
	}
	var labels []string
	for i, p := range a.points {
		pt := templates.Point{Seq: strconv.FormatUint(p.Seq, 10), Label: w.moment(p.Time).Text}
		if p.Seq <= a.seq {
			bar.At = i
		}
		bar.Points = append(bar.Points, pt)
		labels = append(labels, pt.Label)
	}
	if n := len(bar.Points); n > 0 { // after the newest point comes what is not folded yet: now
		bar.Points = append(bar.Points, templates.Point{Label: w.t("asof.now")})
		labels = append(labels, w.t("asof.now"))
		if a.seq == 0 {
			bar.At = n
		}
		to := func(i int) string {
			q := url.Values{}
			for _, k := range hidden {
				q.Set(k.Name, k.Value)
			}
			if bar.Points[i].Seq != "" {
				q.Set("as_of", bar.Points[i].Seq)
			}
			if len(q) == 0 {
				return bar.Action
			}
			return bar.Action + "?" + q.Encode()
		}
		if bar.At > 0 {
			bar.Prev = to(bar.At - 1)
		}
		if bar.At < n {
			bar.Next = to(bar.At + 1)
		}
	}
	bar.Labels = strings.Join(labels, "|")
	return bar
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
	find := strings.TrimSpace(c.QueryParam("find"))
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

// itemColumns are the fields a list of a kind shows.
var itemColumns = map[record.Kind][]string{
	record.Files:     {"field.path", "archive.size", "items.author"},
	record.Approvals: {"field.number", "items.author", "field.result"},
	record.Contacts:  {"field.department", "field.title", "field.job_number"},
}

func recordPath(id int64) string { return "/record/" + strconv.FormatInt(id, 10) }

// item is an item of a list.
func (w words) item(it restore.Item, asOf string) templates.ItemRow {
	row := templates.ItemRow{Href: query(recordPath(it.ID), "as_of", asOf), Icon: hitIcons[it.Kind], Title: or(it.Doc.Title, w.t("items.untitled")), When: w.moment(it.Time), State: ui.Safe, Word: w.t("state.kept")}
	var size int64
	for _, b := range it.Record.Blobs {
		size += b.Size
	}
	for _, id := range itemColumns[it.Kind] {
		v := ""
		switch id {
		case "archive.size":
			if v = "–"; len(it.Record.Blobs) > 0 {
				v = w.l.Size(size)
			}
		case "items.author":
			v = it.Author
		default:
			for _, f := range it.Doc.Fields {
				if f.Label == id {
					v = f.Value
				}
			}
		}
		row.Cells = append(row.Cells, v)
	}
	switch {
	case it.Damage != nil:
		row.State, row.Word, row.Title = ui.Danger, w.t("state.damaged"), w.t("items.untitled")
	case it.State&catalog.Tombstone != 0:
		row.State, row.Word = ui.Signal, w.t("state.deleted")
	case it.State&catalog.Incomplete != 0:
		row.State, row.Word = ui.Signal, w.t("state.incomplete")
	case it.Doc.State.Running:
		row.State, row.Word = ui.Run, w.t("state.running")
	}
	return row
}

// message is an item as a line of a talk. spans are search hits in its text.
func (w words) message(it restore.Item, reveal func(string) string, asOf string) templates.Message {
	if reveal == nil {
		reveal = mask
	}
	d := it.Doc
	m := templates.Message{ID: strconv.FormatInt(it.ID, 10), Anchor: "m" + strconv.FormatInt(it.ID, 10), Author: it.Author, When: w.moment(it.Time), Title: reveal(d.Title), Href: query(recordPath(it.ID), "as_of", asOf)}
	m.When.Text = w.l.Clock(it.Time)
	if it.Damage != nil {
		m.Author, m.Damage = or(m.Author, w.t("thread.unknown")), w.t("thread.damaged")
		return m
	}
	if d.Body != "" {
		m.Body = []ui.Part{{Text: reveal(d.Body)}}
	}
	m.Note = it.Author == "" && len(d.Files) == 0 && it.Kind == record.Chat && !d.State.Recalled
	if m.Author == "" {
		m.Author = w.t("thread.unknown")
	}
	if r := d.Reply; r != nil {
		m.Quote = w.t("thread.quote", "who", or(r.Author, w.t("thread.unknown")), "text", reveal(r.Text))
	}
	m.Fields = w.fields(d.Fields, reveal)
	if d.State.Recalled {
		m.Recalled = w.t("thread.recalled")
	}
	if it.Record.Deleted {
		m.Deleted = w.t("thread.deleted")
	}
	if !d.State.Edited.IsZero() {
		m.Edited = w.t("thread.edited", "when", w.moment(d.State.Edited).Text)
	}
	for i, b := range it.Record.Blobs {
		m.Files = append(m.Files, w.attachment(it.ID, i, b))
	}
	if n := len(d.Files) - len(it.Record.Blobs); n > 0 {
		m.Missing = w.t("thread.missing", "names", strings.Join(d.Files[len(it.Record.Blobs):], w.t("list.comma")))
	}
	return m
}

func (w words) attachment(id int64, n int, b record.Blob) templates.Attached {
	at := fmt.Sprintf("%s/blob/%d", recordPath(id), n)
	out := templates.Attached{Name: or(b.Name, w.t("items.untitled")), Meta: w.t("file.meta", "size", w.l.Size(b.Size), "type", or(strings.ToUpper(strings.TrimPrefix(path.Ext(b.Name), ".")), "–")), Href: at + "/download", Icon: "file-text"}
	if showable(b) != "" {
		out.Image = at
	}
	return out
}

// showable is the picture type that may be shown inside a page, "" for others.
func showable(b record.Blob) string {
	switch strings.ToLower(path.Ext(b.Name)) {
	case ".png":
		return "image/png"
	case ".jpg", ".jpeg":
		return "image/jpeg"
	case ".gif":
		return "image/gif"
	case ".webp":
		return "image/webp"
	}
	return ""
}

func (w words) fields(list []connector.Field, reveal func(string) string) []templates.Pair {
	var out []templates.Pair
	for _, f := range list {
		if f.Value == "" {
			continue
		}
		p := templates.Pair{Label: f.Label, Value: reveal(f.Value)}
		if strings.HasPrefix(f.Label, "field.") && i18n.Has(f.Label) {
			p.Label = w.t(f.Label)
		}
		if f.Label == "field.mobile" && reveal(" 13800000000 ") != " 13800000000 " {
			p.Value = strings.Repeat("•", 8)
		}
		out = append(out, p)
	}
	return out
}

// identity are numbers of identity documents: Macau, Hong Kong, Mainland. They
// are not in the page until somebody says that he needs them.
var identity = regexp.MustCompile(`\b[1578]/?\d{6}(?:/\d|\(\d\)|（\d）)|\b[A-Z]{1,2}\d{6}(?:\([0-9A]\)|（[0-9A]）)|\b[1-9]\d{16}[\dXx]\b`)

// mask keeps the length, so that search hits stay where they are.
func mask(s string) string {
	return identity.ReplaceAllStringFunc(s, func(m string) string { return strings.Repeat("•", len([]rune(m))) })
}

func unmasked(s string) string { return s }
