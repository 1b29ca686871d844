package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/kopia/kopia/repo/blob/sharded"

	"farol/internal/record"
)

// Damage is one finding of Open or Check.
type Damage struct {
	What   string // what kind of thing is damaged
	Where  string // file or object
	Offset int64  // in it, where known
	Hits   string // what cannot be read because of it, by address
	Healed bool   // it is as it was again
	By     string // what healed it: parity, copy
	Lost   bool   // acknowledged data may be gone from this disk
}

func (d Damage) String() string {
	s := fmt.Sprintf("%s: %s at %d", d.What, d.Where, d.Offset)
	if d.Hits != "" {
		s += ", hits " + d.Hits
	}
	if d.Healed {
		s += ", healed from " + d.By
	}
	return s
}

// putClass orders files so that a prefix of the log is a valid repository:
// what others name comes first.
func putClass(name string) int {
	switch {
	case name == sharded.ParametersFile, strings.HasPrefix(name, "kopia."):
		return 0
	case strings.HasPrefix(name, "x"):
		return 2
	}
	return 1
}

// mutable names the files kopia overwrites.
func mutable(name string) bool { return putClass(name) == 0 }

// sweepBlobs compares the repository's directory with the put log before
// kopia opens it. An empty or cut blob would stop kopia.
func (a *Archive) sweepBlobs(ctx context.Context) error {
	b := a.blobs
	found := map[string]fs.FileInfo{}
	err := filepath.WalkDir(b.root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel := b.rel(path)
		if strings.Contains(d.Name(), ".tmp.") {
			return os.Remove(path) // no other process writes here
		}
		if unlogged(rel) {
			return nil
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		found[rel] = fi
		return nil
	})
	if err != nil {
		return fmt.Errorf("list the repository: %w", err)
	}
	live := b.log.snapshot()
	for name, want := range live {
		fi, ok := found[name]
		if ok && fi.Size() == want.size && !mutable(name) {
			continue
		}
		if ok && mutable(name) {
			sum, err := hashFile(filepath.Join(b.root, name))
			if err != nil {
				return err
			}
			if sum == want.sum {
				continue
			}
			if b.log.announced(name, sum) {
				delete(live, name) // replaced just before a crash: log it again
				continue
			}
		}
		delete(found, name)
		if err := a.replaceBlob(ctx, name, want, ok); err != nil {
			return err
		}
	}
	return a.adoptBlobs(found, live)
}

// adoptBlobs logs files that the put log does not know, in an order that
// keeps every prefix valid.
func (a *Archive) adoptBlobs(found map[string]fs.FileInfo, live map[string]putInfo) error {
	b := a.blobs
	var names []string
	for name, fi := range found {
		if _, ok := live[name]; ok {
			b.noteIndex(name, fi)
			continue
		}
		names = append(names, name)
	}
	slices.SortFunc(names, func(x, y string) int {
		if c := putClass(x) - putClass(y); c != 0 {
			return c
		}
		if c := found[x].ModTime().Compare(found[y].ModTime()); c != 0 {
			return c
		}
		return strings.Compare(x, y)
	})
	for _, name := range names {
		path := filepath.Join(b.root, name)
		if found[name].Size() == 0 {
			a.addDamage(Damage{What: "empty blob", Where: name})
			if err := a.setAside(path); err != nil {
				return err
			}
			continue
		}
		sum, err := hashFile(path)
		if err != nil {
			return err
		}
		e := PutEntry{Name: name, Size: found[name].Size(), SHA256: sum, Time: found[name].ModTime().UTC()}
		if err := b.log.add(&e, false); err != nil {
			return err
		}
		b.noteIndex(name, found[name])
		if b.onPut != nil {
			b.onPut(e)
		}
	}
	return nil
}

// replaceBlob sets a damaged blob aside and gets it back from its parity or the
// off-site copy. Without either it stays missing, and what it held is damage.
func (a *Archive) replaceBlob(ctx context.Context, name string, want putInfo, there bool) error {
	path := filepath.Join(a.blobs.root, name)
	d := Damage{What: "blob of wrong length", Where: name}
	switch {
	case !there:
		d.What = "blob missing"
	case mutable(name):
		d.What = differs
	}
	if err := a.putBack(ctx, &d, path, want, there); err != nil {
		return err
	}
	d.Lost = !d.Healed
	if there && !d.Healed && !mutable(name) { // kopia may still make sense of its format files
		if err := a.setAside(path); err != nil {
			return err
		}
	}
	a.addDamage(d)
	return nil
}

const differs = "blob differs from its hash"

// What healed a damage.
const (
	byParity = "parity"
	byCopy   = "copy"
)

// regain gets a blob back: from its parity, which needs nobody else, or from
// the off-site copy.
func (a *Archive) regain(ctx context.Context, name string, want putInfo) (b []byte, by string, err error) {
	b, perr := a.blobs.parity.mend(name, want)
	if perr == nil {
		return b, byParity, nil
	}
	b, err = a.fetch(ctx, name, want)
	if err != nil {
		return nil, "", errors.Join(perr, err)
	}
	return b, byCopy, nil
}

var errNoCopy = errors.New("there is no off-site copy to heal from")

// fetch gets a blob from the off-site copy and checks it.
func (a *Archive) fetch(ctx context.Context, name string, want putInfo) ([]byte, error) {
	if a.opt.Fetch == nil {
		return nil, errNoCopy
	}
	b, err := a.opt.Fetch(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("fetch %s: %w", name, err)
	}
	if int64(len(b)) != want.size || record.HashOf(b) != want.sum {
		return nil, fmt.Errorf("fetch %s: the copy differs too: %w", name, ErrCorrupt)
	}
	return b, nil
}

// healIndex compares every index and format blob with its hash, because one
// that is damaged keeps kopia from opening.
func (a *Archive) healIndex(ctx context.Context) (changed bool, err error) {
	for name, want := range a.blobs.log.snapshot() {
		if putClass(name) == 1 && !strings.HasPrefix(name, "q") {
			continue
		}
		sum, err := hashFile(filepath.Join(a.blobs.root, name))
		if errors.Is(err, fs.ErrNotExist) || err == nil && (sum == want.sum || a.blobs.log.announced(name, sum)) {
			continue
		}
		if err != nil {
			return changed, err
		}
		d := Damage{What: differs, Where: name}
		if err := a.putBack(ctx, &d, filepath.Join(a.blobs.root, name), want, true); err != nil {
			return changed, err
		}
		d.Lost = !d.Healed
		a.addDamage(d)
		if !d.Healed {
			return changed, fmt.Errorf("%s differs from its hash: %w: %s", name, ErrCorrupt, d.Hits)
		}
		changed = true
	}
	return changed, nil
}

// healJournal replaces a journal file that cannot be read from place bad on by
// the off-site copy, followed by what only this disk holds: the copy may lag.
// It does so only when more can be read then.
func (a *Archive) healJournal(ctx context.Context, name string, bad int64) bool {
	if a.opt.Fetch == nil {
		return false
	}
	b, err := a.opt.Fetch(ctx, journalDir+"/"+name)
	if err != nil {
		return false
	}
	path := a.j.path(name)
	mine, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	if len(mine) > len(b) {
		b = append(b, mine[len(b):]...)
	}
	h, err := parseFileHeader(b)
	if err != nil || h.archive != a.id || fmt.Sprintf(journalPattern, h.epoch, h.number) != name {
		return false
	}
	aead, err := h.seal(a.j.key)
	if err != nil {
		return false
	}
	r := bytes.NewReader(b)
	prev, off := h.chain(), int64(fileHeaderLen)
	for {
		f, err := a.j.codec.readFrame(r, int64(len(b)), off, aead, &prev)
		if err != nil {
			break
		}
		prev, off = f.tag, f.end
	}
	if off <= bad {
		return false
	}
	if a.setAside(path) != nil || writeFile(path, b) != nil {
		return false
	}
	a.addDamage(Damage{What: "journal file", Where: name, Offset: bad, Healed: true, By: byCopy})
	return true
}

func hashFile(path string) (sum record.Hash, err error) {
	f, err := os.Open(path)
	if err != nil {
		return sum, err
	}
	defer f.Close()
	h := newHasher()
	if _, err := io.Copy(h, f); err != nil {
		return sum, err
	}
	return h.hash(), nil
}

type hasher struct{ hash.Hash }

func newHasher() hasher { return hasher{sha256.New()} }

func (h hasher) hash() record.Hash { return record.Hash(h.Sum(nil)) }

// stale reports whether t lies more than d in the past.
func (a *Archive) stale(t time.Time, d time.Duration) bool { return a.now().Sub(t).Abs() > d }
