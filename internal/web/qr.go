package web

import (
	"fmt"
	"image/color"
	"strings"

	barcode "github.com/boombuler/barcode/qr"
)

// qrPath draws text as a QR code inside the page: side is its width in modules,
// path an SVG path of the dark ones. A secret must not become the address of a
// picture.
func qrPath(text string) (side int, path string, err error) {
	code, err := barcode.Encode(text, barcode.M, barcode.Auto)
	if err != nil {
		return 0, "", fmt.Errorf("draw a QR code: %w", err)
	}
	var b strings.Builder
	side = code.Bounds().Dx()
	for y := range side {
		for x := range side {
			if code.At(x, y) == color.Black {
				fmt.Fprintf(&b, "M%d %dh1v1h-1z", x, y)
			}
		}
	}
	return side, b.String(), nil
}
