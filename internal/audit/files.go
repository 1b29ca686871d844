package audit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// VerifyFiles reads the files of a log without opening it for writing, also
// beside a running appliance, and compares the tree with the checkpoint that
// lies there. The signature is not checked: the key is not known here. It
// returns the number of entries and [ErrTampered].
func VerifyFiles(dir string, box Box) (int64, error) {
	signed, err := os.ReadFile(filepath.Join(dir, "checkpoint")) // first: entries may grow meanwhile
	if err != nil {
		return 0, fmt.Errorf("read audit checkpoint: %w", err)
	}
	lines := strings.SplitN(string(signed), "\n", 4)
	var size int64
	if len(lines) < 4 {
		return 0, fmt.Errorf("%w: the checkpoint is malformed", ErrTampered)
	}
	if _, err := fmt.Sscan(lines[1], &size); err != nil {
		return 0, fmt.Errorf("%w: the checkpoint is malformed", ErrTampered)
	}
	want, err := tlog.ParseHash(lines[2])
	if err != nil {
		return 0, fmt.Errorf("%w: the checkpoint is malformed", ErrTampered)
	}
	f, err := os.Open(filepath.Join(dir, "entries.log"))
	if err != nil {
		return 0, fmt.Errorf("read audit log: %w", err)
	}
	defer f.Close()
	l := &Log{box: box}
	mem := memHashes{}
	var head [4]byte
	off := int64(0)
	for i := range size {
		if _, err := f.ReadAt(head[:], off); err != nil {
			return i, fmt.Errorf("%w: entry %d is missing", ErrTampered, i)
		}
		n := binary.BigEndian.Uint32(head[:])
		if n > 16<<20 {
			return i, fmt.Errorf("%w: entry %d has an impossible length", ErrTampered, i)
		}
		sealed := make([]byte, n)
		if _, err := f.ReadAt(sealed, off+4); err != nil {
			return i, fmt.Errorf("%w: entry %d is cut", ErrTampered, i)
		}
		o, err := l.open(i, sealed)
		if err != nil {
			return i, err
		}
		hs, err := tlog.StoredHashes(i, o.leaf, &mem)
		if err != nil {
			return i, errors.Join(ErrTampered, err)
		}
		mem = append(mem, hs...)
		off += 4 + int64(len(sealed))
	}
	if size == 0 {
		return 0, nil
	}
	got, err := tlog.TreeHash(size, &mem)
	if err != nil {
		return size, err
	}
	if got != want {
		return size, fmt.Errorf("%w at size %d", ErrTampered, size)
	}
	return size, nil
}
