package auth

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"farol/internal/db"
)

// passkeyLogin opens a session with a passkey: alone when the device has
// checked its owner, else beside name and password in place of a code. Every
// wrong answer is [ErrLogin].
func (a *Accounts) passkeyLogin(ctx context.Context, t Try) (Opened, error) {
	name := cleanName(t.Name)
	alone := name == "" && t.Password == ""
	lanes := []lane{{linked, "passkey:" + t.Source}}
	var err error
	if !alone { // here a password can be guessed
		if lanes, err = a.lanesOf(ctx, name, t); err != nil {
			return Opened{}, err
		}
	}
	began, err := a.charge(ctx, lanes...)
	if err != nil {
		return Opened{}, err
	}
	got, err := a.check(ctx, t.Passkey)
	right := err == nil
	if err != nil && !errors.Is(err, ErrPasskey) {
		return Opened{}, err
	}
	var c account
	err = a.db.View(ctx, func(tx *db.Tx) error {
		if alone {
			c, err = a.lookUp(ctx, tx, "id=?", got.account)
		} else {
			c, err = a.lookUp(ctx, tx, "name=?", name)
		}
		return err
	})
	if err != nil {
		return Opened{}, fmt.Errorf("log in: %w", err)
	}
	passed := got.verified
	if !alone {
		if passed, err = a.compare(ctx, t.Source, t.Password, c.hash); err != nil {
			return Opened{}, errors.Join(err, a.uncharge(ctx, lanes))
		}
	}
	if !c.known || !passed || !right || c.ID != got.account || c.Breakglass {
		return Opened{}, wrong(ErrLogin, began)
	}
	o, err := a.open(ctx, c, got.proof, lanes, t, "")
	if errors.Is(err, ErrCode) {
		return Opened{}, wrong(ErrLogin, began)
	}
	if err != nil {
		return Opened{}, fmt.Errorf("log in: %w", err)
	}
	return o, nil
}

// StepUpPasskey is [Accounts.StepUp] with a passkey of the session's account
// in place of a code.
func (a *Accounts) StepUpPasskey(ctx context.Context, token string, r Response) (Stepped, error) {
	s, err := a.Session(ctx, token)
	if err != nil {
		return Stepped{}, err
	}
	l := insideLane(s.User.Name)
	began, err := a.charge(ctx, l)
	if err != nil {
		return Stepped{}, err
	}
	got, err := a.check(ctx, r)
	if errors.Is(err, ErrPasskey) || err == nil && got.account != s.User.ID {
		return Stepped{}, wrong(ErrCode, began)
	} else if err != nil {
		return Stepped{}, err
	}
	out := Stepped{Token: rand.Text() + rand.Text()}
	err = a.db.Update(ctx, func(tx *db.Tx) error {
		if err := a.spend(ctx, tx, s.User.ID, got.proof); err != nil {
			return err
		}
		if err := refund(ctx, tx, []lane{l}); err != nil {
			return err
		}
		return step(ctx, token, out.Token)(tx)
	})
	if err != nil {
		return Stepped{}, fmt.Errorf("step up: %w", err)
	}
	return out, nil
}
