package archive

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/kopia/kopia/fs"
	"github.com/kopia/kopia/repo/object"
	"github.com/kopia/kopia/snapshot"
	"github.com/kopia/kopia/snapshot/snapshotfs"
	"golang.org/x/sync/errgroup"
)

// readDir reads one directory of the tree.
func (a *Archive) readDir(ctx context.Context, oid string) (map[string]*snapshot.DirEntry, error) {
	b, err := a.readObject(ctx, oid)
	if err != nil {
		return nil, fmt.Errorf("directory: %w", err)
	}
	var m snapshot.DirManifest
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("directory %s: %w", oid, ErrCorrupt)
	}
	out := make(map[string]*snapshot.DirEntry, len(m.Entries))
	for _, e := range m.Entries {
		out[e.Name] = e
	}
	return out, nil
}

// openDir reads the directory at path below oid, or [ErrNotFound].
func (a *Archive) openDir(ctx context.Context, oid string, path ...string) (map[string]*snapshot.DirEntry, error) {
	dir, err := a.readDir(ctx, oid)
	for _, name := range path {
		if err != nil {
			return nil, err
		}
		e := dir[name]
		if e == nil || e.Type != snapshot.EntryTypeDirectory {
			return nil, fmt.Errorf("directory: %w", ErrNotFound)
		}
		dir, err = a.readDir(ctx, e.ObjectID.String())
	}
	return dir, err
}

// sortedNames lists a directory in order of name.
func sortedNames(dir map[string]*snapshot.DirEntry) []string {
	names := make([]string, 0, len(dir))
	for name := range dir {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// treeDir is a directory being changed. Only directories on a changed path
// are ever loaded; the rest is carried over by object id.
type treeDir struct {
	oid     string // where it lies now, "" for a new one
	entries map[string]*snapshot.DirEntry
	subs    map[string]*treeDir
}

// tree is the path-copied tree of one fold. Directories that are closed are
// written beside what goes on; [tree.wait] comes before their parents are.
type tree struct {
	a       *Archive
	root    *treeDir
	now     fs.UTCTimestamp
	mu      sync.Mutex // guards the entries of directories that others write into
	closing errgroup.Group
}

func newTree(a *Archive, now fs.UTCTimestamp) *tree {
	t := &tree{a: a, root: &treeDir{}, now: now}
	t.closing.SetLimit(runtime.GOMAXPROCS(0)) // memory holds so many containers at a time
	return t
}

func (t *tree) load(ctx context.Context, d *treeDir) error {
	if d.entries != nil {
		return nil
	}
	d.subs = map[string]*treeDir{}
	if d.oid == "" {
		d.entries = map[string]*snapshot.DirEntry{}
		return nil
	}
	var err error
	d.entries, err = t.a.readDir(ctx, d.oid)
	return err
}

// dir returns the directory at path for changing, making it where needed.
func (t *tree) dir(ctx context.Context, path ...string) (*treeDir, error) {
	d := t.root
	if err := t.load(ctx, d); err != nil {
		return nil, err
	}
	for _, name := range path {
		sub := d.subs[name]
		if sub == nil {
			sub = &treeDir{}
			t.mu.Lock()
			e := d.entries[name]
			t.mu.Unlock()
			if e != nil && e.Type == snapshot.EntryTypeDirectory {
				sub.oid = e.ObjectID.String()
			}
			if err := t.load(ctx, sub); err != nil {
				return nil, err
			}
			d.subs[name] = sub
		}
		d = sub
	}
	return d, nil
}

// put writes data as the file name of d.
func (t *tree) put(ctx context.Context, d *treeDir, name string, data []byte) (object.ID, error) {
	id, err := t.a.writeObject(ctx, data)
	if err != nil {
		return id, err
	}
	t.link(d, name, id, int64(len(data)), t.now)
	return id, nil
}

// link makes name of d stand for an object that is already written.
func (t *tree) link(d *treeDir, name string, id object.ID, size int64, mtime fs.UTCTimestamp) {
	d.entries[name] = &snapshot.DirEntry{
		Name: name, Type: snapshot.EntryTypeFile, Permissions: 0o600, FileSize: size, ModTime: mtime, ObjectID: id,
	}
}

// close has the directory at path written and forgets its content. Nobody may
// change it after that.
func (t *tree) close(ctx context.Context, path ...string) error {
	parent, err := t.dir(ctx, path[:len(path)-1]...)
	if err != nil {
		return err
	}
	name := path[len(path)-1]
	d := parent.subs[name]
	if d == nil {
		return nil
	}
	delete(parent.subs, name)
	t.closing.Go(func() error {
		e, err := t.write(ctx, strings.Join(path, "/"), name, d)
		if err != nil {
			return err
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		parent.entries[name] = e
		return nil
	})
	return nil
}

// wait returns when every closed directory is written, with the first error.
func (t *tree) wait() error { return t.closing.Wait() }

// write writes d and everything changed below it and returns its entry.
func (t *tree) write(ctx context.Context, path, name string, d *treeDir) (*snapshot.DirEntry, error) {
	for n, sub := range d.subs {
		e, err := t.write(ctx, path+"/"+n, n, sub)
		if err != nil {
			return nil, err
		}
		d.entries[n] = e
	}
	d.subs = map[string]*treeDir{}
	var b snapshotfs.DirManifestBuilder
	for _, e := range d.entries {
		b.AddEntry(e)
	}
	m := b.Build(t.now, "")
	id, err := snapshotfs.WriteDirManifest(t.a.ctx(ctx), t.a.w, "", m, compressor)
	if err != nil {
		return nil, fmt.Errorf("write a directory: %w", full(err))
	}
	return &snapshot.DirEntry{
		Name: name, Type: snapshot.EntryTypeDirectory, Permissions: 0o700, ModTime: m.Summary.MaxModTime,
		ObjectID: id, DirSummary: m.Summary,
	}, nil
}

// writeObject writes data as one kopia object.
func (a *Archive) writeObject(ctx context.Context, data []byte) (object.ID, error) {
	w := a.w.NewObjectWriter(a.ctx(ctx), object.WriterOptions{Compressor: compressor, MetadataCompressor: compressor})
	defer w.Close()
	if _, err := w.Write(data); err != nil {
		return object.EmptyID, fmt.Errorf("write an object: %w", full(err))
	}
	id, err := w.Result()
	if err != nil {
		return id, fmt.Errorf("write an object: %w", full(err))
	}
	return id, nil
}
