package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"

	"farol/internal/db"
)

// RecoveryCodes is how many codes a set has. Each replaces the authenticator
// once.
const RecoveryCodes = 10

// codeLength is in letters of five bits: 120 bits, so a fast hash keeps them.
const codeLength = 24

// account is a row as a check of its secrets needs it.
type account struct {
	User
	hash  string
	totp  string // "" for one without an authenticator
	step  int64  // last step used
	known bool   // false: a stand-in, for equal work
}

const accountColumns = "id,name,shown,role,lang,theme,breakglass,password,totp,step"

// lookUp reads an account that may sign in, by id or by name. For any other it
// returns a stand-in, so that the same work is done.
func (a *Accounts) lookUp(ctx context.Context, tx *db.Tx, where string, arg any) (account, error) {
	return a.read(ctx, tx, "enrol=0 AND "+where, arg)
}

// read is lookUp for where alone; who is disabled is never found.
func (a *Accounts) read(ctx context.Context, tx *db.Tx, where string, arg any) (account, error) {
	c := account{hash: a.dummy, totp: "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", known: true}
	var sealed []byte
	err := tx.QueryRowContext(ctx, "SELECT "+accountColumns+" FROM account WHERE disabled=0 AND "+where, arg).
		Scan(&c.ID, &c.Name, &c.Shown, &c.Role, &c.Lang, &c.Theme, &c.Breakglass, &c.hash, &sealed, &c.step)
	if errors.Is(err, sql.ErrNoRows) {
		c.known = false
		return c, nil
	} else if err != nil {
		return c, fmt.Errorf("read account: %w", err)
	}
	b, err := a.box.Open(sealed, totpAAD(c.Name))
	if err != nil {
		return c, fmt.Errorf("open the code secret: %w", err)
	}
	c.totp = string(b)
	return c, nil
}

// proof is a second factor that was right: a step of the authenticator, a
// recovery code, or a passkey.
type proof struct {
	step    int64
	code    string // hash of a recovery code
	passkey int64  // row of a passkey; its challenge is spent already
	data    []byte // what is kept of it now
}

// prove compares what was typed with the authenticator and with the recovery
// codes, both in every case.
func (a *Accounts) prove(ctx context.Context, tx *db.Tx, c account, typed string) (proof, bool, error) {
	now := a.now()
	step, right := matchCode(c.totp, typed, now)
	right = right && step > spent(c.step, now) && !c.Breakglass
	hash := codeHash(c.ID, typed)
	var n int
	if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM recovery_code WHERE account=? AND hash=? AND used=0", c.ID, hash).Scan(&n); err != nil {
		return proof{}, false, fmt.Errorf("look for a recovery code: %w", err)
	}
	if len(squeeze(typed)) == codeLength { // letters and digits of a recovery code may hold six digits too
		return proof{code: hash}, n == 1, nil
	}
	return proof{step: step}, right, nil
}

// spend uses the proof up. It returns [ErrCode] when another request was
// quicker.
func (a *Accounts) spend(ctx context.Context, tx *db.Tx, account int64, p proof) error {
	q, args := "UPDATE account SET step=? WHERE id=? AND (step<? OR step>?)", []any{p.step, account, p.step, stepAt(a.now()) + 1}
	switch {
	case p.passkey != 0:
		q, args = "UPDATE passkey SET data=?, used=? WHERE id=? AND account=?", []any{a.box.Seal(p.data, passkeyAAD), a.now().UnixMilli(), p.passkey, account}
	case p.code != "":
		q, args = "UPDATE recovery_code SET used=? WHERE account=? AND hash=? AND used=0", []any{a.now().UnixMilli(), account, p.code}
	}
	res, err := tx.ExecContext(ctx, q, args...)
	if err != nil {
		return fmt.Errorf("spend a code: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, ErrCode)
	}
	return nil
}

func codeHash(account int64, typed string) string {
	h := sha256.Sum256([]byte("farol recovery " + strconv.FormatInt(account, 10) + " " + squeeze(typed)))
	return hex.EncodeToString(h[:])
}

// newCodes replaces the recovery codes of an account and returns the new ones,
// which are nowhere else.
func newCodes(ctx context.Context, tx *db.Tx, account int64) ([]string, error) {
	if _, err := tx.ExecContext(ctx, "DELETE FROM recovery_code WHERE account=?", account); err != nil {
		return nil, fmt.Errorf("drop recovery codes: %w", err)
	}
	var out []string
	for range RecoveryCodes {
		t := rand.Text()
		code := t[:6] + "-" + t[6:12] + "-" + t[12:18] + "-" + t[18:codeLength]
		if _, err := tx.ExecContext(ctx, "INSERT INTO recovery_code(account,hash) VALUES(?,?)", account, codeHash(account, code)); err != nil {
			return nil, fmt.Errorf("keep a recovery code: %w", err)
		}
		out = append(out, code)
	}
	return out, nil
}

// RenewCodes makes ten new recovery codes; the old ones and the account's other
// sessions stop at once. entry is written with it or nothing is done.
func (a *Accounts) RenewCodes(ctx context.Context, id int64, token string, entry func() error) (codes []string, err error) {
	err = a.db.Update(ctx, func(tx *db.Tx) error {
		if codes, err = newCodes(ctx, tx, id); err != nil {
			return err
		}
		if err := endOthers(ctx, tx, id, token); err != nil {
			return err
		}
		return entry()
	})
	if err != nil {
		return nil, fmt.Errorf("renew recovery codes: %w", err)
	}
	return codes, nil
}
