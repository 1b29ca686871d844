package restore

import (
	"bytes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/crypto/chacha20poly1305"
)

// zipSpool is a temporary file that only this process can read and nobody can
// change: pieces sealed under a random key that exists in memory alone. The
// file has no name.
type zipSpool struct {
	f    *os.File
	aead cipher.AEAD
	rest []byte // what does not fill a piece yet
	full uint64 // pieces in the file
}

// spoolPiece is how much is sealed at once.
const spoolPiece = 64 << 10

func newZipSpool() (*zipSpool, error) {
	key := make([]byte, chacha20poly1305.KeySize)
	if _, err := rand.Read(key); err != nil {
		return nil, fmt.Errorf("key a temporary file: %w", err)
	}
	aead, err := chacha20poly1305.New(key)
	if err != nil {
		return nil, fmt.Errorf("key a temporary file: %w", err)
	}
	f, err := os.CreateTemp("", "farol-export-*")
	if err != nil {
		return nil, fmt.Errorf("make a temporary file: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &zipSpool{f: f, aead: aead}, nil
}

// nonce is the number of a piece: the key seals this file alone.
func (s *zipSpool) nonce(n uint64) []byte {
	return binary.BigEndian.AppendUint64(make([]byte, s.aead.NonceSize()-8, s.aead.NonceSize()), n)
}

func (s *zipSpool) Write(b []byte) (int, error) {
	s.rest = append(s.rest, b...)
	for len(s.rest) >= spoolPiece {
		if _, err := s.f.Write(s.aead.Seal(nil, s.nonce(s.full), s.rest[:spoolPiece], nil)); err != nil {
			return 0, err
		}
		s.full++
		s.rest = append(s.rest[:0], s.rest[spoolPiece:]...)
	}
	return len(b), nil
}

func (s *zipSpool) copyTo(w io.Writer) error {
	if _, err := s.f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	piece := make([]byte, spoolPiece+s.aead.Overhead())
	for n := range s.full {
		if _, err := io.ReadFull(s.f, piece); err != nil {
			return fmt.Errorf("read a temporary file: %w", err)
		}
		plain, err := s.aead.Open(piece[:0], s.nonce(n), piece, nil)
		if err != nil {
			return fmt.Errorf("read a temporary file: %w", err)
		}
		if _, err := w.Write(plain); err != nil {
			return err
		}
	}
	_, err := io.Copy(w, bytes.NewReader(s.rest))
	return err
}

// Close frees the file; closing nothing is fine.
func (s *zipSpool) Close() error {
	if s == nil {
		return nil
	}
	return s.f.Close()
}
