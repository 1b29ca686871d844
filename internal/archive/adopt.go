package archive

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/kopia/kopia/repo/blob/sharded"

	"farol/internal/keys"
)

// Adopt makes an archive out of copied files and opens it: dir holds
// archive/, and journal/ as far as it was shipped. Marker, put log and
// settings are made anew and the epoch is raised, so that its journal files
// never bear the names of the ones the lost appliance may still write. Every
// commit whose bytes were shipped is there; the catalog must be rebuilt from
// it.
//
// It returns [ErrForeign] when dir holds an archive already or none at all and
// [ErrKey] for another root key; then dir is as before.
func Adopt(ctx context.Context, dir string, root keys.Root, opt Options) (_ *Archive, err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	switch _, err := os.Stat(filepath.Join(dir, markerName)); {
	case err == nil:
		return nil, fmt.Errorf("adopt the copy: it is an archive already: %w", ErrForeign)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("adopt the copy: %w", err)
	}
	id, err := repoID(filepath.Join(dir, repoDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("adopt the copy: no repository in it: %w", ErrForeign)
	}
	if err != nil {
		return nil, fmt.Errorf("adopt the copy: %w", err)
	}
	epoch, err := lastEpoch(filepath.Join(dir, journalDir))
	if err != nil {
		return nil, fmt.Errorf("adopt the copy: %w", err)
	}
	// What the lost appliance knew only for itself says nothing here.
	for _, name := range []string{putLogName, configName, movesDir} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			return nil, fmt.Errorf("adopt the copy: %w", err)
		}
	}
	shards := filepath.Join(dir, repoDir, sharded.ParametersFile)
	if _, err := os.Stat(shards); errors.Is(err, fs.ErrNotExist) {
		if err := writeFile(shards, []byte(`{"default":[1,3],"maxNonShardedLength":20}`+"\n")); err != nil {
			return nil, fmt.Errorf("adopt the copy: %w", err)
		}
	}
	epoch = max(epoch, opt.EpochAfter)
	now := opt.withDefaults().time()
	hexID := hex.EncodeToString(id[:])
	m := marker{Version: markerVersion, Archive: hexID, Epoch: epoch + 1, Key: keyCheck(root, hexID), Created: now.UTC()}
	a, err := openMarked(ctx, dir, root, opt, m)
	if err != nil {
		return nil, fmt.Errorf("adopt the copy: %w", err)
	}
	if a.pointer.Epoch < m.Epoch {
		return a.keepAdopted(m)
	}
	// The journal of the last fold is gone already, and its epoch with it.
	m.Epoch = a.pointer.Epoch + 1
	if err := a.Close(); err != nil {
		return nil, fmt.Errorf("adopt the copy: %w", err)
	}
	if a, err = openMarked(ctx, dir, root, opt, m); err != nil {
		return nil, fmt.Errorf("adopt the copy: %w", err)
	}
	return a.keepAdopted(m)
}

// Adopted is what an archive began with that was made out of copied files. A
// copy that holds more of the journal has it of a history that this archive does
// not go on from: one of after the moment as of which it was made, or of an
// appliance that still wrote meanwhile.
type Adopted struct {
	Epoch   uint32           `json:"epoch"`   // with File: the last journal file that the newest snapshot covers
	File    uint64           `json:"file"`    // number
	Journal map[string]int64 `json:"journal"` // journal file → bytes
}

// Keeps is how many of the size bytes that a copy holds of a journal file belong
// to the history of an archive of an epoch: files of its own and files whose
// commits its snapshots cover belong as they are.
func (b *Adopted) Keeps(epoch uint32, name string, size int64) int64 {
	var h fileHeader
	if n, _ := fmt.Sscanf(name, journalPattern, &h.epoch, &h.number); n != 2 || h.epoch == epoch || h.compare(b.Epoch, b.File) <= 0 {
		return size
	}
	return min(size, b.Journal[name])
}

// Adopted is what the archive began with, nil when it was made here.
func (a *Archive) Adopted() *Adopted { return a.adopted }

// keepAdopted notes in the marker what the archive begins with.
func (a *Archive) keepAdopted(m marker) (*Archive, error) {
	m.Adopted = &Adopted{Epoch: a.pointer.Epoch, File: a.pointer.File, Journal: map[string]int64{}}
	for _, f := range a.j.files {
		m.Adopted.Journal[f.name] = f.size
	}
	if err := writeMarker(a.dir, m); err != nil {
		return nil, errors.Join(fmt.Errorf("adopt the copy: %w", full(err)), a.Close(), os.Remove(filepath.Join(a.dir, markerName)))
	}
	a.adopted = m.Adopted
	return a, nil
}

func openMarked(ctx context.Context, dir string, root keys.Root, opt Options, m marker) (*Archive, error) {
	if err := writeMarker(dir, m); err != nil {
		return nil, err
	}
	a, err := Open(ctx, dir, root, opt)
	if err != nil {
		_ = os.Remove(filepath.Join(dir, markerName))
	}
	return a, err
}

// lastEpoch is the highest epoch among journal files, 0 without any.
func lastEpoch(dir string) (epoch uint32, err error) {
	des, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	for _, de := range des {
		var h fileHeader
		if n, _ := fmt.Sscanf(de.Name(), journalPattern, &h.epoch, &h.number); n == 2 {
			epoch = max(epoch, h.epoch)
		}
	}
	return epoch, err
}
