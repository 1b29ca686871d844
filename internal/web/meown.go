package web

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/labstack/echo/v4"

	"farol/internal/catalog"
	"farol/internal/policy"
	"farol/internal/record"
	"farol/internal/restore"
	"farol/templates"
	"farol/templates/ui"
)

func (s *Server) mePage(c echo.Context, title string) templates.Me {
	return templates.Me{Bare: s.meBare(c, title), Name: visitOf(c).member.Shown}
}

// meHome says what is kept of him, by kind and year, and what his rights are.
func (s *Server) meHome(c echo.Context) error {
	w := s.words(c)
	if err := s.d.Members.View(&visitOf(c).member.Person); err != nil {
		return s.slowed(c, err)
	}
	all, err := s.d.Door.OwnTallies(c.Request().Context(), s.own(c))
	if err != nil {
		return err
	}
	p := templates.MeHome{Me: s.mePage(c, w.t("self.title"))}
	for _, k := range policy.OwnKinds {
		row := templates.MeKind{Icon: kindIcons[k], Kind: w.kind(k), Href: query("/me/search", "kind", string(k))}
		var years []catalog.Tally
		var n int64
		for _, t := range all {
			if t.Kind == k {
				years, n = append(years, t), n+t.Items
			}
		}
		slices.SortFunc(years, func(a, b catalog.Tally) int { return cmp.Compare(b.Year, a.Year) })
		for _, t := range years {
			row.Years = append(row.Years, templates.MeYear{Label: strconv.Itoa(t.Year), Count: w.n(t.Items),
				Href: query("/me/search", "kind", string(k), "from", fmt.Sprintf("%d-01-01", t.Year), "to", fmt.Sprintf("%d-12-31", t.Year))})
		}
		row.Count, row.Empty = w.n(n), n == 0
		p.Rows = append(p.Rows, row)
	}
	return render(c, http.StatusOK, p)
}

func (w words) meKinds(on string) []ui.Choice {
	out := []ui.Choice{{Label: w.t("filter.allkinds"), On: on == ""}}
	for _, k := range policy.OwnKinds {
		out = append(out, ui.Choice{Value: string(k), Label: w.kind(k), On: string(k) == on})
	}
	return out
}

// meSearch finds or lists what he wrote.
func (s *Server) meAsk(c echo.Context) error {
	return s.askWords(c, "/me/search", func() error { return s.meFor(c, "", "", s.words(c).t("search.long", "n", longestAsk)) })
}

// meSearch lists or finds what is the member's own.
func (s *Server) meSearch(c echo.Context) error {
	id, text, ok := s.keptWords(c)
	if !ok {
		return s.meFor(c, "", "", s.words(c).t("search.gone"))
	}
	return s.meFor(c, id, text, "")
}

func (s *Server) meFor(c echo.Context, askedID, text, problem string) error {
	w := s.words(c)
	kind, from, to := c.QueryParam("kind"), c.QueryParam("from"), c.QueryParam("to")
	p := templates.MeSearch{Me: s.mePage(c, w.t("self.search")), Q: text, Kinds: w.meKinds(kind), From: from, To: to}
	if err := s.d.Members.Search(&visitOf(c).member.Person); err != nil {
		return s.slowed(c, err)
	}
	if problem != "" {
		p.Problems = []ui.Problem{{Field: "q", Text: problem}}
		return render(c, http.StatusUnprocessableEntity, p)
	}
	q := restore.OwnQuery{Text: text, OwnQuery: catalog.OwnQuery{Before: number(c, "before"), Limit: searchPage}}
	var ok bool
	if q.From, q.To, ok = dates(from, to); !ok {
		p.FromErr = w.t("filter.baddates")
		p.Problems = []ui.Problem{{Field: "from", Text: p.FromErr}}
		return render(c, http.StatusUnprocessableEntity, p)
	}
	if k, err := record.ParseKind(kind); err == nil {
		q.Kind = k
	}
	res, err := s.d.Door.OwnList(c.Request().Context(), s.own(c), q)
	if errors.Is(err, restore.ErrEmpty) {
		p.Problems = []ui.Problem{{Field: "q", Text: w.t("search.nowords")}}
		return render(c, http.StatusUnprocessableEntity, p)
	}
	if err != nil {
		return err
	}
	p.Asked, p.Timeout = true, res.Timeout
	for i := range res.Items {
		p.Hits = append(p.Hits, w.ownHit(&res.Items[i]))
	}
	if res.Next != 0 {
		p.Next = query("/me/search", "s", askedID, "kind", kind, "from", from, "to", to, "before", strconv.FormatInt(res.Next, 10))
	}
	return render(c, http.StatusOK, p)
}

func meRecordPath(id int64) string { return "/me/record/" + strconv.FormatInt(id, 10) }

// ownWhere says where something of his lies.
func (w words) ownWhere(it *restore.OwnItem) string {
	switch {
	case it.Where != "":
		return it.Where
	case it.State&catalog.Private != 0:
		return w.t("self.where.private")
	}
	return w.t("self.where.group")
}

func (w words) ownHit(it *restore.OwnItem) templates.Hit {
	h := templates.Hit{Icon: hitIcons[it.Kind], Kind: w.kind(it.Kind), Href: meRecordPath(it.ID), Where: w.ownWhere(it), When: w.moment(it.Time), Parts: snippet(it.Text(), it.Spans)}
	switch {
	case it.Damage != nil:
		h.Damage = w.t("thread.damaged")
	case it.Own.State.Recalled:
		h.State, h.Word = ui.Signal, w.t("export.recalled")
	case it.Gone:
		h.State, h.Word = ui.Signal, w.t("export.deleted")
	case it.Until != 0:
		h.State, h.Word = ui.Idle, w.t("search.older")
	}
	return h
}

// meRecord shows one record of his with its versions.
func (s *Server) meRecord(c echo.Context) error {
	w := s.words(c)
	id, err := recordID(c)
	if err != nil {
		return err
	}
	if err := s.d.Members.View(&visitOf(c).member.Person); err != nil {
		return s.slowed(c, err)
	}
	it, versions, err := s.d.Door.OwnItem(c.Request().Context(), s.own(c), id)
	if err != nil {
		return err
	}
	p := templates.MeRecord{Me: s.mePage(c, w.t("self.record")), Kind: w.kind(it.Kind), Icon: hitIcons[it.Kind], Heading: or(it.Title, w.t("self.message")), Where: w.ownWhere(&it), When: w.full(it.Time),
		Body: it.Body, Fields: w.fields(it.Fields, unmasked), Omitted: it.Omitted, Recalled: it.Own.State.Recalled, Gone: it.Gone, Damaged: it.Damage != nil}
	for _, f := range it.Files {
		at := w.attachment(it.ID, f.N, record.Blob{Name: f.Name, Size: f.Size})
		at.Href, at.Image = meRecordPath(it.ID)+"/blob/"+strconv.Itoa(f.N)+"/download", ""
		p.Files = append(p.Files, at)
	}
	before := ""
	for i := range versions {
		v := &versions[i]
		row := templates.Version{Number: w.t("record.version", "n", i+1), Href: meRecordPath(v.ID), Here: v.ID == it.ID, Kept: w.full(v.Time), What: w.ownChange(v, i)}
		body := v.Text()
		row.Body, before = changed(before, body), body
		p.Versions = append(p.Versions, row)
	}
	return render(c, http.StatusOK, p)
}

func (w words) ownChange(v *restore.OwnItem, i int) string {
	switch {
	case v.Damage != nil:
		return w.t("state.damaged")
	case v.Gone:
		return w.t("record.change.deleted")
	case v.Own.State.Recalled:
		return w.t("record.change.recalled")
	case i == 0:
		return w.t("record.change.first")
	}
	return w.t("record.change.edited")
}

// meTake gives him a file back.
func (s *Server) meTake(c echo.Context) error {
	id, err := recordID(c)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(c.Param("n"))
	if err != nil {
		return echo.NewHTTPError(http.StatusNotFound)
	}
	if err := s.d.Members.Download(c.Request().Context(), &visitOf(c).member.Person); err != nil {
		return s.slowed(c, err)
	}
	r, b, err := s.d.Door.OwnBlob(c.Request().Context(), s.own(c), id, n)
	if err != nil {
		return err
	}
	defer r.Close()
	c.Response().Header().Set("Content-Security-Policy", "default-src 'none'; sandbox")
	attach(c.Response(), or(b.Name, "attachment"), "application/octet-stream")
	http.ServeContent(moving(c), c.Request(), "", s.d.Now(), r)
	return nil
}
