package replica

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"farol/internal/record"
)

// A node reads back what it holds and compares it with the hashes under which it
// came: a disk forgets without saying so. What differs or is gone it asks the
// appliance for, and takes under that hash only, so that nobody replaces anything
// that is whole.

// verified is how the files of a vault were last read back, kept beside it.
type verified struct {
	Ended   time.Time              `json:"ended,omitzero"` // of the last whole pass
	Files   int64                  `json:"files"`          // that it read
	Bytes   int64                  `json:"bytes"`
	Damaged map[string]record.Hash `json:"damaged,omitempty"` // blob → hash under which it came, zero where no one noted it
	Healed  int64                  `json:"healed"`            // since there is this vault

	Grown map[string]grown `json:"grown,omitempty"` // of what is only written on, below the vault's folder: as it was read

	Pass *pass `json:"pass,omitempty"` // that goes on, nil between two
}

// grown is what a journal file or the log's entries began with: it stays so.
type grown struct {
	Bytes int64       `json:"bytes"`
	Sum   record.Hash `json:"sha256"`
}

// logEntries is the log's entries below the vault's folder.
const logEntries = "log/entries.log"

// pass is one reading of everything, in the order of the names.
type pass struct {
	At    string `json:"at"` // the last name that was read
	Files int64  `json:"files"`
	Bytes int64  `json:"bytes"`
}

const (
	verifiedName    = "verified.json"
	verifyEvery     = 7 * 24 * time.Hour
	verifyRate      = 32 << 20 // bytes a second: what comes in goes before
	verifyKeep      = 30 * time.Second
	mostDamagedTold = 200 // names in one answer
)

func (v *vault) loadVerified() error {
	b, err := os.ReadFile(filepath.Join(v.dir, verifiedName))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(b, &v.verified)
	}
	if err != nil {
		return fmt.Errorf("read how the copy was verified: %w", err)
	}
	return nil
}

// saveVerified keeps it; the caller holds the lock.
func (v *vault) saveVerified() error {
	b, err := json.Marshal(v.verified)
	if err == nil {
		err = replaceFile(filepath.Join(v.dir, verifiedName), b)
	}
	if err != nil {
		return fmt.Errorf("keep how the copy was verified: %w", full(err))
	}
	return nil
}

// verify reads everything back, at most rate bytes a second, 0 for as fast as it
// goes. One that was cut off goes on where it stood.
func (v *vault) verify(ctx context.Context, rate int64) error {
	v.reading.Lock()
	defer v.reading.Unlock()
	sums, err := v.sums()
	if err != nil {
		return err
	}
	names, err := v.blobNames(sums)
	if err != nil {
		return err
	}
	v.mu.Lock()
	if v.verified.Pass == nil {
		v.verified.Pass = &pass{}
	}
	from := v.verified.Pass.At
	v.mu.Unlock()
	r := &throttle{ctx: ctx, rate: rate, began: time.Now()}
	kept := time.Now()
	for _, name := range names {
		if name <= from {
			continue
		}
		if err := v.verifyBlob(r, name, sums[name]); err != nil {
			return err
		}
		v.mu.Lock()
		v.verified.Pass.At = name
		if time.Since(kept) > verifyKeep {
			kept, err = time.Now(), v.saveVerified()
		}
		v.mu.Unlock()
		if err != nil {
			return err
		}
	}
	if err := errors.Join(v.verifyMutable(), v.verifyGrown(r)); err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	p := v.verified.Pass
	v.verified.Ended, v.verified.Files, v.verified.Bytes, v.verified.Pass = v.time(), p.Files, p.Bytes, nil
	return v.saveVerified()
}

// sums are the hashes under which blobs came, zero where nobody noted it.
func (v *vault) sums() (map[string]record.Hash, error) {
	v.mu.Lock()
	end := v.came.end
	v.mu.Unlock()
	f, err := os.Open(v.arrivalsPath())
	if errors.Is(err, os.ErrNotExist) {
		return map[string]record.Hash{}, nil
	} else if err != nil {
		return nil, fmt.Errorf("read when things arrived: %w", err)
	}
	defer f.Close()
	sums := map[string]record.Hash{}
	err = eachArrival(bufio.NewReader(io.LimitReader(f, end)), func(a arrival) {
		switch {
		case a.what == "b", a.what == "h" && sums[a.name].IsZero():
			sums[a.name] = a.sum
		}
	})
	if err != nil {
		return nil, fmt.Errorf("read when things arrived: %w", err)
	}
	return sums, nil
}

// blobNames are the blobs that are there or should be, but for those that kopia
// overwrites, sorted.
func (v *vault) blobNames(sums map[string]record.Hash) ([]string, error) {
	ds, err := os.ReadDir(filepath.Join(v.dir, "blobs"))
	if err != nil {
		return nil, fmt.Errorf("list the blobs: %w", err)
	}
	all := map[string]bool{}
	for _, d := range ds {
		all[d.Name()] = true
	}
	for name := range sums {
		all[name] = true
	}
	maps.DeleteFunc(all, func(name string, _ bool) bool { return !isBlob(name) || mutable(name) })
	return slices.Sorted(maps.Keys(all)), nil
}

func (v *vault) verifyBlob(r *throttle, name string, want record.Hash) error {
	path := filepath.Join(v.dir, "blobs", name)
	got, n, err := r.hash(path)
	if cerr := r.ctx.Err(); cerr != nil {
		return cerr
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if err != nil || got != want && !want.IsZero() {
		got, err = fileHash(path) // it may have been healed, or come, meanwhile
	}
	switch {
	case err != nil || got != want && !want.IsZero():
		return v.damage(name, want)
	case want.IsZero():
		if err := v.noteArrivals(fmt.Sprintf("h %d %s %s\n", v.came.last.UnixMilli(), name, got)); err != nil {
			return err
		}
	}
	delete(v.verified.Damaged, name)
	v.verified.Pass.Files++
	v.verified.Pass.Bytes += n
	return nil
}

// damage notes a blob that is not as it came, on disk at once. The caller holds the
// lock.
func (v *vault) damage(name string, want record.Hash) error {
	if had, ok := v.verified.Damaged[name]; ok && had == want {
		return nil
	}
	if v.verified.Damaged == nil {
		v.verified.Damaged = map[string]record.Hash{}
	}
	v.verified.Damaged[name] = want
	return v.saveVerified()
}

// verifyMutable compares the few files that kopia overwrites, while none comes.
func (v *vault) verifyMutable() error {
	v.mu.Lock()
	end := v.came.end
	defer v.mu.Unlock()
	f, err := os.Open(v.arrivalsPath())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("read when things arrived: %w", err)
	}
	defer f.Close()
	last := map[string]record.Hash{}
	err = eachArrival(bufio.NewReader(io.LimitReader(f, end)), func(a arrival) {
		if a.what == "b" && mutable(a.name) {
			last[a.name] = a.sum
		}
	})
	if err != nil {
		return fmt.Errorf("read when things arrived: %w", err)
	}
	for name, want := range last {
		got, err := fileHash(filepath.Join(v.dir, "blobs", name))
		if err == nil && (want.IsZero() || got == want) {
			delete(v.verified.Damaged, name)
			v.verified.Pass.Files++
			continue
		}
		if err := v.damage(name, want); err != nil {
			return err
		}
	}
	return nil
}

// verifyGrown compares the beginnings of the journal and of the log's entries with
// what was read the last time. What differs nobody can mend here: it stays damaged.
func (v *vault) verifyGrown(r *throttle) error {
	v.mu.Lock()
	sizes := map[string]int64{}
	for name, n := range v.journal {
		sizes["journal/"+name] = n
	}
	if v.entEnd > 0 {
		sizes[logEntries] = v.entEnd
	}
	was := maps.Clone(v.verified.Grown)
	v.mu.Unlock()
	for name, n := range sizes {
		same, sum, err := r.grown(filepath.Join(v.dir, filepath.FromSlash(name)), n, was[name])
		if cerr := r.ctx.Err(); cerr != nil {
			return cerr
		}
		v.mu.Lock()
		switch {
		case v.verified.Grown[name] != was[name]: // another log began meanwhile
			err = nil
		case err != nil || !same:
			err = v.damage(name, was[name].Sum)
		default:
			if v.verified.Grown == nil {
				v.verified.Grown = map[string]grown{}
			}
			delete(v.verified.Damaged, name)
			v.verified.Grown[name] = grown{n, sum}
			v.verified.Pass.Files++
			v.verified.Pass.Bytes += n
		}
		v.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// heals reports whether bytes with this hash are what a damaged blob was; of one
// whose hash nobody noted, when nothing of it can be read. The caller holds the
// lock.
func (v *vault) heals(name string, sum record.Hash, unreadable bool) bool {
	want, ok := v.verified.Damaged[name]
	return ok && (want == sum || want.IsZero() && unreadable)
}

// whole takes a blob that turned out to be as it came off the list. The caller
// holds the lock.
func (v *vault) whole(name string) error {
	if _, ok := v.verified.Damaged[name]; !ok {
		return nil
	}
	delete(v.verified.Damaged, name)
	return v.saveVerified()
}

// errHealed is no error of the request: the bytes took the place of damaged ones.
var errHealed = errors.New("a damaged file is whole again")

func (v *vault) healed(name string) error {
	delete(v.verified.Damaged, name)
	v.verified.Healed++
	if err := v.saveVerified(); err != nil {
		return err
	}
	return errHealed
}

// damaged are names to ask the appliance for, and how many there are in all. Each
// asking names the next of them: an appliance cannot mend every one, and those
// that it cannot must not hide the others. The caller holds the lock.
func (v *vault) damaged() (names []string, all int) {
	for name := range v.verified.Damaged {
		if !strings.Contains(name, "/") { // a journal or the log: nobody can mend it
			names = append(names, name)
		}
	}
	slices.Sort(names)
	all = len(names)
	if all <= mostDamagedTold {
		return names, all
	}
	from, _ := slices.BinarySearch(names, v.told)
	names = append(names[from:], names[:from]...)
	v.told = names[mostDamagedTold]
	return names[:mostDamagedTold], all
}
