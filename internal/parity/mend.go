package parity

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// Mend writes the file as it was to w, from what is left of it and its parity
// file of length bytes. file may be cut, empty or nil. It returns how many
// cells were bad, [ErrBeyond] when parity cannot mend them, and [ErrParity]
// when the parity file itself is no good; what it wrote is then worthless.
func Mend(file io.ReaderAt, par io.ReaderAt, length int64, w io.Writer) (bad int, err error) {
	s, sums, err := read(par, length)
	if err != nil {
		return 0, fmt.Errorf("mend: %w", err)
	}
	m, err := newMender(s, sums, file, par)
	if err != nil {
		return 0, fmt.Errorf("mend: %w", err)
	}
	defer m.done()
	h := sha256.New()
	out := io.MultiWriter(h, w)
	// Shard by shard, because the file is written in order; a window that is
	// damaged is mended where it is met.
	for i := range s.k {
		for off := int64(0); off < s.shard; off += window {
			at := int64(i)*s.shard + off
			if at >= s.size {
				break
			}
			n := min(window, s.shard-off)
			b, err := m.window(i, off, n)
			if err != nil {
				return m.bad, fmt.Errorf("mend: %w", err)
			}
			if _, err := out.Write(b[:min(n, s.size-at)]); err != nil {
				return m.bad, fmt.Errorf("mend: %w", err)
			}
		}
	}
	if [sha256.Size]byte(h.Sum(nil)) != s.sum {
		return m.bad, fmt.Errorf("mend: the result differs from the file's hash: %w", ErrBeyond)
	}
	return m.bad, nil
}

// Check reads a parity file of length bytes and compares it with its own
// checksums and with the hash of the file it should protect.
func Check(par io.ReaderAt, length int64, sum [sha256.Size]byte) error {
	s, sums, err := read(par, length)
	if err != nil {
		return err
	}
	if s.sum != sum {
		return fmt.Errorf("it is another file's: %w", ErrParity)
	}
	buf := make([]byte, s.cell)
	for i := range int64(s.m) * s.cells() {
		if _, err := par.ReadAt(buf, s.body()+i*s.cell); err != nil {
			return fmt.Errorf("read it: %w", err)
		}
		if crc32.Checksum(buf, castagnoli) != sums[int64(s.k)*s.cells()+i] {
			return fmt.Errorf("a cell differs from its checksum: %w", ErrParity)
		}
	}
	return nil
}

type mender struct {
	*coder
	sums      []uint32
	file, par io.ReaderAt
	one       []byte
	bad       int
}

func newMender(s shape, sums []uint32, file, par io.ReaderAt) (*mender, error) {
	c, err := newCoder(s)
	if err != nil {
		return nil, err
	}
	return &mender{coder: c, sums: sums, file: file, par: par, one: make([]byte, min(window, s.shard))}, nil
}

// window returns n bytes of shard i from off on, mended.
func (m *mender) window(i int, off, n int64) ([]byte, error) {
	m.at(n)
	m.read(i, off)
	good := true
	for at := int64(0); at < n; at += m.cell {
		good = good && m.good(i, off, at)
	}
	if good {
		return m.shards[i], nil
	}
	for j := range m.shards {
		if j != i {
			m.read(j, off)
		}
	}
	out := m.one[:n]
	copy(out, m.shards[i])
	column := make([][]byte, len(m.shards))
	for at := int64(0); at < n; at += m.cell {
		if m.good(i, off, at) {
			continue
		}
		m.bad++
		left := 0
		for j := range column {
			if column[j] = nil; m.good(j, off, at) {
				column[j] = m.shards[j][at : at+m.cell]
				left++
			}
		}
		if left < m.k {
			return nil, fmt.Errorf("%d of %d cells of a column are left, %d are needed: %w", left, len(column), m.k, ErrBeyond)
		}
		want := make([]bool, len(column))
		want[i] = true
		if err := m.rs.ReconstructSome(column, want); err != nil {
			return nil, errors.Join(ErrBeyond, err)
		}
		copy(out[at:], column[i])
	}
	return out, nil
}

// read fills a shard's window from the file or its parity; what cannot be
// read is zero and its checksum tells.
func (m *mender) read(i int, off int64) {
	b := m.shards[i]
	if i < m.k {
		if m.file == nil || m.load(m.file, i, off) != nil {
			clear(b)
			m.sectors(b, m.file, int64(i)*m.shard+off, m.size)
		}
		return
	}
	at := m.body() + int64(i-m.k)*m.shard + off
	if _, err := m.par.ReadAt(b, at); err != nil {
		clear(b)
		m.sectors(b, m.par, at, m.length())
	}
}

// sectors reads cell by cell, so that one bad sector of the disk does not
// cost the window around it.
func (m *mender) sectors(b []byte, r io.ReaderAt, at, end int64) {
	if r == nil {
		return
	}
	for off := int64(0); off < int64(len(b)) && at+off < end; off += m.cell {
		cell := b[off:min(off+m.cell, int64(len(b)))]
		if n, err := r.ReadAt(cell[:min(int64(len(cell)), end-at-off)], at+off); err != nil && err != io.EOF {
			clear(cell[n:])
		}
	}
}

func (m *mender) good(i int, off, at int64) bool {
	return crc32.Checksum(m.shards[i][at:at+m.cell], castagnoli) == m.sums[int64(i)*m.cells()+(off+at)/m.cell]
}
