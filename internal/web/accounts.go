package web

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"farol/internal/approval"
	"farol/internal/audit"
	"farol/internal/auth"
	"farol/internal/policy"
	"farol/templates"
	"farol/templates/ui"
)

// accountRef names an account in the log.
func accountRef(id int64) string { return "account/" + strconv.FormatInt(id, 36) }

func (w words) account(x auth.Account, self int64) templates.AccountRow {
	r := templates.AccountRow{Href: "/accounts/" + strconv.FormatInt(x.ID, 10), Shown: x.Shown, Name: x.Name, Role: w.role(x.Role), Last: w.moment(x.Last), Sessions: w.n(int64(x.Sessions)),
		FactorState: ui.Safe, Factor: w.t("accounts.factor.on", "n", x.Codes), State: ui.Safe, Word: w.t("accounts.active"), Self: x.ID == self, Breakglass: x.Breakglass}
	if x.Last.IsZero() {
		r.Last = ui.Moment{Text: w.t("accounts.never")}
	}
	switch {
	case x.Breakglass:
		r.FactorState, r.Factor = ui.Signal, w.t("accounts.factor.paper", "n", x.Codes)
	case x.NoFactor:
		r.FactorState, r.Factor = ui.Signal, w.t("accounts.factor.none")
	case x.Codes == 0:
		r.FactorState, r.Factor = ui.Signal, w.t("accounts.factor.nocodes")
	}
	switch {
	case x.Disabled:
		r.State, r.Word = ui.Idle, w.t("accounts.disabled")
	case x.Enrol:
		r.State, r.Word = ui.Signal, w.t("accounts.enrol")
	}
	return r
}

func (s *Server) accountsPage(c echo.Context) (templates.Accounts, error) {
	ctx, v, w := c.Request().Context(), visitOf(c), s.words(c)
	p := templates.Accounts{Shell: s.shell(c, w.t("accounts.title"), "/accounts"), Roles: s.roleChoices(c, ""), CanSeal: s.covers(v.subject(), "owner")}
	list, err := s.d.Accounts.All(ctx)
	if err != nil {
		return p, err
	}
	for _, x := range list {
		p.Rows = append(p.Rows, w.account(x, v.session.User.ID))
		if x.Breakglass && x.Active() {
			p.Envelope = w.date(x.Created)
		}
	}
	links, err := s.d.Accounts.Invitations(ctx)
	if err != nil {
		return p, err
	}
	for _, in := range links {
		row := templates.InvitedRow{Href: "/accounts/invite/" + strconv.FormatInt(in.ID, 10) + "/withdraw", Shown: in.Shown, Name: in.Name, What: w.role(in.Role), By: in.By, Until: w.moment(in.Until)}
		if in.Account != 0 {
			row.What = w.t("accounts.reset.short")
		}
		p.Pending = append(p.Pending, row)
	}
	return p, nil
}

func (s *Server) accounts(c echo.Context) error {
	p, err := s.accountsPage(c)
	if err != nil {
		return err
	}
	return render(c, http.StatusOK, p)
}

// accountInvite answers with the link itself, once: it is nowhere else.
func (s *Server) accountInvite(c echo.Context) error {
	ctx, v, w := c.Request().Context(), visitOf(c), s.words(c)
	in := auth.Invitation{Name: c.FormValue("name"), Shown: c.FormValue("shown"), Role: c.FormValue("role"), By: v.session.User.Name}
	var token string
	err := errAbove
	if s.covers(v.subject(), in.Role) {
		if decides(in.Role) { // else who asks could be the other person too
			if ok, err := s.agreed(c, approval.Invite, w.t("deed.invite", "name", in.Shown, "account", in.Name), w.role(in.Role)); !ok {
				return err
			}
		}
		token, in, err = s.d.Accounts.Invite(ctx, in, func(in auth.Invitation) error {
			return s.note(c, audit.Event{Operation: "user.invite", Object: "invitation/" + strconv.FormatInt(in.ID, 36), Outcome: "ok", Detail: map[string]string{"role": in.Role}})
		})
	}
	name, who, role, problem := "", "", "", ""
	switch {
	case errors.Is(err, auth.ErrName):
		name = w.t("setup.admin.badname")
	case errors.Is(err, auth.ErrTaken):
		name = w.t("setup.admin.taken")
	case errors.Is(err, auth.ErrShown):
		who = w.t("accounts.shown.bad")
	case errors.Is(err, errAbove):
		role = w.t("accounts.above")
		if nerr := s.note(c, audit.Event{Operation: "user.invite", Object: "invitation", Outcome: "denied"}); nerr != nil {
			return nerr
		}
	case err != nil:
		return err
	}
	p, perr := s.accountsPage(c)
	if perr != nil {
		return perr
	}
	if problem = name + who + role; problem != "" {
		p.NameErr, p.WhoErr, p.RoleErr, p.Name, p.Who = name, who, role, in.Name, in.Shown
		field := map[bool]string{name != "": "name", who != "": "shown", role != "": "role"}[true]
		p.Problems = []ui.Problem{{Field: field, Text: problem}}
		p.Roles = s.roleChoices(c, in.Role)
		return render(c, http.StatusUnprocessableEntity, p)
	}
	p.Made = &templates.MadeLink{Title: w.t("accounts.link", "name", in.Shown), Link: origin(c) + "/join#" + token, Until: w.full(in.Until)}
	return render(c, http.StatusOK, p)
}

func (s *Server) accountWithdraw(c echo.Context) error {
	id, err := strconv.ParseInt(c.Param("id"), 10, 64)
	if err != nil {
		return echo.NewHTTPError(http.StatusNotFound)
	}
	err = s.d.Accounts.Withdraw(c.Request().Context(), id, func() error {
		return s.note(c, audit.Event{Operation: "user.invite.withdraw", Object: "invitation/" + strconv.FormatInt(id, 36), Outcome: "ok"})
	})
	if errors.Is(err, auth.ErrLink) { // used or withdrawn meanwhile: the list says so
		return seeOther(c, "/accounts")
	} else if err != nil {
		return err
	}
	return seeOther(c, "/accounts?done=withdrawn")
}

// accountOf is the account that the address names.
func (s *Server) accountOf(c echo.Context) (auth.Account, error) {
	id, err := strconv.ParseInt(c.Param("id"), 10, 64)
	if err != nil {
		return auth.Account{}, auth.ErrUnknown
	}
	return s.d.Accounts.Account(c.Request().Context(), id)
}

func (s *Server) accountPage(c echo.Context, x auth.Account) templates.AccountPage {
	v, w := visitOf(c), s.words(c)
	p := templates.AccountPage{Shell: s.shell(c, x.Shown, "/accounts"), Row: w.account(x, v.session.User.ID), Action: "/accounts/" + strconv.FormatInt(x.ID, 10), Roles: s.roleChoices(c, x.Role), Fixed: x.Breakglass, Disabled: x.Disabled}
	by := x.By
	if by == "" {
		by = w.t("accounts.bysetup")
	}
	p.Facts = []templates.Pair{{Label: w.t("login.name"), Value: x.Name}, {Label: w.t("settings.role"), Value: p.Row.Role}, {Label: w.t("accounts.last"), Value: p.Row.Last.Text}, {Label: w.t("setup.admin.totp"), Value: p.Row.Factor},
		{Label: w.t("accounts.sessions"), Value: p.Row.Sessions}, {Label: w.t("accounts.created"), Value: w.full(x.Created).Text}, {Label: w.t("accounts.by"), Value: by}}
	switch {
	case x.ID == v.session.User.ID:
		p.Why = w.t("accounts.self")
	case !s.covers(v.subject(), x.Role):
		p.Why = w.t("accounts.above")
	}
	return p
}

func (s *Server) account(c echo.Context) error {
	x, err := s.accountOf(c)
	if err != nil {
		return err
	}
	return render(c, http.StatusOK, s.accountPage(c, x))
}

// managed runs one act on the account of the address. The entry is written
// inside the act's transaction; a refusal is an entry too.
func (s *Server) managed(c echo.Context, operation, done string, detail map[string]string, do func(id int64, act auth.Act) error) error {
	v, w := visitOf(c), s.words(c)
	x, err := s.accountOf(c)
	if err != nil {
		return err
	}
	ev := audit.Event{Operation: operation, Object: accountRef(x.ID), Outcome: "ok", Detail: detail}
	err = do(x.ID, auth.Act{By: v.session.User, Keeper: s.keeper,
		May: func(x auth.Account) error {
			if !s.covers(v.subject(), x.Role) {
				return errAbove
			}
			return nil
		},
		Entry: func(auth.Account) error { return s.note(c, ev) }})
	id := ""
	switch {
	case err == nil:
		if done == "" { // the answer holds a link
			return nil
		}
		return seeOther(c, "/accounts/"+strconv.FormatInt(x.ID, 10)+"?done="+done)
	case errors.Is(err, auth.ErrSelf):
		id = "accounts.self"
	case errors.Is(err, auth.ErrLast):
		id = "accounts.lastone"
	case errors.Is(err, auth.ErrFixed):
		id = "accounts.fixed"
	case errors.Is(err, auth.ErrLost):
		id = "accounts.reset.which"
	case errors.Is(err, auth.ErrNoFactor):
		id = "accounts.reset.nofactor"
	case errors.Is(err, errAbove):
		id = "accounts.above"
	default:
		return err
	}
	ev.Outcome = "denied"
	if err := s.note(c, ev); err != nil {
		return err
	}
	p := s.accountPage(c, x)
	p.Problems = []ui.Problem{{Text: w.t(id)}}
	return errors.Join(render(c, http.StatusUnprocessableEntity, p), errAnswered)
}

// decides reports whether everybody of a role may decide on requests.
func decides(role string) bool {
	r, _ := policy.RoleOf(role)
	return slices.ContainsFunc(r.Grants, func(g policy.Grant) bool { return slices.Contains(g.Actions, policy.Approve) })
}

// manageable reports whether the reader may manage the account at all. Who may
// not is refused by the act itself, without anybody being asked.
func (s *Server) manageable(c echo.Context, x auth.Account) bool {
	v := visitOf(c)
	return x.ID != v.session.User.ID && !x.Breakglass && s.covers(v.subject(), x.Role)
}

// errAnswered says that a page was already sent; see [Server.fail].
var errAnswered = errors.New("answered")

func (s *Server) accountRole(c echo.Context) error {
	w, role := s.words(c), strings.TrimSpace(c.FormValue("role"))
	known, ok := policy.RoleOf(role) // what was typed may be anything: the log names presets only
	if x, err := s.accountOf(c); err != nil {
		return err
	} else if ok && s.manageable(c, x) && s.covers(visitOf(c).subject(), role) {
		if ok, err := s.agreed(c, approval.Role, w.t("deed.role", "name", x.Shown, "account", x.Name), w.t("deed.fromto", "from", w.role(x.Role), "to", w.role(role))); !ok {
			return err
		}
	}
	return s.managed(c, "role.change", "role", map[string]string{"role": or(known.Name, "none")}, func(id int64, act auth.Act) error {
		if !s.covers(visitOf(c).subject(), role) {
			return errAbove
		}
		return s.d.Accounts.SetRole(c.Request().Context(), id, role, act)
	})
}

func (s *Server) accountDisable(c echo.Context) error {
	return s.managed(c, "user.disable", "disabled", nil, func(id int64, act auth.Act) error {
		return s.d.Accounts.Disable(c.Request().Context(), id, act)
	})
}

func (s *Server) accountEnable(c echo.Context) error {
	return s.managed(c, "user.enable", "enabled", nil, func(id int64, act auth.Act) error {
		return s.d.Accounts.Enable(c.Request().Context(), id, act)
	})
}

func (s *Server) accountEnd(c echo.Context) error {
	return s.managed(c, "session.revoke", "ended", nil, func(id int64, act auth.Act) error {
		return s.d.Accounts.EndSessions(c.Request().Context(), id, act)
	})
}

// accountReset answers with the link for what was lost, once.
func (s *Server) accountReset(c echo.Context) error {
	w, lost := s.words(c), auth.Lost(c.FormValue("lost"))
	if lost == "" {
		lost = auth.LostFactor
	}
	if x, err := s.accountOf(c); err != nil {
		return err
	} else if lost.Known() && s.manageable(c, x) {
		deed := "deed.reset"
		if lost == auth.LostPassword {
			deed = "deed.reset.only"
		}
		shown := []string{w.t(deed, "name", x.Shown, "account", x.Name)}
		if lost == auth.LostBoth {
			shown = append(shown, w.t("deed.reset.password"))
		}
		if ok, err := s.agreed(c, approval.Reset, shown...); !ok {
			return err
		}
	}
	var token string
	var in auth.Invitation
	op, detail := "totp.reset", map[string]string{"password": strconv.FormatBool(lost == auth.LostBoth)}
	if lost == auth.LostPassword {
		op, detail = "password.reset", nil
	}
	err := s.managed(c, op, "", detail, func(id int64, act auth.Act) (err error) {
		token, in, err = s.d.Accounts.Reset(c.Request().Context(), id, lost, act)
		return err
	})
	if err != nil {
		return err
	}
	x, err := s.accountOf(c)
	if err != nil {
		return err
	}
	p := s.accountPage(c, x)
	p.Made = &templates.MadeLink{Title: w.t("accounts.link", "name", in.Shown), Link: origin(c) + "/join#" + token, Until: w.full(in.Until)}
	return render(c, http.StatusOK, p)
}
