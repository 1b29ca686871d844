package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"fmt"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"
)

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

func totpAAD(name string) []byte { return []byte("farol totp " + strings.ToLower(name)) }

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
