package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/object"
)

// openObject opens an object of the repository. Damage that parity or a copy
// can heal is healed where it is met, and the reader never notices.
func (a *Archive) openObject(ctx context.Context, id object.ID) (object.Reader, error) {
	r, err := a.w.OpenObject(a.ctx(ctx), id)
	if err != nil {
		if err = kopiaErr(err); !a.healObject(ctx, id, err) {
			return nil, err
		}
		if r, err = a.w.OpenObject(a.ctx(ctx), id); err != nil {
			return nil, kopiaErr(err)
		}
	}
	return &healingReader{Reader: r, a: a, ctx: ctx, id: id}, nil
}

// healingReader reads on at the same place after healing.
type healingReader struct {
	object.Reader
	a   *Archive
	ctx context.Context // of the one who reads
	id  object.ID
	off int64
}

func (r *healingReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.off += int64(n)
	if n > 0 || err == nil || err == io.EOF {
		return n, err
	}
	if err = kopiaErr(err); !r.a.healObject(r.ctx, r.id, err) {
		return 0, err
	}
	fresh, err := r.a.w.OpenObject(r.a.ctx(r.ctx), r.id)
	if err != nil {
		return 0, kopiaErr(err)
	}
	_ = r.Reader.Close()
	r.Reader = fresh
	if _, err := fresh.Seek(r.off, io.SeekStart); err != nil {
		return 0, kopiaErr(err)
	}
	n, err = fresh.Read(p)
	r.off += int64(n)
	if err != nil && err != io.EOF {
		err = kopiaErr(err)
	}
	return n, err
}

func (r *healingReader) Seek(off int64, whence int) (int64, error) {
	at, err := r.Reader.Seek(off, whence)
	if err == nil {
		r.off = at
	}
	return at, err
}

// healObject heals the files that hold an object which could not be read, and
// reports whether reading is worth another try.
func (a *Archive) healObject(ctx context.Context, id object.ID, why error) bool {
	if !errors.Is(why, ErrCorrupt) || ctx.Err() != nil {
		return false
	}
	packs := map[blob.ID]bool{}
	note := func(oid object.ID) {
		cid, _, ok := oid.ContentID()
		if !ok {
			return
		}
		if info, err := a.w.ContentInfo(a.ctx(ctx), cid); err == nil {
			packs[info.PackBlobID] = true
		}
	}
	for at := id; ; {
		note(at)
		index, ok := at.IndexObjectID()
		if !ok {
			break
		}
		at = index
	}
	healed := a.healPacks(ctx, packs)
	// A large object is a list of contents; now that the list can be read, its
	// parts can.
	contents, err := a.w.VerifyObject(a.ctx(ctx), id)
	if err == nil {
		clear(packs)
		for _, cid := range contents {
			if info, err := a.w.ContentInfo(a.ctx(ctx), cid); err == nil {
				packs[info.PackBlobID] = true
			}
		}
		healed = a.healPacks(ctx, packs) || healed
	}
	return healed
}

// healPacks compares files with the put log, gets back those that differ and
// reports whether any is good now.
func (a *Archive) healPacks(ctx context.Context, packs map[blob.ID]bool) (good bool) {
	for name, want := range a.blobs.log.snapshot() {
		if id, ok := blobID(name); !ok || !packs[id] {
			continue
		}
		ok, err := a.healBlob(ctx, name, want)
		if err != nil {
			a.opt.Log.Error("archive healing", "file", name, "err", err)
		}
		good = good || ok
	}
	return good
}

// healBlob compares a file with its hash and gets it back when it differs. It
// reports whether the file is as it should be.
func (a *Archive) healBlob(ctx context.Context, name string, want putInfo) (bool, error) {
	a.healMu.Lock() // two readers meet the same damage
	defer a.healMu.Unlock()
	path := filepath.Join(a.blobs.root, name)
	sum, err := hashFile(path)
	missing := errors.Is(err, fs.ErrNotExist)
	if err == nil && sum == want.sum {
		return true, nil
	}
	d := Damage{What: differs, Where: name}
	if missing {
		d.What = "blob missing"
	}
	err = a.putBack(ctx, &d, path, want, !missing)
	d.Lost = !d.Healed
	a.addDamage(d)
	return d.Healed, err
}

// putBack replaces a damaged file, or one that is missing, and notes in d
// whether and how. The damaged bytes go to quarantine.
func (a *Archive) putBack(ctx context.Context, d *Damage, path string, want putInfo, there bool) error {
	good, by, err := a.regain(ctx, d.Where, want)
	if err != nil {
		d.Hits = err.Error()
		return nil
	}
	if there {
		if err := a.setAside(path); err != nil {
			return fmt.Errorf("heal %s: %w", d.Where, err)
		}
	}
	if err := a.blobs.write(path, bytes.NewReader(good), nil, want.time); err != nil {
		return fmt.Errorf("heal %s: %w", d.Where, err)
	}
	fi, err := os.Stat(path)
	if err != nil {
		return err
	}
	a.blobs.noteIndex(d.Where, fi)
	d.Healed, d.By = true, by
	a.mu.Lock() // what was named as damaged before is so no more
	for i := range a.damage {
		if old := &a.damage[i]; old.Where == d.Where && !old.Healed {
			old.Healed, old.Lost, old.By = true, false, by
		}
	}
	a.mu.Unlock()
	return nil
}
