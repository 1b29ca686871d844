// Package auth knows who is at the console: accounts, passwords, one-time
// codes, sessions and the slowing-down of guesses.
//
// It promises that a wrong name, a wrong password, a wrong code and a code
// used before cannot be told apart by answer or by time, that a code works
// once, and that no secret is stored readable.
package auth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/alexedwards/argon2id"
	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"
	"golang.org/x/text/unicode/norm"

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

	hash   sync.Mutex // one argon2 at a time: log-ins cannot exhaust the memory
	params *argon2id.Params
	dummy  string // compared when there is no such account, for equal time
}

// New returns the accounts of a control database. now may be nil.
func New(d *db.DB, box Box, now func() time.Time) (*Accounts, error) {
	if now == nil {
		now = time.Now
	}
	a := &Accounts{db: d, box: box, now: now, params: &argon2id.Params{Memory: 64 << 10, Iterations: 3, Parallelism: 2, SaltLength: 16, KeyLength: 32}}
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
}

// Secret is a new one-time-code secret that is not yet in use.
type Secret struct {
	Text string // base32, for typing
	URL  string // otpauth://…
	key  *otp.Key
}

// NewSecret makes a secret for an account name.
func NewSecret(name string) (Secret, error) {
	k, err := totp.Generate(totp.GenerateOpts{Issuer: "Farol", AccountName: name, SecretSize: 20})
	if err != nil {
		return Secret{}, fmt.Errorf("make a code secret: %w", err)
	}
	return Secret{k.Secret(), k.URL(), k}, nil
}

// SecretOf builds the secret again from its text, as a form gives it back.
func SecretOf(name, text string) (Secret, error) {
	raw, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ToUpper(strings.ReplaceAll(text, " ", "")))
	if err != nil || len(raw) < 16 {
		return Secret{}, ErrCode
	}
	k, err := totp.Generate(totp.GenerateOpts{Issuer: "Farol", AccountName: name, Secret: raw})
	if err != nil {
		return Secret{}, fmt.Errorf("read a code secret: %w", err)
	}
	return Secret{k.Secret(), k.URL(), k}, nil
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
	name := strings.TrimSpace(norm.NFKC.String(n.Name))
	if c := utf8.RuneCountInString(name); c < 3 || c > 64 || strings.ContainsAny(name, " \t\n") {
		return User{}, ErrName
	}
	if err := CheckPassword(n.Password, name); err != nil {
		return User{}, err
	}
	step, ok := matchCode(n.Secret.Text, n.Code, a.now())
	if !ok {
		return User{}, ErrCode
	}
	hash, err := a.createHash(n.Password)
	if err != nil {
		return User{}, err
	}
	u := User{Name: name, Shown: n.Shown, Role: n.Role}
	if u.Shown == "" {
		u.Shown = name
	}
	err = a.db.Update(ctx, func(tx *db.Tx) error {
		var one int
		err := tx.QueryRowContext(ctx, "SELECT 1 FROM account WHERE name=?", name).Scan(&one)
		if err == nil {
			return ErrTaken
		} else if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		return tx.QueryRowContext(ctx, "INSERT INTO account(name,shown,role,password,totp,step,created) VALUES(?,?,?,?,?,?,?) RETURNING id",
			name, u.Shown, u.Role, hash, a.box.Seal([]byte(n.Secret.Text), totpAAD(name)), step, tx.Now.UnixMilli()).Scan(&u.ID)
	})
	if err != nil {
		return User{}, fmt.Errorf("create account: %w", err)
	}
	return u, nil
}

func totpAAD(name string) []byte { return []byte("farol totp " + strings.ToLower(name)) }

func (a *Accounts) createHash(password string) (string, error) {
	a.hash.Lock()
	defer a.hash.Unlock()
	h, err := argon2id.CreateHash(norm.NFC.String(password), a.params)
	if err != nil {
		return "", fmt.Errorf("hash password: %w", err)
	}
	return h, nil
}

func (a *Accounts) compare(password, hash string) (bool, error) {
	a.hash.Lock()
	defer a.hash.Unlock()
	ok, err := argon2id.ComparePasswordAndHash(norm.NFC.String(password), hash)
	if err != nil {
		return false, fmt.Errorf("check password: %w", err)
	}
	return ok, nil
}

// Count is the number of accounts.
func (a *Accounts) Count(ctx context.Context) (int, error) {
	var n int
	err := a.db.View(ctx, func(tx *db.Tx) error {
		return tx.QueryRowContext(ctx, "SELECT count(*) FROM account").Scan(&n)
	})
	return n, err
}

// List returns every account.
func (a *Accounts) List(ctx context.Context) ([]User, error) {
	var out []User
	err := a.db.View(ctx, func(tx *db.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT id,name,shown,role,lang,theme FROM account WHERE disabled=0 ORDER BY id")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var u User
			if err := rows.Scan(&u.ID, &u.Name, &u.Shown, &u.Role, &u.Lang, &u.Theme); err != nil {
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

func stepAt(t time.Time) int64 { return t.Unix() / 30 }

// spent is the last step whose code was used. One that lies ahead was used
// under a clock that has been put right since, and says nothing of the codes of
// today: it would keep everybody out until that day comes.
func spent(last int64, now time.Time) int64 {
	if last > stepAt(now)+1 {
		return 0
	}
	return last
}

// matchCode finds the 30 s step that a code belongs to, one step of skew.
func matchCode(secret, code string, now time.Time) (int64, bool) {
	code = strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return r
		}
		if r >= '０' && r <= '９' {
			return r - '０' + '0'
		}
		return -1
	}, code)
	if len(code) != 6 {
		return 0, false
	}
	step := stepAt(now)
	found, ok := int64(0), false
	for _, s := range []int64{step - 1, step, step + 1} { // all three, for equal time
		want, err := totp.GenerateCode(secret, time.Unix(s*30, 0))
		if err == nil && subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1 {
			found, ok = s, true
		}
	}
	return found, ok
}

func tokenHash(token string) []byte {
	h := sha256.Sum256([]byte(token))
	return h[:]
}
