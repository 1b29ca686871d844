package archive

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/kopia/kopia/repo/object"
	"github.com/kopia/kopia/snapshot"

	"farol/internal/record"
)

// Report is what a check read and found.
type Report struct {
	Full  bool
	Start time.Time
	Took  time.Duration

	Files     int64 // files of the repository compared with the put log
	FileBytes int64
	Parity    int64 // parity files made anew
	Journal   int64 // journal files
	Commits   int64 // commits in the journal, folded or not, whose root was computed again
	Points    int64
	Segments  int64
	Records   int64 // records compared with their hash, in journal and segments
	Blobs     int64 // attached files compared with their hash
	BlobBytes int64
	Damage    []Damage
}

// OK reports whether nothing is damaged that was not healed.
func (r *Report) OK() bool {
	return !slices.ContainsFunc(r.Damage, func(d Damage) bool { return !d.Healed })
}

// checking is one run of Check.
type checking struct {
	a        *Archive
	r        *Report
	seed     maphash.Seed
	seen     map[uint64]struct{} // objects read already
	done     int64
	total    int64
	progress func(done, total int64)
	lean     bool // segments and attached files are somebody else's to read
}

// Check reads the archive again and compares. Quick, it compares the length
// of every file with the put log and reads the journal. Full, it hashes every
// file and reads every record, commit and attached file of every point in
// time. A damaged file is replaced from the off-site copy where Options.Fetch
// is set. progress, which may be nil, gets bytes.
//
// Damage is in the report; the error says only that the check could not go
// on.
func (a *Archive) Check(ctx context.Context, full bool, progress func(done, total int64)) (*Report, error) {
	a.keep.RLock()
	defer a.keep.RUnlock()
	if err := a.guard(); err != nil {
		return nil, fmt.Errorf("check the archive: %w", err)
	}
	c := &checking{a: a, r: &Report{Full: full, Start: a.now()}, seed: maphash.MakeSeed(), seen: map[uint64]struct{}{}, progress: progress}
	start := time.Now()
	live := a.blobs.log.snapshot()
	files := a.j.list()
	if full {
		for _, i := range live {
			c.total += i.size
		}
	}
	for _, f := range files {
		c.total += f.size
	}
	a.mu.Lock()
	if a.point != nil && full {
		c.total += a.point.Bytes
	}
	a.mu.Unlock()
	if _, err := c.files(ctx, live, "", func() bool { return false }); err != nil {
		return nil, fmt.Errorf("check the repository's files: %w", err)
	}
	if err := c.journal(ctx, files); err != nil {
		return nil, fmt.Errorf("check the journal: %w", err)
	}
	if full {
		if err := c.points(ctx); err != nil {
			return nil, fmt.Errorf("check the points in time: %w", err)
		}
	}
	c.add(c.total - c.done)
	c.r.Took = time.Since(start)
	return c.r, nil
}

// CheckSome is a full Check in stretches, without the records and attached
// files, which the caller reads by their addresses. It hashes the repository's
// files in the order of their names, those behind after, until stop says so;
// then it returns the name that the next stretch goes on behind. When no file
// is left it reads the journal and the directories of every point, and returns
// "".
func (a *Archive) CheckSome(ctx context.Context, after string, stop func() bool, progress func(done, total int64)) (*Report, string, error) {
	a.keep.RLock()
	defer a.keep.RUnlock()
	if err := a.guard(); err != nil {
		return nil, after, fmt.Errorf("check the archive: %w", err)
	}
	c := &checking{a: a, r: &Report{Full: true, Start: a.now()}, seed: maphash.MakeSeed(), seen: map[uint64]struct{}{}, progress: progress, lean: true}
	start := time.Now()
	defer func() { c.r.Took = time.Since(start) }()
	live := a.blobs.log.snapshot()
	for name, i := range live {
		c.total += i.size
		if name <= after {
			c.done += i.size
		}
	}
	next, err := c.files(ctx, live, after, stop)
	if err != nil {
		return c.r, next, fmt.Errorf("check the repository's files: %w", err)
	}
	if next != "" {
		return c.r, next, nil
	}
	if err := c.journal(ctx, a.j.list()); err != nil {
		return c.r, "", fmt.Errorf("check the journal: %w", err)
	}
	if err := c.points(ctx); err != nil {
		return c.r, "", fmt.Errorf("check the points in time: %w", err)
	}
	return c.r, "", nil
}

func (c *checking) add(n int64) {
	c.done = min(c.done+n, c.total)
	if c.progress != nil {
		c.progress(c.done, c.total)
	}
}

func (c *checking) damage(d Damage) {
	c.r.Damage = append(c.r.Damage, d)
	c.a.opt.Log.Error("archive damage", "what", d.What, "where", d.Where, "offset", d.Offset, "healed", d.Healed)
}

// first reports whether an object is met for the first time.
func (c *checking) first(oid string) bool {
	h := maphash.String(c.seed, oid)
	if _, ok := c.seen[h]; ok {
		return false
	}
	c.seen[h] = struct{}{}
	return true
}

// files compares the files behind after, in order, until stop. It returns the
// last name compared when it was stopped, "" at the end.
func (c *checking) files(ctx context.Context, live map[string]putInfo, after string, stop func() bool) (next string, err error) {
	began := after
	for _, name := range slices.Sorted(maps.Keys(live)) {
		if name <= after {
			continue
		}
		if err := ctx.Err(); err != nil {
			return after, err
		}
		if after != began && stop() { // one at least: a stretch always comes further
			return after, nil
		}
		after = name
		want := live[name]
		c.r.Files++
		c.r.FileBytes += want.size
		what := ""
		path := filepath.Join(c.a.blobs.root, name)
		fi, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			what = "blob missing"
		case err != nil:
			return after, err
		case fi.Size() != want.size:
			what = "blob of wrong length"
		case c.r.Full:
			sum, err := hashFile(path)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				what = "blob that cannot be read"
			} else if sum != want.sum {
				what = differs
			}
			c.add(want.size)
		}
		if what == "" {
			if c.a.blobs.parity.check(name, want, c.r.Full) {
				c.r.Parity++
			}
			continue
		}
		if now, ok := c.a.blobs.log.get(name); !ok || now != want {
			continue // deleted or replaced meanwhile
		}
		if ok, err := c.a.blobs.relog(name); err != nil || ok {
			if err != nil {
				return after, err
			}
			continue
		}
		d := Damage{What: what, Where: name}
		c.a.healMu.Lock()
		err = c.a.putBack(ctx, &d, path, want, fi != nil)
		c.a.healMu.Unlock()
		if err != nil {
			return after, err
		}
		c.damage(d)
	}
	return "", c.a.blobs.parity.sweep(live)
}

func (c *checking) journal(ctx context.Context, files []*jfile) error {
	a := c.a
	for i, f := range files {
		c.r.Journal++
		var stop *tag
		if i+1 < len(files) {
			stop = &files[i+1].head.prev
		}
		// The last file may be growing: what lies behind the end it has now is
		// not acknowledged and no damage.
		a.j.mu.Lock()
		size := f.size
		a.j.mu.Unlock()
		end, err := a.j.scan(ctx, f, 0, stop, func(g *group) error {
			if g.sealed == nil {
				c.group(g)
			}
			return nil
		})
		c.add(f.size)
		if errors.Is(err, fs.ErrNotExist) {
			c.damage(Damage{What: "journal file missing", Where: f.name, Lost: !f.folded})
			continue
		}
		if err != nil {
			return err
		}
		switch {
		case end.bad >= 0 && end.bad < size:
			c.damage(Damage{What: "journal frames", Where: f.name, Offset: end.bad, Lost: !f.folded})
		case stop != nil && !end.found:
			c.damage(Damage{What: "journal file ends early", Where: f.name, Offset: end.size, Lost: !f.folded})
		}
	}
	return nil
}

// group checks one unfolded commit: records, root and small blobs.
func (c *checking) group(g *group) {
	cm, err := g.commit()
	if err != nil {
		c.damage(Damage{What: "commit", Where: g.file.name, Offset: g.off, Hits: err.Error(), Lost: true})
		return
	}
	c.r.Commits++
	c.r.Records += int64(len(cm.Records))
	want := map[string]record.Hash{}
	for i := range cm.Records {
		for _, b := range cm.Records[i].Blobs {
			want[b.Object] = b.SHA256
		}
	}
	for i := range g.frames {
		if g.frames[i].typ != frameBlobs {
			continue
		}
		refs, err := parseBlobs(g.file, &g.frames[i])
		if err != nil {
			c.damage(Damage{What: "blobs of a commit", Where: g.file.name, Offset: g.frames[i].off, Lost: true})
			continue
		}
		for id, r := range refs {
			c.r.Blobs++
			c.r.BlobBytes += r.n
			if record.HashOf(g.frames[i].plain[r.at:r.at+r.n]) != want[id] {
				c.damage(Damage{What: "blob differs from its hash", Where: g.file.name, Offset: g.frames[i].off, Hits: id, Lost: true})
			}
		}
	}
}

// points reads every point, newest first, each object once.
func (c *checking) points(ctx context.Context) error {
	points, err := c.a.Points(ctx)
	if err != nil {
		return err
	}
	slices.Reverse(points)
	for i := range points {
		m, err := c.a.loadSnapshot(ctx, points[i].ID)
		if err != nil {
			c.damage(Damage{What: "point in time", Where: points[i].ID, Hits: err.Error(), Lost: true})
			continue
		}
		c.r.Points++
		if err := c.dir(ctx, m.RootObjectID().String(), 0, false); err != nil {
			return err
		}
	}
	return nil
}

// dir checks a directory and what hangs from it. Attached files are checked
// with the record that names their hash.
func (c *checking) dir(ctx context.Context, oid string, depth int, ours bool) error {
	if err := ctx.Err(); err != nil || !c.first(oid) {
		return err
	}
	entries, err := c.a.readDir(ctx, oid)
	if err != nil {
		c.lost(ctx, "directory", oid, err)
		return nil
	}
	for _, name := range sortedNames(entries) {
		e := entries[name]
		id := e.ObjectID.String()
		switch {
		case e.Type == snapshot.EntryTypeDirectory:
			if err := c.dir(ctx, id, depth+1, ours || depth == 0 && name == farolDir); err != nil {
				return err
			}
		case depth == 5 && !ours && filepath.Ext(name) == segmentExt && !c.lean && c.first(id):
			c.segment(ctx, id)
			c.add(e.FileSize)
		case ours && c.first(id):
			if _, err := c.a.readObject(ctx, id); err != nil {
				c.lost(ctx, "file of ours", id, err)
			}
		}
	}
	return nil
}

func (c *checking) segment(ctx context.Context, oid string) {
	c.r.Segments++
	plain, err := c.a.readObject(ctx, oid)
	if err != nil {
		c.lost(ctx, "segment", oid, err)
		return
	}
	err = eachLine(plain, 0, func(line []byte, off int64) error {
		e, err := parseLine(line)
		if err != nil {
			c.damage(Damage{What: "record", Where: oid, Offset: off, Hits: err.Error(), Lost: true})
			return nil
		}
		c.r.Records++
		for _, b := range e.rec.Blobs {
			if b.Object != "" && c.first(b.Object+b.SHA256.String()) {
				c.blob(ctx, b)
			}
		}
		return nil
	})
	if err != nil {
		c.damage(Damage{What: "segment", Where: oid, Hits: err.Error(), Lost: true})
	}
}

func (c *checking) blob(ctx context.Context, b record.Blob) {
	r, err := c.a.OpenBlob(ctx, b)
	if err != nil {
		c.lost(ctx, "attached file", b.Object, err)
		return
	}
	defer r.Close()
	h := newHasher()
	n, err := io.Copy(h, r)
	switch {
	case err != nil:
		c.lost(ctx, "attached file", b.Object, err)
	case n != b.Size || h.hash() != b.SHA256:
		c.damage(Damage{What: "attached file differs from its hash", Where: b.Object, Lost: true})
	}
	c.r.Blobs++
	c.r.BlobBytes += n
	c.add(n)
}

// lost notes an object that cannot be read, with the packs that hold it.
func (c *checking) lost(ctx context.Context, what, oid string, err error) {
	d := Damage{What: what, Where: oid, Lost: true, Hits: err.Error()}
	if id, perr := object.ParseID(oid); perr == nil {
		if cid, _, ok := id.ContentID(); ok {
			if info, ierr := c.a.w.ContentInfo(c.a.ctx(ctx), cid); ierr == nil {
				d.Hits = fmt.Sprintf("pack %s: %v", info.PackBlobID, err)
			}
		}
	}
	c.damage(d)
}
