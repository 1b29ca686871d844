package parity

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
)

// memory is a file in memory.
type memory struct{ b []byte }

func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	if need := int(off) + len(p); need > len(m.b) {
		m.b = append(m.b, make([]byte, need-len(m.b))...)
	}
	return copy(m.b[off:], p), nil
}

func random(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

func made(t testing.TB, b []byte, s Strength) []byte {
	t.Helper()
	var m memory
	if err := Make(bytes.NewReader(b), int64(len(b)), sha256.Sum256(b), s, &m); err != nil {
		t.Fatal(err)
	}
	if int64(len(m.b)) != s.Length(int64(len(b))) {
		t.Fatalf("parity of %d bytes has %d bytes, Length says %d", len(b), len(m.b), s.Length(int64(len(b))))
	}
	return m.b
}

func mended(file, par []byte) ([]byte, int, error) {
	var out bytes.Buffer
	n, err := Mend(bytes.NewReader(file), bytes.NewReader(par), int64(len(par)), &out)
	return out.Bytes(), n, err
}

var sizes = []int{0, 1, 511, 512, 513, 4095, 4096, 4097, 20_000, 262_144, 1_000_003, 21 << 20}

func TestAGoodFileComesBackAsItIs(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, s := range []Strength{Bulk, Tree, Whole} {
		for _, n := range sizes {
			b := random(rng, n)
			par := made(t, b, s)
			if err := Check(bytes.NewReader(par), int64(len(par)), sha256.Sum256(b)); err != nil {
				t.Errorf("%v, %d bytes: a fresh parity file is called bad: %v", s, n, err)
			}
			got, bad, err := mended(b, par)
			if err != nil || bad != 0 || !bytes.Equal(got, b) {
				t.Errorf("%v, %d bytes: %d bad cells, %v", s, n, bad, err)
			}
		}
	}
}

func TestABurstAndScatteredSectorsAreMended(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	for _, n := range sizes[1:] {
		for range 10 {
			b := random(rng, n)
			par := made(t, b, Bulk)
			s := Bulk.cut(int64(n))
			hurt := bytes.Clone(b)
			// A burst as long as one shard touches at most two cells of a column.
			from := rng.IntN(n)
			for i := from; i < min(n, from+int(s.shard)); i++ {
				hurt[i] ^= 0x55
			}
			got, bad, err := mended(hurt, par)
			if err != nil || bad == 0 || !bytes.Equal(got, b) {
				t.Fatalf("%d bytes, burst of %d at %d: %d bad cells, %v", n, s.shard, from, bad, err)
			}
			if s.m < 2 {
				continue // a copy, which cannot be hit as well
			}
			// One bad bit anywhere, in the file and in its parity at once.
			hurt = bytes.Clone(b)
			hurt[rng.IntN(n)] ^= 1
			hurtPar := bytes.Clone(par)
			hurtPar[s.body()+rng.Int64N(int64(len(par))-s.body())] ^= 1
			if got, _, err := mended(hurt, hurtPar); err != nil || !bytes.Equal(got, b) {
				t.Fatalf("%d bytes, a bit in file and parity: %v", n, err)
			}
		}
	}
}

func TestAnEmptiedOrCutSmallFileComesBackWhole(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	for _, n := range sizes {
		b := random(rng, n)
		par := made(t, b, Whole)
		for _, left := range [][]byte{nil, b[:n/2], bytes.Repeat([]byte{0}, n), append(bytes.Clone(b), 1, 2, 3)} {
			got, _, err := mended(left, par)
			if err != nil || !bytes.Equal(got, b) {
				t.Errorf("%d of %d bytes left: %v", len(left), n, err)
			}
		}
	}
	if _, err := Mend(nil, bytes.NewReader(made(t, []byte("abc"), Whole)), Whole.Length(3), io.Discard); err != nil {
		t.Errorf("a file that is gone: %v", err)
	}
}

func TestTooMuchDamageIsSaidAndNeverMendedWrongly(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	for _, n := range []int{20_000, 262_144, 1_000_003} {
		b := random(rng, n)
		par := made(t, b, Bulk)
		for range 200 {
			hurt := bytes.Clone(b)
			for range 1 + rng.IntN(12) {
				from := rng.IntN(n)
				for i := from; i < min(n, from+rng.IntN(n/4)); i++ {
					hurt[i] = byte(rng.Uint32())
				}
			}
			got, _, err := mended(hurt, par)
			switch {
			case err == nil && !bytes.Equal(got, b):
				t.Fatalf("%d bytes: mended wrongly and called good", n)
			case err != nil && !errors.Is(err, ErrBeyond):
				t.Fatalf("%d bytes: %v", n, err)
			}
		}
	}
}

func TestADamagedParityFileIsNeverTakenForAGoodOne(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	b := random(rng, 50_000)
	sum := sha256.Sum256(b)
	par := made(t, b, Tree)
	for i := range par {
		hurt := bytes.Clone(par)
		hurt[i] ^= 1 << rng.IntN(8)
		if Check(bytes.NewReader(hurt), int64(len(hurt)), sum) == nil {
			t.Fatalf("byte %d of %d changed and nobody noticed", i, len(par))
		}
	}
	for n := range len(par) {
		if err := Check(bytes.NewReader(par[:n]), int64(n), sum); !errors.Is(err, ErrParity) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
	if err := Check(bytes.NewReader(par), int64(len(par)), sha256.Sum256(nil)); !errors.Is(err, ErrParity) {
		t.Fatalf("of another file: %v", err)
	}
}

func FuzzMend(f *testing.F) {
	b := []byte("what was captured must come back")
	f.Add(b, made(f, b, Whole))
	f.Add([]byte{}, []byte(magic))
	f.Fuzz(func(t *testing.T, file, par []byte) {
		got, _, err := mended(file, par)
		if err != nil {
			return
		}
		s, _, err := read(bytes.NewReader(par), int64(len(par)))
		if err != nil || sha256.Sum256(got) != s.sum {
			t.Fatal("a result that is not what the parity file names")
		}
	})
}

func BenchmarkMake(b *testing.B) {
	data := random(rand.New(rand.NewPCG(6, 6)), 20<<20)
	for _, s := range []Strength{Bulk, Tree, Whole} {
		b.Run(fmt.Sprint(s), func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				made(b, data, s)
			}
		})
	}
}
