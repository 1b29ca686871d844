package auth

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"farol/internal/db"
)

// LinkLife is how long an invitation may be used.
const LinkLife = 72 * time.Hour

// Invitation is a link that makes an account, or gives one back what its
// person lost. It works once.
type Invitation struct {
	ID             int64
	Account        int64 // 0 = a new one
	NewPassword    bool  // a password is chosen; else the old one is asked
	KeepFactor     bool  // the present second factor is asked; else an authenticator is enrolled
	Name, Shown    string
	Role, By       string
	Created, Until time.Time
	Secret         Secret // of the authenticator; only from [Accounts.Invited]
}

// ErrShown means that a shown name is too long or holds what is no text.
var ErrShown = errors.New("the shown name must be at most 64 characters of text")

func checkShown(shown string) error {
	if utf8.RuneCountInString(shown) > 64 || strings.ContainsFunc(shown, func(r rune) bool { return unicode.Is(unicode.C, r) }) {
		return ErrShown
	}
	return nil
}

// Invite makes the link for a new account; an older one for the same name
// stops. The token is nowhere else: only its hash is kept. entry is written
// with it or nothing is done.
func (a *Accounts) Invite(ctx context.Context, in Invitation, entry func(Invitation) error) (token string, _ Invitation, err error) {
	in.Account, in.NewPassword, in.KeepFactor, in.Name, in.Shown = 0, true, false, cleanName(in.Name), strings.TrimSpace(in.Shown)
	if err := errors.Join(checkName(in.Name), checkShown(in.Shown)); err != nil {
		return "", in, err
	}
	if in.Shown == "" {
		in.Shown = in.Name
	}
	err = a.db.Update(ctx, func(tx *db.Tx) error {
		if err := free(ctx, tx, in.Name); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM invitation WHERE name=? OR until<?", in.Name, tx.Now.UnixMilli()); err != nil {
			return err
		}
		if token, err = a.link(ctx, tx, &in); err != nil {
			return err
		}
		return entry(in)
	})
	if err != nil {
		return "", in, fmt.Errorf("invite: %w", err)
	}
	return token, in, nil
}

// link stores an invitation and returns its token.
func (a *Accounts) link(ctx context.Context, tx *db.Tx, in *Invitation) (string, error) {
	secret, err := NewSecret(in.Name)
	if err != nil {
		return "", err
	}
	token := rand.Text() + rand.Text()
	in.Created, in.Until = tx.Now, tx.Now.Add(LinkLife)
	err = tx.QueryRowContext(ctx, "INSERT INTO invitation(hash,account,password,keep,name,shown,role,secret,by,created,until) VALUES(?,?,?,?,?,?,?,?,?,?,?) RETURNING id",
		tokenHash(token), in.Account, in.NewPassword, in.KeepFactor, in.Name, in.Shown, in.Role, a.box.Seal([]byte(secret.Text), linkAAD(in.Name)), in.By, in.Created.UnixMilli(), in.Until.UnixMilli()).Scan(&in.ID)
	return token, err
}

func linkAAD(name string) []byte { return []byte("farol invitation " + strings.ToLower(name)) }

// Invitations lists the links that may still be used, the newest first.
func (a *Accounts) Invitations(ctx context.Context) ([]Invitation, error) {
	var out []Invitation
	err := a.db.View(ctx, func(tx *db.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT id,account,password,keep,name,shown,role,by,created,until FROM invitation WHERE until>? ORDER BY id DESC", a.now().UnixMilli())
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var in Invitation
			var created, until int64
			if err := rows.Scan(&in.ID, &in.Account, &in.NewPassword, &in.KeepFactor, &in.Name, &in.Shown, &in.Role, &in.By, &created, &until); err != nil {
				return err
			}
			in.Created, in.Until = time.UnixMilli(created), time.UnixMilli(until)
			out = append(out, in)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("list invitations: %w", err)
	}
	return out, nil
}

// Withdraw makes a link useless. It returns [ErrLink] when there is none.
// entry is written with it or nothing is done.
func (a *Accounts) Withdraw(ctx context.Context, id int64, entry func() error) error {
	err := a.db.Update(ctx, func(tx *db.Tx) error {
		res, err := tx.ExecContext(ctx, "DELETE FROM invitation WHERE id=?", id)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, ErrLink)
		}
		return entry()
	})
	if err != nil {
		return fmt.Errorf("withdraw an invitation: %w", err)
	}
	return nil
}

// Invited finds the invitation of a link. Whatever is wrong with the link is
// [ErrLink]; too many wrong ones from a source are [*Slow].
func (a *Accounts) Invited(ctx context.Context, token, source string) (Invitation, error) {
	l := lane{linked, "link:" + source}
	began, err := a.charge(ctx, l)
	if err != nil {
		return Invitation{}, err
	}
	in, err := a.invitation(ctx, token)
	switch {
	case errors.Is(err, ErrLink):
		return in, wrong(ErrLink, began)
	case err != nil:
		return in, err
	}
	return in, a.uncharge(ctx, []lane{l})
}

func (a *Accounts) invitation(ctx context.Context, token string) (Invitation, error) {
	var in Invitation
	var sealed []byte
	var created, until int64
	err := a.db.View(ctx, func(tx *db.Tx) error {
		return tx.QueryRowContext(ctx, `SELECT i.id,i.account,i.password,i.keep,i.name,i.shown,i.role,i.secret,i.by,i.created,i.until FROM invitation i
			WHERE i.hash=? AND i.until>? AND (i.account=0 OR EXISTS (SELECT 1 FROM account a WHERE a.id=i.account AND a.disabled=0 AND a.enrol=1))`, tokenHash(token), a.now().UnixMilli()).
			Scan(&in.ID, &in.Account, &in.NewPassword, &in.KeepFactor, &in.Name, &in.Shown, &in.Role, &sealed, &in.By, &created, &until)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return in, ErrLink
	} else if err != nil {
		return in, fmt.Errorf("find an invitation: %w", err)
	}
	in.Created, in.Until = time.UnixMilli(created), time.UnixMilli(until)
	b, err := a.box.Open(sealed, linkAAD(in.Name))
	if err != nil {
		return in, fmt.Errorf("open an invitation: %w", err)
	}
	in.Secret, err = SecretOf(in.Name, string(b))
	return in, err
}

// Accept uses a link up: it makes the account, or gives back what was lost,
// and returns the recovery codes, which are nowhere else; a second factor that
// stays keeps those it has. It returns [ErrLink], [ErrCode], [ErrPass],
// [ErrTaken] or an error of [CheckPassword].
// entry is written with it or nothing is done.
func (a *Accounts) Accept(ctx context.Context, token, source, password, code string, entry func(User) error) (u User, codes []string, err error) {
	in, err := a.Invited(ctx, token, source)
	if err != nil {
		return u, nil, err
	}
	u = User{ID: in.Account, Name: in.Name, Shown: in.Shown, Role: in.Role}
	if in.NewPassword {
		if err := CheckPassword(password, in.Name); err != nil {
			return u, nil, err
		}
	}
	var p proof
	if in.KeepFactor {
		p, err = a.sameFactor(ctx, in, code)
	} else if step, ok := matchCode(in.Secret.Text, code, a.now()); ok {
		p.step = step
	} else {
		err = ErrCode
	}
	if err != nil {
		return u, nil, err
	}
	hash := "" // the old one stays
	if in.NewPassword {
		hash, err = a.createHash(ctx, password)
	} else {
		err = a.samePassword(ctx, in, source, password)
	}
	if err != nil {
		return u, nil, err
	}
	err = a.db.Update(ctx, func(tx *db.Tx) error {
		res, err := tx.ExecContext(ctx, "DELETE FROM invitation WHERE hash=? AND until>?", tokenHash(token), a.now().UnixMilli())
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, ErrLink) // used a moment ago
		}
		switch {
		case in.Account == 0:
			u.ID, err = a.insert(ctx, tx, u, hash, in.Secret.Text, p.step, in.By)
		case in.KeepFactor:
			u, err = a.passwordAnew(ctx, tx, in, hash, p)
		default:
			u, err = a.enrolAnew(ctx, tx, in, hash, p.step)
		}
		if err == nil && !in.KeepFactor {
			codes, err = newCodes(ctx, tx, u.ID)
		}
		if err != nil {
			return err
		}
		return entry(u)
	})
	if err != nil {
		return u, nil, fmt.Errorf("accept an invitation: %w", err)
	}
	return u, codes, nil
}

// samePassword asks for the password of an account whose second factor is
// enrolled anew: the link alone does not open it.
func (a *Accounts) samePassword(ctx context.Context, in Invitation, source, password string) error {
	return a.inside(ctx, in.Name, ErrPass, func() (bool, error) {
		var hash string
		err := a.db.View(ctx, func(tx *db.Tx) error {
			return tx.QueryRowContext(ctx, "SELECT password FROM account WHERE id=?", in.Account).Scan(&hash)
		})
		if err != nil {
			return false, fmt.Errorf("read account: %w", err)
		}
		return a.compare(ctx, source, password, hash)
	})
}

// sameFactor asks for the second factor of an account whose password is
// forgotten: neither the link nor who made it opens the account without it.
func (a *Accounts) sameFactor(ctx context.Context, in Invitation, code string) (p proof, err error) {
	err = a.inside(ctx, in.Name, ErrCode, func() (right bool, err error) {
		err = a.db.View(ctx, func(tx *db.Tx) error {
			c, err := a.read(ctx, tx, "enrol=1 AND id=?", in.Account)
			if err != nil {
				return err
			}
			if !c.known {
				return ErrLink
			}
			p, right, err = a.prove(ctx, tx, c, code)
			return err
		})
		return right, err
	})
	return p, err
}

// passwordAnew sets the password and spends what proved the second factor.
func (a *Accounts) passwordAnew(ctx context.Context, tx *db.Tx, in Invitation, hash string, p proof) (u User, err error) {
	if err := a.spend(ctx, tx, in.Account, p); err != nil {
		return u, err
	}
	err = tx.QueryRowContext(ctx, "UPDATE account SET password=?, enrol=0 WHERE id=? AND disabled=0 AND enrol=1 RETURNING id,name,shown,role", hash, in.Account).
		Scan(&u.ID, &u.Name, &u.Shown, &u.Role)
	if errors.Is(err, sql.ErrNoRows) {
		return u, ErrLink
	}
	return u, err
}

func (a *Accounts) enrolAnew(ctx context.Context, tx *db.Tx, in Invitation, hash string, step int64) (u User, err error) {
	err = tx.QueryRowContext(ctx, `UPDATE account SET totp=?, step=?, enrol=0, password=CASE WHEN ?='' THEN password ELSE ? END WHERE id=? AND disabled=0 AND enrol=1
		RETURNING id,name,shown,role`, a.box.Seal([]byte(in.Secret.Text), totpAAD(in.Name)), step, hash, hash, in.Account).Scan(&u.ID, &u.Name, &u.Shown, &u.Role)
	if errors.Is(err, sql.ErrNoRows) {
		return u, ErrLink
	}
	return u, err
}
