package watch

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
	"strings"
	"testing"
)

// chances is seeded, so that a failure comes back.
var chances = rand.NewChaCha8([32]byte{1})

func noise(n int) []byte { b := make([]byte, n); chances.Read(b); return b }

func prose(n int) []byte {
	return bytes.Repeat([]byte("月結對數表，請於本週五前覆核並簽署。Please check the totals.\r\n"), n/80+1)[:n]
}

func office(t *testing.T) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := range 6 {
		w, err := z.Create(fmt.Sprintf("word/part%d.xml", i))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(w, "<w:p>%s</w:p>", noise(20000)) // as an embedded picture would be
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func pictures(t *testing.T) (jpg, pngs []byte) {
	m := image.NewRGBA(image.Rect(0, 0, 300, 300))
	for i := range 300 * 300 {
		m.Set(i%300, i/300, color.RGBA{byte(i), byte(rand.N(256)), byte(i / 300), 255})
	}
	var a, b bytes.Buffer
	if err := jpeg.Encode(&a, m, nil); err != nil {
		t.Fatal(err)
	}
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return a.Bytes(), b.Bytes()
}

func look(b []byte) *Look {
	var l Look
	for rest := b; len(rest) > 0; { // in pieces, as a download comes
		n := min(1+rand.N(9000), len(rest))
		l.Write(rest[:n])
		rest = rest[n:]
	}
	return &l
}

func TestWhatFirmsShareIsNeverNoise(t *testing.T) {
	jpg, pngs := pictures(t)
	var gz bytes.Buffer
	w := gzip.NewWriter(&gz)
	w.Write(noise(50000))
	w.Close()
	ole := append([]byte("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), noise(30000)...) // an office file locked with a password
	utf16 := append([]byte("\xff\xfe"), bytes.Repeat([]byte("a\x00,\x00"), 3000)...)
	for name, b := range map[string][]byte{
		"合同.docx": office(t), "sealed.docx": ole, "a.jpg": jpg, "b.png": pngs, "all.tar.gz": gz.Bytes(), "備忘.txt": prose(9000), "list.csv": utf16,
		"film.mp4": append([]byte("\x00\x00\x00\x20ftypisom"), noise(90000)...), "mail.gpg": noise(40000), "disk.vhd": noise(40000), "vault.kdbx": noise(5000),
		"unknown.xyz9": noise(40000), "short.docx": noise(100), "empty.pdf": nil, "report.pdf.bak": noise(9000), "how to restore my files.docx": office(t),
		"說明.txt": prose(600), "README.txt": prose(600), "restore-plan.txt": prose(600),
	} {
		if s := Suspect(name, look(b), "", nil); s != 0 {
			t.Errorf("%s as a new file gives signs %b", name, s)
		}
		for was, wb := range map[string][]byte{"合同.docx": office(t), name: b} {
			if len(b) < 512 || strings.HasSuffix(name, "xyz9") && was != name {
				continue
			}
			if s := Suspect(name, look(b), was, look(wb)); s != 0 {
				t.Errorf("%s after %s gives signs %b", name, was, s)
			}
		}
	}
}

func TestWhatAnAttackLeavesIsSeen(t *testing.T) {
	doc := office(t)
	hurried := append(noise(4096), doc[4096:]...) // only the head is encrypted
	for _, c := range []struct {
		name string
		b    []byte
		was  string
		want Signs
	}{
		{"合同.docx", noise(30000), "合同.docx", Noise},
		{"合同.docx", hurried, "合同.docx", Noise},
		{"合同.docx.lockbit", noise(30000), "合同.docx", Noise | Named},
		{"合同.docx.q7x3", noise(30000), "合同.docx", Noise},
		{"備忘.txt", noise(2000), "備忘.txt", Noise},
		{"drawing.cad9", noise(30000), "drawing.cad9", Noise},
		{"合同.docx.LockBit", noise(30000), "", Noise | Named},
		{"合同.docx.q7x3", noise(30000), "", Noise},
		{"合同.docx", noise(30000), "", Noise},
		{"HOW_TO_DECRYPT_FILES.txt", prose(400), "", Note},
		{"如何解密文件.txt", prose(400), "", Note},
		{"!!!RESTORE-MY-FILES!!!.hta", prose(400), "", Note},
	} {
		var was *Look
		if c.was != "" {
			was = look(doc)
		}
		if got := Suspect(c.name, look(c.b), c.was, was); got != c.want {
			t.Errorf("%s after %q gives signs %b, want %b", c.name, c.was, got, c.want)
		}
	}
}

// TestChanceIsToldFromTextAtEveryLength is what the correction for short
// samples is for.
func TestChanceIsToldFromTextAtEveryLength(t *testing.T) {
	for n := 512; n <= 1<<20; n = n*3/2 + 1 {
		for range 5 {
			if !look(noise(n)).Random() {
				t.Errorf("%d bytes of chance do not look like it", n)
			}
		}
		if l := look(prose(n)); l.Random() || l.Odd() {
			t.Errorf("%d bytes of prose look like chance", n)
		}
	}
}

func TestALookCostsTheSameForAnyLength(t *testing.T) {
	var l Look
	block := noise(1 << 20)
	for range 256 {
		l.Write(block)
	}
	if l.sampled > sampleLimit+stretch || len(l.head) > headBytes {
		t.Errorf("%d bytes counted, %d kept", l.sampled, len(l.head))
	}
	if l.sampled < 8*stretch {
		t.Errorf("only %d bytes counted of 256 MiB", l.sampled)
	}
}
