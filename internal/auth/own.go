package auth

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"farol/internal/db"
)

// ChangePassword takes the old password, a fresh code and the new password. It
// ends every other session and gives this one a new token. It returns
// [ErrPass], [ErrCode], [*Slow], [ErrFixed] or an error of [CheckPassword].
// entry is written with it or nothing is done.
func (a *Accounts) ChangePassword(ctx context.Context, token, old, password, code string, entry func() error) (Stepped, error) {
	s, err := a.Session(ctx, token)
	if err != nil {
		return Stepped{}, err
	}
	if s.User.Breakglass {
		return Stepped{}, ErrFixed
	}
	if err := CheckPassword(password, s.User.Name); err != nil {
		return Stepped{}, err
	}
	if err := a.oldPassword(ctx, s, old); err != nil {
		return Stepped{}, err
	}
	hash, err := a.createHash(ctx, password)
	if err != nil {
		return Stepped{}, err
	}
	out := Stepped{Token: rand.Text() + rand.Text()}
	out.Recovery, err = a.confirm(ctx, s.User, code, func(tx *db.Tx) error {
		if _, err := tx.ExecContext(ctx, "UPDATE account SET password=? WHERE id=?", hash, s.User.ID); err != nil {
			return err
		}
		if err := onlySession(ctx, tx, s.User.ID, token, out.Token); err != nil {
			return err
		}
		return entry()
	})
	if err != nil {
		return Stepped{}, fmt.Errorf("change a password: %w", err)
	}
	return out, nil
}

// oldPassword asks for the password inside a session.
func (a *Accounts) oldPassword(ctx context.Context, s Session, old string) error {
	return a.inside(ctx, s.User.Name, ErrPass, func() (bool, error) {
		hash, err := a.liveHash(ctx, s.User.ID)
		if err != nil {
			return false, fmt.Errorf("read account: %w", err)
		}
		return a.compare(ctx, s.Source, old, hash)
	})
}

// inside checks what is asked of somebody who got as far as an account, and
// counts the try: refusal is returned when it was wrong.
func (a *Accounts) inside(ctx context.Context, name string, refusal error, right func() (bool, error)) error {
	l := insideLane(name)
	began, err := a.charge(ctx, l)
	if err != nil {
		return err
	}
	ok, err := right()
	if err == nil && !ok {
		return wrong(refusal, began)
	}
	return errors.Join(err, a.uncharge(ctx, []lane{l}))
}

// endOthers leaves one session of an account: whatever changes how it signs in
// ends what others may have opened with the old way.
func endOthers(ctx context.Context, tx *db.Tx, account int64, token string) error {
	_, err := tx.ExecContext(ctx, "DELETE FROM session WHERE account=? AND hash!=?", account, tokenHash(token))
	return err
}

// onlySession leaves one session of an account, under a new token.
func onlySession(ctx context.Context, tx *db.Tx, account int64, token, fresh string) error {
	if err := endOthers(ctx, tx, account, token); err != nil {
		return err
	}
	res, err := tx.ExecContext(ctx, "UPDATE session SET hash=?, stepup=?, seen=? WHERE hash=? AND account=?", tokenHash(fresh), tx.Now.UnixMilli(), tx.Now.UnixMilli(), tokenHash(token), account)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, ErrSession)
	}
	return nil
}

// NewAuthenticator replaces the authenticator of a session's account. code
// proves that the secret arrived. It ends every other session and returns the
// new token of this one. entry is written with it or nothing is done.
func (a *Accounts) NewAuthenticator(ctx context.Context, token string, secret Secret, code string, entry func() error) (string, error) {
	s, err := a.Session(ctx, token)
	if err != nil {
		return "", err
	}
	if s.User.Breakglass {
		return "", ErrFixed
	}
	step, ok := matchCode(secret.Text, code, a.now())
	if !ok {
		return "", ErrCode
	}
	fresh := rand.Text() + rand.Text()
	err = a.db.Update(ctx, func(tx *db.Tx) error {
		if _, err := tx.ExecContext(ctx, "UPDATE account SET totp=?, step=? WHERE id=?", a.box.Seal([]byte(secret.Text), totpAAD(s.User.Name)), step, s.User.ID); err != nil {
			return err
		}
		if err := onlySession(ctx, tx, s.User.ID, token, fresh); err != nil {
			return err
		}
		return entry()
	})
	if err != nil {
		return "", fmt.Errorf("change an authenticator: %w", err)
	}
	return fresh, nil
}
