package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// ErrNotFound means that no such entry exists.
var ErrNotFound = errors.New("no such audit entry")

// Size is the number of entries.
func (l *Log) Size() int64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.tree.N
}

// Ready reports why no entry is taken any more, nil while entries are.
func (l *Log) Ready() error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.failed
}

// Checkpoint is the newest signed checkpoint.
func (l *Log) Checkpoint() []byte {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.signed
}

// entryAt reads one entry; the caller holds the lock.
func (l *Log) entryAt(seq int64) ([]byte, Entry, error) {
	var e Entry
	sealed, err := l.read(seq)
	if err != nil {
		return nil, e, err
	}
	o, err := l.open(seq, sealed)
	if err != nil {
		return nil, e, err
	}
	if o.gone != nil {
		return nil, Entry{Seq: seq, Time: o.gone.Time, LogClass: o.gone.Class, Expired: o.gone}, nil
	}
	plain := o.plain
	if err := json.Unmarshal(plain[saltSize:], &e); err != nil {
		return nil, e, fmt.Errorf("%w: decode audit entry %d: %w", ErrTampered, seq, err)
	}
	return plain, e, nil
}

// Entry returns entry seq.
func (l *Log) Entry(seq int64) (Entry, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	_, e, err := l.entryAt(seq)
	return e, err
}

// Filter chooses entries; zero fields match everything.
type Filter struct {
	Operation string
	Actor     string
	Object    string // or another reference: dept/…, person/…, record/…, container/…, session/…
	Outcome   string
	Purpose   string
	From, To  time.Time
}

func (f Filter) match(e *Entry) bool {
	return (f.Operation == "" || e.Operation == f.Operation) && (f.Actor == "" || e.Actor == f.Actor) &&
		(f.Object == "" || slices.Contains(e.Refs(), f.Object)) && (f.Outcome == "" || e.Outcome == f.Outcome) && (f.Purpose == "" || e.Purpose == f.Purpose) &&
		(f.From.IsZero() || !e.Time.Before(f.From)) && (f.To.IsZero() || e.Time.Before(f.To))
}

// List returns at most n matching entries, newest first, numbered below
// before (0: from the newest), and the number to go on from (0: no more). One
// look is bounded: fewer than n with a number to go on from mean that there may
// be more further back.
func (l *Log) List(f Filter, before int64, n int) ([]Entry, int64, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if before <= 0 || before > l.tree.N {
		before = l.tree.N
	}
	ctx := context.Background()
	if err := l.catchUp(ctx); err != nil {
		return nil, 0, err
	}
	var out []Entry
	for len(out) < n {
		want := n - len(out)
		seqs, rest, err := l.lookup.find(ctx, f, before, want)
		if err != nil {
			return nil, 0, err
		}
		for _, seq := range seqs {
			_, e, err := l.entryAt(seq)
			if err != nil {
				return nil, 0, err
			}
			if before = seq; f.match(&e) {
				out = append(out, e)
			}
		}
		if len(seqs) < want {
			return out, rest, nil
		}
	}
	return out, before, nil
}

// manyTaken is how many entries the lookup takes in at a time.
const manyTaken = 5000

// catchUp takes entries into the lookup that it does not have; the caller holds
// the lock.
func (l *Log) catchUp(ctx context.Context) error {
	for next := l.lookup.has(); next < l.tree.N; next = l.lookup.has() {
		if l.tree.N-next > manyTaken {
			l.log.InfoContext(ctx, "the audit lookup is being made", "entries", next, "of", l.tree.N)
		}
		part := make([]Entry, 0, min(manyTaken, l.tree.N-next))
		for i := next; i < min(next+manyTaken, l.tree.N); i++ {
			_, e, err := l.entryAt(i)
			if err != nil {
				return err
			}
			part = append(part, e)
		}
		if err := l.lookup.add(ctx, part); err != nil {
			return err
		}
	}
	return nil
}

// Inclusion proves entry seq inside the newest checkpoint.
func (l *Log) Inclusion(seq int64) (*EntryProof, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.prove(seq, l.tree.N)
}

// prove proves entry seq inside the tree of size n; the caller holds the lock.
func (l *Log) prove(seq, n int64) (*EntryProof, error) {
	sealed, err := l.read(seq)
	if err != nil {
		return nil, err
	}
	o, err := l.open(seq, sealed)
	if err != nil {
		return nil, err
	}
	path, err := tlog.ProveRecord(n, seq, l)
	if err != nil {
		return nil, fmt.Errorf("prove audit entry %d: %w", seq, err)
	}
	p := &EntryProof{Seq: seq, Path: hashTexts(path)}
	if n == l.tree.N {
		p.Checkpoint = string(l.signed)
	}
	if o.gone != nil {
		p.Leaf, p.Expired = o.leaf, o.gone
	} else {
		p.Salt, p.Entry = o.plain[:saltSize], o.plain[saltSize:]
	}
	return p, nil
}

// Consistency proves that the log of size old is a prefix of the newest one.
func (l *Log) Consistency(old int64) ([]tlog.Hash, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.consistency(old)
}

func (l *Log) consistency(old int64) ([]tlog.Hash, error) {
	if old == 0 {
		return nil, nil
	}
	p, err := tlog.ProveTree(l.tree.N, old, l)
	if err != nil {
		return nil, fmt.Errorf("prove audit log since %d: %w", old, err)
	}
	return p, nil
}

// Since returns the newest checkpoint, its size, and the proof that it extends
// the log of size old, all of one moment.
func (l *Log) Since(old int64) (checkpoint []byte, size int64, proof []tlog.Hash, err error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if proof, err = l.consistency(min(old, l.tree.N)); err != nil {
		return nil, 0, nil, err
	}
	return l.signed, l.tree.N, proof, nil
}

// Raw returns the sealed bytes of entries [from, to) as they lie on disk, for
// the off-site copy, which cannot look into them: bytes that are not the entry that
// was hashed are [ErrTampered], and no copy of them is made.
func (l *Log) Raw(from, to int64) ([][]byte, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	var out [][]byte
	for i := from; i < min(to, l.tree.N); i++ {
		b, err := l.read(i)
		if err != nil {
			return nil, err
		}
		o, err := l.open(i, b)
		if err != nil {
			return nil, err
		}
		h, err := l.ReadHashes([]int64{tlog.StoredHashIndex(0, i)})
		if err != nil {
			return nil, err
		}
		if h[0] != tlog.RecordHash(o.leaf) {
			return nil, fmt.Errorf("%w: entry %d is not the one that was hashed", ErrTampered, i)
		}
		out = append(out, b)
	}
	return out, nil
}
