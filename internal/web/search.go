package web

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"farol/internal/catalog"
	"farol/internal/i18n"
	"farol/internal/record"
	"farol/internal/restore"
	"farol/templates"
	"farol/templates/ui"
)

const searchPage = 20

// dates reads a range of days in Macau; "to" is the last day inside.
func dates(from, to string) (a, b time.Time, ok bool) {
	ok = true
	read := func(v string) time.Time {
		if v == "" {
			return time.Time{}
		}
		t, err := time.ParseInLocation(time.DateOnly, v, i18n.Macau)
		if err != nil {
			ok = false
		}
		return t
	}
	a, b = read(from), read(to)
	if !b.IsZero() {
		b = b.AddDate(0, 0, 1)
	}
	if !a.IsZero() && !b.IsZero() && !a.Before(b) {
		ok = false
	}
	return a, b, ok
}

// choices of the filters; the first means all.
func (w words) kindChoices(on string) []ui.Choice {
	out := []ui.Choice{{Label: w.t("filter.allkinds"), On: on == ""}}
	for _, k := range record.Kinds {
		out = append(out, ui.Choice{Value: string(k), Label: w.kind(k), On: string(k) == on})
	}
	return out
}

func (w words) deptChoices(all []record.Dept, on string) []ui.Choice {
	out := []ui.Choice{{Label: w.t("filter.alldepts"), On: on == ""}}
	f := newFamily(all)
	for _, d := range f.order {
		id := strconv.FormatInt(d.ID, 10)
		out = append(out, ui.Choice{Value: id, Label: strings.Repeat("\u2003", f.depth[d.ID]) + d.Name, On: id == on})
	}
	return out
}

// searchAsk takes the words of a search.
func (s *Server) searchAsk(c echo.Context) error {
	return s.askWords(c, "/search", func() error { return s.searchFor(c, "", "", s.words(c).t("search.long", "n", longestAsk)) })
}

// search answers what was asked for.
func (s *Server) search(c echo.Context) error {
	id, text, ok := s.keptWords(c)
	if !ok {
		return s.searchFor(c, "", "", s.words(c).t("search.gone"))
	}
	return s.searchFor(c, id, text, "")
}

// searchFor shows the page with what the words find, or with a problem of theirs.
func (s *Server) searchFor(c echo.Context, askedID, text, problem string) error {
	ctx, w, rq := c.Request().Context(), s.words(c), s.request(c)
	_, depts, err := s.deptNames(c)
	if err != nil {
		return err
	}
	kind, dept, from, to := c.QueryParam("kind"), c.QueryParam("dept"), c.QueryParam("from"), c.QueryParam("to")
	p := templates.Search{Shell: s.shell(c, w.t("search.title"), "/search"), Purpose: w.purpose(string(rq.Purpose)), Q: text, Asks: askedID, Kinds: w.kindChoices(kind), Depts: w.deptChoices(depts, dept), From: from, To: to}
	for _, v := range []string{kind, dept, from, to} {
		if v != "" {
			p.Filters++
		}
	}
	a, err := s.readAsOf(c)
	if err != nil {
		return err
	}
	if a.moved != "" {
		return c.Redirect(http.StatusSeeOther, a.moved)
	}
	asOf, kept := a.seq, []templates.Kept(nil)
	for _, k := range []string{"s", "kind", "dept", "from", "to", "in"} {
		if x := c.QueryParam(k); x != "" {
			kept = append(kept, templates.Kept{Name: k, Value: x})
		}
	}
	p.AsOf = s.asOfBar(c, a, kept...)
	q := catalog.Query{Limit: searchPage, Before: number(c, "before"), Container: number(c, "in"), AsOf: asOf}
	if q.Container != 0 {
		info, err := s.d.Door.Container(ctx, rq, q.Container, asOf)
		if err != nil {
			return err
		}
		p.Container, p.ContainerName = c.QueryParam("in"), w.title(info)
	}
	if problem != "" {
		p.Problems = []ui.Problem{{Field: "q", Text: problem}}
		return render(c, http.StatusUnprocessableEntity, p)
	}
	var ok bool
	if q.From, q.To, ok = dates(from, to); !ok {
		p.FromErr = w.t("filter.baddates")
		p.Problems = []ui.Problem{{Field: "from", Text: p.FromErr}}
		return render(c, http.StatusUnprocessableEntity, p)
	}
	if k, err := record.ParseKind(kind); err == nil {
		q.Kind = k
	}
	if id, err := strconv.ParseInt(dept, 10, 64); err == nil {
		q.Dept = restore.Below(depts, []int64{id})
	}
	if text == "" {
		return render(c, http.StatusOK, p)
	}
	p.Asked = true
	res, err := s.d.Door.Search(ctx, rq, text, q)
	if errors.Is(err, restore.ErrEmpty) {
		p.Asked = false
		p.Problems = []ui.Problem{{Field: "q", Text: w.t("search.nowords")}}
		return render(c, http.StatusUnprocessableEntity, p)
	}
	if err != nil {
		return err
	}
	p.Timeout = res.Timeout
	p.Heading = w.t("search.count", "n", w.n(int64(res.Count)))
	if !res.Exact || res.Count >= restore.CountLimit {
		p.Heading = w.t("search.count.most", "n", w.n(int64(res.Count)))
	}
	if res.Count >= restore.CountLimit {
		p.Heading = w.t("search.count.least", "n", w.n(restore.CountLimit))
	}
	p.Line = w.t("search.took", "took", w.l.Duration(res.Took), "n", len(res.Items))
	names := map[int64]string{}
	for _, it := range res.Items {
		where, ok := names[it.Container]
		if !ok {
			info, err := s.d.Door.Container(ctx, rq, it.Container, asOf)
			if err != nil && !errors.Is(err, restore.ErrNotFound) {
				return err
			}
			where = w.title(info)
			names[it.Container] = where
		}
		p.Hits = append(p.Hits, w.hit(it, where, c.QueryParam("as_of")))
	}
	if res.Next != 0 {
		p.Next = query("/search", "as_of", c.QueryParam("as_of"), "s", askedID, "kind", kind, "dept", dept, "from", from, "to", to, "in", c.QueryParam("in"), "before", strconv.FormatInt(res.Next, 10))
	}
	p.Histogram = w.histogram(res.Items)
	return render(c, http.StatusOK, p)
}

// hit is a found record with its words marked.
func (w words) hit(it restore.Item, where, at string) templates.Hit {
	h := templates.Hit{Icon: hitIcons[it.Kind], Kind: w.kind(it.Kind), Href: query(recordPath(it.ID), "as_of", at), Where: where, Who: it.Author, When: w.moment(it.Time), Parts: snippet(mask(it.Shown), it.Spans)}
	if it.Kind == record.Chat {
		id := strconv.FormatInt(it.ID, 10)
		h.Href = query(archivePath(it.Kind)+"/"+strconv.FormatInt(it.Container, 10), "as_of", at, "near", id) + "#m" + id
		if it.Until != 0 { // an older version stands only on its own page
			h.Href = query(recordPath(it.ID), "as_of", at)
		}
	}
	switch {
	case it.Damage != nil:
		h.Damage = w.t("thread.damaged")
	case it.Doc.State.Recalled:
		h.State, h.Word = ui.Signal, w.t("export.recalled")
	case it.Record.Deleted:
		h.State, h.Word = ui.Signal, w.t("export.deleted")
	case it.Until != 0:
		h.State, h.Word = ui.Idle, w.t("search.older")
	}
	return h
}

// snippet is the text around the first hit, with every hit inside it marked.
func snippet(text string, spans []catalog.Span) []ui.Part {
	const before, length = 40, 180
	rs := []rune(text)
	start := 0
	if len(spans) > 0 && spans[0].Start > before {
		start = spans[0].Start - before
	}
	end := min(start+length, len(rs))
	var out []ui.Part
	add := func(a, b int, hit bool) {
		if a = max(a, start); a < min(b, end) {
			out = append(out, ui.Part{Text: string(rs[a:min(b, end)]), Hit: hit})
		}
	}
	if start > 0 {
		out = append(out, ui.Part{Text: "…"})
	}
	at := start
	for _, sp := range spans {
		if sp.Start < at || sp.Start >= end {
			continue
		}
		add(at, sp.Start, false)
		add(sp.Start, sp.End, true)
		at = sp.End
	}
	add(at, end, false)
	if end < len(rs) {
		out = append(out, ui.Part{Text: "…"})
	}
	return out
}

// histogram counts the hits of this page by day; it says so.
func (w words) histogram(items []restore.Item) templComponent {
	if len(items) < 2 {
		return nil
	}
	day := func(t time.Time) time.Time {
		t = t.In(i18n.Macau)
		return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, i18n.Macau)
	}
	last, first := day(items[0].Time), day(items[len(items)-1].Time)
	n := int(last.Sub(first).Hours()/24) + 1
	if n < 2 || n > 400 {
		return nil
	}
	cols := make([]ui.Column, n)
	for i := range cols {
		d := first.AddDate(0, 0, i)
		cols[i].Label = w.day(d)
	}
	best := 0
	for _, it := range items {
		i := int(day(it.Time).Sub(first).Hours() / 24)
		if i < 0 || i >= n {
			continue
		}
		cols[i].Value++
		if cols[i].Value > cols[best].Value {
			best = i
		}
	}
	for i := range cols {
		cols[i].Title = w.t("search.day", "day", cols[i].Label, "n", cols[i].Value)
	}
	return ui.Histogram(cols, w.t("search.histogram", "day", cols[best].Label, "n", cols[best].Value))
}
