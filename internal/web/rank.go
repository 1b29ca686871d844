package web

import (
	"cmp"
	"errors"
	"slices"

	"github.com/labstack/echo/v4"

	"farol/internal/policy"
	"farol/templates/ui"
)

// keeper reports whether a role can manage accounts.
func (s *Server) keeper(role string) bool {
	return policy.May(policy.Subject{Role: role, Grants: policy.Roles[role]}, policy.Accounts, s.d.Now())
}

// covers reports whether a person may do everything that a role may. Nobody
// gives, takes or resets more than he has himself: who runs the machine cannot
// make himself a reader by inviting one.
func (s *Server) covers(sub policy.Subject, role string) bool {
	grants, ok := policy.Roles[role]
	if !ok {
		return false
	}
	for _, g := range grants {
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
	for role := range policy.Roles {
		if s.covers(sub, role) {
			out = append(out, ui.Choice{Value: role, Label: w.role(role), On: role == on})
		}
	}
	slices.SortFunc(out, func(a, b ui.Choice) int { return cmp.Compare(a.Value, b.Value) })
	return out
}
