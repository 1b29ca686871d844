package auth

import (
	"bytes"
	"fmt"
	"image/png"
)

// QR draws the secret for an authenticator's camera as PNG.
func (s Secret) QR(size int) ([]byte, error) {
	img, err := s.key.Image(size, size)
	if err != nil {
		return nil, fmt.Errorf("draw QR code: %w", err)
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		return nil, fmt.Errorf("draw QR code: %w", err)
	}
	return b.Bytes(), nil
}
