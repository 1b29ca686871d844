package keys

import (
	"crypto/cipher"
	"crypto/rand"
	"fmt"
	"sync/atomic"

	"golang.org/x/crypto/chacha20poly1305"
)

// Box seals small secrets under one derived key with XChaCha20-Poly1305. The
// 24-byte nonce is random, so one key serves for any number of messages. What
// it sealed under former keys it still opens; see [Ring.Box].
type Box struct{ aeads atomic.Pointer[[]cipher.AEAD] } // the first seals

// NewBox makes a box around a derived key of 32 bytes (see [Root.Derive]),
// which opens what former ones sealed too. Another length is a programming
// error and panics.
func NewBox(key []byte, former ...[]byte) *Box {
	b := &Box{}
	b.rekey(append([][]byte{key}, former...))
	return b
}

func (b *Box) rekey(keys [][]byte) {
	var as []cipher.AEAD
	for _, k := range keys {
		aead, err := chacha20poly1305.NewX(k)
		if err != nil {
			panic("new box: " + err.Error())
		}
		as = append(as, aead)
	}
	b.aeads.Store(&as)
}

// Seal returns nonce and ciphertext. aad is bound but not stored: name the row
// and column there, so that a sealed value cannot be moved to another place.
func (b *Box) Seal(plaintext, aad []byte) []byte {
	out := make([]byte, chacha20poly1305.NonceSizeX, chacha20poly1305.NonceSizeX+len(plaintext)+chacha20poly1305.Overhead)
	_, _ = rand.Read(out) // never fails since Go 1.24
	return (*b.aeads.Load())[0].Seal(out, out, plaintext, aad)
}

// Open returns what Seal was given, or [ErrKey].
func (b *Box) Open(sealed, aad []byte) ([]byte, error) {
	if len(sealed) < chacha20poly1305.NonceSizeX+chacha20poly1305.Overhead {
		return nil, fmt.Errorf("open box: %d bytes are too few: %w", len(sealed), ErrKey)
	}
	n := chacha20poly1305.NonceSizeX
	for _, aead := range *b.aeads.Load() {
		if plain, err := aead.Open(nil, sealed[:n], sealed[n:], aad); err == nil {
			return plain, nil
		}
	}
	return nil, fmt.Errorf("open box: %w", ErrKey)
}
