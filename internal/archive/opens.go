package archive

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/format"

	"farol/internal/keys"
)

// LockName is the file of the repository, and of every copy of it, that the
// root key opens; what it holds opens all others.
const LockName = "kopia.repository.f"

// Opens tries a root key on the bytes of a [LockName], as an empty machine
// would. It returns [ErrKey] when it does not open.
func Opens(ctx context.Context, lock []byte, root keys.Root) error {
	_, err := format.NewManager(ctx, oneBlob{b: lock}, "", time.Minute, Password(root), time.Now)
	switch {
	case errors.Is(err, format.ErrInvalidPassword):
		return fmt.Errorf("open a copy's lock: %w", ErrKey)
	case err != nil:
		return fmt.Errorf("open a copy's lock: %w: %w", ErrCorrupt, err)
	}
	return nil
}

// oneBlob is a storage with the format blob in it, and nothing else.
type oneBlob struct {
	blob.Storage
	b []byte
}

func (o oneBlob) GetBlob(_ context.Context, id blob.ID, offset, length int64, out blob.OutputBuffer) error {
	if id != format.KopiaRepositoryBlobID {
		return blob.ErrBlobNotFound
	}
	out.Reset()
	b := o.b
	if length >= 0 {
		b = b[min(offset, int64(len(b))):]
		b = b[:min(length, int64(len(b)))]
	}
	_, err := out.Write(b)
	return err
}

func (o oneBlob) GetMetadata(_ context.Context, id blob.ID) (blob.Metadata, error) {
	if id != format.KopiaRepositoryBlobID {
		return blob.Metadata{}, blob.ErrBlobNotFound
	}
	return blob.Metadata{BlobID: id, Length: int64(len(o.b))}, nil
}

// Lock reads the archive's own [LockName] from disk.
func (a *Archive) Lock() ([]byte, error) {
	b, err := os.ReadFile(filepath.Join(a.dir, repoDir, LockName))
	if err != nil {
		return nil, fmt.Errorf("read the archive's lock: %w", err)
	}
	return b, nil
}

// checkKey refuses another root key before anything is touched. The marker's
// word says so fast; where it differs, the lock decides: a crash in ChangeKey
// leaves a new lock beside the word of the former key.
func checkKey(ctx context.Context, dir string, root keys.Root, m *marker) error {
	want := keyCheck(root, m.Archive)
	if m.Key == want {
		return nil
	}
	b, err := os.ReadFile(filepath.Join(dir, repoDir, LockName))
	if err != nil { // without its lock the word is all there is
		return ErrKey
	}
	if err := Opens(ctx, b, root); err != nil {
		return ErrKey
	}
	m.Key = want
	return writeMarker(dir, *m)
}

// ChangeKey puts another root key in the place of the present one. One file is
// replaced, the lock: what it holds, the key of blobs and journal, stays. So
// the former root key still opens an older copy of the lock together with the
// data beside it, and nothing else.
//
// When it fails the archive must be closed and opened again, with whichever
// key [Opens] the lock then.
func (a *Archive) ChangeKey(ctx context.Context, root keys.Root) error {
	if root.IsZero() {
		return fmt.Errorf("change the archive's key: it was never set: %w", ErrKey)
	}
	a.foldMu.Lock()
	defer a.foldMu.Unlock()
	a.flushMu.Lock()
	defer a.flushMu.Unlock()
	if err := a.room(0); err != nil {
		return fmt.Errorf("change the archive's key: %w", err)
	}
	if err := a.rep.FormatManager().ChangePassword(a.ctx(ctx), Password(root)); err != nil {
		return fmt.Errorf("change the archive's key: %w", full(err))
	}
	if err := a.opt.Fault("key.lock"); err != nil {
		return fmt.Errorf("change the archive's key: %w", full(err))
	}
	m, err := readMarker(a.dir)
	if err == nil {
		m.Key = keyCheck(root, m.Archive)
		err = writeMarker(a.dir, m)
	}
	if err != nil {
		return fmt.Errorf("note the archive's new key: %w", full(err))
	}
	return nil
}
