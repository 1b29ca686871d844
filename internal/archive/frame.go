package archive

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"runtime"

	"github.com/klauspost/compress/zstd"
)

// A journal file is a header of 80 bytes and frames. A frame is a header of
// 32 bytes and a sealed payload. Each frame is bound to its file, its place
// and the tag of the frame before it.
const (
	fileMagic     = "FAROLJ1\n"
	fileHeaderLen = 80
	frameMagic    = 0x46524d31 // "FRM1"
	frameHeadLen  = 32
	tagLen        = 16

	frameRecords = 'R' // record lines of the commit that follows
	frameBlobs   = 'B' // small blobs of the commit that follows
	frameCommit  = 'C' // ends a commit: head line, then record lines
	frameSealed  = 'S' // one named sealed file

	flagZstd = 1

	maxSealed = 1 << 28 // no honest frame comes near; bounds what damage can ask for
	chunkLen  = 1 << 20 // plaintext of one frame, so that one record costs little to read
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)

	errShort = errors.New("the file ends inside a frame")
	errFrame = errors.New("a frame is damaged")
)

type tag [tagLen]byte

// fileHeader opens a journal file. It is plain; the first frame binds it.
type fileHeader struct {
	archive [16]byte
	epoch   uint32
	number  uint64
	salt    [16]byte
	prev    tag    // last tag of the file before
	next    uint64 // number the next commit gets
}

func (h *fileHeader) bytes() []byte {
	b := make([]byte, 0, fileHeaderLen)
	b = append(b, fileMagic...)
	b = append(b, h.archive[:]...)
	b = binary.BigEndian.AppendUint32(b, h.epoch)
	b = binary.BigEndian.AppendUint64(b, h.number)
	b = append(b, h.salt[:]...)
	b = append(b, h.prev[:]...)
	b = binary.BigEndian.AppendUint64(b, h.next)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func parseFileHeader(b []byte) (h fileHeader, err error) {
	if len(b) < fileHeaderLen {
		return h, errShort
	}
	b = b[:fileHeaderLen]
	if !bytes.HasPrefix(b, []byte(fileMagic)) || crc32.Checksum(b[:76], castagnoli) != binary.BigEndian.Uint32(b[76:]) {
		return h, fmt.Errorf("file header: %w", errFrame)
	}
	copy(h.archive[:], b[8:])
	h.epoch = binary.BigEndian.Uint32(b[24:])
	h.number = binary.BigEndian.Uint64(b[28:])
	copy(h.salt[:], b[36:])
	copy(h.prev[:], b[52:])
	h.next = binary.BigEndian.Uint64(b[68:])
	return h, nil
}

// chain is what the first frame takes as the tag before it.
func (h *fileHeader) chain() (t tag) {
	s := sha256.Sum256(h.bytes())
	copy(t[:], s[:])
	return t
}

// seal makes the file's own AEAD. The salt is random for each file and no
// file is appended to after a reopen, so a counter never seals twice.
func (h *fileHeader) seal(journalKey []byte) (cipher.AEAD, error) {
	info := fmt.Sprintf("journal file %s %d %d", hex.EncodeToString(h.archive[:]), h.epoch, h.number)
	key, err := hkdf.Key(sha256.New, journalKey, h.salt[:], info, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func newSalt() (s [16]byte) {
	_, _ = rand.Read(s[:])
	return s
}

func nonce(index uint32) []byte {
	n := make([]byte, 12)
	binary.BigEndian.PutUint32(n[8:], index)
	return n
}

type frame struct {
	typ   byte
	index uint32
	seq   uint64 // of the commit it belongs to
	off   int64  // where its header lies in the file
	end   int64
	tag   tag
	plain []byte
}

// codec compresses frames. Both halves are safe for concurrent use.
type codec struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

func newCodec() (*codec, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(workers()), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, err
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(maxSealed), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, err
	}
	return &codec{enc, dec}, nil
}

func (c *codec) close() {
	_ = c.enc.Close()
	c.dec.Close()
}

// workers is how many goroutines share heavy work.
func workers() int { return min(runtime.GOMAXPROCS(0), 4) }

// packed is the plaintext of a frame, compressed where that pays.
type packed struct {
	body  []byte
	flags byte
	plain int // length
}

func (c *codec) pack(plain []byte) packed { return c.packIn(nil, plain) }

// packIn is pack that may use the room of dst.
func (c *codec) packIn(dst, plain []byte) packed {
	if len(plain) > 64 {
		if z := c.enc.EncodeAll(plain, dst[:0]); len(z) < len(plain) {
			return packed{z, flagZstd, len(plain)}
		}
	}
	return packed{plain, 0, len(plain)}
}

// appendFrame seals p as frame number index behind prev and appends it.
func (c *codec) appendFrame(dst []byte, aead cipher.AEAD, typ byte, index uint32, seq uint64, prev tag, p packed) ([]byte, tag) {
	body, flags := p.body, p.flags
	start := len(dst)
	dst = binary.BigEndian.AppendUint32(dst, frameMagic)
	dst = append(dst, typ, flags, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, index)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(body)+tagLen))
	dst = binary.BigEndian.AppendUint32(dst, uint32(p.plain))
	dst = binary.BigEndian.AppendUint64(dst, seq)
	dst = binary.BigEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
	aad := append(bytes.Clone(dst[start:]), prev[:]...)
	dst = aead.Seal(dst, nonce(index), body, aad)
	var t tag
	copy(t[:], dst[len(dst)-tagLen:])
	return dst, t
}

// readFrame reads the frame at off. prev nil takes the 16 bytes before it,
// which are the tag of the frame before (or wrong for the first one). It
// returns io.EOF at the end, errShort when the file ends inside the frame and
// errFrame when the bytes are not what was written.
func (c *codec) readFrame(r io.ReaderAt, size, off int64, aead cipher.AEAD, prev *tag) (f frame, err error) {
	if off == size {
		return f, io.EOF
	}
	if size-off < frameHeadLen {
		return f, errShort
	}
	var head [frameHeadLen]byte
	if _, err := r.ReadAt(head[:], off); err != nil {
		return f, err
	}
	sealedLen, err := frameLen(head[:])
	if err != nil {
		return f, err
	}
	if off+frameHeadLen+sealedLen > size {
		return f, errShort
	}
	var before tag
	if prev != nil {
		before = *prev
	} else if _, err := r.ReadAt(before[:], off-tagLen); err != nil {
		return f, err
	}
	sealed := make([]byte, sealedLen)
	if _, err := r.ReadAt(sealed, off+frameHeadLen); err != nil {
		return f, err
	}
	f = frame{
		typ: head[4], index: binary.BigEndian.Uint32(head[8:]), seq: binary.BigEndian.Uint64(head[20:]),
		off: off, end: off + frameHeadLen + sealedLen,
	}
	copy(f.tag[:], sealed[sealedLen-tagLen:])
	body, err := aead.Open(sealed[:0], nonce(f.index), sealed, append(head[:], before[:]...))
	if err != nil {
		return f, errFrame
	}
	plainLen := int(binary.BigEndian.Uint32(head[16:]))
	if head[5]&flagZstd == 0 {
		f.plain = body
	} else if f.plain, err = c.dec.DecodeAll(body, make([]byte, 0, plainLen)); err != nil {
		return f, errFrame
	}
	if len(f.plain) != plainLen {
		return f, errFrame
	}
	return f, nil
}

// frameLen checks a frame header by its own checksum and returns the length
// of the sealed payload.
func frameLen(head []byte) (int64, error) {
	if binary.BigEndian.Uint32(head) != frameMagic || crc32.Checksum(head[:28], castagnoli) != binary.BigEndian.Uint32(head[28:]) {
		return 0, errFrame
	}
	n := int64(binary.BigEndian.Uint32(head[12:]))
	if n < tagLen || n > maxSealed {
		return 0, errFrame
	}
	return n, nil
}

// findFrame returns the first place at or after from where an authentic frame
// begins, or -1. It tells a damaged middle from a torn tail.
func (c *codec) findFrame(r io.ReaderAt, size, from int64, aead cipher.AEAD) int64 {
	const window = 1 << 20
	magic := binary.BigEndian.AppendUint32(nil, frameMagic)
	buf := make([]byte, window+len(magic)-1)
	for base := max(from, fileHeaderLen); base < size; base += window {
		n, err := r.ReadAt(buf[:min(int64(len(buf)), size-base)], base)
		if err != nil && err != io.EOF {
			return -1
		}
		for i := 0; ; i++ {
			j := bytes.Index(buf[i:n], magic)
			if j < 0 {
				break
			}
			i += j
			if _, err := c.readFrame(r, size, base+int64(i), aead, nil); err == nil {
				return base + int64(i)
			}
		}
	}
	return -1
}
