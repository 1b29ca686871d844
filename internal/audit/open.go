package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sort"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// Open opens or creates the log in dir, repairs what a crash left and checks
// it against its last checkpoint. It returns [ErrTampered] when they differ.
func Open(dir string, opt Options) (*Log, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open audit log: %w", err)
	}
	l := &Log{dir: dir, box: opt.Box, signer: opt.Signer, verify: opt.Verify, key: opt.Key, now: opt.Now, log: opt.Log}
	if l.now == nil {
		l.now = time.Now
	}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	var err error
	if l.entries, err = os.OpenFile(filepath.Join(dir, "entries.log"), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return nil, fmt.Errorf("open audit log: %w", err)
	}
	if l.hashes, err = os.OpenFile(filepath.Join(dir, "hashes.log"), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("open audit log: %w", err), l.entries.Close())
	}
	if l.offsets, err = openOffsets(dir, l.entries); err != nil {
		return nil, errors.Join(err, l.entries.Close(), l.hashes.Close())
	}
	if err := l.load(); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	if l.lookup, err = openLookup(context.Background(), dir, opt.LookupKey, l.tree.N); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	if err := compareHeads(l, l.tree.N, opt.Heads); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	if err := l.finishExpiry(context.Background()); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// load reads the entry lengths, cuts a torn tail, brings hashes.log in step
// and checks the checkpoint.
func (l *Log) load() error {
	size, err := l.entries.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("read audit log: %w", err)
	}
	if l.end, err = l.offsets.follow(size); err != nil {
		return err
	}
	old, err := os.ReadFile(filepath.Join(l.dir, "checkpoint"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("read audit checkpoint: %w", err)
	}
	var was tlog.Tree
	if old != nil {
		if was, err = OpenCheckpoint(old, l.verify); err != nil {
			return fmt.Errorf("%w: %w", ErrTampered, err)
		}
	}
	if l.offsets.n < was.N {
		return fmt.Errorf("%w: %d entries on disk, %d signed", ErrTampered, l.offsets.n, was.N)
	}
	if _, err := l.overwrite(); err != nil { // what a crash cut off, before anything reads it
		return err
	}
	if l.end < size {
		if err := l.entries.Truncate(l.end); err != nil {
			return fmt.Errorf("cut torn audit entry: %w", err)
		}
	}
	return l.resume(was, old)
}

// resume rebuilds the hashes that are missing, then compares with the
// checkpoint and signs what lies beyond it.
func (l *Log) resume(was tlog.Tree, old []byte) error {
	have, err := l.hashes.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("read audit hashes: %w", err)
	}
	n := l.offsets.n
	// Entries whose hashes are all there.
	whole := int64(sort.Search(int(n), func(i int) bool { return tlog.StoredHashCount(int64(i)+1)*tlog.HashSize > have }))
	if err := l.hashes.Truncate(tlog.StoredHashCount(whole) * tlog.HashSize); err != nil {
		return fmt.Errorf("cut torn audit hashes: %w", err)
	}
	l.tree.N = whole
	for i := whole; i < n; i++ {
		sealed, err := l.read(i)
		if err != nil {
			return err
		}
		o, err := l.open(i, sealed)
		if err != nil {
			return err
		}
		if err := l.addHash(o.leaf); err != nil {
			return err
		}
	}
	if was.N > 0 {
		h, err := tlog.TreeHash(was.N, l)
		if err != nil || h != was.Hash {
			return fmt.Errorf("%w at size %d", ErrTampered, was.N)
		}
	}
	if n > 0 {
		if l.tree.Hash, err = tlog.TreeHash(n, l); err != nil {
			return fmt.Errorf("hash audit log: %w", err)
		}
		_, e, err := l.entryAt(n - 1)
		if err != nil {
			return err
		}
		l.last = e.Time
	}
	l.signed = old
	if n > was.N {
		return l.sign()
	}
	return nil
}
