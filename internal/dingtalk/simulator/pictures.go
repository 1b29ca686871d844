package simulator

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math"
	"math/rand/v2"
)

// makePicture paints a site photo of sorts: sky, ground, boxes and grain.
func makePicture(r *rand.Rand, kind string) []byte {
	w, h := 320+r.IntN(4)*80, 240+r.IntN(4)*60
	if kind == "png" {
		w, h = w*2/3, h*2/3
	}
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	base := [3]int{r.IntN(120) + 60, r.IntN(120) + 60, r.IntN(120) + 80}
	for y := range h {
		noise := r.Uint64()
		for x := range w {
			if x%8 == 0 {
				noise = noise*6364136223846793005 + 1442695040888963407
			}
			n := int(noise>>(8*(x%8))&15) - 8
			if kind == "png" {
				n = 0
			}
			i := img.PixOffset(x, y)
			for c := range 3 {
				img.Pix[i+c] = uint8(min(255, max(0, base[c]+y*70/h+n)))
			}
			img.Pix[i+3] = 255
		}
	}
	for range 4 + r.IntN(9) {
		x, y := r.IntN(w), h/3+r.IntN(h/2)
		box := image.Rect(x, y, x+20+r.IntN(80), y+20+r.IntN(70)).Intersect(img.Bounds())
		fill := color.RGBA{uint8(r.IntN(256)), uint8(r.IntN(200)), uint8(r.IntN(160)), 255}
		for py := box.Min.Y; py < box.Max.Y; py++ {
			for px := box.Min.X; px < box.Max.X; px++ {
				img.SetRGBA(px, py, fill)
			}
		}
	}
	var b bytes.Buffer
	if kind == "png" {
		png.Encode(&b, img)
	} else {
		jpeg.Encode(&b, img, &jpeg.Options{Quality: 82})
	}
	return b.Bytes()
}

// makeVoice is a short WAV of hums: 8 kHz, 8 bit, mono.
func makeVoice(r *rand.Rand) []byte {
	n := 8000 + r.IntN(3*8000)
	data := make([]byte, n)
	freq := 110 + r.Float64()*90
	for i := range data {
		if i%1600 == 0 {
			freq = 110 + r.Float64()*90
		}
		data[i] = uint8(128 + 60*math.Sin(2*math.Pi*freq*float64(i)/8000)*math.Abs(math.Sin(float64(i)/900)))
	}
	var b bytes.Buffer
	b.WriteString("RIFF")
	binary.Write(&b, binary.LittleEndian, uint32(36+n))
	b.WriteString("WAVEfmt ")
	for _, v := range []any{uint32(16), uint16(1), uint16(1), uint32(8000), uint32(8000), uint16(1), uint16(8)} {
		binary.Write(&b, binary.LittleEndian, v)
	}
	b.WriteString("data")
	binary.Write(&b, binary.LittleEndian, uint32(n))
	b.Write(data)
	return b.Bytes()
}
