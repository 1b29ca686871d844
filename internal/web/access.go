package web

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"farol/internal/access"
	"farol/internal/approval"
	"farol/internal/audit"
	"farol/internal/auth"
	"farol/internal/policy"
	"farol/internal/record"
	"farol/templates"
	"farol/templates/ui"
)

// circle is a closed circle as forms name it.
var circles = []struct {
	name  string
	realm record.Realms
}{{"finance", record.Finance}, {"personnel", record.Personnel}}

// gift is a grant as the form asks for it: an account, departments, closed
// circles and an end; the preset of the account's role says the rest.
type gift struct {
	Account string        `json:"account"`
	Depts   []int64       `json:"depts"`
	Realms  record.Realms `json:"realms"`
	Until   string        `json:"until"` // a day in Macau, the last on which it counts
}

// grant fills in the preset of a role.
func (g gift) grant(role string) (policy.Grant, error) {
	var until time.Time
	if g.Until != "" {
		day, err := time.ParseInLocation("2006-01-02", g.Until, record.Macau)
		if err != nil {
			return policy.Grant{}, access.ErrEnd
		}
		until = day.AddDate(0, 0, 1).UTC()
	}
	out, ok := access.Preset(role, g.Depts, g.Realms, until)
	if !ok {
		return out, access.ErrBeyond
	}
	return out, nil
}

func (s *Server) accessList(c echo.Context) error {
	p, err := s.accessPage(c)
	if err != nil {
		return err
	}
	if c.QueryParam("who") != "" {
		if err := s.explain(c, &p); err != nil {
			return err
		}
	}
	return render(c, http.StatusOK, p)
}

func (s *Server) accessPage(c echo.Context) (templates.Access, error) {
	ctx, w, v := c.Request().Context(), s.words(c), visitOf(c)
	p := templates.Access{Shell: s.shell(c, w.t("access.title"), "/access")}
	names, depts, err := s.deptNames(c)
	if err != nil {
		return p, err
	}
	users, err := s.d.Accounts.List(ctx)
	if err != nil {
		return p, err
	}
	roles := map[string]string{}
	for _, u := range users {
		roles[u.Name] = u.Role
		if r, _ := policy.RoleOf(u.Role); r.Template != nil {
			p.Accounts = append(p.Accounts, ui.Choice{Value: u.Name, Label: w.t("access.account", "name", u.Shown, "role", w.role(u.Role))})
		}
		p.Everybody = append(p.Everybody, ui.Choice{Value: u.Name, Label: w.t("access.account", "name", u.Shown, "role", w.role(u.Role))})
	}
	p.Depts = w.deptChoices(depts, "")
	p.Depts = slices.DeleteFunc(p.Depts, func(c ui.Choice) bool { return c.Value == "" })
	for _, x := range circles {
		p.Circles = append(p.Circles, ui.Choice{Value: x.name, Label: w.t("access.circle." + x.name)})
	}
	list, err := s.d.Access.List(ctx)
	if err != nil {
		return p, err
	}
	for i := range list {
		g := &list[i]
		row := templates.Given{ID: strconv.FormatInt(g.ID, 10), Account: g.Account, Role: w.role(roles[g.Account]), What: w.granted(g.Grant, names), By: w.t("access.by", "by", g.By, "at", w.moment(g.At).Text), Live: g.Live(w.now),
			Due: g.Due(w.now), Own: strings.EqualFold(g.Account, v.session.User.Name), State: ui.Safe, Word: w.t("access.live")}
		switch {
		case !g.Ended.IsZero():
			row.State, row.Word = ui.Idle, w.t("access.ended", "by", g.EndedBy)
		case !row.Live:
			row.State, row.Word = ui.Idle, w.t("access.lapsed")
		case row.Due:
			row.State, row.Word = ui.Signal, w.t("access.due")
			p.Due++
		case !g.Grant.Until.IsZero():
			row.Word = w.t("access.until", "date", w.l.Date(g.Grant.Until.Add(-time.Second).In(record.Macau)))
		}
		p.Rows = append(p.Rows, row)
	}
	for _, r := range policy.Roles {
		row := templates.RoleRow{Name: w.role(r.Name), Always: w.preset(r.Grants)}
		if r.Template != nil {
			row.Given = w.preset([]policy.Grant{*r.Template})
		}
		p.Roles = append(p.Roles, row)
	}
	p.Kinds, p.Actions, p.Purposes = w.kindChoices(""), nil, w.purposes(func(policy.Purpose) bool { return true }, "")
	p.Kinds = slices.DeleteFunc(p.Kinds, func(c ui.Choice) bool { return c.Value == "" })
	for _, a := range policy.Actions {
		if a.Content() {
			p.Actions = append(p.Actions, ui.Choice{Value: string(a), Label: w.t("access.action." + string(a))})
		}
	}
	for i := range 4 {
		p.Classes = append(p.Classes, ui.Choice{Value: strconv.Itoa(i), Label: w.class(record.Class(i))})
	}
	return p, nil
}

// granted says what a grant is for.
func (w words) granted(g policy.Grant, names map[int64]string) string {
	var parts []string
	for _, d := range g.Depts {
		parts = append(parts, or(names[d], w.t("archive.nodept")))
	}
	for _, x := range circles {
		if g.Realms&x.realm != 0 {
			parts = append(parts, w.t("access.circle."+x.name))
		}
	}
	parts = append(parts, w.class(g.Class))
	return strings.Join(parts, " · ")
}

// preset says what a role may do.
func (w words) preset(gs []policy.Grant) string {
	var parts []string
	for _, g := range gs {
		for _, a := range g.Actions {
			if t := w.t("access.action." + string(a)); !slices.Contains(parts, t) {
				parts = append(parts, t)
			}
		}
	}
	return strings.Join(parts, " · ")
}

func readGift(c echo.Context) (g gift, err error) {
	form, err := c.FormParams()
	if err != nil {
		return g, err
	}
	g.Account, g.Until = form.Get("account"), form.Get("until")
	for _, d := range form["dept"] {
		id, err := strconv.ParseInt(d, 10, 64)
		if err != nil {
			return g, access.ErrDepts
		}
		g.Depts = append(g.Depts, id)
	}
	for _, x := range circles {
		if slices.Contains(form["circle"], x.name) {
			g.Realms |= x.realm
		}
	}
	return g, nil
}

// accessGive gives a grant, or asks others to agree to it when there are any.
func (s *Server) accessGive(c echo.Context) error {
	ctx, w, v := c.Request().Context(), s.words(c), visitOf(c)
	g, err := readGift(c)
	var others bool
	if err == nil {
		others, err = s.others(c)
	}
	if err != nil || !others {
		if err == nil {
			err = s.give(c, g, "")
		}
		if problem := accessProblem(w, err); problem != nil {
			return s.refuseGift(c, g, *problem)
		}
		if err != nil {
			return err
		}
		return seeOther(c, "/access?done=given")
	}
	role, err := s.roleOf(c, g.Account)
	if err == nil && strings.EqualFold(g.Account, v.session.User.Name) {
		err = access.ErrSelf
	}
	var full policy.Grant
	if err == nil {
		if full, err = g.grant(role); err == nil {
			err = access.Check(role, full, s.d.Now())
		}
	}
	if problem := accessProblem(w, err); problem != nil {
		return s.refuseGift(c, g, *problem)
	}
	if err != nil {
		return err
	}
	payload, err := json.Marshal(g)
	if err != nil {
		return err
	}
	names, _, err := s.deptNames(c)
	if err != nil {
		return err
	}
	rq := approval.Request{What: approval.Grant, By: v.session.User.Name, Need: 1, Reason: c.FormValue("reason"), Payload: payload,
		Shown: strings.Join([]string{g.Account + " · " + w.role(role), w.granted(full, names), or(g.Until, w.t("access.noend")), w.preset([]policy.Grant{full})}, "\n")}
	if rq.Check() != nil {
		return s.refuseGift(c, g, ui.Problem{Field: "reason", Text: w.t("inbox.reason.need", "n", 1)})
	}
	got, err := s.d.Approvals.Ask(ctx, rq)
	if err != nil {
		return err
	}
	if err := s.note(c, audit.Event{Operation: asksOf(rq.What).ask, Object: "account/" + g.Account, Approval: got.ID, Outcome: "ok"}); err != nil {
		return errors.Join(err, s.d.Approvals.Withdraw(context.WithoutCancel(ctx), got.ID, rq.By))
	}
	return seeOther(c, "/inbox/"+got.ID+"?done=asked")
}

// give enters a grant that others agreed to, or that nobody else could.
func (s *Server) give(c echo.Context, g gift, agreed string) error {
	ctx, v := c.Request().Context(), visitOf(c)
	role, err := s.roleOf(c, g.Account)
	if err != nil {
		return err
	}
	full, err := g.grant(role)
	if err == nil && strings.EqualFold(g.Account, v.session.User.Name) {
		err = access.ErrSelf
	}
	if err == nil {
		err = access.Check(role, full, s.d.Now())
	}
	if err != nil {
		return err
	}
	detail := map[string]string{"depts": strconv.Itoa(len(g.Depts)), "realms": strconv.Itoa(int(full.Realms))}
	if agreed == "" {
		detail["four_eyes"] = "alone"
	}
	if err := s.note(c, audit.Event{Operation: "delegation.grant", Object: "account/" + g.Account, Approval: agreed, Outcome: "ok", Detail: detail}); err != nil {
		return err
	}
	return s.d.Access.Give(ctx, g.Account, full, v.session.User.Name, agreed)
}

func (s *Server) roleOf(c echo.Context, account string) (string, error) {
	users, err := s.d.Accounts.List(c.Request().Context())
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(users, func(u auth.User) bool { return u.Name == account })
	if i < 0 {
		return "", access.ErrAccount
	}
	return users[i].Role, nil
}

func accessProblem(w words, err error) *ui.Problem {
	for _, x := range []struct {
		err       error
		field, id string
	}{{access.ErrSelf, "account", "access.self"}, {access.ErrAccount, "account", "access.noaccount"}, {access.ErrDepts, "dept", "access.nodept"}, {access.ErrEnd, "until", "access.badend"}, {access.ErrBeyond, "account", "access.beyond"}} {
		if errors.Is(err, x.err) {
			return &ui.Problem{Field: x.field, Text: w.t(x.id)}
		}
	}
	return nil
}

func (s *Server) refuseGift(c echo.Context, g gift, problem ui.Problem) error {
	p, err := s.accessPage(c)
	if err != nil {
		return err
	}
	p.Problems, p.Until, p.Reason = []ui.Problem{problem}, g.Until, c.FormValue("reason")
	for i := range p.Accounts {
		p.Accounts[i].On = p.Accounts[i].Value == g.Account
	}
	for i := range p.Depts {
		id, _ := strconv.ParseInt(p.Depts[i].Value, 10, 64)
		p.Depts[i].On = slices.Contains(g.Depts, id)
	}
	for i, x := range circles {
		p.Circles[i].On = g.Realms&x.realm != 0
	}
	return render(c, http.StatusUnprocessableEntity, p)
}

func (s *Server) accessEnd(c echo.Context) error {
	return s.accessMark(c, "delegation.end", "given.ended", s.d.Access.End)
}

func (s *Server) accessReview(c echo.Context) error {
	return s.accessMark(c, "role.review", "reviewed", s.d.Access.Review)
}

func (s *Server) accessMark(c echo.Context, op, said string, do func(context.Context, int64, string) error) error {
	id, err := strconv.ParseInt(c.Param("id"), 10, 64)
	if err != nil {
		return access.ErrNotFound
	}
	if err := s.note(c, audit.Event{Operation: op, Object: "grant/" + strconv.FormatInt(id, 10), Outcome: "ok"}); err != nil {
		return err
	}
	if err := do(c.Request().Context(), id, visitOf(c).session.User.Name); err != nil {
		if problem := accessProblem(s.words(c), err); problem != nil {
			return s.refuseGift(c, gift{}, *problem)
		}
		return err
	}
	return seeOther(c, "/access?done="+said)
}
