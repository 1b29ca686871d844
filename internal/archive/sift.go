package archive

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/content/indexblob"
	"github.com/kopia/kopia/repo/format"

	"farol/internal/keys"
)

// Foreign is a file of a copy that is not the archive's, or no longer whole.
type Foreign struct {
	Name string
	Why  string // one of the words below
}

// Why a file was put aside.
const (
	ForeignName    = "name"    // no file of an archive is called so
	ForeignBytes   = "bytes"   // the archive's key does not open it
	ForeignJournal = "journal" // of another archive, or nobody sealed it here
	ForeignEpoch   = "epoch"   // counts ahead of everything that was written
	ForeignVersion = "version" // does not open; the version before it was taken
)

// RepoFile reports whether a file of the repository may be called so: the folders
// of a name follow from its letters, and a copy from an attacker's hands may have
// files where folders belong.
func RepoFile(rel string) bool {
	id, ok := blobID(rel)
	if !ok || len(id) > 150 || !strings.ContainsAny(string(id[:min(1, len(id))]), "kpqx_") {
		return false
	}
	for _, c := range string(id) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	if strings.HasPrefix(string(id), "k") {
		return rel == string(id)+".f" && strings.HasPrefix(string(id), "kopia.")
	}
	if len(id) <= 20 {
		return rel == string(id)+".f"
	}
	return rel == string(id[:1])+"/"+string(id[1:4])+"/"+string(id[4:])+".f"
}

// Sift puts aside what a copy in dir holds that is not the archive's, before
// [Adopt]: a node takes whatever has an archive's certificate, and who has taken
// the appliance has that. versions lists for each file that kopia overwrites all
// that were kept, from the newest to the oldest; the newest that opens is put in
// place. What is put aside lies in the archive's quarantine and is named. Who holds
// the root key as well can write what this takes for true: against that a copy
// helps that is as old as the moment before.
//
// It returns [ErrKey] when the newest lock does not open with root. With earlier a
// lock before it may: a person has decided that the newest is false, and that root
// is no key of before a change.
func Sift(ctx context.Context, dir string, root keys.Root, versions map[string][]string, earlier bool) ([]Foreign, error) {
	s := sifter{dir: dir, earlier: earlier}
	if err := os.MkdirAll(filepath.Join(dir, quarantineDir), 0o700); err != nil {
		return nil, fmt.Errorf("sift the copy: %w", err)
	}
	for _, step := range []func() error{
		func() error { return s.list(ctx) },
		func() error { return s.lock(ctx, root, versions[LockName]) },
		func() error { return s.schedule(versions["kopia.maintenance.f"]) },
		func() error { return s.indexes(ctx) },
		func() error { return s.journal(ctx) },
	} {
		if err := step(); err != nil {
			return s.found, fmt.Errorf("sift the copy: %w", err)
		}
	}
	return s.found, nil
}

type sifter struct {
	dir     string
	earlier bool
	found   []Foreign
	index   []string // x files, by their names in the repository
	fm      *format.Manager
	epoch   int // highest that an index file was written in
}

// list finds the index files and puts names aside that are none.
func (s *sifter) list(ctx context.Context) error {
	root := filepath.Join(s.dir, repoDir)
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return errors.Join(err, ctx.Err())
		}
		rel := strings.TrimPrefix(path, root+"/")
		switch {
		case rel == ".shards" || mutable(rel): // made anew, or out of its versions
			return os.Remove(path)
		case !RepoFile(rel):
			return s.aside(path, rel, ForeignName)
		case strings.HasPrefix(rel, "x"):
			s.index = append(s.index, rel)
		}
		return nil
	})
}

// lock puts the newest version of the lock in place that is one, and whose key opens
// the index files: anybody can make another lock for this root key. A whole lock
// that the root key does not open ends it: after the key was changed the former
// shares must open nothing, though the lock before is still there.
func (s *sifter) lock(ctx context.Context, root keys.Root, versions []string) error {
	if len(versions) == 0 {
		return fmt.Errorf("no lock in it: %w", ErrForeign)
	}
	var wrong error
	at := 0
	for i, path := range versions {
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		fm, err := format.NewManager(ctx, oneBlob{b: b}, "", time.Minute, Password(root), time.Now)
		if err != nil {
			if errors.Is(err, format.ErrInvalidPassword) && !s.earlier {
				return fmt.Errorf("the newest lock: %w", ErrKey)
			}
			if wrong == nil || errors.Is(err, format.ErrInvalidPassword) {
				wrong = err
			}
			continue
		}
		if s.fm, at = fm, i; s.opensAny(ctx) {
			break
		}
		s.fm = nil
	}
	if s.fm == nil {
		if errors.Is(wrong, format.ErrInvalidPassword) {
			return ErrKey
		}
		return errors.Join(ErrCorrupt, wrong)
	}
	return s.take(LockName, versions, at)
}

// opensAny reports whether one of the index files opens, or there is none.
func (s *sifter) opensAny(ctx context.Context) bool {
	sealed := false
	for _, rel := range s.index {
		if markerOnly(rel) {
			continue
		}
		sealed = true
		if s.opens(ctx, rel) {
			return true
		}
	}
	return !sealed
}

// markerOnly tells index files that say all in their name.
func markerOnly(rel string) bool { return strings.HasPrefix(rel, "xe") || strings.HasPrefix(rel, "xw") }

// schedule does it for the file in which kopia notes when it tidied up. Without
// one it begins anew.
func (s *sifter) schedule(versions []string) error {
	key, err := s.derive("maintenance schedule")
	if err != nil {
		return err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return err
	}
	for i, path := range versions {
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if len(b) < aead.NonceSize() {
			continue
		}
		if _, err := aead.Open(nil, b[:aead.NonceSize()], b[aead.NonceSize():], []byte("maintenance")); err == nil {
			return s.take("kopia.maintenance.f", versions, i)
		}
	}
	for range versions {
		s.found = append(s.found, Foreign{"kopia.maintenance.f", ForeignVersion})
	}
	return nil
}

// take puts a version in place; those that are newer did not open.
func (s *sifter) take(name string, versions []string, at int) error {
	for range at {
		s.found = append(s.found, Foreign{name, ForeignVersion})
	}
	b, err := os.ReadFile(versions[at])
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(s.dir, repoDir, name), b)
}

func (s *sifter) derive(purpose string) ([]byte, error) {
	return hkdf.Key(sha256.New, s.fm.GetMasterKey(), s.fm.UniqueID(), purpose, 32)
}

// indexes puts index files aside that the archive's key does not open: one of them
// keeps kopia from opening. An epoch that is far ahead would make it look for
// millions of files.
func (s *sifter) indexes(ctx context.Context) error {
	for _, rel := range s.index {
		if markerOnly(rel) {
			continue
		}
		if !s.opens(ctx, rel) {
			if err := s.aside(filepath.Join(s.dir, repoDir, rel), rel, ForeignBytes); err != nil {
				return err
			}
			continue
		}
		s.epoch = max(s.epoch, epochOf(rel))
	}
	for _, rel := range s.index {
		if strings.HasPrefix(rel, "xe") && epochOf(rel) > s.epoch+2 {
			if err := s.aside(filepath.Join(s.dir, repoDir, rel), rel, ForeignEpoch); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// epochOf is the last number in the name of an index file, before its hash.
func epochOf(rel string) (n int) {
	id, _ := blobID(rel)
	parts := strings.Split(strings.TrimLeft(string(id), "xensrw"), "_")
	if len(parts) > 1 {
		parts = parts[:len(parts)-1]
	}
	for _, p := range parts {
		if v, err := strconv.Atoi(p); err == nil {
			n = max(n, v)
		}
	}
	return n
}

func (s *sifter) opens(ctx context.Context, rel string) bool {
	id, _ := blobID(rel)
	m := indexblob.NewEncryptionManager(oneFile{path: filepath.Join(s.dir, repoDir, rel)}, s.fm, nil, nil)
	return decrypts(ctx, id, m.GetEncryptedBlob)
}

// decrypts calls kopia's reader, whose buffer lives in a package that cannot be
// imported.
func decrypts[T any](ctx context.Context, id blob.ID, get func(context.Context, blob.ID, *T) error) bool {
	var buf T
	err := get(ctx, id, &buf)
	if c, ok := any(&buf).(interface{ Close() }); ok {
		c.Close()
	}
	return err == nil
}

// oneFile is a storage with one file in it.
type oneFile struct {
	blob.Storage
	path string
}

func (o oneFile) GetBlob(_ context.Context, _ blob.ID, _, _ int64, out blob.OutputBuffer) error {
	b, err := os.ReadFile(o.path)
	if err != nil {
		return err
	}
	out.Reset()
	_, err = out.Write(b)
	return err
}

// journal puts journal files aside that are of another archive, or whose first
// frame was sealed by nobody who has the archive's key.
func (s *sifter) journal(ctx context.Context) error {
	des, err := os.ReadDir(filepath.Join(s.dir, journalDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	key, err := s.derive("farol journal")
	if err != nil {
		return err
	}
	codec, err := newCodec()
	if err != nil {
		return err
	}
	defer codec.close()
	for _, de := range des {
		path := filepath.Join(s.dir, journalDir, de.Name())
		ours, err := s.sealedHere(codec, key, path)
		if err == nil && !ours {
			err = s.aside(path, journalDir+"/"+de.Name(), ForeignJournal)
		}
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
	}
	return nil
}

func (s *sifter) sealedHere(codec *codec, key []byte, path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return false, err
	}
	b := make([]byte, min(fi.Size(), fileHeaderLen))
	if _, err := f.ReadAt(b, 0); err != nil {
		return false, err
	}
	h, err := parseFileHeader(b)
	if err != nil || !slices.Equal(h.archive[:], s.fm.UniqueID()[:len(h.archive)]) || fmt.Sprintf(journalPattern, h.epoch, h.number) != filepath.Base(path) {
		return false, nil
	}
	aead, err := h.seal(key)
	if err != nil {
		return false, err
	}
	prev := h.chain()
	_, err = codec.readFrame(f, fi.Size(), fileHeaderLen, aead, &prev)
	return err == nil || codec.findFrame(f, fi.Size(), fileHeaderLen, aead) >= 0, nil
}

// aside moves a file of the copy into the quarantine.
func (s *sifter) aside(path, name, why string) error {
	s.found = append(s.found, Foreign{name, why})
	to := filepath.Join(s.dir, quarantineDir, fmt.Sprintf("%s.%d", strings.ReplaceAll(name, "/", "~"), time.Now().UnixNano()))
	if err := os.Rename(path, to); err != nil {
		return err
	}
	return errors.Join(syncDir(filepath.Dir(path)), syncDir(filepath.Dir(to)))
}
