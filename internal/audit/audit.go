// Package audit is the append-only log of everything done to or by Farol: who,
// what, to which record, why, and with which result, in a Merkle tree whose
// signed checkpoints an outsider can verify.
//
// It promises that an entry whose Append returned is on disk, that no entry
// can be changed, dropped or reordered without every later checkpoint showing
// it, and that a checkpoint never goes back. It never holds content: only
// references and hashes.
//
// # Design
//
// Four files. entries.log holds the entries, each sealed with the key of
// label "log" and prefixed by its length; offsets.log says where each begins
// and is made anew when it is wrong; hashes.log is the flat file of tree
// hashes in the order of golang.org/x/mod/sumdb/tlog; checkpoint is a C2SP
// signed note. The tree binds SHA-256(salt ‖ entry), so an entry's payload can
// be dropped later without breaking a proof (expire.go). Writing order: entries, hashes,
// checkpoint. After a crash the hashes are cut to the last whole entry and
// rebuilt from it; an entry beyond the last checkpoint is kept and signed.
// lookup.db answers who did what to which object (lookup.go); it is a view and
// no part of what is signed.
package audit

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Box seals the payloads at rest.
type Box interface {
	Seal(plain, aad []byte) []byte
	Open(sealed, aad []byte) ([]byte, error)
}

// ErrTampered means that the files do not agree with the signed checkpoint.
// The log must then not be written any more.
var ErrTampered = errors.New("the audit log does not match its checkpoint")

// Log is an open audit log. It is safe for concurrent use.
type Log struct {
	dir    string
	box    Box
	signer note.Signer
	verify note.Verifier
	key    string
	now    func() time.Time
	log    *slog.Logger

	mu      sync.RWMutex // guards all below
	entries *os.File
	hashes  *os.File
	offsets *offsets // start of each entry in entries.log
	end     int64    // end of entries.log
	last    time.Time
	tree    tlog.Tree
	signed  []byte // newest checkpoint
	failed  error  // why no entry is taken any more
	waiting chan struct{}
	lookup  *lookup
	fault   func(step string) error // in tests of expiry
}

// Options of [Open].
type Options struct {
	Box    Box
	Signer note.Signer   // signs checkpoints; its name is the log's origin
	Verify note.Verifier // of the same key
	Now    func() time.Time
	Log    *slog.Logger

	Key       string      // the same key as text, for packages
	Heads     []tlog.Tree // checkpoints kept elsewhere, which it must extend
	LookupKey []byte      // of the keyed hashes in lookup.db
}

// Close closes the files.
func (l *Log) Close() error {
	var err error
	if l.lookup != nil && l.lookup.db != nil {
		err = l.lookup.db.Close()
	}
	return errors.Join(err, l.entries.Close(), l.hashes.Close(), l.offsets.f.Close())
}

// Append writes the events as consecutive entries and returns their numbers
// after everything is on disk. No content may be in an event.
func (l *Log) Append(ctx context.Context, events ...Event) ([]int64, error) {
	if len(events) == 0 {
		return nil, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.append(ctx, events)
}

// append is Append; the caller holds the lock.
func (l *Log) append(ctx context.Context, events []Event) ([]int64, error) {
	if l.failed != nil {
		return nil, fmt.Errorf("the audit log is closed to new entries until it is opened again: %w", l.failed)
	}
	seqs := make([]int64, 0, len(events))
	var buf bytes.Buffer
	var leaves [][]byte
	var starts []int64
	var made []Entry
	for _, ev := range events {
		e := l.complete(ev, l.tree.N+int64(len(seqs)))
		leaf, sealed, err := l.seal(e)
		if err != nil {
			return nil, err
		}
		starts = append(starts, l.end+int64(buf.Len()))
		binary.Write(&buf, binary.BigEndian, uint32(len(sealed)))
		buf.Write(sealed)
		leaves = append(leaves, leaf)
		seqs = append(seqs, e.Seq)
		made = append(made, e)
	}
	if _, err := l.entries.WriteAt(buf.Bytes(), l.end); err != nil {
		return nil, fmt.Errorf("write audit entry: %w", err)
	}
	if err := l.entries.Sync(); err != nil {
		return nil, fmt.Errorf("write audit entry: %w", err)
	}
	if err := l.bind(starts, l.end+int64(buf.Len()), leaves); err != nil {
		l.failed = err // what is on disk may be ahead of what is known here
		return nil, err
	}
	if err := l.lookup.add(ctx, made); err != nil {
		l.log.WarnContext(ctx, "audit lookup", "err", err) // whoever asks next makes up for it
	}
	if l.waiting != nil {
		close(l.waiting)
		l.waiting = nil
	}
	return seqs, nil
}

// bind takes entries that are on disk into the tree.
func (l *Log) bind(starts []int64, end int64, leaves [][]byte) error {
	if err := l.offsets.add(starts); err != nil {
		return err
	}
	l.end = end
	for _, leaf := range leaves {
		if err := l.addHash(leaf); err != nil {
			return err
		}
	}
	return l.sign()
}

// Changed returns a channel that is closed at the next append.
func (l *Log) Changed() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting == nil {
		l.waiting = make(chan struct{})
	}
	return l.waiting
}

func (l *Log) read(seq int64) ([]byte, error) {
	if seq < 0 || seq >= l.offsets.n {
		return nil, fmt.Errorf("audit entry %d: %w", seq, ErrNotFound)
	}
	at, err := l.offsets.at(seq, l.end)
	if err != nil {
		return nil, err
	}
	end, ok := entryEnd(l.entries, at, l.end)
	if !ok {
		return nil, fmt.Errorf("%w: entry %d has an impossible length", ErrTampered, seq)
	}
	b := make([]byte, end-at-4)
	if _, err := l.entries.ReadAt(b, at+4); err != nil {
		return nil, fmt.Errorf("read audit entry %d: %w", seq, err)
	}
	return b, nil
}

func (l *Log) addHash(leaf []byte) error {
	hs, err := tlog.StoredHashes(l.tree.N, leaf, l)
	if err != nil {
		return fmt.Errorf("hash audit entry: %w", err)
	}
	var buf bytes.Buffer
	for _, h := range hs {
		buf.Write(h[:])
	}
	if _, err := l.hashes.WriteAt(buf.Bytes(), tlog.StoredHashCount(l.tree.N)*tlog.HashSize); err != nil {
		return fmt.Errorf("write audit hashes: %w", err)
	}
	l.tree.N++
	return nil
}

// ReadHashes implements tlog.HashReader over hashes.log.
func (l *Log) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		if _, err := l.hashes.ReadAt(out[i][:], x*tlog.HashSize); err != nil {
			return nil, fmt.Errorf("read audit hash %d: %w", x, err)
		}
	}
	return out, nil
}

// sign makes the checkpoint of the tree as it is. The hashes reach the disk
// before the note that speaks of them.
func (l *Log) sign() error {
	h, err := tlog.TreeHash(l.tree.N, l)
	if err != nil {
		return fmt.Errorf("hash audit log: %w", err)
	}
	l.tree.Hash = h
	if err := errors.Join(l.hashes.Sync(), l.offsets.f.Sync()); err != nil {
		return fmt.Errorf("write audit hashes: %w", err)
	}
	signed, err := note.Sign(&note.Note{Text: checkpointText(l.signer.Name(), l.tree)}, l.signer)
	if err != nil {
		return fmt.Errorf("sign audit checkpoint: %w", err)
	}
	if err := writeFile(filepath.Join(l.dir, "checkpoint"), signed); err != nil {
		return fmt.Errorf("write audit checkpoint: %w", err)
	}
	l.signed = signed
	return nil
}

// writeFile replaces path so that a crash leaves the old or the new bytes.
func writeFile(path string, b []byte) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
