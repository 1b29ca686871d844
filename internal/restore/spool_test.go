package restore

import (
	"bytes"
	"crypto/rand"
	"io"
	"testing"
)

func TestASpoolGivesBackWhatItTookAndNothingThatWasChanged(t *testing.T) {
	for _, size := range []int{0, 1, spoolPiece - 1, spoolPiece, spoolPiece + 1, 3*spoolPiece + 17} {
		s, err := newZipSpool()
		if err != nil {
			t.Fatal(err)
		}
		want := make([]byte, size)
		_, _ = rand.Read(want)
		for b := want; len(b) > 0; b = b[min(len(b), 10_000):] {
			if _, err := s.Write(b[:min(len(b), 10_000)]); err != nil {
				t.Fatal(err)
			}
		}
		var got bytes.Buffer
		if err := s.copyTo(&got); err != nil || !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%d bytes: %d came back, %v", size, got.Len(), err)
		}
		held := make([]byte, s.full*(spoolPiece+16))
		if _, err := s.f.ReadAt(held, 0); err != nil {
			t.Fatal(err)
		}
		if size >= spoolPiece {
			if bytes.Contains(held, want[100:132]) {
				t.Error("the file holds what was written, readable")
			}
			held[spoolPiece/2] ^= 1
			if _, err := s.f.WriteAt(held, 0); err != nil {
				t.Fatal(err)
			}
			if err := s.copyTo(io.Discard); err == nil {
				t.Error("a changed file was taken")
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
