package keys

import (
	"bytes"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/argon2"
)

// SealedFile is the name of the sealed root key in the state directory.
const SealedFile = "root-key.sealed"

// NextFile is the name under which the root key lies that a rotation is about
// to put in place of the present one.
const NextFile = "root-key.next"

// CredentialName is the systemd credential that holds the root key, raw or as
// hexadecimal digits (LoadCredentialEncrypted=root-key:…).
const CredentialName = "root-key"

// Source says where the sealed root key lies and what opens it.
type Source struct {
	Dir        string // state directory; holds root-key.sealed
	Passphrase string // opens a key sealed by passphrase; empty to use the host key

	// HostKey is the path of the host key (32 random bytes, mode 0600), made
	// on first use. Keep it outside Dir, for example under /etc/farol: a copy
	// or a stolen backup of the state directory then opens nothing. Whoever
	// reads both holds the root key; that is the price of an unattended start
	// without TPM or systemd credential.
	HostKey string
}

type sealed struct {
	Version int    `json:"version"`
	Method  string `json:"method"` // passphrase or host
	Salt    []byte `json:"salt"`
	Time    uint32 `json:"time,omitempty"`   // argon2id passes
	Memory  uint32 `json:"memory,omitempty"` // argon2id KiB
	Threads uint8  `json:"threads,omitempty"`
	Key     []byte `json:"key"` // sealed root key
}

// Load returns the root key: from the systemd credential when the service
// manager handed one over, else from the sealed file. It returns [ErrNoKey]
// when neither is there and [ErrKey] when the sealed file does not open.
func Load(src Source) (Root, error) {
	b, err := credential()
	if err != nil {
		return Root{}, err
	}
	if b == nil {
		return src.load(SealedFile)
	}
	r, err := RootFrom(b)
	if err != nil {
		return Root{}, fmt.Errorf("read the credential %s: %w", CredentialName, err)
	}
	return r, nil
}

// credential is what the service manager handed over, nil when nothing.
func credential() ([]byte, error) {
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	if dir == "" {
		return nil, nil
	}
	b, err := os.ReadFile(filepath.Join(dir, CredentialName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the credential %s: %w", CredentialName, err)
	}
	return b, nil
}

// HandedOver reports whether the service manager hands the root key over: then
// it does not lie in the state directory and cannot be replaced there.
func HandedOver() (bool, error) {
	b, err := credential()
	return b != nil, err
}

// LoadNext returns the root key of a rotation that has not come to its end, or
// [ErrNoKey].
func LoadNext(src Source) (Root, error) { return src.load(NextFile) }

// StoreNext seals the root key that is about to take the other's place beside
// it, durably.
func StoreNext(src Source, r Root) error { return src.store(NextFile, r) }

// Promote puts the next root key in the place of the present one, durably.
func Promote(dir string) error {
	if err := os.Rename(filepath.Join(dir, NextFile), filepath.Join(dir, SealedFile)); err != nil {
		return fmt.Errorf("put the new root key in its place: %w", err)
	}
	return syncDir(dir)
}

// DropNext forgets a next root key that never came to count.
func DropNext(dir string) error {
	if err := os.Remove(filepath.Join(dir, NextFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget a root key that never counted: %w", err)
	}
	return syncDir(dir)
}

func (src Source) load(name string) (Root, error) {
	b, err := os.ReadFile(filepath.Join(src.Dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return Root{}, fmt.Errorf("%s: %w", name, ErrNoKey)
	}
	if err != nil {
		return Root{}, fmt.Errorf("read the sealed root key: %w", err)
	}
	var s sealed
	if err := json.Unmarshal(b, &s); err != nil || s.Version != 1 {
		return Root{}, fmt.Errorf("%s is not a sealed root key: %w", name, ErrKey)
	}
	wrap, err := s.wrapKey(src, false)
	if err != nil {
		return Root{}, err
	}
	plain, err := NewBox(wrap).Open(s.Key, s.aad())
	if err != nil {
		return Root{}, fmt.Errorf("open the root key sealed by %s: %w", s.Method, ErrKey)
	}
	return RootFrom(plain)
}

// Store seals r into the state directory, with the passphrase when one is set
// and else with the host key, and replaces what lay there. It returns after
// file and directory are on disk.
func Store(src Source, r Root) error { return src.store(SealedFile, r) }

func (src Source) store(name string, r Root) error {
	if r.IsZero() {
		return errors.New("seal the root key: it was never set")
	}
	s := sealed{Version: 1, Method: "host", Salt: make([]byte, 16)}
	_, _ = rand.Read(s.Salt)
	if src.Passphrase != "" {
		s.Method, s.Time, s.Memory, s.Threads = "passphrase", 3, 64<<10, 2
	}
	wrap, err := s.wrapKey(src, true)
	if err != nil {
		return err
	}
	s.Key = NewBox(wrap).Seal(r.b[:], s.aad())
	b, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		return err
	}
	return writeDurable(filepath.Join(src.Dir, name), append(b, '\n'))
}

func (s *sealed) aad() []byte {
	return fmt.Appendf(nil, "farol root key\n%d\n%s\n%x\n%d %d %d", s.Version, s.Method, s.Salt, s.Time, s.Memory, s.Threads)
}

// wrapKey is the key that opens the sealed root key.
func (s *sealed) wrapKey(src Source, create bool) ([]byte, error) {
	switch s.Method {
	case "passphrase":
		if src.Passphrase == "" {
			return nil, fmt.Errorf("the root key is sealed by a passphrase and none was given: %w", ErrKey)
		}
		// The file is not trusted before it opens: bound what it may cost.
		if s.Time == 0 || s.Time > 64 || s.Memory > 1<<20 || s.Threads == 0 {
			return nil, fmt.Errorf("%s names impossible costs: %w", SealedFile, ErrKey)
		}
		return argon2.IDKey([]byte(src.Passphrase), s.Salt, s.Time, s.Memory, s.Threads, Size), nil
	case "host":
		host, err := hostKey(src, create)
		if err != nil {
			return nil, err
		}
		return hkdf.Key(sha256.New, host, s.Salt, "farol host seal", Size)
	}
	return nil, fmt.Errorf("the root key is sealed by %q, which this version does not know: %w", s.Method, ErrKey)
}

// hostKey reads the host key, or makes it when create is set.
func hostKey(src Source, create bool) ([]byte, error) {
	if src.HostKey == "" {
		return nil, errors.New("neither a passphrase nor a host key path was given")
	}
	if rel, err := filepath.Rel(src.Dir, src.HostKey); err == nil && !strings.HasPrefix(rel, "..") {
		return nil, errors.New("the host key must lie outside the state directory: one copy would hold both lock and key")
	}
	fi, err := os.Stat(src.HostKey)
	if errors.Is(err, fs.ErrNotExist) && create {
		key := make([]byte, Size)
		_, _ = rand.Read(key)
		if err := os.MkdirAll(filepath.Dir(src.HostKey), 0o700); err != nil {
			return nil, fmt.Errorf("make the host key's directory: %w", err)
		}
		return key, writeDurable(src.HostKey, key)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the host key that sealed the root key is gone: %w", ErrNoKey)
	}
	if err != nil {
		return nil, fmt.Errorf("read the host key: %w", err)
	}
	if fi.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("the host key may be read by others (mode %o): chmod 600 it", fi.Mode().Perm())
	}
	key, err := os.ReadFile(src.HostKey)
	if err != nil {
		return nil, fmt.Errorf("read the host key: %w", err)
	}
	if len(key) != Size || bytes.Equal(key, make([]byte, Size)) {
		return nil, fmt.Errorf("the host key is damaged: %w", ErrKey)
	}
	return key, nil
}

// writeDurable replaces path by b, mode 0600: temp file, fsync, rename, fsync
// of the directory.
func writeDurable(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".tmp-")
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
