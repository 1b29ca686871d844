package appliance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"farol/internal/archive"
	"farol/internal/replica"
)

// fetchNode brings home what the off-site node holds, or held at a time. It
// returns the versions of the files that kopia overwrites, which lie in the folder
// fetch beside the log.
func fetchNode(ctx context.Context, cfg Config, rc Recovery, fetch string, progress func(step string, done, total int64)) (versions map[string][]string, epoch uint32, err error) {
	peer, ids, err := replica.Enrol(ctx, rc.Address, rc.Code, replica.Enrolment{Recover: true})
	if err != nil {
		return nil, 0, fmt.Errorf("speak to the off-site node: %w", err)
	}
	if len(ids) == 0 {
		return nil, 0, errors.New("the off-site node holds no archive")
	}
	c, err := replica.NewClient(peer)
	if err != nil {
		return nil, 0, err
	}
	st, err := c.State(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("ask what the node holds: %w", err)
	}
	m, err := c.Moment(ctx, rc.Before)
	if err != nil {
		return nil, 0, fmt.Errorf("ask what the node held at %s: %w", rc.Before.UTC().Format(time.RFC3339), err)
	}
	f := fetcher{ctx: ctx, c: c, told: rc.Aside, progress: progress}
	if err := f.log(m, fetch); err != nil {
		return nil, 0, err
	}
	if err := f.journal(m, filepath.Join(cfg.ArchiveDir, "journal")); err != nil {
		return nil, 0, err
	}
	versions, err = f.blobs(m, filepath.Join(cfg.ArchiveDir, "archive"), filepath.Join(fetch, "versions"))
	return versions, max(st.Epoch, st.Fence, st.PutEpoch), err
}

type fetcher struct {
	ctx      context.Context
	c        *replica.Client
	told     func(Foreign)
	progress func(step string, done, total int64)
}

// wanted is a file of the node and where it belongs.
type wanted struct {
	what, name string
	path       string
	size       int64 // so many of its bytes
	anew       bool  // whatever lies there
}

// all brings files, keeping those that a try before brought whole.
func (f *fetcher) all(step string, files []wanted) error {
	var done, total int64
	for _, w := range files {
		total += w.size
	}
	for _, w := range files {
		if info, err := os.Stat(w.path); w.anew || err != nil || info.Size() != w.size {
			if err := f.one(w); err != nil {
				return fmt.Errorf("fetch from the node: %w", err)
			}
		}
		done += w.size
		if f.progress != nil {
			f.progress(step, done, total)
		}
	}
	return nil
}

func (f *fetcher) one(w wanted) error {
	if err := os.MkdirAll(filepath.Dir(w.path), 0o700); err != nil {
		return err
	}
	out, err := os.Create(w.path)
	if err != nil {
		return err
	}
	err = f.c.Get(f.ctx, w.what, w.name, &upTo{out, w.size})
	return errors.Join(err, out.Sync(), out.Close())
}

// upTo passes n bytes on and drops the rest.
type upTo struct {
	w io.Writer
	n int64
}

func (u *upTo) Write(b []byte) (int, error) {
	n := min(int64(len(b)), u.n)
	u.n -= n
	if m, err := u.w.Write(b[:n]); err != nil {
		return m, err
	}
	return len(b), nil
}

func (f *fetcher) list(what string) (map[string]int64, error) {
	sizes, err := f.c.List(f.ctx, what)
	if err != nil {
		return nil, fmt.Errorf("list what the node holds: %w", err)
	}
	return sizes, nil
}

func (f *fetcher) aside(name, why string) {
	if f.told != nil {
		f.told(Foreign{Name: name, Why: why})
	}
}

func (f *fetcher) log(m replica.Moment, dir string) error {
	folder, bytes, witness := m.Log()
	sizes, err := f.list(folder)
	if err != nil {
		return err
	}
	var files []wanted
	if n, ok := sizes["entries.log"]; ok {
		if bytes >= 0 {
			n = min(n, bytes)
		}
		files = append(files, wanted{folder, "entries.log", filepath.Join(dir, "entries.log"), n, true})
	}
	if n, ok := sizes["checkpoint"]; ok && m.Now() {
		files = append(files, wanted{folder, "checkpoint", filepath.Join(dir, "checkpoint"), n, true})
	}
	if err := f.all("log", files); err != nil || m.Now() {
		return err
	}
	if witness == nil {
		return dropFile(filepath.Join(dir, "checkpoint"))
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	return writeDurable(filepath.Join(dir, "checkpoint"), witness)
}

func (f *fetcher) journal(m replica.Moment, dir string) error {
	sizes, err := f.list("journal")
	if err != nil {
		return err
	}
	var files []wanted
	for name, n := range sizes {
		if n = m.Journal(name, n); n > 0 && filepath.IsLocal(name) {
			files = append(files, wanted{"journal", name, filepath.Join(dir, name), n, !m.Now()})
		}
	}
	return f.all("journal", files)
}

func (f *fetcher) blobs(m replica.Moment, dir, old string) (map[string][]string, error) {
	sizes, err := f.list("blobs")
	if err != nil {
		return nil, err
	}
	names, versions := m.Versions(sizes)
	var files []wanted
	for local, name := range names {
		if !archive.RepoFile(local) { // it would lie in the way of others
			f.aside(local, archive.ForeignName)
			continue
		}
		files = append(files, wanted{"blobs", name, filepath.Join(dir, local), sizes[name], false})
	}
	paths := map[string][]string{}
	for local, vs := range versions {
		for _, name := range vs {
			path := filepath.Join(old, name)
			err := f.one(wanted{"blobs", name, path, sizes[name], true})
			if errors.Is(err, replica.ErrUnknown) { // an older node gives the newest only
				continue
			} else if err != nil {
				return nil, fmt.Errorf("fetch from the node: %w", err)
			}
			paths[local] = append(paths[local], path)
		}
	}
	return paths, f.all("blobs", files)
}
