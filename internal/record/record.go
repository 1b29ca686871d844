// Package record holds the words every other package shares: what a record
// is, how it is named, who owns it, and how its bytes are hashed. It is pure
// values: no file, no network, no clock.
package record

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"
)

// Kind is a sort of upstream data, one connector each.
type Kind string

// The kinds Farol captures.
const (
	Contacts  Kind = "contacts"
	Chat      Kind = "chat"
	Files     Kind = "files"
	Approvals Kind = "approvals"
)

// Kinds lists every kind in the order in which pages show them.
var Kinds = []Kind{Chat, Files, Approvals, Contacts}

// ParseKind returns the kind named s.
func ParseKind(s string) (Kind, error) {
	for _, k := range Kinds {
		if string(k) == s {
			return k, nil
		}
	}
	return "", fmt.Errorf("unknown kind %q", s)
}

// Hash is a SHA-256 digest.
type Hash [sha256.Size]byte

// HashOf is the SHA-256 of b.
func HashOf(b []byte) Hash { return sha256.Sum256(b) }

func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// IsZero reports whether h was never set.
func (h Hash) IsZero() bool { return h == Hash{} }

// MarshalText writes h as 64 hexadecimal digits.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads 64 hexadecimal digits.
func (h *Hash) UnmarshalText(b []byte) error {
	if hex.DecodedLen(len(b)) != len(h) {
		return errors.New("a hash is 64 hexadecimal digits")
	}
	_, err := hex.Decode(h[:], b)
	return err
}

// Ref names one item of the tenant, whatever its version.
type Ref struct {
	Kind      Kind
	Container string // upstream id of the conversation, space, form or "org"
	ID        string // upstream id inside the container
}

func (r Ref) String() string { return string(r.Kind) + "/" + r.Container + "/" + r.ID }

// Record is one version of one item as DingTalk showed it. A version is named
// by Ref and Hash; nothing is ever overwritten.
type Record struct {
	Ref
	Time    time.Time // when the item was made upstream, millisecond precision, UTC
	Author  string    // upstream person key (userId, unionId or openDingTalkId), may be empty
	Dept    int64     // owning department at capture, 0 when none
	Deleted bool      // tombstone: upstream no longer shows the item; Raw is the last state seen
	Raw     []byte    // upstream JSON exactly as received: this is the evidence
	Blobs   []Blob    // bytes that belong to the item: file content, images, voice
}

// Hash names the version: SHA-256 over what was received, the tombstone flag
// and the hashes of the attached bytes, so an edit, a recall and a replaced
// attachment each make a new version.
func (r *Record) Hash() Hash {
	h := sha256.New()
	h.Write(r.Raw)
	if r.Deleted {
		h.Write([]byte("\x00deleted"))
	}
	for _, b := range r.Blobs {
		h.Write([]byte("\x00blob"))
		h.Write(b.SHA256[:])
	}
	var out Hash
	h.Sum(out[:0])
	return out
}

// Blob is bytes attached to a record. SHA256 and Size are taken while the
// bytes arrive from upstream, before anything is stored.
type Blob struct {
	Name   string `json:"name"`   // file name as shown upstream
	Size   int64  `json:"size"`   // bytes
	SHA256 Hash   `json:"sha256"` // of the plaintext
	Object string `json:"object"` // where the archive put it; opaque outside archive
	MIME   string `json:"mime,omitempty"`
}

// Loc says where the archive holds a record. It is opaque outside archive,
// kept in the catalog, and replaced when a fold moves the record.
type Loc struct {
	Seg string // journal commit or archive object
	Off int64  // position inside Seg
	Len int64
}

// Object is how the audit log names something of a kind without naming it.
func (k Kind) Object() string { return "record/" + string(k) }

// HashReader is the SHA-256 of everything r gives.
func HashReader(r io.Reader) (Hash, error) {
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return Hash{}, err
	}
	return Hash(h.Sum(nil)), nil
}
