package web

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"farol/internal/audit"
	"farol/internal/i18n"
	"farol/templates"
)

// A state of the past is in the address, as as_of=<commit>: every page that
// can show it hands it on, so that Back, bookmarks and links to a colleague
// keep to it.

// readSeq is the commit that a page is to be seen at, 0 for now.
func readSeq(c echo.Context) (uint64, error) {
	v := c.FormValue("as_of")
	if v == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(v, 10, 63)
	if err != nil {
		return 0, &i18n.Error{ID: "then.badcommit"}
	}
	return n, nil
}

// then is the band of a page that shows the past, nil for now.
func (s *Server) then(c echo.Context) *templates.Then {
	seq, err := readSeq(c)
	if err != nil || seq == 0 || !showsThen(c.Path()) {
		return nil
	}
	if last, err := s.d.Catalog.Applied(c.Request().Context()); err != nil || seq > last {
		return nil // refused: nobody looks at a state that never was
	}
	w, r := s.words(c), c.Request()
	t := &templates.Then{Seq: strconv.FormatUint(seq, 10)}
	t.Text = w.t("then.commit", "n", t.Seq)
	if at := s.timeOf(seq); !at.IsZero() {
		t.Text = w.t("then.band", "when", w.full(at).Text, "n", t.Seq)
	}
	q := r.URL.Query()
	for _, k := range []string{"as_of", "at", "when", "before", "after", "done"} {
		q.Del(k)
	}
	t.Back = r.URL.Path
	if strings.HasSuffix(t.Back, "/reveal") || r.Method != "GET" {
		t.Back = strings.TrimSuffix(strings.TrimSuffix(t.Back, "/reveal"), "/run")
	}
	if len(q) > 0 {
		t.Back += "?" + q.Encode()
	}
	return t
}

// showsThen reports routes that can show the past.
func showsThen(route string) bool {
	for _, p := range []string{"/archive", "/record", "/search", "/restore"} {
		if route == p || strings.HasPrefix(route, p+"/") {
			return true
		}
	}
	return false
}

// keepThen lets the entries of the rail that show content keep to the state.
func keepThen(nav []templates.NavItem, seq string) {
	for i := range nav {
		if showsThen(nav[i].Href) {
			nav[i].Href = query(nav[i].Href, "as_of", seq)
		}
		keepThen(nav[i].Sub, seq)
	}
}

// timeOf is when the log witnessed the newest records up to a commit, zero when
// there were none. Commits that only move a cursor have no entry.
func (s *Server) timeOf(seq uint64) time.Time {
	at, _, err := s.witnessed(seq, 0)
	if err != nil {
		return time.Time{}
	}
	return at
}

// whenLayout is how a browser sends a date with a time.
const whenLayout = "2006-01-02T15:04"

// commitAt is the last commit up to the end of a minute in Macau. Commits are
// in the order of their times, so that halving finds it.
func (s *Server) commitAt(c echo.Context, when string) (uint64, error) {
	t, err := time.ParseInLocation(whenLayout, when, i18n.Macau)
	if err != nil {
		return 0, &i18n.Error{ID: "then.badtime"}
	}
	t = t.Add(time.Minute)
	lo, hi := uint64(0), uint64(0) // lo: known to be in time, 0 = none
	if hi, err = s.d.Catalog.Applied(c.Request().Context()); err != nil {
		return 0, err
	}
	for lo < hi {
		mid := lo + (hi-lo+1)/2
		at, seq, err := s.witnessed(mid, lo)
		if err != nil {
			return 0, err
		}
		switch {
		case seq == lo: // none between them has an entry
			hi = mid - 1
		case at.Before(t):
			lo = mid
		default:
			hi = seq - 1
		}
	}
	if _, lo, err = s.witnessed(lo, 0); err == nil && lo == 0 {
		err = &i18n.Error{ID: "then.before"}
	}
	return lo, err
}

// witnessed is the newest commit from seq down to after lo that has an entry
// in the log, with its time; lo when there is none.
func (s *Server) witnessed(seq, lo uint64) (time.Time, uint64, error) {
	last, err := s.d.Audit.LastCommit() // an address may name any number
	if err != nil {
		return time.Time{}, 0, err
	}
	for seq = min(seq, last); seq > lo; seq-- {
		n, err := s.d.Audit.FindCommit(seq)
		if errors.Is(err, audit.ErrNotFound) {
			continue
		} else if err != nil {
			return time.Time{}, 0, err
		}
		e, err := s.d.Audit.Entry(n)
		return e.Time, seq, err
	}
	return time.Time{}, lo, nil
}
