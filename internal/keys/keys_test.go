package keys

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func newRoot(t *testing.T) Root {
	t.Helper()
	r, err := New()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRootNeverPrints(t *testing.T) {
	r := newRoot(t)
	plain, hexed := string(r.b[:]), hex.EncodeToString(r.b[:])
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "%q", "%d"} {
		s := fmt.Sprintf(verb, r)
		if s != redacted {
			t.Errorf("%s prints %q", verb, s)
		}
		s = fmt.Sprintf(verb, struct{ Key Root }{r})
		if strings.Contains(s, plain) || strings.Contains(strings.ToLower(s), hexed) {
			t.Errorf("%s of a struct leaks the key", verb)
		}
	}
	if b, err := json.Marshal(r); err == nil {
		t.Errorf("marshalled to %s", b)
	}
}

func TestDerivedKeysDifferByLabelAndStayTheSame(t *testing.T) {
	r, err := RootFrom(bytes.Repeat([]byte{7}, Size))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for _, l := range []string{LabelArchive, LabelNames, LabelSearch, LabelControl, LabelLog} {
		k := hex.EncodeToString(r.Derive(l))
		if other, ok := seen[k]; ok {
			t.Errorf("%s and %s are one key", l, other)
		}
		seen[k] = l
	}
	// Fixed for ever: another value would lock every archive ever written.
	const want = "7493294bf0628abaa0813da5ea0788a6e5f10f5e4e20e46ecaebdfc0be4b3255"
	if got := hex.EncodeToString(r.Derive(LabelArchive)); got != want {
		t.Errorf("archive key of the test root is %s, want %s", got, want)
	}
}

func TestSealedRootOpensOnlyWithItsKey(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	r := newRoot(t)
	for _, method := range []string{"host", "passphrase"} {
		base := t.TempDir()
		state := filepath.Join(base, "state")
		if err := os.Mkdir(state, 0o700); err != nil {
			t.Fatal(err)
		}
		src := Source{Dir: state, HostKey: filepath.Join(base, "host", "key")}
		if method == "passphrase" {
			src = Source{Dir: state, Passphrase: "正確的馬電池訂書釘"}
		}
		if _, err := Load(src); !errors.Is(err, ErrNoKey) {
			t.Errorf("%s: loading from nothing gave %v", method, err)
		}
		if err := Store(src, r); err != nil {
			t.Fatal(err)
		}
		got, err := Load(src)
		if err != nil || !got.Equal(r) {
			t.Errorf("%s: loaded another key: %v", method, err)
		}
		b, err := os.ReadFile(filepath.Join(state, SealedFile))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, r.b[:]) || strings.Contains(string(b), hex.EncodeToString(r.b[:])) {
			t.Errorf("%s: the plain key lies in the state directory", method)
		}
		wrong := Source{Dir: state, Passphrase: "wrong", HostKey: filepath.Join(base, "other", "key")}
		if method == "host" {
			if err := Store(Source{Dir: base + "/x", HostKey: wrong.HostKey}, r); err == nil {
				t.Error("stored into a directory that is not there")
			}
		}
		if _, err := Load(wrong); !errors.Is(err, ErrKey) {
			t.Errorf("%s: wrong key gave %v", method, err)
		}
		bad := bytes.Replace(b, []byte(`"key": "`), []byte(`"key": "AA`), 1)
		if err := os.WriteFile(filepath.Join(state, SealedFile), bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(src); !errors.Is(err, ErrKey) {
			t.Errorf("%s: changed bytes gave %v", method, err)
		}
	}
}

func TestHostKeyMustLieElsewhereAndBePrivate(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	base := t.TempDir()
	r := newRoot(t)
	if err := Store(Source{Dir: base, HostKey: filepath.Join(base, "key")}, r); err == nil {
		t.Error("a host key inside the state directory was taken")
	}
	host := filepath.Join(t.TempDir(), "key")
	src := Source{Dir: base, HostKey: host}
	if err := Store(src, r); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(host, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(src); err == nil {
		t.Error("a host key readable by others was taken")
	}
}

func TestCredentialComesFirst(t *testing.T) {
	r := newRoot(t)
	for name, b := range map[string][]byte{"raw": r.b[:], "hex": []byte(hex.EncodeToString(r.b[:]) + "\n")} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, CredentialName), b, 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv("CREDENTIALS_DIRECTORY", dir)
		got, err := Load(Source{Dir: t.TempDir()})
		if err != nil || !got.Equal(r) {
			t.Errorf("%s credential: %v", name, err)
		}
	}
}

func TestBoxBindsKeyAndPlace(t *testing.T) {
	a, b := NewBox(newRoot(t).Derive(LabelControl)), NewBox(newRoot(t).Derive(LabelControl))
	s := a.Seal([]byte("app secret"), []byte("settings/app_secret"))
	if p, err := a.Open(s, []byte("settings/app_secret")); err != nil || string(p) != "app secret" {
		t.Errorf("opened %q, %v", p, err)
	}
	if _, err := a.Open(s, []byte("settings/other")); !errors.Is(err, ErrKey) {
		t.Errorf("moved to another place: %v", err)
	}
	if _, err := b.Open(s, []byte("settings/app_secret")); !errors.Is(err, ErrKey) {
		t.Errorf("another key: %v", err)
	}
	if _, err := a.Open(s[:10], nil); !errors.Is(err, ErrKey) {
		t.Errorf("cut: %v", err)
	}
	if bytes.Equal(s, a.Seal([]byte("app secret"), []byte("settings/app_secret"))) {
		t.Error("two seals of one text are equal")
	}
}

func TestFieldArithmetic(t *testing.T) {
	if mul(0x57, 0x83) != 0xc1 || mul(0x57, 0x13) != 0xfe { // FIPS 197, section 4.2
		t.Error("multiplication differs from FIPS 197")
	}
	for a := 1; a < 256; a++ {
		if mul(byte(a), inv(byte(a))) != 1 {
			t.Fatalf("1/%d is wrong", a)
		}
	}
}

func TestAnyKSharesGiveTheRootBack(t *testing.T) {
	r := newRoot(t)
	for _, c := range []struct{ n, k int }{{2, 2}, {3, 2}, {5, 3}, {7, 7}, {255, 20}} {
		shares, err := Split(r, c.n, c.k)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			pick := rand.Perm(c.n)[:c.k]
			var some []Share
			for _, i := range pick {
				s, err := ParseShare(shares[i].Text())
				if err != nil {
					t.Fatal(err)
				}
				some = append(some, s)
			}
			got, err := Combine(some)
			if err != nil || !got.Equal(r) {
				t.Fatalf("%d of %d: %v", c.k, c.n, err)
			}
			if _, err := Combine(some[1:]); !errors.Is(err, ErrFew) {
				t.Errorf("one share too few: %v", err)
			}
		}
		if got, err := Combine(shares); err != nil || !got.Equal(r) {
			t.Errorf("all %d shares: %v", c.n, err)
		}
	}
	for _, c := range []struct{ n, k int }{{1, 1}, {3, 1}, {2, 3}, {256, 2}} {
		if _, err := Split(r, c.n, c.k); err == nil {
			t.Errorf("split into %d with %d needed", c.n, c.k)
		}
	}
}

func TestFewerSharesSayNothing(t *testing.T) {
	// With one share of two, every root is equally likely: the first byte of
	// the share must take all values over many splits of one root.
	r := newRoot(t)
	seen := map[byte]bool{}
	for range 4000 {
		s, err := Split(r, 2, 2)
		if err != nil {
			t.Fatal(err)
		}
		seen[s[0].y[0]] = true
	}
	if len(seen) != 256 {
		t.Errorf("share bytes took %d of 256 values", len(seen))
	}
}

func TestTypedSharesAreForgivenAndMistakesNamed(t *testing.T) {
	r := newRoot(t)
	a, _ := Split(r, 5, 3)
	b, _ := Split(r, 5, 3)
	text := a[1].Text()
	for _, typed := range []string{
		strings.ToLower(text),
		strings.ReplaceAll(text, "-", " "),
		"  " + strings.ReplaceAll(text, "-", " - ") + "\r\n",
		strings.ReplaceAll(text, "-", "–"),
		text[:20] + "\n" + text[20:],
	} {
		if s, err := ParseShare(typed); err != nil || s != a[1] {
			t.Errorf("%q: %v", typed, err)
		}
	}
	for i := len("FAROL1-2-5-3-"); i < len(text); i++ {
		c := byte('A')
		if text[i] == 'A' {
			c = 'B'
		}
		if text[i] == '-' {
			continue
		}
		_, err := ParseShare(text[:i] + string(c) + text[i+1:])
		if !errors.Is(err, ErrShare) || !strings.Contains(err.Error(), "share 2") {
			t.Fatalf("a mistake at %d gave %v", i, err)
		}
	}
	for _, bad := range []string{"", "hello", "FAROL1-2-5-3", "FAROL2" + text[6:], "FAROL1-9-5-3" + text[12:], text[:len(text)-1], text + "AAAA"} {
		if _, err := ParseShare(bad); !errors.Is(err, ErrShare) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := Combine([]Share{a[0], a[1], b[2]}); !errors.Is(err, ErrShareSet) {
		t.Errorf("shares of two kits: %v", err)
	}
	if _, err := Combine([]Share{a[0], a[1], a[1]}); !errors.Is(err, ErrTwice) {
		t.Errorf("one share twice: %v", err)
	}
	if s := fmt.Sprintf("%v %+v", a[0], a[0]); strings.Contains(s, hex.EncodeToString(a[0].y[:4])) {
		t.Errorf("a share prints itself: %s", s)
	}
}

func FuzzParseShare(f *testing.F) {
	r, _ := New()
	s, _ := Split(r, 3, 2)
	f.Add(s[0].Text())
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseShare(text)
		if err != nil {
			return
		}
		if again, err := ParseShare(s.Text()); err != nil || again != s {
			t.Errorf("%v", err)
		}
	})
}
