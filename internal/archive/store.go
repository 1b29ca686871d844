package archive

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/blob/sharded"
	"github.com/kopia/kopia/repo/format"
)

// storeType is the name of our back end in kopia's registry. Its layout is
// the one of kopia's own "filesystem", which never calls fsync.
const storeType = "farolfs"

type storeOptions struct {
	Path string `json:"path"`
	sharded.Options
}

func init() { blob.AddSupportedStorage(storeType, storeOptions{}, newStore) }

type storeKey struct{}

// newStore is called by kopia, which knows only the configuration file; the
// blobs it works on come along in the context.
func newStore(ctx context.Context, opts *storeOptions, isCreate bool) (blob.Storage, error) {
	b, ok := ctx.Value(storeKey{}).(*blobs)
	if !ok || b.root != opts.Path {
		return nil, errors.New("this storage opens only through the archive")
	}
	return &store{Storage: sharded.New(b, b.root, opts.Options, true), b: b, opts: opts}, nil
}

// store is one connection of kopia to blobs.
type store struct {
	sharded.Storage
	blob.DefaultProviderImplementation
	b    *blobs
	opts *storeOptions
}

func (s *store) ConnectionInfo() blob.ConnectionInfo {
	return blob.ConnectionInfo{Type: storeType, Config: s.opts}
}

func (s *store) DisplayName() string { return "Farol archive" }

// ListBlobs answers for index blobs from memory: every flush asks, and one
// process owns the directory.
func (s *store) ListBlobs(ctx context.Context, prefix blob.ID, fn func(blob.Metadata) error) error {
	if !strings.HasPrefix(string(prefix), "x") {
		return s.Storage.ListBlobs(ctx, prefix, fn)
	}
	for _, m := range s.b.listIndex(prefix) {
		if err := fn(m); err != nil {
			return err
		}
	}
	return nil
}

// blobs is the directory of the kopia repository and its put log. It
// implements sharded.Impl: a put returns after the bytes, the name and the
// folders are on disk.
type blobs struct {
	root  string
	log   *putLog
	now   func() time.Time
	clock bool // now is not the system's clock: stamp files with it
	guard func() error
	fault func(op string) error
	onPut func(PutEntry)

	parity *parities // nil: none are made

	mu    sync.Mutex
	index map[blob.ID]blob.Metadata // the x blobs
}

// emptySettings is the file of a cloud's retention mode, of which ours has
// none; without the file kopia knows none either. It lies under the same key
// as the lock, and two files cannot change at once: a crash between them would
// leave an archive that no key opens. So it is never written.
const emptySettings = string(format.KopiaBlobCfgBlobID) + sharded.CompleteBlobSuffix

func (b *blobs) rel(path string) string { return strings.TrimPrefix(path, b.root+"/") }

// blobID puts a file name back together: the folders are its first letters.
func blobID(rel string) (blob.ID, bool) {
	id, ok := strings.CutSuffix(strings.ReplaceAll(rel, "/", ""), sharded.CompleteBlobSuffix)
	return blob.ID(id), ok
}

// unlogged names files that are neither shipped nor checked: session markers
// live for the length of one flush.
func unlogged(rel string) bool { return strings.HasPrefix(rel, "s") }

func (b *blobs) listIndex(prefix blob.ID) []blob.Metadata {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []blob.Metadata
	for id, m := range b.index {
		if strings.HasPrefix(string(id), string(prefix)) {
			out = append(out, m)
		}
	}
	return out
}

func (b *blobs) GetBlobFromPath(ctx context.Context, _, path string, offset, length int64, out blob.OutputBuffer) error {
	out.Reset()
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		if gerr := b.guard(); gerr != nil { // not missing: the disk is gone
			return gerr
		}
		return blob.ErrBlobNotFound
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if length >= 0 {
		return readPart(f, offset, length, out)
	}
	if _, err := io.Copy(out, f); err != nil {
		return err
	}
	return blob.EnsureLengthExactly(out.Length(), length)
}

// readPart reads a part of a blob with as few calls as buffers allow.
func readPart(f *os.File, offset, length int64, out blob.OutputBuffer) error {
	pooled := buffers.Get().(*[]byte)
	defer buffers.Put(pooled)
	for length > 0 {
		buf := (*pooled)[:min(length, int64(len(*pooled)))]
		n, err := f.ReadAt(buf, offset)
		if _, werr := out.Write(buf[:n]); werr != nil {
			return werr
		}
		if err == io.EOF {
			return blob.EnsureLengthExactly(out.Length(), int64(out.Length())+length-int64(n))
		}
		if err != nil {
			return err
		}
		offset, length = offset+int64(n), length-int64(n)
	}
	return nil
}

func (b *blobs) GetMetadataFromPath(ctx context.Context, _, path string) (blob.Metadata, error) {
	fi, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if gerr := b.guard(); gerr != nil {
			return blob.Metadata{}, gerr
		}
		return blob.Metadata{}, blob.ErrBlobNotFound
	}
	if err != nil {
		return blob.Metadata{}, err
	}
	return blob.Metadata{Length: fi.Size(), Timestamp: fi.ModTime()}, nil
}

func (b *blobs) ReadDir(ctx context.Context, path string) ([]os.FileInfo, error) {
	des, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	out := make([]os.FileInfo, 0, len(des))
	for _, de := range des {
		fi, err := de.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted since it was listed
		}
		if err != nil {
			return nil, err
		}
		out = append(out, fi)
	}
	return out, nil
}

func (b *blobs) PutBlobInPath(ctx context.Context, _, path string, data blob.Bytes, opts blob.PutOptions) error {
	if b.rel(path) == emptySettings {
		return nil
	}
	switch {
	case opts.HasRetentionOptions():
		return fmt.Errorf("retention: %w", blob.ErrUnsupportedPutBlobOption)
	case opts.DoNotRecreate:
		return fmt.Errorf("do not recreate: %w", blob.ErrUnsupportedPutBlobOption)
	}
	if err := b.guard(); err != nil {
		return err
	}
	mtime := opts.SetModTime
	if mtime.IsZero() && b.clock {
		mtime = b.now()
	}
	rel := b.rel(path)
	h := newHasher()
	if mutable(rel) {
		if _, err := data.WriteTo(h); err != nil {
			return err
		}
		e := PutEntry{Name: rel, Size: int64(data.Length()), SHA256: h.hash(), Time: b.now(), intent: true}
		if err := b.log.add(&e, true); err != nil {
			return err
		}
		h.Reset()
	}
	if err := b.write(path, data, h, mtime); err != nil {
		return fmt.Errorf("put blob: %w", full(err))
	}
	fi, err := os.Stat(path)
	if err != nil {
		return err
	}
	if opts.GetModTime != nil {
		*opts.GetModTime = fi.ModTime()
	}
	if unlogged(rel) {
		return nil
	}
	e := PutEntry{Name: rel, Size: fi.Size(), SHA256: h.hash(), Time: b.now()}
	// An index blob ends a flush: whatever it names must be in the log too.
	if err := b.log.add(&e, strings.HasPrefix(rel, "x") || mutable(rel)); err != nil {
		return err
	}
	b.noteIndex(rel, fi)
	b.parity.make(rel, e.Size, e.SHA256)
	if b.onPut != nil {
		b.onPut(e)
	}
	return nil
}

// relog writes the line of a file that was replaced while its line could not be
// written, and reports whether it is such a one.
func (b *blobs) relog(name string) (bool, error) {
	if !mutable(name) {
		return false, nil
	}
	path := filepath.Join(b.root, name)
	fi, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	sum, err := hashFile(path)
	if err != nil || !b.log.announced(name, sum) {
		return false, err
	}
	e := PutEntry{Name: name, Size: fi.Size(), SHA256: sum, Time: b.now()}
	if err := b.log.add(&e, true); err != nil {
		return false, err
	}
	b.parity.make(name, e.Size, e.SHA256)
	if b.onPut != nil {
		b.onPut(e)
	}
	return true, nil
}

func (b *blobs) noteIndex(rel string, fi os.FileInfo) {
	if id, ok := blobID(rel); ok && strings.HasPrefix(rel, "x") {
		b.mu.Lock()
		b.index[id] = blob.Metadata{BlobID: id, Length: fi.Size(), Timestamp: fi.ModTime()}
		b.mu.Unlock()
	}
}

// write makes path durable: temp file, fsync, rename, fsync of the folder and
// of every folder newly made. also, if there is one, gets the same bytes; data
// must bear to be written twice at once, then.
func (b *blobs) write(path string, data io.WriterTo, also io.Writer, mtime time.Time) error {
	if err := b.fault("blob.put"); err != nil {
		return err
	}
	dir := filepath.Dir(path)
	if err := b.mkdir(dir); err != nil {
		return err
	}
	var rnd [8]byte
	_, _ = rand.Read(rnd[:])
	tmp := path + ".tmp." + hex.EncodeToString(rnd[:])
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	hashed := func() error { return nil }
	if also != nil {
		hashed = beside(data, also) // while the disk is busy
	}
	_, err = data.WriteTo(f)
	if err == nil {
		err = b.fault("blob.written")
	}
	if err == nil {
		err = b.fault("blob.sync")
	}
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, hashed())
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil && !mtime.IsZero() {
		err = os.Chtimes(tmp, mtime, mtime)
	}
	if err == nil {
		err = b.fault("blob.rename")
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		_ = os.Remove(tmp)
		return err
	}
	if err := b.fault("blob.renamed"); err != nil {
		return err
	}
	if err := syncDir(dir); err != nil {
		return err
	}
	return b.fault("blob.done")
}

// beside writes data to w on another processor; what it returns waits for that.
func beside(data io.WriterTo, w io.Writer) func() error {
	done := make(chan error, 1)
	go func() {
		_, err := data.WriteTo(w)
		done <- err
	}()
	return func() error { return <-done }
}

// mkdir makes dir below root and puts each new name on disk.
func (b *blobs) mkdir(dir string) error {
	if dir == b.root {
		return nil
	}
	err := os.Mkdir(dir, 0o700)
	switch {
	case err == nil:
		return syncDir(filepath.Dir(dir))
	case errors.Is(err, fs.ErrExist):
		return nil
	case errors.Is(err, fs.ErrNotExist) && len(dir) > len(b.root):
		if err := b.mkdir(filepath.Dir(dir)); err != nil {
			return err
		}
		return b.mkdir(dir)
	}
	return err
}

func (b *blobs) DeleteBlobInPath(ctx context.Context, _, path string) error {
	if err := b.guard(); err != nil {
		return err
	}
	if err := b.fault("blob.delete"); err != nil {
		return full(err)
	}
	err := os.Remove(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return full(err) // a file system may need room to delete
	}
	if err := b.fault("blob.deleted"); err != nil {
		return full(err)
	}
	rel := b.rel(path)
	if _, ok := b.log.get(rel); !ok {
		return nil
	}
	b.parity.remove(rel)
	e := PutEntry{Name: rel, Time: b.now(), Deleted: true}
	if err := b.log.add(&e, false); err != nil {
		return err
	}
	if id, ok := blobID(rel); ok {
		b.mu.Lock()
		delete(b.index, id)
		b.mu.Unlock()
	}
	if b.onPut != nil {
		b.onPut(e)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
