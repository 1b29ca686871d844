package keys

import (
	"crypto/cipher"
	"crypto/rand"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
)

// Box seals small secrets under one derived key with XChaCha20-Poly1305. The
// 24-byte nonce is random, so one key serves for any number of messages.
type Box struct{ aead cipher.AEAD }

// NewBox makes a box around a derived key of 32 bytes (see [Root.Derive]).
// Another length is a programming error and panics.
func NewBox(key []byte) *Box {
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		panic("new box: " + err.Error())
	}
	return &Box{aead}
}

// Seal returns nonce and ciphertext. aad is bound but not stored: name the row
// and column there, so that a sealed value cannot be moved to another place.
func (b *Box) Seal(plaintext, aad []byte) []byte {
	out := make([]byte, chacha20poly1305.NonceSizeX, chacha20poly1305.NonceSizeX+len(plaintext)+chacha20poly1305.Overhead)
	_, _ = rand.Read(out) // never fails since Go 1.24
	return b.aead.Seal(out, out, plaintext, aad)
}

// Open returns what Seal was given, or [ErrKey].
func (b *Box) Open(sealed, aad []byte) ([]byte, error) {
	if len(sealed) < chacha20poly1305.NonceSizeX+chacha20poly1305.Overhead {
		return nil, fmt.Errorf("open box: %d bytes are too few: %w", len(sealed), ErrKey)
	}
	n := chacha20poly1305.NonceSizeX
	plain, err := b.aead.Open(nil, sealed[:n], sealed[n:], aad)
	if err != nil {
		return nil, fmt.Errorf("open box: %w", ErrKey)
	}
	return plain, nil
}
