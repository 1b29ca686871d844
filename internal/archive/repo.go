package archive

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"time"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/blob/sharded"
	"github.com/kopia/kopia/repo/content"
	"github.com/kopia/kopia/repo/format"
	"github.com/kopia/kopia/repo/maintenance"
	"github.com/kopia/kopia/repo/object"
	"github.com/kopia/kopia/snapshot"

	"farol/internal/keys"
)

// The client every snapshot and the maintenance belong to. Both stay the same
// on a promoted standby, or maintenance would refuse to run there.
const (
	clientUser = "archive"
	clientHost = "farol"

	compressor = "zstd-fastest"
)

var source = snapshot.SourceInfo{Host: clientHost, UserName: clientUser, Path: "/"}

// Password is what stock kopia asks for: hex of the HKDF label "archive". It
// belongs into the recovery kit and nowhere else.
func Password(root keys.Root) string { return hex.EncodeToString(root.Derive(keys.LabelArchive)) }

func (b *blobs) context(ctx context.Context) context.Context {
	return context.WithValue(context.WithoutCancel(ctx), storeKey{}, b)
}

func (b *blobs) connect(ctx context.Context) (blob.Storage, error) {
	return newStore(b.context(ctx), &storeOptions{Path: b.root, Options: sharded.Options{ListParallelism: 1}}, true)
}

// initRepo makes a new kopia repository with id in its format blob.
func initRepo(ctx context.Context, b *blobs, config string, root keys.Root, id []byte) error {
	st, err := b.connect(ctx)
	if err != nil {
		return err
	}
	opt := &repo.NewRepositoryOptions{
		UniqueID: id,
		BlockFormat: format.ContentFormat{
			// No error correction of kopia's: ours lies beside the files (ADR 0004).
			MutableParameters: format.MutableParameters{Version: format.FormatVersion3},
			Hash:              "BLAKE3-256-128",
			Encryption:        "AES256-GCM-HMAC-SHA256",
		},
		ObjectFormat: format.ObjectFormat{Splitter: "DYNAMIC-1M-BUZHASH"},
		// The password is a key of 256 bits: nobody guesses it, and kopia's
		// default (scrypt) would take 64 MiB of memory at each open.
		FormatBlockKeyDerivationAlgorithm: "pbkdf2-sha256-600000",
	}
	if err := repo.Initialize(b.context(ctx), st, opt, Password(root)); err != nil {
		return fmt.Errorf("make the repository: %w", err)
	}
	dr, err := openRepo(ctx, b, config, root, nil)
	if err != nil {
		return err
	}
	defer dr.Close(ctx)
	// The epochs given to Initialize are overwritten with defaults of 24 h,
	// which would leave a thousand index blobs after a thousand flushes.
	fm := dr.FormatManager()
	mp, err := fm.GetMutableParameters(ctx)
	if err != nil {
		return err
	}
	mp.EpochParameters.MinEpochDuration = 3 * time.Hour
	mp.EpochParameters.EpochRefreshFrequency = time.Hour
	mp.EpochParameters.CleanupSafetyMargin = 4 * time.Hour
	cfg, err := fm.BlobCfgBlob(ctx)
	if err != nil {
		return err
	}
	features, err := fm.RequiredFeatures(ctx)
	if err != nil {
		return err
	}
	if err := fm.SetParameters(ctx, mp, cfg, features); err != nil {
		return fmt.Errorf("set the epochs: %w", err)
	}
	return repo.WriteSession(ctx, dr, repo.WriteSessionOptions{Purpose: "create"}, func(ctx context.Context, w repo.RepositoryWriter) error {
		p := maintenance.DefaultParams()
		p.Owner = clientUser + "@" + clientHost
		return maintenance.SetParams(ctx, w, &p)
	})
}

// openRepo opens the kopia repository without a cache: it lies on a local
// disk, and kopia's cache costs more than it saves there.
func openRepo(ctx context.Context, b *blobs, config string, root keys.Root, now func() time.Time) (repo.DirectRepository, error) {
	lc := repo.LocalConfig{
		Storage:       &blob.ConnectionInfo{Type: storeType, Config: &storeOptions{Path: b.root, Options: sharded.Options{ListParallelism: 1}}},
		Caching:       &content.CachingOptions{},
		ClientOptions: repo.ClientOptions{Hostname: clientHost, Username: clientUser, Description: "Farol archive"},
	}
	cfg, err := json.MarshalIndent(lc, "", " ")
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(config, cfg, 0o600); err != nil {
		return nil, fmt.Errorf("write the repository's settings: %w", err)
	}
	r, err := repo.Open(b.context(ctx), config, Password(root), &repo.Options{
		TimeNowFunc:          now,
		DisableRepositoryLog: true,
		DoNotWaitForUpgrade:  true,
		OnFatalError:         func(error) {}, // the default ends the process
	})
	if errors.Is(err, repo.ErrInvalidPassword) {
		return nil, fmt.Errorf("open the repository: %w", ErrKey)
	}
	if err != nil {
		return nil, fmt.Errorf("open the repository: %w", err)
	}
	dr, ok := r.(repo.DirectRepository)
	if !ok {
		return nil, errors.New("open the repository: it is not a direct one")
	}
	return dr, nil
}

// repoID reads the archive's id from the plain part of the format blob.
func repoID(root string) (id [16]byte, err error) {
	b, err := os.ReadFile(filepath.Join(root, LockName))
	if err != nil {
		return id, fmt.Errorf("read the repository's format: %w", err)
	}
	var v struct {
		UniqueID []byte `json:"uniqueID"`
	}
	if err := json.Unmarshal(b, &v); err != nil || len(v.UniqueID) < 16 {
		return id, fmt.Errorf("read the repository's format: %w", ErrCorrupt)
	}
	copy(id[:], v.UniqueID)
	return id, nil
}

// smallObjectID is the object id kopia will give to b, which must be too
// small to be split. So a small blob has its lasting address before any fold.
func smallObjectID(fm *format.Manager, b []byte) (object.ID, error) {
	return object.ParseID(hex.EncodeToString(hashSlice(fm.HashFunc(), b)))
}

// hashSlice calls kopia's hash, whose argument type lives in a package that
// cannot be imported: a struct with an exported field Slices.
func hashSlice[T any](hash func([]byte, T) []byte, b []byte) []byte {
	var v T
	reflect.ValueOf(&v).Elem().FieldByName("Slices").Set(reflect.ValueOf([][]byte{b}))
	return hash(nil, v)
}
