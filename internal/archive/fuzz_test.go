package archive

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
)

// The targets read what lies on a disk that others can write to. They must
// refuse what is not ours, never panic, and write back what they read.

func FuzzFileHeader(f *testing.F) {
	h := fileHeader{epoch: 3, number: 7, salt: newSalt(), next: 9}
	f.Add(h.bytes())
	f.Add([]byte(fileMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := parseFileHeader(b)
		if err == nil && !bytes.Equal(h.bytes(), b[:fileHeaderLen]) {
			t.Errorf("%x reads as %+v", b, h)
		}
	})
}

func FuzzFrame(f *testing.F) {
	c, err := newCodec()
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(c.close)
	h := fileHeader{number: 1, salt: [16]byte{1}}
	aead, err := h.seal(make([]byte, 32))
	if err != nil {
		f.Fatal(err)
	}
	good, _ := c.appendFrame(nil, aead, frameBlobs, 0, 5, h.chain(), c.pack([]byte("plain text of a frame")))
	f.Add(good, int64(0))
	f.Add(good[:len(good)-1], int64(0))
	f.Add([]byte{}, int64(3))
	f.Fuzz(func(t *testing.T, b []byte, off int64) {
		if off < 0 {
			off = -(off + 1)
		}
		prev := h.chain()
		got, err := c.readFrame(bytes.NewReader(b), int64(len(b)), off, aead, &prev)
		if err == nil && (off != 0 || !bytes.HasPrefix(b, good)) {
			t.Errorf("bytes that nobody sealed are a frame: %+v", got)
		}
	})
}

func FuzzBlobsOfAFrame(f *testing.F) {
	f.Add(appendBlob(appendBlob(nil, "k1", []byte("one")), "k2", nil))
	f.Add([]byte{0, 1, 255, 255, 255, 255, 'x'})
	f.Fuzz(func(t *testing.T, b []byte) {
		refs, err := parseBlobs(&jfile{}, &frame{plain: b})
		if err != nil {
			return
		}
		for id, r := range refs {
			if r.at < 0 || r.n < 0 || r.at+r.n > int64(len(b)) {
				t.Errorf("blob %q lies at %d+%d of %d bytes", id, r.at, r.n, len(b))
			}
		}
	})
}

func FuzzSealedFile(f *testing.F) {
	f.Add([]byte("control.db\nbytes"))
	f.Add([]byte("../x\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseSealed(b)
		if err == nil && (!bytes.Equal(s.bytes(), b) || strings.Contains(s.Name, "/")) {
			t.Errorf("%q reads as %q", b, s.Name)
		}
	})
}

// FuzzLine also holds the two readers of a line's head against each other.
func FuzzLine(f *testing.F) {
	for _, id := range []string{"m1", "名\x00\xff", `"quoted"`} {
		r := message("群", 1)
		r.ID = id
		f.Add(appendLine(nil, &r, r.Hash(), 5, 2))
	}
	f.Add([]byte(`{"kind":"chat"`))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := parseLine(b)
		if err != nil {
			return
		}
		if e.rec.Hash() != e.hash {
			t.Error("a line whose hash is another's was read")
		}
		back, err := parseLine(appendLine(nil, &e.rec, e.hash, e.commit, e.index))
		if err != nil || !reflect.DeepEqual(back, e) {
			t.Errorf("%+v is written and read as %+v: %v", e, back, err)
		}
	})
}

func FuzzPutLogLine(f *testing.F) {
	f.Add("+ p/abc.f 12 " + strings.Repeat("ab", 32) + " 1700000000000")
	f.Add("- p/abc.f 1700000000000")
	f.Add("+ x -1 y z")
	f.Fuzz(func(t *testing.T, line string) {
		e, err := parsePut(line)
		if err == nil && (e.Size < 0 || e.Name == "" && !strings.Contains(line, "  ")) {
			t.Errorf("%q reads as %+v", line, e)
		}
	})
}

func FuzzMove(f *testing.F) {
	f.Add("j:1\t10\ts:abc\t20\t5\t7")
	f.Add("b\tobject\t" + strings.Repeat("cd", 32))
	f.Fuzz(func(t *testing.T, line string) {
		if l, ok := parseMove(line); ok && l.blob == "" && l.From.Len != l.To.Len {
			t.Errorf("%q changes a length: %+v", line, l)
		}
	})
}

func FuzzEncodedName(f *testing.F) {
	for _, n := range append([]string{"", ".", "..", "a/b", "CON"}, oddNames...) {
		f.Add(n)
	}
	f.Fuzz(func(t *testing.T, name string) {
		e := encodeName(name)
		if e == "" || e == "." || e == ".." || len(e) > 255 || strings.ContainsAny(e, "/\x00") {
			t.Errorf("%q becomes %q", name, e)
		}
	})
}
