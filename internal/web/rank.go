package web

import (
	"errors"

	"github.com/labstack/echo/v4"

	"farol/internal/policy"
	"farol/templates/ui"
)

// keeper reports whether a role can manage accounts.
func (s *Server) keeper(role string) bool {
	return policy.May(policy.Subject{Role: role, Grants: policy.GrantsOf(role)}, policy.Accounts, s.d.Now())
}

// covers reports whether a person may do everything that a role may. Nobody
// gives, takes or resets more than he has himself: who runs the machine cannot
// make himself a reader by inviting one.
func (s *Server) covers(sub policy.Subject, role string) bool {
	r, ok := policy.RoleOf(role)
	if !ok {
		return false
	}
	for _, g := range r.Grants { // what the role is given beside needs two people anyway
		for _, a := range g.Actions {
			if !policy.May(sub, a, s.d.Now()) {
				return false
			}
		}
	}
	return true
}

// errAbove refuses an act on an account that may more than who acts.
var errAbove = errors.New("the account may do more than who manages it")

func (s *Server) roleChoices(c echo.Context, on string) []ui.Choice {
	w, sub := s.words(c), visitOf(c).subject()
	var out []ui.Choice
	for _, r := range policy.Roles {
		if s.covers(sub, r.Name) {
			out = append(out, ui.Choice{Value: r.Name, Label: w.role(r.Name), On: r.Name == on})
		}
	}
	return out
}
