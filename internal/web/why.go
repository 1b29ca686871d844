package web

import (
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"farol/internal/auth"
	"farol/internal/policy"
	"farol/internal/record"
	"farol/templates"
	"farol/templates/ui"
)

// explain answers why an account can or cannot do something to a record of a
// kind, department, class and circle. It looks at no record.
func (s *Server) explain(c echo.Context, p *templates.Access) error {
	ctx, w := c.Request().Context(), s.words(c)
	users, err := s.d.Accounts.List(ctx)
	if err != nil {
		return err
	}
	q := c.QueryParam
	i := slices.IndexFunc(users, func(u auth.User) bool { return u.Name == q("who") })
	kind, kerr := record.ParseKind(q("kind"))
	class, cerr := strconv.Atoi(q("class"))
	dept, derr := strconv.ParseInt(q("dept"), 10, 64)
	action, purpose := policy.Action(q("action")), policy.Purpose(q("purpose"))
	if i < 0 || kerr != nil || cerr != nil || class < 0 || class > 3 || derr != nil || !slices.Contains(policy.Actions, action) || !slices.Contains(policy.Purposes, purpose) {
		p.Problems = append(p.Problems, ui.Problem{Field: "who", Text: w.t("access.why.bad")})
		return nil
	}
	grants, err := s.d.Access.Of(ctx, users[i].ID, users[i].Role, s.d.Now())
	if err != nil {
		return err
	}
	names, depts, err := s.deptNames(c)
	if err != nil {
		return err
	}
	t := policy.Target{Kind: kind, Depts: above(depts, dept), Class: record.Class(class), Private: q("private") != ""}
	for _, x := range circles {
		if slices.Contains(c.QueryParams()["in"], x.name) {
			t.Realms |= x.realm
		}
	}
	said, err := s.d.Settings.Circles(ctx)
	if err != nil {
		return err
	}
	for realm, ids := range said {
		if kind != record.Contacts && slices.ContainsFunc(t.Depts, func(d int64) bool { return slices.Contains(ids, d) }) {
			t.Realms |= realm
		}
	}
	allowed, why := policy.Explain(policy.Subject{Account: users[i].Name, Role: users[i].Role, Grants: grants}, action, purpose, t, s.d.Now())
	p.Asked, p.Allowed = true, allowed
	p.Answer = w.t(map[bool]string{true: "access.why.yes", false: "access.why.no"}[allowed], "who", users[i].Shown)
	for _, x := range why {
		row := templates.WhyRow{What: or(w.granted(x.Grant, names), ""), Does: w.preset([]policy.Grant{x.Grant}), State: ui.Safe, Word: w.t("access.why.covers")}
		if x.Grant.All {
			row.What = w.t("access.everywhere") + " · " + row.What
		}
		if len(x.Wants) > 0 {
			var said []string
			for _, want := range x.Wants {
				said = append(said, w.t("access.want."+string(want)))
			}
			row.State, row.Word = ui.Idle, strings.Join(said, w.t("access.and"))
		}
		p.Why = append(p.Why, row)
	}
	mark := func(cs []ui.Choice, v string) {
		for i := range cs {
			cs[i].On = cs[i].Value == v
		}
	}
	mark(p.Everybody, q("who"))
	mark(p.Kinds, q("kind"))
	mark(p.Classes, q("class"))
	mark(p.Actions, q("action"))
	mark(p.Purposes, q("purpose"))
	p.WhyDept, p.WhyPrivate, p.WhyIn = q("dept"), t.Private, c.QueryParams()["in"]
	return nil
}

// above is a department and those it lies in.
func above(all []record.Dept, id int64) []int64 {
	parent := map[int64]int64{}
	for _, d := range all {
		parent[d.ID] = d.Parent
	}
	out := []int64{id}
	for len(out) < 100 {
		up, ok := parent[out[len(out)-1]]
		if !ok || up == 0 || slices.Contains(out, up) {
			break
		}
		out = append(out, up)
	}
	return out
}
