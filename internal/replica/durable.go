package replica

import (
	"crypto/sha256"
	"errors"
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

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
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
