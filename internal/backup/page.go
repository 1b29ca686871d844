package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/errgroup"

	"farol/internal/archive"
	"farol/internal/catalog"
	"farol/internal/connector"
	"farol/internal/dingtalk"
	"farol/internal/record"
	"farol/internal/watch"
)

// result counts what became of a page.
type result struct {
	listed  int64 // items that upstream showed
	same    int64 // held already, hash equal
	added   int64 // never seen before
	changed int64 // a new version
	gaps    int64 // listed, but something of it could not be had
	bytes   int64 // newly taken
}

func (r *result) add(o result) {
	r.listed += o.listed
	r.same += o.same
	r.added += o.added
	r.changed += o.changed
	r.gaps += o.gaps
	r.bytes += o.bytes
}

// take makes a page durable: what is held already is dropped, attachments are
// fetched, the rest is committed together with the cursors that after gives
// for the page's result. after may be nil.
func (e *Engine) take(ctx context.Context, items []connector.Item, lost []connector.Lost, kind record.Kind, container string, after func(result) (map[string]string, error), from origin) (result, error) {
	var res result
	refs := make([]record.Ref, 0, len(items))
	last := make(map[record.Ref]int, len(items))
	for i := range items {
		refs = append(refs, items[i].Rec.Ref)
		last[items[i].Rec.Ref] = i
	}
	known, err := e.d.Catalog.Known(ctx, refs)
	if err != nil {
		return res, err
	}
	w := &work{origin: from}
	var fresh []*taken
	for i := range items {
		it := &items[i]
		if last[it.Rec.Ref] != i {
			continue // doubled inside the page
		}
		res.listed++
		k, held := known[it.Rec.Ref]
		equal := held && k.Ver == catalog.Ver(record.HashOf(it.Rec.Raw))
		if equal && k.State&(catalog.Incomplete|catalog.Tombstone) == 0 {
			res.same++
			continue
		}
		fresh = append(fresh, &taken{it: it, held: held, incomplete: equal && k.State&catalog.Incomplete != 0,
			edited: held && !equal && k.State&catalog.Tombstone == 0, id: k.ID})
	}
	if err := e.fetchAll(ctx, fresh); err != nil {
		return res, err
	}
	for _, f := range fresh {
		if f.missing {
			res.gaps++
		}
		switch {
		case f.incomplete && f.missing:
			res.same++ // still incomplete, and nothing new: another version would say nothing
			continue
		case f.held:
			res.changed++
		default:
			res.added++
		}
		res.bytes += f.bytes + int64(len(f.it.Rec.Raw))
		w.recs = append(w.recs, f.it.Rec)
		w.missing = append(w.missing, f.missing)
		w.facts = append(w.facts, e.fact(&f.it.Rec, f.edited, f.signs))
	}
	for _, l := range lost {
		res.listed++
		res.gaps++
		if err := e.gap(ctx, kind, container, l.ID, l.Err); err != nil {
			return res, err
		}
	}
	if after != nil {
		if w.cursors, err = after(res); err != nil {
			return res, err
		}
	}
	err = e.submit(ctx, w)
	res.added -= w.dropped // another lane has counted them
	res.same += w.dropped
	return res, err
}

// taken is an item on its way in.
type taken struct {
	it         *connector.Item
	held       bool // an earlier version is held
	incomplete bool // this very version is held, without an attachment
	missing    bool
	bytes      int64
	edited     bool  // another version takes the place of one that upstream showed
	id         int64 // catalog row of the version held
	signs      watch.Signs
}

// fetchAll brings the attachments of a page, some at the same time.
func (e *Engine) fetchAll(ctx context.Context, fresh []*taken) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(e.lanes)
	for _, f := range fresh {
		if len(f.it.Attach) == 0 {
			continue
		}
		g.Go(func() (err error) {
			f.missing, f.bytes, err = e.fetch(ctx, f)
			return err
		})
	}
	return g.Wait()
}

// fetch brings the attachments of an item into the archive. What cannot be had
// becomes a gap; the item itself is kept all the same.
func (e *Engine) fetch(ctx context.Context, f *taken) (missing bool, bytes int64, err error) {
	it := f.it
	for _, a := range it.Attach {
		key := it.Rec.ID + "#" + a.Key
		blob, look, err := e.fetchOne(ctx, a)
		switch {
		case err == nil:
			it.Rec.Blobs = append(it.Rec.Blobs, blob)
			bytes += blob.Size
			f.signs |= e.suspect(ctx, f, a.Name, look)
			if err := e.closeGap(ctx, it.Rec.Kind, it.Rec.Container, key); err != nil {
				return false, bytes, err
			}
		case ctx.Err() != nil, errors.Is(err, archive.ErrFull), errors.Is(err, archive.ErrMissing), errors.Is(err, dingtalk.ErrQuota):
			return false, bytes, fmt.Errorf("fetch an attachment: %w", err) // stops the lane: nothing of it is the item's fault
		default:
			missing = true
			if err := e.gap(ctx, it.Rec.Kind, it.Rec.Container, key, err); err != nil {
				return false, bytes, err
			}
		}
	}
	return missing, bytes, nil
}

// errShort means that fewer or more bytes came than upstream said.
var errShort = errors.New("the file arrived with another length than listed")

// fetchOne downloads one attachment. A transfer that breaks off or whose
// signed address lapses is begun again with a new address.
func (e *Engine) fetchOne(ctx context.Context, a connector.Attachment) (record.Blob, *watch.Look, error) {
	var last error
	for try := range 3 {
		if try > 0 {
			select {
			case <-time.After(time.Duration(try) * 300 * time.Millisecond):
			case <-ctx.Done():
				return record.Blob{}, nil, ctx.Err()
			}
		}
		body, size, err := a.Open(ctx)
		if err != nil {
			if errors.Is(err, dingtalk.ErrUnreachable) || errors.Is(err, dingtalk.ErrRefused) {
				last = err
				continue
			}
			return record.Blob{}, nil, err
		}
		if size < 0 {
			size = a.Size
		}
		look := &watch.Look{}
		blob, err := e.d.Archive.PutBlob(ctx, a.Name, size, exact{io.TeeReader(body, look), size})
		if cerr := body.Close(); err == nil {
			err = cerr
		}
		if err == nil && a.Size >= 0 && blob.Size != a.Size {
			last = errShort
			continue
		}
		if err == nil {
			return blob, look, nil
		}
		last = err
		if errors.Is(err, archive.ErrFull) || errors.Is(err, archive.ErrMissing) || ctx.Err() != nil {
			break
		}
	}
	return record.Blob{}, nil, last
}

// exact is the body as it comes; it exists to stop PutBlob from seeking.
type exact struct {
	io.Reader
	size int64
}
