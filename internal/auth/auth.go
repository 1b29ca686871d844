// Package auth knows who is at the console: accounts, passwords, one-time
// codes, sessions and the slowing-down of guesses.
//
// It promises that a wrong name, a wrong password, a wrong code and a code
// used before cannot be told apart by answer or by time, that a code works
// once, and that no secret is stored readable.
package auth

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/alexedwards/argon2id"

	"farol/internal/db"
)

// Box seals secrets at rest.
type Box interface {
	Seal(plain, aad []byte) []byte
	Open(sealed, aad []byte) ([]byte, error)
}

// Errors of this package, each with what a person may be told.
var (
	ErrLogin   = errors.New("name, password or code is not right") // one answer for all causes
	ErrSlow    = errors.New("too many attempts")                   // see [Slow]
	ErrCode    = errors.New("the code is not right or was used before")
	ErrWeak    = errors.New("the password is too easy to guess")
	ErrShort   = errors.New("the password is shorter than 12 characters")
	ErrTaken   = errors.New("an account of this name exists")
	ErrName    = errors.New("the account name must be 3 to 64 characters without spaces")
	ErrSession = errors.New("no such session")
	ErrClaimed = errors.New("the appliance has an owner already")
	ErrNoTries = errors.New("the set-up code was tried too often: restart for a new one")
	ErrSetup   = errors.New("the set-up code is not right")
	ErrUnknown = errors.New("no such account")
	ErrBegun   = errors.New("the waits begin") // joined to a wrong answer
	ErrReason  = errors.New("a break-glass account needs a reason")
	ErrPass    = errors.New("the password is not right")
	ErrLink    = errors.New("the link is not good") // wrong, used, withdrawn or too old
	ErrPasskey = errors.New("the passkey is not right")
	ErrLast    = errors.New("it is the last account that can manage accounts")
)

// Slow is ErrSlow with the time to wait.
type Slow struct{ Wait time.Duration }

func (e *Slow) Error() string { return fmt.Sprintf("%v: wait %s", ErrSlow, e.Wait) }

// Unwrap is [ErrSlow].
func (*Slow) Unwrap() error { return ErrSlow }

// Accounts is the set of console accounts. It is safe for concurrent use.
type Accounts struct {
	db  *db.DB
	box Box
	now func() time.Time

	queue  *hashQueue
	rites  rites
	firsts firsts
	params *argon2id.Params
	dummy  string // compared when there is no such account, for equal time
}

// New returns the accounts of a control database. now may be nil.
func New(d *db.DB, box Box, now func() time.Time) (*Accounts, error) {
	if now == nil {
		now = time.Now
	}
	a := &Accounts{db: d, box: box, now: now, queue: newHashQueue(), params: &argon2id.Params{Memory: 64 << 10, Iterations: 3, Parallelism: 2, SaltLength: 16, KeyLength: 32}}
	var err error
	if a.dummy, err = argon2id.CreateHash("no account has this password", a.params); err != nil {
		return nil, fmt.Errorf("prepare password check: %w", err)
	}
	return a, nil
}

// User is an account as the rest of the program sees it.
type User struct {
	ID    int64
	Name  string // login name
	Shown string
	Role  string
	Lang  string
	Theme string

	Breakglass bool
	Codes      int // recovery codes left; known for a session and in [Accounts.All]
}

// NewAccount is what creating an account needs. Code proves that the secret
// arrived in an authenticator.
type NewAccount struct {
	Name, Shown, Role, Password string
	Secret                      Secret
	Code                        string
}

// Create makes an account.
func (a *Accounts) Create(ctx context.Context, n NewAccount) (User, error) {
	name := cleanName(n.Name)
	if err := checkName(name); err != nil {
		return User{}, err
	}
	if err := CheckPassword(n.Password, name); err != nil {
		return User{}, err
	}
	step, ok := matchCode(n.Secret.Text, n.Code, a.now())
	if !ok {
		return User{}, ErrCode
	}
	hash, err := a.createHash(ctx, n.Password)
	if err != nil {
		return User{}, err
	}
	u := User{Name: name, Shown: n.Shown, Role: n.Role}
	if u.Shown == "" {
		u.Shown = name
	}
	err = a.db.Update(ctx, func(tx *db.Tx) error {
		u.ID, err = a.insert(ctx, tx, u, hash, n.Secret.Text, step, "")
		return err
	})
	if err != nil {
		return User{}, fmt.Errorf("create account: %w", err)
	}
	return u, nil
}

func checkName(name string) error {
	if c := utf8.RuneCountInString(name); c < 3 || c > 64 || strings.ContainsAny(name, " \t\n") {
		return ErrName
	}
	return nil
}

// insert makes the row of an account. It returns [ErrTaken].
func (a *Accounts) insert(ctx context.Context, tx *db.Tx, u User, hash, secret string, step int64, by string) (id int64, err error) {
	if err := free(ctx, tx, u.Name); err != nil {
		return 0, err
	}
	err = tx.QueryRowContext(ctx, "INSERT INTO account(name,shown,role,password,totp,step,breakglass,created,created_by) VALUES(?,?,?,?,?,?,?,?,?) RETURNING id",
		u.Name, u.Shown, u.Role, hash, a.box.Seal([]byte(secret), totpAAD(u.Name)), step, u.Breakglass, tx.Now.UnixMilli(), by).Scan(&id)
	return id, err
}

// free returns [ErrTaken] when an account has the name.
func free(ctx context.Context, tx *db.Tx, name string) error {
	var one int
	err := tx.QueryRowContext(ctx, "SELECT 1 FROM account WHERE name=?", name).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	return errors.Join(err, ErrTaken)
}

// Count is the number of accounts.
func (a *Accounts) Count(ctx context.Context) (int, error) {
	var n int
	err := a.db.View(ctx, func(tx *db.Tx) error {
		return tx.QueryRowContext(ctx, "SELECT count(*) FROM account").Scan(&n)
	})
	return n, err
}

// List returns every account that is not disabled.
func (a *Accounts) List(ctx context.Context) ([]User, error) {
	var out []User
	err := a.db.View(ctx, func(tx *db.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT id,name,shown,role,lang,theme,breakglass FROM account WHERE disabled=0 ORDER BY id")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var u User
			if err := rows.Scan(&u.ID, &u.Name, &u.Shown, &u.Role, &u.Lang, &u.Theme, &u.Breakglass); err != nil {
				return err
			}
			out = append(out, u)
		}
		return rows.Err()
	})
	return out, err
}

// SetLook keeps a user's language and theme.
func (a *Accounts) SetLook(ctx context.Context, id int64, lang, theme string) error {
	return a.db.Update(ctx, func(tx *db.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE account SET lang=?, theme=? WHERE id=?", lang, theme, id)
		return err
	})
}
