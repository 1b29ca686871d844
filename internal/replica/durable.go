package replica

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"farol/internal/record"
)

// replaceFile writes path so that a crash leaves the old or the new bytes.
func replaceFile(path string, b []byte) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncFile makes sure of the bytes that a process left which did not end well.
func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// grow adds b to a file whose bytes are counted up to end, and returns once they
// are on disk. Of what fails nothing stays: bytes that no fsync confirmed may be
// gone after a power cut, and nobody may find them counted.
func (v *vault) grow(path string, end int64, b []byte) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return full(err)
	}
	defer f.Close()
	if err := v.cut(f, end); err != nil { // what a write left that failed and could not be taken back
		return full(err)
	}
	if err := v.write(f, end, b); err != nil {
		return errors.Join(full(err), v.cut(f, end))
	}
	return nil
}

func (v *vault) write(f *os.File, end int64, b []byte) error {
	if err := v.step("write", f.Name()); err != nil {
		return err
	}
	if _, err := f.WriteAt(b, end); err != nil {
		return err
	}
	if err := v.step("sync", f.Name()); err != nil {
		return err
	}
	if err := f.Sync(); err != nil || end > 0 {
		return err
	}
	if err := v.step("syncdir", f.Name()); err != nil {
		return err
	}
	return syncDir(filepath.Dir(f.Name()))
}

// cut takes off what a file has beyond end.
func (v *vault) cut(f *os.File, end int64) error {
	info, err := f.Stat()
	if err != nil || info.Size() == end {
		return err
	}
	if info.Size() < end {
		return fmt.Errorf("%s has %d bytes of %d that were held", filepath.Base(f.Name()), info.Size(), end)
	}
	if err := v.step("cut", f.Name()); err != nil {
		return err
	}
	return f.Truncate(end)
}

func readPart(path string, off, n int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, n)
	_, err = f.ReadAt(b, off)
	return b, err
}

// full turns a write error into ErrNodeFull where that is the cause.
func full(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return errors.Join(ErrNodeFull, err)
	}
	return err
}

// mutable are the names that kopia itself overwrites.
func mutable(name string) bool {
	return strings.HasPrefix(name, "kopia.") || strings.HasPrefix(name, ".shards")
}

func fileHash(path string) (record.Hash, error) {
	f, err := os.Open(path)
	if err != nil {
		return record.Hash{}, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return record.Hash{}, err
	}
	return record.Hash(h.Sum(nil)), nil
}
