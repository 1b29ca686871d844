package auth

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"farol/internal/db"
)

// answered is a right answer of a passkey.
type answered struct {
	account  int64
	verified bool // the device has checked its owner: a finger, a face, a PIN
	proof    proof
}

// check verifies an answer. Whatever is wrong with it is [ErrPasskey]. The
// ticket is spent either way.
func (a *Accounts) check(ctx context.Context, r Response) (out answered, err error) {
	x, ok := a.rites.take(a.now(), r.Ticket)
	if !ok || x.account != 0 {
		return out, ErrPasskey
	}
	w, err := party(x.site)
	if err != nil {
		return out, err
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes([]byte(r.JSON))
	if err != nil {
		return out, ErrPasskey
	}
	h := &holder{}
	err = a.db.View(ctx, func(tx *db.Tx) error {
		err := tx.QueryRowContext(ctx, "SELECT p.id, a.id FROM passkey p JOIN account a ON a.id=p.account WHERE p.credential=? AND p.host=? AND a.disabled=0 AND a.enrol=0", parsed.RawID, x.site.Host).Scan(&out.proof.passkey, &h.ID)
		if err != nil {
			return errors.Join(ErrPasskey, err)
		}
		h.keys, err = a.keysOf(ctx, tx, h.ID, x.site.Host)
		return err
	})
	if errors.Is(err, ErrPasskey) {
		return out, ErrPasskey
	} else if err != nil {
		return out, fmt.Errorf("read passkeys: %w", err)
	}
	_, k, err := w.ValidatePasskeyLogin(func(id, handle []byte) (webauthn.User, error) {
		if !bytes.Equal(handle, h.WebAuthnID()) {
			return nil, ErrPasskey
		}
		return h, nil
	}, x.data, parsed)
	if err != nil || k.Authenticator.CloneWarning { // two devices count on: one of them is a copy
		return out, ErrPasskey
	}
	if out.proof.data, err = json.Marshal(k); err != nil {
		return out, fmt.Errorf("write a passkey: %w", err)
	}
	out.account, out.verified = h.ID, parsed.Response.AuthenticatorData.Flags.HasUserVerified()
	return out, nil
}

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
