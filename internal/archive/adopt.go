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
	now := opt.withDefaults().time()
	hexID := hex.EncodeToString(id[:])
	m := marker{Version: markerVersion, Archive: hexID, Epoch: epoch + 1, Key: keyCheck(root, hexID), Created: now.UTC()}
	a, err := openMarked(ctx, dir, root, opt, m)
	if err != nil {
		return nil, fmt.Errorf("adopt the copy: %w", err)
	}
	if a.pointer.Epoch < m.Epoch {
		return a, nil
	}
	// The journal of the last fold is gone already, and its epoch with it.
	m.Epoch = a.pointer.Epoch + 1
	if err := a.Close(); err != nil {
		return nil, fmt.Errorf("adopt the copy: %w", err)
	}
	return openMarked(ctx, dir, root, opt, m)
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
