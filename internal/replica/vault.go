package replica

import (
	"bytes"
	"crypto/sha256"
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

	"farol/internal/record"
)

// vault is what the node holds of one archive. Every method returns after its
// bytes are on disk.
type vault struct {
	dir   string
	now   func() time.Time              // nil: the machine's clock
	fault func(step, path string) error // asked before each change of a file when set: its error stands for the disk's

	reading  sync.Mutex // one reading of everything at a time
	mu       sync.Mutex // one writer
	about    about
	journal  map[string]int64
	entries  int64
	entEnd   int64
	ends     []int64 // where the last entries end
	blobs    int64
	used     int64     // bytes of journal, blobs and log
	coming   int64     // bytes of blobs that arrive now
	quota    int64     // the node's, for an archive without its own
	heard    time.Time // when its appliance was heard last
	refused  refusal   // the last checkpoint that did not extend the one held
	came     arrivals  // when what is held arrived
	verified verified  // how it was last read back
	told     string    // damaged blob that the next answer begins with

	doubts   map[string]refusal // what an appliance does not do while it is well
	anew     map[string]int     // how often a file that kopia overwrites came since anewFrom
	anewFrom time.Time
}

// about is the vault's own record.
type about struct {
	Archive string              `json:"archive"`
	LogKey  string              `json:"log_key"`
	Clients map[string]clientOf `json:"clients"` // certificate fingerprint → what it may do
	PutPos  int64               `json:"put_pos"`
	Epoch   uint32              `json:"put_epoch"`
	Made    time.Time           `json:"made"`
	Quota   int64               `json:"quota,omitempty"`   // bytes, written by the node's operator; 0 = the node's
	Mutable map[string]putAt    `json:"mutable,omitempty"` // name → of which put is the version held
	Anew    bool                `json:"anew,omitempty"`    // a recovered appliance was enrolled: its log may be of an earlier time
	Branch  uint32              `json:"branch,omitempty"`  // epoch of an appliance that was enrolled after another and has not said what is of a branch
}

// epochs is the highest epoch that an appliance of the archive bears: journal files
// of the next must not have its names.
func (a about) epochs(fence uint32) uint32 {
	n := max(fence, a.Epoch)
	for _, c := range a.Clients {
		n = max(n, c.Epoch)
	}
	return n
}

type clientOf struct {
	Write bool      `json:"write"`
	Epoch uint32    `json:"epoch,omitempty"` // of its archive when it was enrolled
	Since time.Time `json:"since"`
	Ended time.Time `json:"ended,omitzero"` // another writer came
}

var (
	journalName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,80}$`)
	blobVersion = regexp.MustCompile(`^[a-z.]{1,50}@[0-9a-z]{1,20}$`) // of one that kopia has overwritten since
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
		if err := syncFile(filepath.Join(dir, "journal", f.Name())); err != nil {
			return nil, fmt.Errorf("open vault: %w", err)
		}
		v.journal[f.Name()] = info.Size()
		v.used += info.Size()
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
		info, err := n.Info()
		if err != nil {
			return nil, fmt.Errorf("open vault: %w", err)
		}
		v.blobs++
		v.used += info.Size()
	}
	if err := v.countEntries(); err != nil {
		return nil, err
	}
	v.used += v.entEnd
	for _, d := range []string{"journal", "blobs", "log"} { // names, too, are told as held from now on
		if err := syncDir(filepath.Join(dir, d)); err != nil {
			return nil, fmt.Errorf("open vault: %w", err)
		}
	}
	return v, errors.Join(v.loadContact(), v.loadVerified(), v.openArrivals())
}

// step is where a disk may fail.
func (v *vault) step(name, path string) error {
	if v.fault == nil {
		return nil
	}
	return v.fault(name, path)
}

func (v *vault) save() error {
	if err := v.step("save", v.dir); err != nil {
		return full(err)
	}
	b, err := json.MarshalIndent(v.about, "", "  ")
	if err != nil {
		return err
	}
	return replaceFile(filepath.Join(v.dir, "vault.json"), b)
}

// appendJournal adds bytes at off. Bytes that are held already must be equal.
func (v *vault) appendJournal(name string, off int64, b []byte) (int64, error) {
	if !journalName.MatchString(name) {
		return 0, ErrUnknown
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	path := filepath.Join(v.dir, "journal", name)
	have := v.journal[name]
	if off > have || off < 0 {
		return have, fmt.Errorf("journal ends at %d, bytes are for %d: %w", have, off, ErrConflict)
	}
	if overlap := min(have-off, int64(len(b))); overlap > 0 {
		old, err := readPart(path, off, overlap)
		if err != nil {
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
	if err := v.room(int64(len(b))); err != nil {
		return have, err
	}
	if have == 0 {
		if err := v.follows(name, b); err != nil {
			return have, err
		}
	}
	if err := v.arriveOften("j", name, fmt.Sprintf("%s %d", name, have), growthEvery); err != nil {
		return have, err
	}
	if err := v.grow(path, have, b); err != nil {
		return have, err
	}
	v.journal[name] = have + int64(len(b))
	v.used += int64(len(b))
	return v.journal[name], nil
}

// isBlob reports whether a name can be a repository's file at the node.
func isBlob(name string) bool {
	deep, _ := Deep(name)
	return blobName.MatchString(name) && !strings.HasSuffix(name, ".tmp") && filepath.IsLocal(deep)
}

// putBlob takes a blob once. The few names that kopia overwrites are kept in
// every version; at says which of them is the newest. [errReplaced] says that the
// blob was taken and that a person should know.
func (v *vault) putBlob(name string, sum record.Hash, r io.Reader, epoch uint32, at putAt) error {
	if !isBlob(name) {
		return ErrUnknown
	}
	path := filepath.Join(v.dir, "blobs", name)
	h := sha256.New()
	// The bytes may take long to arrive, and the journal does not wait for them.
	f, err := os.CreateTemp(filepath.Dir(path), "up*.tmp")
	if err != nil {
		return full(err)
	}
	tmp := f.Name()
	came := &arriving{r: r, v: v}
	defer came.done()
	if err = v.step("write", tmp); err == nil {
		_, err = io.Copy(io.MultiWriter(f, h), came)
	}
	if err = errors.Join(err, v.step("sync", tmp), f.Sync(), f.Close()); err != nil {
		return errors.Join(full(err), os.Remove(tmp))
	}
	if record.Hash(h.Sum(nil)) != sum {
		return errors.Join(fmt.Errorf("the bytes arrived with another hash: %w", ErrNode), os.Remove(tmp))
	}
	leave, err := v.enter(epoch)
	if err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	defer leave()
	v.mu.Lock()
	defer v.mu.Unlock()
	if mutable(name) && at.before(v.about.Mutable[name]) {
		return os.Remove(tmp) // it comes late: a newer version is held
	}
	var kept string
	old, err := fileHash(path)
	if v.heals(name, sum, err != nil) && (err != nil || old != sum) {
		return v.heal(path, tmp)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return errors.Join(err, os.Remove(tmp))
	}
	same := err == nil && old == sum
	if err == nil && !same {
		if !mutable(name) {
			return errors.Join(ErrConflict, os.Remove(tmp))
		}
		if err := mayReplace(name, path, tmp); err != nil {
			return errors.Join(err, os.Remove(tmp))
		}
	}
	if mutable(name) {
		if err := v.setPutAt(name, at); err != nil {
			return errors.Join(err, os.Remove(tmp))
		}
	}
	if same && v.came.out[name] { // it is of the history that goes on, too
		if err := v.arrive("y", name); err != nil {
			return errors.Join(err, os.Remove(tmp))
		}
		delete(v.came.out, name)
	}
	if same { // its name may be on disk only now, if that failed before
		return errors.Join(os.Remove(tmp), v.syncBlobs(), v.whole(name))
	}
	if err == nil {
		kept = path + "@" + strconv.FormatInt(v.time().UnixNano(), 36)
		if err := v.keep(path, kept); err != nil {
			return errors.Join(full(err), os.Remove(tmp))
		}
	}
	if err := v.arrive("b", name+" "+sum.String()); err != nil {
		return errors.Join(err, os.Remove(tmp), os.RemoveAll(kept))
	}
	if err := v.step("rename", path); err != nil {
		return errors.Join(err, os.Remove(tmp), os.RemoveAll(kept))
	}
	if err := os.Rename(tmp, path); err != nil {
		return errors.Join(err, os.Remove(tmp), os.RemoveAll(kept))
	}
	v.blobs++
	v.used += came.n
	v.coming -= came.n // not twice, or who comes beside it is refused for nothing
	came.n = 0
	if err := v.syncBlobs(); err != nil || kept == "" || !v.replaced(name) {
		return err
	}
	return errReplaced
}

// heal puts bytes in the place of damaged or lost ones of the same hash: they came
// when those did, which no line says anew. The caller holds the lock.
func (v *vault) heal(path, tmp string) error {
	if err := os.Rename(tmp, path); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	if err := v.syncBlobs(); err != nil {
		return err
	}
	return v.healed(filepath.Base(path))
}

// keep gives the version of a blob that is about to be replaced a name of its
// own: at no moment is there none under its true one.
func (v *vault) keep(path, as string) error {
	if err := v.step("link", path); err == nil && os.Link(path, as) == nil {
		return nil
	}
	b, err := os.ReadFile(path) // a file system without links; these are small
	if err != nil {
		return err
	}
	return replaceFile(as, b)
}

func (v *vault) syncBlobs() error {
	dir := filepath.Join(v.dir, "blobs")
	if err := v.step("syncdir", dir); err != nil {
		return err
	}
	return syncDir(dir)
}

func (v *vault) state() State {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := State{Journal: map[string]int64{}, Blobs: v.blobs, PutPos: v.about.PutPos, PutEpoch: v.about.Epoch, Entries: v.entries, Used: v.used, Quota: v.bound(), Branch: v.about.Branch, Verified: v.verified.Ended, VerifiedFiles: v.verified.Files, Size: witnessed(v.dir, v.about.LogKey)}
	s.Damaged, s.DamagedFiles = v.damaged()
	for k, n := range v.journal {
		s.Journal[k] = n
	}
	if f, err := readFence(v.dir); err == nil {
		s.Fence = f.Epoch
	}
	s.Epoch = v.about.epochs(s.Fence)
	var st syscall.Statfs_t
	if syscall.Statfs(v.dir, &st) == nil {
		s.DiskFree, s.DiskSize = int64(st.Bavail)*st.Bsize, int64(st.Blocks)*st.Bsize
	}
	return s
}
