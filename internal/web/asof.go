package web

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"farol/internal/i18n"
	"farol/templates"
)

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
