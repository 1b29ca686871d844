// Package keys owns the root key: how it is made, what is derived from it,
// how it rests sealed, and how it is split among people.
//
// It promises that the plain root key is never written into the state
// directory and never printed: every type that holds it redacts itself. It
// never talks to the network and never decides who may use a key.
//
// # Design
//
// One random root key of 32 bytes is the only secret a tenant has to keep. It
// opens two locks and nothing else: the archive's (its password is HKDF-SHA256
// of it; inside lies the key of blobs and journal) and the ring of state keys
// (search tokens, control secrets, log payloads; see [Ring]). A rotation
// replaces the root key by writing these two anew. At rest the key lies in the state directory as root-key.sealed,
// locked with XChaCha20-Poly1305 under a passphrase (argon2id) or under a host
// key that lies elsewhere; or systemd hands it over as the credential
// root-key. For the day on which machine and disk are gone it is split into
// k-of-n shares that people keep on paper.
package keys

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
)

// Size is the length of the root key and of every derived key, in bytes.
const Size = 32

// The labels in use. A new use takes a new label, so that no two parts of the
// product ever share a key.
const (
	LabelArchive = "archive" // password of the kopia repository
	LabelSearch  = "search"  // tokens of the blind index
	LabelNames   = "names"   // blind names of what the catalog holds
	LabelControl = "control" // secrets in control.db
	LabelLog     = "log"     // payloads of the audit log
)

// ErrKey means that a key does not open what it was tried on: a wrong
// passphrase, another host's key, or changed bytes.
var ErrKey = errors.New("the key does not fit")

// ErrNoKey means that no sealed root key was found where one was looked for.
var ErrNoKey = errors.New("no root key found")

// Root is the root key. Its zero value is no key; see [Root.IsZero].
type Root struct{ b [Size]byte }

// New makes a root key from the system's random source.
func New() (Root, error) {
	var r Root
	_, err := rand.Read(r.b[:])
	return r, err
}

// RootFrom takes 32 raw bytes or 64 hexadecimal digits (with white space
// around them, as an editor leaves it) as the root key.
func RootFrom(b []byte) (Root, error) {
	var r Root
	if len(b) == Size {
		copy(r.b[:], b)
		return r, nil
	}
	s := strings.TrimSpace(string(b))
	if len(s) != 2*Size {
		return r, errors.New("a root key is 32 bytes or 64 hexadecimal digits")
	}
	raw, err := hex.DecodeString(s)
	if err != nil {
		return r, errors.New("a root key is 32 bytes or 64 hexadecimal digits")
	}
	copy(r.b[:], raw)
	return r, nil
}

// IsZero reports whether r was never set.
func (r Root) IsZero() bool { return r == Root{} }

// Equal compares in constant time.
func (r Root) Equal(o Root) bool { return subtle.ConstantTimeCompare(r.b[:], o.b[:]) == 1 }

// Check is a short word for the key: it tells another key and says nothing
// about this one.
func (r Root) Check() string { return hex.EncodeToString(r.Derive("key check")[:8]) }

// Derive is HKDF-SHA256 of the root key under label: 32 bytes.
func (r Root) Derive(label string) []byte {
	key, err := hkdf.Key(sha256.New, r.b[:], []byte("farol/v1"), label, Size)
	if err != nil {
		// Only a length beyond 8,160 bytes or a FIPS refusal ends here.
		panic("derive key: " + err.Error())
	}
	return key
}

const redacted = "keys.Root(redacted)"

// String redacts the key.
func (Root) String() string { return redacted }

// GoString redacts the key.
func (Root) GoString() string { return redacted }

// Format redacts the key under every verb.
func (Root) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// LogValue redacts the key.
func (Root) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText refuses: a root key leaves only through [Seal] or [Split].
func (Root) MarshalText() ([]byte, error) { return nil, errors.New("a root key is not written out") }
