package web

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"farol/internal/approval"
	"farol/internal/audit"
	"farol/internal/keys"
	"farol/internal/kit"
	"farol/templates"
	"farol/templates/ui"
)

// kit is who keeps the shares of the recovery key and whether they still do.
func (s *Server) kit(c echo.Context) error {
	p, err := s.custody(c)
	if err != nil {
		return err
	}
	return render(c, http.StatusOK, p)
}

func (s *Server) custody(c echo.Context) (templates.Kit, error) {
	w := s.words(c)
	p := templates.Kit{Shell: s.shell(c, w.t("kit.title"), "/assurance")}
	k, err := s.d.Kit.Current(c.Request().Context())
	if errors.Is(err, kit.ErrNone) {
		return p, nil
	}
	if err != nil {
		return p, err
	}
	p.Exists, p.N, p.K, p.Left = true, k.N, k.K, k.Left()
	p.Typed = make([]string, k.K)
	p.Check = w.kitCheck(&k, s.d.Machine.KeyCheck())
	tried := w.t("kit.never")
	if !k.Tried.IsZero() {
		tried = w.moment(k.Tried).Text
	}
	p.Facts = []templates.Pair{{Label: w.t("kit.made"), Value: w.t("kit.made.by", "at", w.moment(k.Made).Text, "by", k.By)}, {Label: w.t("kit.tried"), Value: tried}}
	for i := range k.Shares {
		x := &k.Shares[i]
		row := templates.HeldShare{Number: x.Number, Keeper: x.Keeper, Seen: w.moment(x.Seen), State: ui.Safe, Word: w.t("kit.there"), Live: x.Lost.IsZero()}
		switch {
		case !row.Live:
			row.State, row.Word = ui.Danger, w.t("kit.lost.since", "at", w.moment(x.Lost).Text)
		case x.Due(w.now):
			row.State, row.Word = ui.Signal, w.t("kit.due")
		}
		p.Rows = append(p.Rows, row)
	}
	return p, nil
}

// kitCheck is the kit in one line.
func (w words) kitCheck(k *kit.Kit, root string) templates.Check {
	switch {
	case k == nil:
		return templates.Check{State: ui.Signal, Line: w.t("kit.unproved"), Text: w.t("kit.unproved.text")}
	case k.Root != "" && k.Root != root:
		return templates.Check{State: ui.Danger, Line: w.t("kit.former"), Text: w.t("kit.former.text")}
	case !k.Opens():
		return templates.Check{State: ui.Danger, Line: w.t("kit.few", "left", k.Left(), "k", k.K), Text: w.t("kit.few.text")}
	case k.Left() < k.N:
		return templates.Check{State: ui.Signal, Line: w.t("kit.fewer", "left", k.Left(), "n", k.N, "k", k.K), Text: w.t("kit.fewer.text")}
	case k.Due(w.now) > 0:
		return templates.Check{State: ui.Signal, Line: w.t("kit.ask", "n", k.Due(w.now)), Text: w.t("kit.ask.text")}
	case k.RehearsalDue(w.now):
		return templates.Check{State: ui.Signal, Line: w.t("kit.again"), Text: w.t("kit.again.text")}
	}
	return templates.Check{State: ui.Safe, Line: w.t("kit.proved.of", "k", k.K, "n", k.N), Text: w.t("kit.proved.text")}
}

// kitAct does something with one share and comes back with the page.
func (s *Server) kitAct(c echo.Context, field, what string, do func(number int, entry func() error) error) error {
	number, err := strconv.Atoi(c.Param("number"))
	if err != nil {
		return echo.NewHTTPError(http.StatusNotFound)
	}
	err = do(number, func() error {
		return s.note(c, audit.Event{Operation: "key.share.issue", Object: "key/root", Outcome: "ok", Detail: map[string]string{"what": what, "shares": strconv.Itoa(number)}})
	})
	for id, target := range map[string]error{"kit.words.other": kit.ErrWords, "kit.words.bad": keys.ErrWords, "kit.keeper.long": kit.ErrKeeper, "kit.lost.already": kit.ErrLost} {
		if errors.Is(err, target) {
			p, perr := s.custody(c)
			if perr != nil {
				return perr
			}
			p.Problems = []ui.Problem{{Field: field + "-" + strconv.Itoa(number), Text: s.words(c).t(id, "n", number)}}
			return render(c, http.StatusUnprocessableEntity, p)
		}
	}
	if errors.Is(err, kit.ErrNone) {
		return echo.NewHTTPError(http.StatusNotFound)
	}
	if err != nil {
		return err
	}
	s.stale()
	return seeOther(c, "/kit?done="+what)
}

func (s *Server) kitKeeper(c echo.Context) error {
	return s.kitAct(c, "keeper", "keeper", func(number int, entry func() error) error {
		return s.d.Kit.Keeper(c.Request().Context(), number, c.FormValue("keeper"), entry)
	})
}

// kitSee takes the words that a keeper read from the paper.
func (s *Server) kitSee(c echo.Context) error {
	return s.kitAct(c, "words", "seen", func(number int, entry func() error) error {
		m, err := keys.ParseMark(c.FormValue("words"))
		if err != nil {
			return err
		}
		return s.d.Kit.See(c.Request().Context(), number, m, entry)
	})
}

func (s *Server) kitLose(c echo.Context) error {
	return s.kitAct(c, "words", "lost", func(number int, entry func() error) error {
		return s.d.Kit.Lose(c.Request().Context(), number, entry)
	})
}

// kitRehearse tries typed shares on the archive and every copy.
func (s *Server) kitRehearse(c echo.Context) error {
	form, err := c.FormParams()
	if err != nil {
		return err
	}
	w := s.words(c)
	got, err := s.d.Machine.Rehearse(c.Request().Context(), visitOf(c).session.User.Name, form["share"])
	s.stale()
	p, perr := s.custody(c)
	if perr != nil {
		return perr
	}
	if err != nil {
		text, ok := said(err, visitOf(c).lang)
		if !ok {
			return err
		}
		p.Problems = []ui.Problem{{Field: "share-1", Text: text}}
		copy(p.Typed, form["share"])
		return render(c, http.StatusUnprocessableEntity, p)
	}
	p.Rehearsed = true
	w.locks(&p, got.Locks, "kit.lock.opened", "kit.lock.shut", ui.Danger)
	return render(c, http.StatusOK, p)
}

// locks lists locks with a word for the good ones and one for the others.
func (w words) locks(p *templates.Kit, locks []Lock, good, other string, state ui.State) {
	for _, l := range locks {
		line := templates.Tried{Name: or(l.Name, w.t("kit.lock.here")), State: ui.Safe, Word: w.t(good)}
		switch {
		case l.Opened:
			p.Opened++
		case l.Away:
			line.State, line.Word = ui.Signal, w.t("kit.lock.away")
		default:
			line.State, line.Word = state, w.t(other)
		}
		p.Locks = append(p.Locks, line)
	}
}

// kitLocks shows which copies have the lock of the present root key already.
func (s *Server) kitLocks(c echo.Context) error {
	p, err := s.custody(c)
	if err != nil {
		return err
	}
	locks, err := s.d.Machine.Locks(c.Request().Context())
	if err != nil {
		return err
	}
	p.Compared = true
	s.words(c).locks(&p, locks, "kit.lock.same", "kit.lock.former", ui.Signal)
	return render(c, http.StatusOK, p)
}

// kitRotate makes a new root key and shows its shares, after another person
// agreed: the shares that people hold now open nothing afterwards.
func (s *Server) kitRotate(c echo.Context) error {
	w, v := s.words(c), visitOf(c)
	n, _ := strconv.Atoi(c.FormValue("n")) // what is no number is 0, which is refused
	k, _ := strconv.Atoi(c.FormValue("k"))
	refuse := func(text string) error {
		p, err := s.custody(c)
		if err != nil {
			return err
		}
		p.Problems = []ui.Problem{{Field: "n", Text: text}}
		return render(c, http.StatusUnprocessableEntity, p)
	}
	if !kit.Possible(n, k) {
		return refuse(w.t("kit.numbers"))
	}
	if ok, err := s.agreed(c, approval.Rotate, w.t("kit.rotate"), w.t("kit.rotate.shown", "n", n, "k", k)); err != nil || !ok {
		return err
	}
	shares, err := s.d.Machine.NewKit(c.Request().Context(), v.session.User.Name, n, k)
	if text, ok := said(err, v.lang); ok {
		return refuse(text)
	}
	if err != nil {
		return err
	}
	return s.kitShares(c, shares, n, k, true)
}
