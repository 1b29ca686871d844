package web

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"farol/internal/audit"
	"farol/internal/settings"
	"farol/templates"
	"farol/templates/ui"
)

// inviteSetting keeps the link that members open. It holds the link itself,
// sealed, so that it can be shown again.
const inviteSetting = "consent.invite"

const inviteLife = 30 * 24 * time.Hour

type invitation struct {
	Token string    `json:"token"`
	Until time.Time `json:"until"`
}

func (s *Server) invitation(c echo.Context) (invitation, bool, error) {
	var i invitation
	ok, err := s.d.Settings.GetJSON(c.Request().Context(), inviteSetting, &i)
	return i, ok && s.d.Now().Before(i.Until), err
}

// consents lists the members who let their chats be read, and how many are
// still to be asked.
func (s *Server) consents(c echo.Context) error {
	ctx, w := c.Request().Context(), s.words(c)
	p := templates.Consents{Shell: s.shell(c, w.t("consents.title"), "/consents")}
	list, err := s.d.Settings.Consents(ctx)
	if err != nil {
		p.RowsErr = s.broken(c, "consents", err).Broken
	}
	people, active := s.d.Engine.People(), 0
	for _, k := range list {
		row := templates.ConsentRow{Name: k.Person, State: ui.Safe, Word: w.t("consents.active"), Given: w.date(k.Given), Renewed: w.moment(k.Renewed)}
		if u, ok := people.User(k.UnionID); ok && u.Name != "" {
			row.Name = u.Name
		}
		if k.State == settings.Active {
			active++
		} else {
			row.State, row.Word = ui.Signal, w.t("consents.lapsed")
		}
		p.Rows = append(p.Rows, row)
	}
	total := people.Len()
	p.Line = w.t("consents.line.unknown", "n", active)
	if total > 0 {
		p.Known, p.Percent, p.Line = true, min(active*100/total, 100), w.t("consents.line", "n", active, "m", total)
	}
	if p.Self, err = s.d.Members.On(ctx); err != nil {
		return err
	}
	inv, ok, err := s.invitation(c)
	if err != nil {
		return err
	}
	if ok {
		p.Link, p.LinkUntil = origin(c)+"/consent/join#"+inv.Token, w.date(inv.Until)
	}
	return render(c, http.StatusOK, p)
}

func (s *Server) invite(c echo.Context) error {
	b, err := json.Marshal(invitation{rand.Text(), s.d.Now().Add(inviteLife)})
	if err != nil {
		return err
	}
	if err := s.d.Settings.SetSecret(c.Request().Context(), map[string]string{inviteSetting: string(b)}); err != nil {
		return err
	}
	if err := s.note(c, audit.Event{Operation: "config.change", Object: "setting/" + inviteSetting, Outcome: "ok"}); err != nil {
		return err
	}
	return seeOther(c, "/consents")
}

// consentOpen is where the link of staff leads, like that of an account.
func (s *Server) consentOpen(c echo.Context) error {
	return render(c, http.StatusOK, templates.OpenLink{Bare: s.bare(c, s.words(c).t("invite.window")), Action: "/consent/join"})
}

func (s *Server) consentToken(c echo.Context) error {
	token := strings.TrimSpace(c.FormValue("token"))
	if err := s.invited(c, token); err != nil {
		return err
	}
	setCookie(c, linkCookie, token, int(linkLife.Seconds()), http.SameSiteStrictMode)
	return c.Redirect(http.StatusSeeOther, "/consent/agree")
}

// invited answers 404 to a token that is not the invitation's, whatever is wrong.
func (s *Server) invited(c echo.Context, token string) error {
	inv, ok, err := s.invitation(c)
	if err != nil {
		return err
	}
	if !ok || subtle.ConstantTimeCompare([]byte(inv.Token), []byte(token)) != 1 {
		return errors.Join(s.refused(c, "link"), echo.NewHTTPError(http.StatusNotFound))
	}
	return nil
}

func (s *Server) invitePage(c echo.Context) (templates.Invite, error) {
	w := s.words(c)
	firm, err := s.d.Settings.Get(c.Request().Context(), settings.CorpName)
	return templates.Invite{Bare: s.bare(c, w.t("invite.window")), Firm: firm}, err
}

// join is the page that a member of staff opens: what is kept, who may see it.
func (s *Server) join(c echo.Context) error {
	token := cookie(c, linkCookie)
	if token == "" {
		return c.Redirect(http.StatusSeeOther, "/consent/join")
	}
	if err := s.invited(c, token); err != nil {
		return err
	}
	p, err := s.invitePage(c)
	if err != nil {
		return err
	}
	return render(c, http.StatusOK, p)
}

// joinGo sends the member to DingTalk. He has no session here: a cookie of his
// own, sent also when he comes back from the other site, says that it is he.
func (s *Server) joinGo(c echo.Context) error {
	if err := s.invited(c, cookie(c, linkCookie)); err != nil {
		return err
	}
	address, err := s.d.Machine.ConsentURL(c.Request().Context(), origin(c)+joinCallback)
	if err != nil {
		return err
	}
	who := rand.Text()
	if err := s.expect(address, blind(who)); err != nil {
		return err
	}
	setCookie(c, joinCookie, who, int(pendingLife.Seconds()), http.SameSiteLaxMode)
	return c.Redirect(http.StatusSeeOther, address)
}

func (s *Server) joinCallback(c echo.Context) error {
	w := s.words(c)
	_, ok, err := s.invitation(c)
	if err != nil {
		return err
	}
	if !ok {
		return echo.NewHTTPError(http.StatusNotFound)
	}
	p, err := s.invitePage(c)
	if err != nil {
		return err
	}
	state, code := c.QueryParam("state"), c.QueryParam("authCode")
	switch {
	case !s.expected(state, blind(cookie(c, joinCookie))):
		if err := s.refused(c, "state"); err != nil {
			return err
		}
		p.Problem = w.t("consent.lapsed")
	case c.QueryParam("error") != "" || code == "":
		p.Problem = w.t("consent.denied")
	default:
		got, err := s.d.Machine.CompleteConsent(c.Request().Context(), state, code)
		if err != nil {
			text, ok := said(err, w.l)
			if !ok {
				return err
			}
			p.Problem = text
			break
		}
		p.Thanks = got.Name
		s.stale()
	}
	setCookie(c, joinCookie, "", -1, http.SameSiteLaxMode)
	status := http.StatusOK
	if p.Problem != "" {
		status = http.StatusUnprocessableEntity
	}
	return render(c, status, p)
}
