package auth

import (
	"context"
	"fmt"

	"farol/internal/db"
)

// Vouch spends a fresh code of the account with a name, without a session: who
// takes an appliance over stands at the other machine. Whoever may not, and
// whoever does not exist, gets [ErrCode] like a wrong code.
func (a *Accounts) Vouch(ctx context.Context, name, code string, may func(User) bool) (u User, err error) {
	err = a.db.View(ctx, func(tx *db.Tx) error {
		c, err := a.lookUp(ctx, tx, "name=?", cleanName(name))
		u = c.User
		if err == nil && !c.known {
			u = User{Name: cleanName(name)}
		}
		return err
	})
	if err != nil {
		return u, fmt.Errorf("vouch: %w", err)
	}
	if _, err := a.confirm(ctx, u, code, func(*db.Tx) error { return nil }); err != nil {
		return u, err
	}
	if !may(u) {
		return u, ErrCode
	}
	return u, nil
}
