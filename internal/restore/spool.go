package restore

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
)

// zipSpool is a temporary file that only this process can read: AES-CTR under
// a random key that exists in memory alone. The file has no name.
type zipSpool struct {
	f   *os.File
	enc cipher.Stream
	key cipher.Block
	iv  []byte
}

func newZipSpool() (*zipSpool, error) {
	secret := make([]byte, 32+aes.BlockSize)
	if _, err := rand.Read(secret); err != nil {
		return nil, fmt.Errorf("key a temporary file: %w", err)
	}
	block, err := aes.NewCipher(secret[:32])
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
	return &zipSpool{f: f, key: block, iv: secret[32:], enc: cipher.NewCTR(block, secret[32:])}, nil
}

func (s *zipSpool) Write(b []byte) (int, error) {
	out := make([]byte, len(b))
	s.enc.XORKeyStream(out, b)
	return s.f.Write(out)
}

func (s *zipSpool) copyTo(w io.Writer) error {
	if _, err := s.f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	_, err := io.Copy(w, &cipher.StreamReader{S: cipher.NewCTR(s.key, s.iv), R: s.f})
	return err
}

// Close frees the file; closing nothing is fine.
func (s *zipSpool) Close() error {
	if s == nil {
		return nil
	}
	return s.f.Close()
}
