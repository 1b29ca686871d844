package parity

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
)

// Make writes the parity of a file of size bytes to w, which must be empty.
// sum is the SHA-256 the file is known to have: Make compares nothing, [Mend]
// does.
func Make(file io.ReaderAt, size int64, sum [sha256.Size]byte, s Strength, w io.WriterAt) error {
	sh := s.cut(size)
	sh.sum = sum
	c, err := newCoder(sh)
	if err != nil {
		return fmt.Errorf("make parity: %w", err)
	}
	defer c.done()
	sums := make([]uint32, sh.table()/4)
	for off := int64(0); off < sh.shard; off += window {
		n := min(int64(window), sh.shard-off)
		c.at(n)
		for i := range sh.k {
			if err := c.load(file, i, off); err != nil {
				return fmt.Errorf("make parity: read the file: %w", err)
			}
		}
		if err := c.rs.Encode(c.shards); err != nil {
			return fmt.Errorf("make parity: %w", err)
		}
		for i, b := range c.shards {
			for at := int64(0); at < n; at += sh.cell {
				sums[int64(i)*sh.cells()+(off+at)/sh.cell] = crc32.Checksum(b[at:at+sh.cell], castagnoli)
			}
		}
		for i := range sh.m {
			if _, err := w.WriteAt(c.shards[sh.k+i], sh.body()+int64(i)*sh.shard+off); err != nil {
				return fmt.Errorf("make parity: %w", err)
			}
		}
	}
	// The head comes last: a parity file that was cut short has none.
	b := sh.header()
	for _, s := range sums {
		b = binary.BigEndian.AppendUint32(b, s)
	}
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	if _, err := w.WriteAt(b, 0); err != nil {
		return fmt.Errorf("make parity: %w", err)
	}
	return nil
}
