package audit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// CutForeign takes off what lies behind the signed part of a log that came from
// elsewhere and is none of its entries, and keeps it in a file of its own. It
// returns how many bytes that were. Without a checkpoint nothing is signed. The
// signed part itself is not looked at: opening compares it with its checkpoint.
func CutForeign(dir string, box Box) (cut int64, err error) {
	path := filepath.Join(dir, "entries.log")
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	} else if err != nil {
		return 0, fmt.Errorf("look behind the signed log: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return 0, fmt.Errorf("look behind the signed log: %w", err)
	}
	var signed int64
	if t, err := readCheckpoint(dir, nil); err == nil {
		signed = t.N
	} else if !errors.Is(err, os.ErrNotExist) {
		return 0, err
	}
	l := &Log{box: box}
	var off int64
	for i := int64(0); off < info.Size(); i++ {
		var head [4]byte
		if _, err := f.ReadAt(head[:], off); err != nil && err != io.EOF {
			return 0, fmt.Errorf("look behind the signed log: %w", err)
		}
		n := int64(binary.BigEndian.Uint32(head[:]))
		whole := n > 0 && off+4+n <= info.Size()
		if whole && i >= signed {
			sealed := make([]byte, n)
			if _, err := f.ReadAt(sealed, off+4); err != nil {
				return 0, fmt.Errorf("look behind the signed log: %w", err)
			}
			_, oerr := l.open(i, sealed)
			whole = oerr == nil
		}
		if !whole {
			break
		}
		off += 4 + n
	}
	if cut = info.Size() - off; cut == 0 {
		return 0, nil
	}
	to, err := os.OpenFile(path+".foreign", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return 0, fmt.Errorf("keep what is no entry: %w", err)
	}
	_, err = io.Copy(to, io.NewSectionReader(f, off, cut))
	if err = errors.Join(err, to.Sync(), to.Close()); err != nil {
		return 0, fmt.Errorf("keep what is no entry: %w", err)
	}
	if err := errors.Join(f.Truncate(off), f.Sync()); err != nil {
		return 0, fmt.Errorf("cut what is no entry: %w", err)
	}
	return cut, nil
}
