package keys

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Errors of the shares, each wrapped with the number of the share it is about.
var (
	ErrShare    = errors.New("the share is mistyped")                   // syntax or checksum
	ErrShareSet = errors.New("the shares belong to different kits")     // another split or another n, k
	ErrFew      = errors.New("not enough shares")                       // fewer than k
	ErrTwice    = errors.New("the same share was given more than once") // same number
)

// Share is one person's part of the root key. Fewer than K shares say nothing
// about it.
type Share struct {
	Number int // 1 … N
	N, K   int
	set    [4]byte // which split
	y      [Size]byte
}

const setLen, sumLen = 4, 4

// Split makes n shares of which any k give the root key back (2 ≤ k ≤ n ≤
// 255).
func Split(r Root, n, k int) ([]Share, error) {
	if k < 2 || n < k || n > 255 {
		return nil, fmt.Errorf("split into %d shares of which %d are needed: 2 ≤ needed ≤ shares ≤ 255 must hold", n, k)
	}
	coeff := make([]byte, Size*(k-1)) // random polynomial of degree k-1 for each byte
	_, _ = rand.Read(coeff)
	var set [setLen]byte
	_, _ = rand.Read(set[:])
	out := make([]Share, n)
	for i := range out {
		s := Share{Number: i + 1, N: n, K: k, set: set}
		x := byte(i + 1)
		for j := range Size {
			y := byte(0)
			for d := k - 2; d >= 0; d-- { // Horner, highest degree first
				y = mul(y, x) ^ coeff[j*(k-1)+d]
			}
			s.y[j] = mul(y, x) ^ r.b[j]
		}
		out[i] = s
	}
	clear(coeff)
	return out, nil
}

// Combine gives the root key back. Extra shares are checked against the
// result: one that does not lie on the same polynomial is [ErrShareSet].
func Combine(shares []Share) (Root, error) {
	if len(shares) == 0 {
		return Root{}, fmt.Errorf("combine shares: %w", ErrFew)
	}
	first := shares[0]
	seen := map[int]bool{}
	for _, s := range shares {
		if s.set != first.set || s.N != first.N || s.K != first.K {
			return Root{}, fmt.Errorf("share %d and share %d: %w", first.Number, s.Number, ErrShareSet)
		}
		if seen[s.Number] {
			return Root{}, fmt.Errorf("share %d: %w", s.Number, ErrTwice)
		}
		seen[s.Number] = true
	}
	if len(shares) < first.K {
		return Root{}, fmt.Errorf("%d of %d shares: %w", len(shares), first.K, ErrFew)
	}
	var r Root
	at := interpolate(shares[:first.K], 0)
	copy(r.b[:], at[:])
	for _, s := range shares[first.K:] {
		want := interpolate(shares[:first.K], byte(s.Number))
		if subtle.ConstantTimeCompare(want[:], s.y[:]) != 1 {
			return Root{}, fmt.Errorf("share %d: %w", s.Number, ErrShareSet)
		}
	}
	return r, nil
}

// interpolate is the value at x of the polynomial through shares.
func interpolate(shares []Share, x byte) (out [Size]byte) {
	for i, s := range shares {
		w := byte(1)
		for j, o := range shares {
			if i != j {
				w = mul(w, mul(x^byte(o.Number), inv(byte(s.Number)^byte(o.Number))))
			}
		}
		for b := range out {
			out[b] ^= mul(w, s.y[b])
		}
	}
	return out
}

// mul multiplies in GF(2^8) modulo x⁸+x⁴+x³+x+1, without tables or branches on
// the operands, so that its time says nothing about them.
func mul(a, b byte) (p byte) {
	for range 8 {
		p ^= a & -(b & 1)
		a = a<<1 ^ 0x1b&-(a>>7)
		b >>= 1
	}
	return p
}

// inv is a^254, which is 1/a for a ≠ 0.
func inv(a byte) byte {
	r := byte(1)
	for range 7 { // 254 = 2 + 4 + … + 128
		a = mul(a, a)
		r = mul(r, a)
	}
	return r
}

var enc = base32.NewEncoding("ABCDEFGHJKLMNPQRSTUVWXYZ23456789").WithPadding(base32.NoPadding)

// Text is the printable form: FAROL1-<number>-<n>-<k>- and groups of five
// letters and digits without I, O, 0 and 1, the last of them a checksum.
func (s Share) Text() string {
	body := append(s.set[:], s.y[:]...)
	body = append(body, s.sum()...)
	t := enc.EncodeToString(body)
	out := fmt.Sprintf("FAROL1-%d-%d-%d", s.Number, s.N, s.K)
	for len(t) > 0 {
		n := min(5, len(t))
		out, t = out+"-"+t[:n], t[n:]
	}
	return out
}

func (s Share) sum() []byte {
	h := sha256.New()
	fmt.Fprintf(h, "farol share %d %d %d\n", s.Number, s.N, s.K)
	h.Write(s.set[:])
	h.Write(s.y[:])
	return h.Sum(nil)[:sumLen]
}

// String redacts the share; [Share.Text] prints it.
func (s Share) String() string {
	return fmt.Sprintf("keys.Share(%d of %d, redacted)", s.Number, s.N)
}

// Format redacts the share under every verb.
func (s Share) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// ParseShare reads what [Share.Text] printed. Case, white space and the dashes
// between groups do not matter. A mistake is [ErrShare] and names the share.
func ParseShare(text string) (Share, error) {
	fields := strings.FieldsFunc(strings.ToUpper(text), func(r rune) bool {
		return r == '-' || r == '–' || r == '—' || r == '_' || r == ' ' || r == '\t' || r == '\n' || r == '\r' || r == '\u00a0' || r == '\u3000'
	})
	if len(fields) < 5 || fields[0] != "FAROL1" {
		return Share{}, fmt.Errorf("a share begins with FAROL1 and three numbers: %w", ErrShare)
	}
	var nums [3]int
	for i := range nums {
		n, err := strconv.Atoi(fields[i+1])
		if err != nil || n < 1 || n > 255 {
			return Share{}, fmt.Errorf("number %d of the share must be 1 to 255: %w", i+1, ErrShare)
		}
		nums[i] = n
	}
	s := Share{Number: nums[0], N: nums[1], K: nums[2]}
	if s.K < 2 || s.K > s.N || s.Number > s.N {
		return Share{}, fmt.Errorf("share %d: its numbers contradict each other: %w", s.Number, ErrShare)
	}
	body, err := enc.DecodeString(strings.Join(fields[4:], ""))
	if err != nil {
		return Share{}, fmt.Errorf("share %d: a character does not belong there: %w", s.Number, ErrShare)
	}
	if len(body) != setLen+Size+sumLen {
		return Share{}, fmt.Errorf("share %d: characters are missing or too many: %w", s.Number, ErrShare)
	}
	copy(s.set[:], body)
	copy(s.y[:], body[setLen:])
	if subtle.ConstantTimeCompare(s.sum(), body[setLen+Size:]) != 1 {
		return Share{}, fmt.Errorf("share %d: the checksum does not match: %w", s.Number, ErrShare)
	}
	return s, nil
}
