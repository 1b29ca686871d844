package replica

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"farol/internal/audit"
	"farol/internal/record"
)

// vault is what the node holds of one archive. Every method returns after its
// bytes are on disk.
type vault struct {
	dir string

	mu      sync.Mutex // one writer
	about   about
	journal map[string]int64
	entries int64
	entEnd  int64
	blobs   int64
}

// about is the vault's own record.
type about struct {
	Archive string              `json:"archive"`
	LogKey  string              `json:"log_key"`
	Clients map[string]clientOf `json:"clients"` // certificate fingerprint → what it may do
	PutPos  int64               `json:"put_pos"`
	Epoch   uint32              `json:"put_epoch"`
	Made    time.Time           `json:"made"`
}

type clientOf struct {
	Write bool      `json:"write"`
	Since time.Time `json:"since"`
}

var (
	journalName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,80}$`)
	blobName    = regexp.MustCompile(`^[A-Za-z0-9_.][A-Za-z0-9._~-]{0,200}$`)
)

func openVault(dir string) (*vault, error) {
	for _, d := range []string{"journal", "blobs", "log"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			return nil, fmt.Errorf("open vault: %w", err)
		}
	}
	v := &vault{dir: dir, journal: map[string]int64{}}
	b, err := os.ReadFile(filepath.Join(dir, "vault.json"))
	if err == nil {
		err = json.Unmarshal(b, &v.about)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("open vault: %w", err)
	}
	files, err := os.ReadDir(filepath.Join(dir, "journal"))
	if err != nil {
		return nil, fmt.Errorf("open vault: %w", err)
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			return nil, fmt.Errorf("open vault: %w", err)
		}
		v.journal[f.Name()] = info.Size()
	}
	names, err := os.ReadDir(filepath.Join(dir, "blobs"))
	if err != nil {
		return nil, fmt.Errorf("open vault: %w", err)
	}
	for _, n := range names {
		if strings.HasSuffix(n.Name(), ".tmp") { // an upload that a crash cut off
			if err := os.Remove(filepath.Join(dir, "blobs", n.Name())); err != nil {
				return nil, fmt.Errorf("open vault: %w", err)
			}
			continue
		}
		v.blobs++
	}
	return v, v.countEntries()
}

func (v *vault) countEntries() error {
	f, err := os.OpenFile(v.entriesPath(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("open vault: %w", err)
	}
	defer f.Close()
	var head [4]byte
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("open vault: %w", err)
	}
	for {
		if _, err := f.ReadAt(head[:], v.entEnd); err != nil {
			break
		}
		n := int64(binary.BigEndian.Uint32(head[:]))
		if n == 0 || v.entEnd+4+n > info.Size() {
			break
		}
		v.entEnd += 4 + n
		v.entries++
	}
	return f.Truncate(v.entEnd)
}

func (v *vault) entriesPath() string { return filepath.Join(v.dir, "log", "entries.log") }

func (v *vault) save() error {
	b, err := json.MarshalIndent(v.about, "", "  ")
	if err != nil {
		return err
	}
	return replaceFile(filepath.Join(v.dir, "vault.json"), b)
}

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

// appendJournal adds bytes at off. Bytes that are held already must be equal.
func (v *vault) appendJournal(name string, off int64, b []byte) (int64, error) {
	if !journalName.MatchString(name) {
		return 0, ErrUnknown
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	path := filepath.Join(v.dir, "journal", name)
	have, known := v.journal[name]
	if off > have || off < 0 {
		return have, fmt.Errorf("journal ends at %d, bytes are for %d: %w", have, off, ErrConflict)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return have, full(err)
	}
	defer f.Close()
	if overlap := min(have-off, int64(len(b))); overlap > 0 {
		old := make([]byte, overlap)
		if _, err := f.ReadAt(old, off); err != nil {
			return have, err
		}
		if !bytes.Equal(old, b[:overlap]) {
			return have, ErrConflict
		}
		b = b[overlap:]
	}
	if len(b) == 0 {
		return have, nil
	}
	if _, err := f.WriteAt(b, have); err != nil {
		return have, errors.Join(full(err), f.Truncate(have))
	}
	if err := f.Sync(); err != nil {
		return have, full(err)
	}
	if !known {
		if err := syncDir(filepath.Dir(path)); err != nil {
			return have, err
		}
	}
	v.journal[name] = have + int64(len(b))
	return v.journal[name], nil
}

// putBlob takes a blob once. The few names that kopia overwrites are kept in
// every version.
func (v *vault) putBlob(name string, sum record.Hash, r io.Reader) error {
	if deep, _ := Deep(name); !blobName.MatchString(name) || strings.HasSuffix(name, ".tmp") || !filepath.IsLocal(deep) {
		return ErrUnknown
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	path := filepath.Join(v.dir, "blobs", name)
	h := sha256.New()
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return full(err)
	}
	_, err = io.Copy(io.MultiWriter(f, h), r)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(full(err), os.Remove(tmp))
	}
	if record.Hash(h.Sum(nil)) != sum {
		return errors.Join(fmt.Errorf("the bytes arrived with another hash: %w", ErrNode), os.Remove(tmp))
	}
	if old, err := fileHash(path); err == nil {
		if old == sum {
			return os.Remove(tmp)
		}
		if !mutable(name) {
			return errors.Join(ErrConflict, os.Remove(tmp))
		}
		if err := os.Rename(path, path+"@"+strconv.FormatInt(time.Now().UnixNano(), 36)); err != nil {
			return err
		}
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	v.blobs++
	return syncDir(filepath.Dir(path))
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

// putPos notes up to which put-log position the blobs are held.
func (v *vault) setPutPos(epoch uint32, pos int64) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if epoch < v.about.Epoch {
		return ErrConflict // an appliance that was recovered elsewhere since
	}
	if epoch == v.about.Epoch && pos <= v.about.PutPos {
		return nil
	}
	v.about.Epoch, v.about.PutPos = epoch, pos
	return v.save()
}

// appendEntries adds sealed audit entries from number from on.
func (v *vault) appendEntries(from int64, entries [][]byte) (int64, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if from > v.entries || from < 0 {
		return v.entries, fmt.Errorf("the log has %d entries, these begin at %d: %w", v.entries, from, ErrConflict)
	}
	skip := v.entries - from
	if skip >= int64(len(entries)) {
		return v.entries, nil
	}
	var buf bytes.Buffer
	for _, e := range entries[skip:] {
		binary.Write(&buf, binary.BigEndian, uint32(len(e)))
		buf.Write(e)
	}
	f, err := os.OpenFile(v.entriesPath(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return v.entries, full(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(buf.Bytes(), v.entEnd); err != nil {
		return v.entries, errors.Join(full(err), f.Truncate(v.entEnd))
	}
	if err := f.Sync(); err != nil {
		return v.entries, full(err)
	}
	v.entEnd += int64(buf.Len())
	v.entries += int64(len(entries)) - skip
	return v.entries, nil
}

// cosign checks that a checkpoint extends the last one and signs it.
func (v *vault) cosign(checkpoint []byte, proof []tlog.Hash, signer note.Signer) ([]byte, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	key, err := note.NewVerifier(v.about.LogKey)
	if err != nil {
		return nil, fmt.Errorf("read the log's key: %w", err)
	}
	now, err := audit.OpenCheckpoint(checkpoint, key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRolledBack, err)
	}
	path := filepath.Join(v.dir, "log", "checkpoint")
	var was tlog.Tree
	if old, err := os.ReadFile(path); err == nil {
		if was, err = audit.OpenCheckpoint(old, key); err != nil {
			return nil, err
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if now.N < was.N || now.N == was.N && now.Hash != was.Hash {
		return nil, ErrRolledBack
	}
	if now.N > was.N {
		if err := audit.VerifyConsistency(was, now, proof); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrRolledBack, err)
		}
	}
	n, err := note.Open(checkpoint, note.VerifierList(key))
	if err != nil {
		return nil, err
	}
	signed, err := note.Sign(n, signer)
	if err != nil {
		return nil, fmt.Errorf("cosign: %w", err)
	}
	return signed, replaceFile(path, signed)
}

func (v *vault) state() State {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := State{Journal: map[string]int64{}, Blobs: v.blobs, PutPos: v.about.PutPos, PutEpoch: v.about.Epoch, Entries: v.entries}
	for k, n := range v.journal {
		s.Journal[k] = n
	}
	if key, err := note.NewVerifier(v.about.LogKey); err == nil {
		if b, err := os.ReadFile(filepath.Join(v.dir, "log", "checkpoint")); err == nil {
			if t, err := audit.OpenCheckpoint(b, key); err == nil {
				s.Size = t.N
			}
		}
	}
	var st syscall.Statfs_t
	if syscall.Statfs(v.dir, &st) == nil {
		s.DiskFree, s.DiskSize = int64(st.Bavail)*st.Bsize, int64(st.Blocks)*st.Bsize
	}
	return s
}
