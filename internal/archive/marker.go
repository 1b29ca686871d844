package archive

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"farol/internal/keys"
)

// MarkerName is the file by which a directory is an archive.
const MarkerName = "farol.archive"

// Names inside an archive's directory.
const (
	markerName     = MarkerName
	lockName       = "lock"
	journalDir     = "journal"
	repoDir        = "archive"
	putLogName     = "putlog"
	configName     = "kopia.config"
	movesDir       = "moves"
	quarantineDir  = "quarantine"
	markerVersion  = 2
	keyCheckLabel  = "archive key check"
	journalPattern = "%06d-%010d.fj"
)

// marker is the file that says "this is an archive and it is mounted".
type marker struct {
	Version int       `json:"version"`
	Archive string    `json:"archive"` // id, hexadecimal
	Epoch   uint32    `json:"epoch"`   // raised by each adoption
	Key     string    `json:"key"`     // tells another root key fast, says nothing about the right one; the lock decides
	Created time.Time `json:"created"`
	Adopted *Adopted  `json:"adopted,omitempty"` // nil: made here
}

func keyCheck(root keys.Root, id string) string {
	m := hmac.New(sha256.New, root.Derive(keyCheckLabel))
	m.Write([]byte(id))
	return hex.EncodeToString(m.Sum(nil)[:8])
}

func readMarker(dir string) (m marker, err error) {
	b, err := os.ReadFile(filepath.Join(dir, markerName))
	if errors.Is(err, fs.ErrNotExist) {
		return m, fmt.Errorf("no marker file in the archive's directory: %w", ErrMissing)
	}
	if err != nil {
		return m, fmt.Errorf("read the archive's marker: %w", err)
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return m, fmt.Errorf("read the archive's marker: %w", ErrCorrupt)
	}
	if m.Version != markerVersion {
		return m, fmt.Errorf("the archive has format %d, this program reads %d", m.Version, markerVersion)
	}
	return m, nil
}

func writeMarker(dir string, m marker) error {
	b, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, markerName), append(b, '\n'))
}

// writeFile replaces path durably.
func writeFile(path string, b []byte) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		_ = os.Remove(tmp)
		return err
	}
	return syncDir(filepath.Dir(path))
}

// lock takes the archive for this process. The kernel frees it when the
// process ends, however it ends; pid and boot id are there for people.
func lock(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock file: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("the archive is open elsewhere: %w", ErrLocked)
		}
		return nil, fmt.Errorf("lock the archive: %w", err)
	}
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	text := fmt.Sprintf("pid %d boot %s\n", os.Getpid(), strings.TrimSpace(string(boot)))
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt([]byte(text), 0)
	}
	return f, nil
}

// makingName is there from the first step of Create to the last: a directory
// with it and without a marker holds nothing of anybody's.
const makingName = "farol.making"

// vacant returns ErrForeign unless a new archive may be made in dir.
func vacant(dir string) error {
	des, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, makingName)); err == nil {
		_, err := os.Stat(filepath.Join(dir, markerName))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return errors.Join(err, ErrForeign)
	}
	for _, de := range des {
		if de.Name() != "lost+found" && de.Name() != makingName+".tmp" {
			return ErrForeign
		}
	}
	return nil
}

// clearUnmade removes what a Create left that did not come to its end.
func clearUnmade(dir string) error {
	for _, name := range []string{repoDir, parityDir, putLogName, configName} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// unlock gives the archive free. It says so to the kernel: closing alone frees
// it only when the last copy of the descriptor goes, and a child process holds
// one between its fork and its exec.
func unlock(f *os.File) error {
	if f == nil {
		return nil
	}
	return errors.Join(unix.Flock(int(f.Fd()), unix.LOCK_UN), f.Close())
}

// full turns the file system's words for "no room" into ErrFull.
func full(err error) error {
	if errors.Is(err, ErrFull) {
		return err
	}
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}

// space returns the bytes of the file system that holds dir.
func space(dir string) (free, total int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0, err
	}
	return int64(st.Bavail) * int64(st.Bsize), int64(st.Blocks) * int64(st.Bsize), nil
}
