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
