package audit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
)

// offsets is where each entry begins in entries.log, so that ten million need
// neither be walked at each start nor kept in memory. It is a flat file of 8
// bytes an entry, big endian: 5 of the offset, 3 of a checksum over number and
// offset. It is derived: a slot that is missing or wrong is worked out from
// entries.log, beginning at the last good one before it.
type offsets struct {
	f       *os.File
	entries io.ReaderAt
	n       int64 // entries
}

const (
	slot      = 8
	maxOffset = 1<<40 - 1 // a terabyte of audit entries
)

func openOffsets(dir string, entries io.ReaderAt) (*offsets, error) {
	f, err := os.OpenFile(filepath.Join(dir, "offsets.log"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open audit offsets: %w", err)
	}
	return &offsets{f: f, entries: entries}, nil
}

// check is what the last 3 bytes of a slot hold.
func check(seq, off int64) uint64 {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], uint64(seq))
	binary.BigEndian.PutUint64(b[8:], uint64(off))
	return uint64(crc32.Checksum(b[:], castagnoli)) & (1<<24 - 1)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// kept is what the file says of an entry, if it can be believed.
func (o *offsets) kept(seq int64) (off int64, ok bool, err error) {
	var b [slot]byte
	if _, err := o.f.ReadAt(b[:], slot*seq); errors.Is(err, io.EOF) {
		return 0, false, nil
	} else if err != nil {
		return 0, false, fmt.Errorf("read audit offset %d: %w", seq, err)
	}
	v := binary.BigEndian.Uint64(b[:])
	off = int64(v >> 24)
	return off, v&(1<<24-1) == check(seq, off), nil
}

// at is where an entry begins; size is the end of entries.log.
func (o *offsets) at(seq, size int64) (int64, error) {
	from := seq
	var off int64
	for ; from > 0; from-- {
		at, ok, err := o.kept(from)
		if err != nil {
			return 0, err
		}
		if ok {
			off = at
			break
		}
	}
	for ; from < seq; from++ {
		next, ok := entryEnd(o.entries, off, size)
		if !ok {
			return 0, fmt.Errorf("%w: entry %d has an impossible length", ErrTampered, from)
		}
		off = next
	}
	return off, nil
}

// add appends the starts of new entries.
func (o *offsets) add(starts []int64) error {
	b := make([]byte, 0, slot*len(starts))
	for i, off := range starts {
		if off > maxOffset {
			return errors.New("the audit log has reached a terabyte")
		}
		b = binary.BigEndian.AppendUint64(b, uint64(off)<<24|check(o.n+int64(i), off))
	}
	if _, err := o.f.WriteAt(b, slot*o.n); err != nil {
		return fmt.Errorf("write audit offsets: %w", err)
	}
	o.n += int64(len(starts))
	return nil
}

// follow brings the offsets in step with entries.log of size bytes and returns
// the end of its last whole entry.
func (o *offsets) follow(size int64) (end int64, err error) {
	fi, err := o.f.Stat()
	if err != nil {
		return 0, fmt.Errorf("read audit offsets: %w", err)
	}
	// Back to the last slot that names an entry of the file as it is.
	for o.n = fi.Size() / slot; o.n > 0; o.n-- {
		at, sound, err := o.kept(o.n - 1)
		if err != nil {
			return 0, err
		}
		next, whole := entryEnd(o.entries, at, size)
		if sound && whole {
			end = next
			break
		}
	}
	if err := o.f.Truncate(slot * o.n); err != nil {
		return 0, fmt.Errorf("cut audit offsets: %w", err)
	}
	var starts []int64
	for {
		next, ok := entryEnd(o.entries, end, size)
		if ok {
			starts = append(starts, end)
			end = next
		}
		if len(starts) == 1<<16 || !ok && len(starts) > 0 {
			if err := o.add(starts); err != nil {
				return 0, err
			}
			starts = starts[:0]
		}
		if !ok {
			return end, nil
		}
	}
}

// entryEnd is the end of the entry that begins at off, if it is whole.
func entryEnd(entries io.ReaderAt, off, size int64) (end int64, ok bool) {
	var head [4]byte
	if off+4 > size {
		return 0, false
	}
	if _, err := entries.ReadAt(head[:], off); err != nil {
		return 0, false // torn header
	}
	n := int64(binary.BigEndian.Uint32(head[:]))
	return off + 4 + n, n > 0 && off+4+n <= size // else a torn body
}
