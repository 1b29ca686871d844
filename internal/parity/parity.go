// Package parity makes the bytes that lie beside a file and mend it: a lone
// disk loses sectors long before it loses itself.
//
// It promises that [Mend] gives back exactly the file that [Make] saw, checked
// by SHA-256, or an error; and that a damaged parity file is never mistaken
// for a good one. It needs no key and never looks into what it protects.
//
// # Design
//
// The file is cut into k shards, Reed-Solomon adds m more. Shards are divided
// into cells of up to 4 KiB, the size of a disk's sector; each cell has a
// CRC-32C in the parity file, so it is known which ones are bad, and each
// column of k+m cells mends up to m of them. A burst of bad sectors lies in one
// or two shards and so costs each column one or two cells; scattered bad
// sectors seldom share a column. kopia's own error correction works inside
// each content: it slows reading and writing, does not mend a burst of 4 KiB
// and leaves an emptied index blob lost.
//
// A parity file, integers big endian:
//
//	magic "FAROLPAR", version uint16 = 1, k, m uint16, cell uint32, shard
//	uint32 (bytes), size uint64 (of the file), SHA-256 of the file
//	CRC-32C of each cell, shard by shard, the k of the file first
//	CRC-32C of everything before
//	the m parity shards
package parity

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"

	"github.com/klauspost/reedsolomon"
)

// Strength is how many shards a file is cut into at most and how many are
// added: m of k+m may be bad in each column.
type Strength struct{ K, M int }

// The strengths in use. Parity costs M/K of the file, for small files more:
// M sectors, or a second copy.
var (
	Bulk  = Strength{64, 2} // 3.1 %, a burst of 1/32 of the file
	Tree  = Strength{16, 2} // what others hang from, and little of it
	Whole = Strength{8, 8}  // brings back an emptied file
)

// Errors of this package.
var (
	ErrParity = errors.New("the parity file is damaged or belongs to another file")
	ErrBeyond = errors.New("more is damaged than parity can mend")
)

const (
	magic     = "FAROLPAR"
	version   = 1
	headerLen = 8 + 2 + 2 + 2 + 4 + 4 + 8 + sha256.Size
	sector    = 4096
	smallest  = 512 // a cell of a file below a sector
	maxShard  = 1 << 30
	window    = 16 * sector // of each shard, in memory at a time
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// shape is how a file of some size is cut.
type shape struct {
	k, m        int
	cell, shard int64
	size        int64
	sum         [sha256.Size]byte
}

// cut chooses the shape for a file of size bytes. A shard is a sector at least,
// so that the loss of one never costs more than two shards.
func (s Strength) cut(size int64) shape {
	c := shape{m: s.M, cell: sector, size: size}
	if size <= sector {
		c.cell = smallest
		c.shard = max(1, (size+smallest-1)/smallest) * smallest
	} else {
		per := (size + int64(s.K) - 1) / int64(s.K)
		c.shard = (per + sector - 1) / sector * sector
	}
	c.k = max(1, int((size+c.shard-1)/c.shard))
	if s.M >= s.K || c.m > c.k {
		c.m = c.k // as much as there is, and no more
	}
	return c
}

func (s *shape) cells() int64  { return s.shard / s.cell }
func (s *shape) table() int64  { return int64(s.k+s.m) * s.cells() * 4 }
func (s *shape) body() int64   { return headerLen + s.table() + 4 }
func (s *shape) length() int64 { return s.body() + int64(s.m)*s.shard }

// Length is how many bytes the parity of a file of size bytes takes.
func (s Strength) Length(size int64) int64 {
	c := s.cut(size)
	return c.length()
}

func (s *shape) header() []byte {
	b := make([]byte, 0, s.body())
	b = append(b, magic...)
	b = binary.BigEndian.AppendUint16(b, version)
	b = binary.BigEndian.AppendUint16(b, uint16(s.k))
	b = binary.BigEndian.AppendUint16(b, uint16(s.m))
	b = binary.BigEndian.AppendUint32(b, uint32(s.cell))
	b = binary.BigEndian.AppendUint32(b, uint32(s.shard))
	b = binary.BigEndian.AppendUint64(b, uint64(s.size))
	return append(b, s.sum[:]...)
}

// read parses what header made and the table behind it.
func read(par io.ReaderAt, length int64) (s shape, sums []uint32, err error) {
	head := make([]byte, headerLen)
	if _, err := par.ReadAt(head, 0); err != nil {
		return s, nil, fmt.Errorf("read its header: %w", ErrParity)
	}
	if string(head[:8]) != magic || binary.BigEndian.Uint16(head[8:]) != version {
		return s, nil, fmt.Errorf("no header of ours: %w", ErrParity)
	}
	s.k, s.m = int(binary.BigEndian.Uint16(head[10:])), int(binary.BigEndian.Uint16(head[12:]))
	s.cell, s.shard = int64(binary.BigEndian.Uint32(head[14:])), int64(binary.BigEndian.Uint32(head[18:]))
	size := binary.BigEndian.Uint64(head[22:])
	copy(s.sum[:], head[30:])
	if s.k < 1 || s.m < 1 || s.k+s.m > 256 || s.cell < 1 || s.cell > sector || s.shard < s.cell || s.shard > maxShard || s.shard%s.cell != 0 ||
		size > uint64(s.k)*uint64(s.shard) {
		return s, nil, fmt.Errorf("its header makes no sense: %w", ErrParity)
	}
	s.size = int64(size)
	if s.length() != length {
		return s, nil, fmt.Errorf("%d bytes in place of %d: %w", length, s.length(), ErrParity)
	}
	body := make([]byte, s.body())
	if _, err := par.ReadAt(body, 0); err != nil {
		return s, nil, fmt.Errorf("read its table: %w", ErrParity)
	}
	end := len(body) - 4
	if crc32.Checksum(body[:end], castagnoli) != binary.BigEndian.Uint32(body[end:]) {
		return s, nil, fmt.Errorf("its table differs from its checksum: %w", ErrParity)
	}
	sums = make([]uint32, s.table()/4)
	for i := range sums {
		sums[i] = binary.BigEndian.Uint32(body[headerLen+4*i:])
	}
	return s, sums, nil
}

// coder codes one window of a shape. Its memory is (k+m) windows.
type coder struct {
	shape
	rs     reedsolomon.Encoder
	buf    []byte
	shards [][]byte
}

// Making a matrix and touching fresh memory cost more than coding a file of
// usual size; both are kept for the next one.
var (
	encoders sync.Map // of [2]int{k, m}
	buffers  sync.Pool
)

func newCoder(s shape) (*coder, error) {
	c := &coder{shape: s, shards: make([][]byte, s.k+s.m)}
	if e, ok := encoders.Load([2]int{s.k, s.m}); ok {
		c.rs = e.(reedsolomon.Encoder)
	} else {
		// One goroutine: this is work beside a backup, not instead of it.
		rs, err := reedsolomon.New(s.k, s.m, reedsolomon.WithMaxGoroutines(1))
		if err != nil {
			return nil, err
		}
		encoders.Store([2]int{s.k, s.m}, rs)
		c.rs = rs
	}
	need := (s.k + s.m) * int(min(int64(window), s.shard))
	if b, ok := buffers.Get().(*[]byte); ok && cap(*b) >= need {
		c.buf = (*b)[:need]
	} else {
		c.buf = make([]byte, need)
	}
	return c, nil
}

// done gives the memory to the next coder.
func (c *coder) done() {
	buffers.Put(&c.buf)
	c.buf, c.shards = nil, nil
}

// at points the shards at n bytes each.
func (c *coder) at(n int64) {
	for i := range c.shards {
		c.shards[i] = c.buf[int64(i)*n : int64(i+1)*n : int64(i+1)*n]
	}
}

// load reads one window of shard i of the file; what lies behind its end is
// zero, and so is what cannot be read: the checksums will tell.
func (c *coder) load(file io.ReaderAt, i int, off int64) error {
	b := c.shards[i]
	n := 0
	if at := int64(i)*c.shard + off; at < c.size {
		want := min(int64(len(b)), c.size-at)
		var err error
		n, err = file.ReadAt(b[:want], at)
		if err == io.EOF {
			err = nil
		}
		if err != nil {
			return err
		}
	}
	clear(b[n:])
	return nil
}
