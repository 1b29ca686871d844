package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"farol/internal/db"
)

// Site is where the console is open, as the browser knows it. A passkey is
// good for the one host under which it was made: that is why nobody can fish
// for it.
type Site struct{ Host, Origin string }

// SiteOf is the site of an origin. ok is false when a browser makes no passkey
// there: under an address instead of a name.
func SiteOf(origin string) (s Site, ok bool) {
	_, host, _ := strings.Cut(origin, "://")
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	return Site{strings.ToLower(host), origin}, host != "" && net.ParseIP(host) == nil
}

// Rite is one question to a device. Options go to the browser; the ticket comes
// back with its answer and is good once.
type Rite struct {
	Options string // JSON
	Ticket  string
}

// Response is what a device answered.
type Response struct {
	Ticket string
	JSON   string
}

// rite is what is kept until the answer comes.
type rite struct {
	site    Site
	data    webauthn.SessionData
	account int64 // whose passkey is made, 0 = one is asked for
	until   time.Time
}

// Rites wait a while in memory, and no more than so many: anybody may ask.
const (
	riteLife = 5 * time.Minute
	maxRites = 2000
)

type rites struct {
	mu   sync.Mutex // guards below
	open map[string]rite
}

func (r *rites) put(now time.Time, x rite) string {
	ticket := rand.Text()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open == nil {
		r.open = map[string]rite{}
	}
	for k, y := range r.open {
		if now.After(y.until) || len(r.open) >= maxRites { // any one goes: its owner asks again
			delete(r.open, k)
		}
	}
	x.until = now.Add(riteLife)
	r.open[ticket] = x
	return ticket
}

func (r *rites) take(now time.Time, ticket string) (rite, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	x, ok := r.open[ticket]
	delete(r.open, ticket)
	return x, ok && now.Before(x.until)
}

var passkeyAAD = []byte("farol passkey")

// Passkey is a passkey as its owner sees it.
type Passkey struct {
	ID            int64
	Name, Host    string
	Created, Used time.Time // Used zero: never
}

// holder is an account as the protocol sees it.
type holder struct {
	User
	keys []webauthn.Credential
}

func (h *holder) WebAuthnID() []byte {
	id := sha256.Sum256([]byte("farol passkey account " + strconv.FormatInt(h.ID, 10)))
	return id[:]
}
func (h *holder) WebAuthnName() string                       { return h.Name }
func (h *holder) WebAuthnDisplayName() string                { return h.Shown }
func (h *holder) WebAuthnCredentials() []webauthn.Credential { return h.keys }

func party(s Site) (*webauthn.WebAuthn, error) {
	w, err := webauthn.New(&webauthn.Config{RPID: s.Host, RPDisplayName: "Farol", RPOrigins: []string{s.Origin}})
	if err != nil {
		return nil, fmt.Errorf("prepare passkeys for this host: %w", err)
	}
	return w, nil
}

// keysOf reads the passkeys of an account on a host.
func (a *Accounts) keysOf(ctx context.Context, tx *db.Tx, account int64, host string) ([]webauthn.Credential, error) {
	rows, err := tx.QueryContext(ctx, "SELECT data FROM passkey WHERE account=? AND host=? ORDER BY id", account, host)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []webauthn.Credential
	for rows.Next() {
		var sealed []byte
		if err := rows.Scan(&sealed); err != nil {
			return nil, err
		}
		b, err := a.box.Open(sealed, passkeyAAD)
		if err != nil {
			return nil, err
		}
		var k webauthn.Credential
		if err := json.Unmarshal(b, &k); err != nil {
			return nil, err
		}
		out = append(out, k)
	}
	return out, rows.Err()
}

// Passkeys lists the passkeys of an account.
func (a *Accounts) Passkeys(ctx context.Context, account int64) ([]Passkey, error) {
	var out []Passkey
	err := a.db.View(ctx, func(tx *db.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT id,name,host,created,used FROM passkey WHERE account=? ORDER BY id", account)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var k Passkey
			var created, used int64
			if err := rows.Scan(&k.ID, &k.Name, &k.Host, &created, &used); err != nil {
				return err
			}
			k.Created = time.UnixMilli(created)
			if used > 0 {
				k.Used = time.UnixMilli(used)
			}
			out = append(out, k)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("list passkeys: %w", err)
	}
	return out, nil
}

// MakePasskey asks the device of a person who is signed in for a new passkey.
func (a *Accounts) MakePasskey(ctx context.Context, u User, site Site) (Rite, error) {
	if u.Breakglass {
		return Rite{}, ErrFixed
	}
	w, err := party(site)
	if err != nil {
		return Rite{}, err
	}
	h := &holder{User: u}
	err = a.db.View(ctx, func(tx *db.Tx) error {
		h.keys, err = a.keysOf(ctx, tx, u.ID, site.Host)
		return err
	})
	if err != nil {
		return Rite{}, fmt.Errorf("read passkeys: %w", err)
	}
	options, data, err := w.BeginRegistration(h, webauthn.WithExclusions(webauthn.Credentials(h.keys).CredentialDescriptors()),
		webauthn.WithAuthenticatorSelection(protocol.AuthenticatorSelection{ResidentKey: protocol.ResidentKeyRequirementRequired, UserVerification: protocol.VerificationPreferred}))
	if err != nil {
		return Rite{}, fmt.Errorf("ask for a passkey: %w", err)
	}
	return a.riteOf(options, rite{site: site, data: *data, account: u.ID})
}

func (a *Accounts) riteOf(options any, x rite) (Rite, error) {
	b, err := json.Marshal(options)
	if err != nil {
		return Rite{}, fmt.Errorf("write passkey options: %w", err)
	}
	return Rite{string(b), a.rites.put(a.now(), x)}, nil
}

// AddPasskey keeps what the device made. It returns [ErrPasskey] when the
// answer is not right. The account's other sessions end; token is the one that
// stays. entry is written with it or nothing is done.
func (a *Accounts) AddPasskey(ctx context.Context, u User, token string, r Response, name string, entry func() error) error {
	x, ok := a.rites.take(a.now(), r.Ticket)
	if !ok || x.account != u.ID || u.Breakglass {
		return ErrPasskey
	}
	w, err := party(x.site)
	if err != nil {
		return err
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes([]byte(r.JSON))
	if err != nil {
		return ErrPasskey
	}
	k, err := w.CreateCredential(&holder{User: u}, x.data, parsed)
	if err != nil {
		return ErrPasskey
	}
	b, err := json.Marshal(k)
	if err != nil {
		return fmt.Errorf("write a passkey: %w", err)
	}
	if name = strings.TrimSpace(name); name == "" || checkShown(name) != nil {
		name = "Passkey"
	}
	err = a.db.Update(ctx, func(tx *db.Tx) error {
		if _, err := tx.ExecContext(ctx, "INSERT INTO passkey(account,host,credential,data,name,created) VALUES(?,?,?,?,?,?)", u.ID, x.site.Host, k.ID, a.box.Seal(b, passkeyAAD), name, tx.Now.UnixMilli()); err != nil {
			return err
		}
		if err := endOthers(ctx, tx, u.ID, token); err != nil {
			return err
		}
		return entry()
	})
	if err != nil {
		return fmt.Errorf("keep a passkey: %w", err)
	}
	return nil
}

// RemovePasskey forgets one passkey of an account; it returns [ErrPasskey] when
// there is none. The account's other sessions end. entry is written with it or
// nothing is done.
func (a *Accounts) RemovePasskey(ctx context.Context, account int64, token string, id int64, entry func() error) error {
	err := a.db.Update(ctx, func(tx *db.Tx) error {
		res, err := tx.ExecContext(ctx, "DELETE FROM passkey WHERE id=? AND account=?", id, account)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, ErrPasskey)
		}
		if err := endOthers(ctx, tx, account, token); err != nil {
			return err
		}
		return entry()
	})
	if err != nil {
		return fmt.Errorf("remove a passkey: %w", err)
	}
	return nil
}

// AskPasskey asks whichever passkey the person chooses.
func (a *Accounts) AskPasskey(site Site) (Rite, error) {
	w, err := party(site)
	if err != nil {
		return Rite{}, err
	}
	options, data, err := w.BeginDiscoverableLogin(webauthn.WithUserVerification(protocol.VerificationPreferred))
	if err != nil {
		return Rite{}, fmt.Errorf("ask for a passkey: %w", err)
	}
	return a.riteOf(options, rite{site: site, data: *data})
}
