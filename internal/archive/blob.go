package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/kopia/kopia/repo/object"

	"farol/internal/record"
)

// inlineBlob is a small blob that no commit has named yet.
type inlineBlob struct {
	data []byte
	put  time.Time
}

// blobRef is where a small blob lies in the unfolded journal.
type blobRef struct {
	file *jfile
	off  int64 // of the frame
	at   int64 // in its plaintext
	n    int64
}

// maxPending bounds the small blobs kept in memory; beyond it they take the
// direct lane.
const maxPending = 16 << 20

// PutBlob takes the bytes of r, hashes them while they arrive and keeps them
// for the commit that will name them. size is what upstream announced, -1
// when it did not; other bytes than announced are refused. Up to 64 KiB wait
// in memory for the commit; more is streamed into kopia at once, whatever the
// size. A blob that no commit names is collected after some days.
//
// It returns [ErrFull] and [ErrMissing] like Commit.
func (a *Archive) PutBlob(ctx context.Context, name string, size int64, r io.Reader) (record.Blob, error) {
	fail := func(err error) (record.Blob, error) { return record.Blob{}, fmt.Errorf("put blob: %w", err) }
	if err := errors.Join(a.writable(), a.room(max(size, 0))); err != nil {
		return fail(err)
	}
	pooled := buffers.Get().(*[]byte)
	defer buffers.Put(pooled)
	head := (*pooled)[:maxInline+1]
	n, err := io.ReadFull(r, head)
	small := err == io.EOF || err == io.ErrUnexpectedEOF
	if err != nil && !small {
		return fail(fmt.Errorf("read it: %w", err))
	}
	head = head[:n]
	if small {
		if size >= 0 && int64(n) != size {
			return fail(fmt.Errorf("%d bytes came, %d were announced: %w", n, size, io.ErrUnexpectedEOF))
		}
		id, err := smallObjectID(a.rep.FormatManager(), head)
		if err != nil {
			return fail(err)
		}
		b := record.Blob{Name: name, Size: int64(n), SHA256: record.HashOf(head), Object: id.String()}
		if a.keepInline(b.Object, bytes.Clone(head)) {
			return b, nil
		}
	}
	b, err := a.putDirect(ctx, head, small, size, r)
	if err != nil {
		return fail(err)
	}
	b.Name = name
	return b, nil
}

// keepInline keeps a small blob in memory unless too many wait there already.
func (a *Archive) keepInline(id string, data []byte) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.held[id]; ok {
		return true
	}
	if b, ok := a.inline[id]; ok {
		b.put = a.now()
		return true
	}
	if a.inlineN+int64(len(data)) > maxPending {
		return false
	}
	a.inline[id] = &inlineBlob{data, a.now()}
	a.inlineN += int64(len(data))
	return true
}

// dropInline forgets a small blob that lies elsewhere now. a.mu is held.
func (a *Archive) dropInline(id string) {
	if b, ok := a.inline[id]; ok {
		a.inlineN -= int64(len(b.data))
		delete(a.inline, id)
	}
}

// onePart is a size that the splitter seldom divides: there is nothing to
// arrive beside.
const onePart = 512 << 10

// buffers are reused: clearing a new one for each file costs as much as
// sealing it.
var buffers = sync.Pool{New: func() any { b := make([]byte, 256<<10); return &b }}

// putDirect streams head and the rest of r into a kopia object. head lies at
// the beginning of a buffer that may be overwritten.
func (a *Archive) putDirect(ctx context.Context, head []byte, done bool, size int64, r io.Reader) (b record.Blob, err error) {
	a.direct.RLock()
	defer a.direct.RUnlock()
	async := 1 // the next part arrives while one is sealed, for which it is copied
	if done || size >= 0 && size <= onePart {
		async = 0
	}
	w := a.w.NewObjectWriter(a.ctx(ctx), object.WriterOptions{Compressor: compressor, MetadataCompressor: compressor, AsyncWrites: async})
	defer w.Close()
	h := sha256.New()
	n := int64(0)
	buf := head
	for {
		h.Write(buf)
		if _, err := w.Write(buf); err != nil {
			return b, fmt.Errorf("store it: %w", full(err))
		}
		before := n
		n += int64(len(buf))
		if done {
			break
		}
		if size >= 0 && n > size {
			return b, fmt.Errorf("more than the announced %d bytes came", size)
		}
		if before>>26 != n>>26 { // every 64 MiB
			if err := a.room(0); err != nil {
				return b, err
			}
		}
		if err := ctx.Err(); err != nil {
			return b, err
		}
		m, err := io.ReadFull(r, buf[:cap(buf)])
		buf = buf[:m]
		done = err == io.EOF || err == io.ErrUnexpectedEOF
		if err != nil && !done {
			return b, fmt.Errorf("read it: %w", err)
		}
	}
	if size >= 0 && n != size {
		return b, fmt.Errorf("%d bytes came, %d were announced: %w", n, size, io.ErrUnexpectedEOF)
	}
	id, err := w.Result()
	if err != nil {
		return b, fmt.Errorf("store it: %w", full(err))
	}
	b = record.Blob{Size: n, SHA256: record.Hash(h.Sum(nil)), Object: id.String()}
	a.mu.Lock()
	a.writing[b.Object]++
	a.mu.Unlock()
	a.wait(b.Object)
	return b, nil
}

// flush puts every finished direct object on disk.
func (a *Archive) flush(ctx context.Context) error {
	a.flushMu.Lock()
	defer a.flushMu.Unlock()
	a.mu.Lock()
	var ids []string
	for id := range a.writing {
		ids = append(ids, id)
	}
	counts := make(map[string]int, len(ids))
	for _, id := range ids {
		counts[id] = a.writing[id]
	}
	a.mu.Unlock()
	if len(ids) == 0 {
		return nil
	}
	if err := a.w.Flush(a.ctx(ctx)); err != nil {
		return fmt.Errorf("flush the repository: %w", full(err))
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, n := range counts {
		if a.writing[id] -= n; a.writing[id] <= 0 {
			delete(a.writing, id)
		}
	}
	return nil
}

// blobHeld reports whether a flush must come before a frame names the blob,
// and refuses a blob that is nowhere. A blob without an object was seen but
// not fetched. away is of a blob that lies in the repository, not the journal.
func (a *Archive) blobHeld(ctx context.Context, b record.Blob) (direct, away bool, err error) {
	if b.Object == "" {
		return false, false, nil
	}
	a.mu.Lock()
	_, inline := a.inline[b.Object]
	_, held := a.held[b.Object]
	_, writing := a.writing[b.Object]
	a.mu.Unlock()
	if inline || held {
		return false, false, nil
	}
	if writing {
		return true, true, nil
	}
	id, err := object.ParseID(b.Object)
	if err != nil {
		return false, false, ErrNotFound
	}
	if _, err := a.w.VerifyObject(a.ctx(ctx), id); err != nil {
		return false, false, fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return false, true, nil
}

// OpenBlob opens the bytes of a blob for reading from any place. They are not
// compared with the hash: who hands them on hashes them on the way, or uses
// [Archive.Check]. It returns [ErrNotFound] when the archive holds no such
// object.
func (a *Archive) OpenBlob(ctx context.Context, b record.Blob) (io.ReadSeekCloser, error) {
	if b.Object == "" {
		return nil, fmt.Errorf("open blob: it was never fetched: %w", ErrNotFound)
	}
	a.mu.Lock()
	in := a.inline[b.Object]
	ref, held := a.held[b.Object]
	a.mu.Unlock()
	if in != nil {
		return nopCloser{bytes.NewReader(in.data)}, nil
	}
	if held {
		data, err := a.heldBlob(ref)
		if err == nil {
			return nopCloser{bytes.NewReader(data)}, nil
		}
		if !errors.Is(err, os.ErrNotExist) { // else: folded meanwhile
			return nil, fmt.Errorf("open blob: %w", err)
		}
	}
	id, err := object.ParseID(b.Object)
	if err != nil {
		return nil, fmt.Errorf("open blob: %w", ErrNotFound)
	}
	r, err := a.openObject(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("open blob %s: %w", b.Object, err)
	}
	return r, nil
}

type nopCloser struct{ *bytes.Reader }

func (nopCloser) Close() error { return nil }

func (a *Archive) heldBlob(ref blobRef) ([]byte, error) {
	f, err := a.j.readAt(ref.file, ref.off)
	if err != nil {
		return nil, err
	}
	if ref.at+ref.n > int64(len(f.plain)) {
		return nil, ErrCorrupt
	}
	return f.plain[ref.at : ref.at+ref.n], nil
}

// appendBlob appends one blob to a frame of blobs; parseBlobs lists them.
func appendBlob(dst []byte, id string, data []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(id)))
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(data)))
	dst = append(dst, id...)
	return append(dst, data...)
}

func parseBlobs(file *jfile, f *frame) (map[string]blobRef, error) {
	refs := map[string]blobRef{}
	b := f.plain
	for at := int64(0); at < int64(len(b)); {
		if int64(len(b))-at < 6 {
			return nil, errFrame
		}
		idLen := int64(binary.BigEndian.Uint16(b[at:]))
		n := int64(binary.BigEndian.Uint32(b[at+2:]))
		at += 6
		if at+idLen+n > int64(len(b)) {
			return nil, errFrame
		}
		refs[string(b[at:at+idLen])] = blobRef{file, f.off, at + idLen, n}
		at += idLen + n
	}
	return refs, nil
}

// kopiaErr adds our sentinel to kopia's error.
func kopiaErr(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, object.ErrObjectNotFound):
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	case errors.Is(err, ErrMissing), errors.Is(err, ErrFull), errors.Is(err, context.Canceled):
		return err
	}
	return fmt.Errorf("%w: %w", ErrCorrupt, err)
}

// readObject reads a whole small object.
func (a *Archive) readObject(ctx context.Context, oid string) ([]byte, error) {
	id, err := object.ParseID(oid)
	if err != nil {
		return nil, fmt.Errorf("object %s: %w", oid, ErrNotFound)
	}
	r, err := a.openObject(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("object %s: %w", oid, err)
	}
	defer r.Close()
	b := make([]byte, r.Length())
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, fmt.Errorf("object %s: %w", oid, err)
	}
	return b, nil
}
