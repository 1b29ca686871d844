package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"farol/internal/archive"
	"farol/internal/keys"
	"farol/internal/record"
)

// job is what a child process does: each measured piece of work is a process
// of its own, as it is for the peers.
type job struct {
	Do      string
	Dir     string
	Src     string
	Bare    bool // without parity, as the peers
	N       int
	M       int
	Samples int
}

var jobs = map[string]func(context.Context, job) (any, error){
	"init": initArchive, "files": putFiles, "records": putRecords, "restore": restoreAll, "copy": plainCopy, "limit": limit,
	"fill": fillSame, "same": nothingChanged, "commit": commits, "fold": foldWhile, "maintain": maintainWhile, "day": aDay,
}

func runJob(ctx context.Context, text string) error {
	var j job
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		return err
	}
	do := jobs[j.Do]
	if do == nil {
		return fmt.Errorf("no job %q", j.Do)
	}
	if dir := os.Getenv("FAROL_BENCH_PROFILE"); dir != "" {
		f, err := os.Create(filepath.Join(dir, j.Do+".pprof"))
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	out, err := do(ctx, j)
	if err != nil || out == nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}

// child runs a job in a process of its own. out may be nil.
func child(ctx context.Context, j job, out any) (took, error) {
	b, err := json.Marshal(j)
	if err != nil {
		return took{}, err
	}
	t, err := measure(ctx, []string{"FAROL_BENCH_JOB=" + string(b)}, "/proc/self/exe")
	if err == nil && out != nil {
		err = json.Unmarshal(t.out, out)
	}
	return t, err
}

var root = func() keys.Root {
	r, err := keys.RootFrom(bytes.Repeat([]byte{7}, keys.Size))
	if err != nil {
		panic(err)
	}
	return r
}()

func initArchive(ctx context.Context, j job) (any, error) {
	a, err := archive.Create(ctx, j.Dir, root, archive.Options{NoParity: j.Bare})
	if err != nil {
		return nil, err
	}
	return nil, a.Close()
}

func openArchive(ctx context.Context, j job, opt archive.Options) (*archive.Archive, error) {
	opt.NoParity = j.Bare
	a, err := archive.Open(ctx, j.Dir, root, opt)
	if err == nil {
		a.SetRelocate(func(context.Context, archive.Moves) error { return nil })
	}
	return a, err
}

func listFiles(dir string) ([]string, error) {
	var out []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			out = append(out, path)
		}
		return err
	})
	return out, err
}

// lanes is how many files the product fetches at the same time.
const lanes = 4

// putFiles takes every file below Src as an attachment and folds: what a first full backup does with files.
func putFiles(ctx context.Context, j job) (any, error) {
	paths, err := listFiles(j.Src)
	if err != nil {
		return nil, err
	}
	a, err := openArchive(ctx, j, archive.Options{})
	if err != nil {
		return nil, err
	}
	const batch = 640
	for n := 0; len(paths) > 0; n += batch {
		part := paths[:min(batch, len(paths))]
		paths = paths[len(part):]
		b := archive.Batch{Records: make([]record.Record, len(part))}
		g, gctx := errgroup.WithContext(ctx)
		g.SetLimit(lanes)
		for i, path := range part {
			g.Go(func() error {
				rel, err := filepath.Rel(j.Src, path)
				if err != nil {
					return err
				}
				f, err := os.Open(path)
				if err != nil {
					return err
				}
				defer f.Close()
				info, err := f.Stat()
				if err != nil {
					return err
				}
				blob, err := a.PutBlob(gctx, filepath.Base(path), info.Size(), f)
				b.Records[i] = record.Record{Ref: record.Ref{Kind: record.Files, Container: filepath.Dir(rel), ID: rel}, Time: epoch, Raw: []byte(`{}`), Blobs: []record.Blob{blob}}
				return err
			})
		}
		if err := g.Wait(); err != nil {
			return nil, err
		}
		if _, err := a.Commit(ctx, b); err != nil {
			return nil, err
		}
	}
	if _, err := a.Fold(ctx); err != nil {
		return nil, err
	}
	return nil, a.Close()
}

// putRecords takes the same segments message by message: commit, journal,
// fold.
func putRecords(ctx context.Context, j job) (any, error) {
	paths, err := listFiles(j.Src)
	if err != nil {
		return nil, err
	}
	a, err := openArchive(ctx, j, archive.Options{KeepJournal: time.Nanosecond})
	if err != nil {
		return nil, err
	}
	var b archive.Batch
	n := 0
	commit := func() error {
		if len(b.Records) == 0 {
			return nil
		}
		_, err := a.Commit(ctx, b)
		b.Records = b.Records[:0:0]
		if err == nil && a.Status().UnfoldedBytes >= 64<<20 {
			_, err = a.Fold(ctx)
		}
		return err
	}
	for _, path := range paths {
		seg, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		for line := range bytes.Lines(seg) {
			b.Records = append(b.Records, messageRecord(filepath.Base(filepath.Dir(path)), n, bytes.TrimSuffix(line, []byte("\n"))))
			n++
			if len(b.Records) == 4000 {
				if err := commit(); err != nil {
					return nil, err
				}
			}
		}
	}
	if err := commit(); err != nil {
		return nil, err
	}
	if _, err := a.Fold(ctx); err != nil {
		return nil, err
	}
	return nil, a.Close()
}

func messageRecord(container string, n int, raw []byte) record.Record {
	return record.Record{Ref: record.Ref{Kind: record.Chat, Container: container, ID: fmt.Sprintf("msg%012d", n)}, Author: fmt.Sprint("user", n%186), Dept: 7,
		Time: epoch.Add(time.Duration(n) * 7 * time.Second), Raw: raw}
}

// restoreAll gives every attachment back as a file and compares it with its
// hash on the way; it returns the time without opening the archive, which a
// daemon has open.
func restoreAll(ctx context.Context, j job) (any, error) {
	a, err := openArchive(ctx, job{Dir: j.Src, Bare: j.Bare}, archive.Options{})
	if err != nil {
		return nil, err
	}
	start := time.Now()
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	made := map[string]bool{}
	err = a.Walk(ctx, func(r record.Record, _ record.Loc, _ uint64, _ int) error {
		path := filepath.Join(j.Dir, r.ID)
		if dir := filepath.Dir(path); !made[dir] {
			made[dir] = true
			if err := os.MkdirAll(dir, 0o700); err != nil {
				return err
			}
		}
		g.Go(func() error {
			f, err := os.Create(path)
			if err != nil {
				return err
			}
			in, err := a.OpenBlob(gctx, r.Blobs[0])
			if err != nil {
				return errors.Join(err, f.Close())
			}
			sum, err := hashInto(f, in)
			if err == nil && sum != r.Blobs[0].SHA256 {
				err = archive.ErrCorrupt
			}
			return errors.Join(err, in.Close(), f.Close())
		})
		return nil
	})
	if err := errors.Join(err, g.Wait()); err != nil {
		return nil, err
	}
	d := time.Since(start)
	return d, a.Close()
}

var copyBuffers = sync.Pool{New: func() any { b := make([]byte, 256<<10); return &b }}

// hashInto copies r to w and hashes it on the way.
func hashInto(w io.Writer, r io.Reader) (record.Hash, error) {
	buf := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buf)
	h := sha256.New()
	_, err := io.CopyBuffer(struct{ io.Writer }{io.MultiWriter(h, w)}, struct{ io.Reader }{r}, *buf)
	return record.Hash(h.Sum(nil)), err
}

// plainCopy copies and hashes the same files: nothing can be quicker.
func plainCopy(ctx context.Context, j job) (any, error) {
	paths, err := listFiles(j.Src)
	if err != nil {
		return nil, err
	}
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, path := range paths {
		rel, err := filepath.Rel(j.Src, path)
		if err != nil {
			return nil, err
		}
		to := filepath.Join(j.Dir, rel)
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			return nil, err
		}
		g.Go(func() error {
			in, err := os.Open(path)
			if err != nil {
				return err
			}
			defer in.Close()
			f, err := os.Create(to)
			if err != nil {
				return err
			}
			_, err = hashInto(f, in)
			return errors.Join(err, f.Close())
		})
	}
	return nil, g.Wait()
}

// quantile of unsorted durations.
func quantile(ds []time.Duration, q float64) time.Duration {
	if len(ds) == 0 {
		return 0
	}
	ds = slices.Clone(ds)
	slices.Sort(ds)
	return ds[min(len(ds)-1, int(q*float64(len(ds))))]
}
