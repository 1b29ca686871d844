package audit

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"farol/internal/db"
)

// lookup says which entries are about an actor, an operation, an object. It is
// a view of the log: deleted or damaged, it is made anew. What it answers is
// compared with the entries themselves before anybody sees it.
type lookup struct {
	key []byte

	mu   sync.Mutex // held while entries are taken in
	db   *db.DB
	next int64 // first entry it does not have
}

const lookupFile = "lookup.db"

// openLookup opens the file in dir, and makes it anew when it is damaged, was
// made with another key or knows more than the log has.
func openLookup(ctx context.Context, dir string, key []byte, size int64) (*lookup, error) {
	x := &lookup{key: key}
	path := filepath.Join(dir, lookupFile)
	err := x.open(ctx, path)
	if err == nil && x.next <= size {
		return x, nil
	}
	if err != nil && !errors.Is(err, db.ErrDamaged) && !errors.Is(err, db.ErrNewer) && !errors.Is(err, errOtherKey) {
		return nil, err
	}
	if x.db != nil {
		if err := x.db.Close(); err != nil {
			return nil, fmt.Errorf("close the audit lookup: %w", err)
		}
	}
	for _, end := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(path + end); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("remove the audit lookup: %w", err)
		}
	}
	return x, x.open(ctx, path)
}

var errOtherKey = errors.New("the audit lookup was made with another key")

func (x *lookup) open(ctx context.Context, path string) (err error) {
	if x.db, err = db.Open(ctx, path, db.Log, nil); err != nil {
		return fmt.Errorf("open the audit lookup: %w", err)
	}
	canary := hex.EncodeToString(x.mac("canary", "1"))
	return x.db.Update(ctx, func(tx *db.Tx) error {
		var was string
		err := tx.QueryRowContext(ctx, "SELECT value FROM meta WHERE name='canary'").Scan(&was)
		if errors.Is(err, sql.ErrNoRows) {
			_, err = tx.ExecContext(ctx, "INSERT INTO meta(name, value) VALUES('canary', ?)", canary)
			was = canary
		}
		if err != nil {
			return err
		}
		if was != canary {
			return errOtherKey
		}
		return tx.QueryRowContext(ctx, "SELECT coalesce(max(seq), -1) + 1 FROM entry").Scan(&x.next)
	})
}

func (x *lookup) mac(kind, text string) []byte {
	m := hmac.New(sha256.New, x.key)
	m.Write([]byte(kind))
	m.Write([]byte{0})
	m.Write([]byte(text))
	return m.Sum(nil)
}

// blind is the keyed hash that stands for a word.
func (x *lookup) blind(kind, text string) int64 {
	return int64(binary.BigEndian.Uint64(x.mac(kind, text)))
}

// outcome numbers an outcome so that "ok", which most are, needs no index.
func (x *lookup) outcome(text string) int64 {
	if text == "ok" {
		return 0
	}
	return x.blind("outcome", text) | 1
}

// add takes in entries that follow each other; those it has are passed over.
func (x *lookup) add(ctx context.Context, entries []Entry) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	next := x.next
	err := x.db.Update(ctx, func(tx *db.Tx) error {
		put, err := tx.PrepareContext(ctx, "INSERT INTO entry(seq, ms, actor, op, outcome, purpose) VALUES(?,?,?,?,?,?)")
		if err != nil {
			return err
		}
		defer put.Close()
		var refs [][2]int64
		for i := range entries {
			e := &entries[i]
			if e.Seq < next {
				continue
			}
			if e.Seq > next {
				break // a gap: whoever asks fills it first
			}
			row := []any{e.Seq, e.Time.UnixMilli(), x.blind("actor", e.Actor), x.blind("op", e.Operation), x.outcome(e.Outcome), x.purpose(e.Purpose)}
			if e.Expired != nil {
				row = []any{e.Seq, e.Time.UnixMilli(), 0, 0, 0, 0}
			}
			if _, err := put.ExecContext(ctx, row...); err != nil {
				return err
			}
			for _, r := range e.Refs() {
				refs = append(refs, [2]int64{x.blind("object", r), e.Seq})
			}
			next++
		}
		return putRefs(ctx, tx, refs)
	})
	if err != nil {
		return fmt.Errorf("take entries into the audit lookup: %w", err)
	}
	x.next = next
	return nil
}

// refsAtOnce is how many references one statement takes in: a statement of its
// own for each took most of the time of an append.
const refsAtOnce = 64

// putRefs writes references in the order of the index.
func putRefs(ctx context.Context, tx *db.Tx, refs [][2]int64) error {
	slices.SortFunc(refs, func(a, b [2]int64) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) })
	for part := range slices.Chunk(refs, refsAtOnce) {
		args := make([]any, 0, 2*len(part))
		for _, r := range part {
			args = append(args, r[0], r[1])
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO entry_ref(ref, seq) VALUES(?,?)"+strings.Repeat(",(?,?)", len(part)-1)+" ON CONFLICT DO NOTHING", args...); err != nil {
			return err
		}
	}
	return nil
}

// purpose numbers a purpose; most entries have none.
func (x *lookup) purpose(text string) int64 {
	if text == "" {
		return 0
	}
	return x.blind("purpose", text) | 1
}

// forget takes out by what expired entries could be found: a keyed hash of a
// name is still about a person.
func (x *lookup) forget(ctx context.Context, graves []grave) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	err := x.db.Update(ctx, func(tx *db.Tx) error {
		for _, g := range graves {
			if _, err := tx.ExecContext(ctx, "UPDATE entry SET actor=0, op=0, outcome=0, purpose=0 WHERE seq=?", g.seq); err != nil {
				return err
			}
			for _, r := range g.refs {
				if _, err := tx.ExecContext(ctx, "DELETE FROM entry_ref WHERE ref=? AND seq=?", r, g.seq); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("take expired entries out of the audit lookup: %w", err)
	}
	return nil
}

// mark is how far a walk over the entries came, 0 when nobody knows.
func (x *lookup) mark(ctx context.Context, name string) (n int64, err error) {
	err = x.db.View(ctx, func(tx *db.Tx) error {
		err := tx.QueryRowContext(ctx, "SELECT CAST(value AS INTEGER) FROM meta WHERE name=?", name).Scan(&n)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("read the audit lookup: %w", err)
	}
	return n, nil
}

func (x *lookup) setMark(ctx context.Context, name string, n int64) error {
	err := x.db.Update(ctx, func(tx *db.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO meta(name, value) VALUES(?,?) ON CONFLICT(name) DO UPDATE SET value=excluded.value", name, strconv.FormatInt(n, 10))
		return err
	})
	if err != nil {
		return fmt.Errorf("write the audit lookup: %w", err)
	}
	return nil
}

// has is how many entries it knows.
func (x *lookup) has() int64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.next
}

// FindCommit returns the number of the entry that witnesses commit seq.
func (l *Log) FindCommit(seq uint64) (int64, error) {
	es, _, err := l.List(Filter{Operation: OperationCommit, Object: "commit/" + strconv.FormatUint(seq, 10)}, 0, 1)
	if err == nil && len(es) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return 0, fmt.Errorf("the entry of commit %d: %w", seq, err)
	}
	return es[0].Seq, nil
}

// LastCommit is the newest commit that has an entry, 0 before the first. Lanes
// that commit at the same time may enter theirs in another order, by a few.
func (l *Log) LastCommit() (last uint64, err error) {
	es, _, err := l.List(Filter{Operation: OperationCommit}, 0, 32)
	if err != nil {
		return 0, err
	}
	for i := range es {
		n, err := strconv.ParseUint(strings.TrimPrefix(es[i].Object, "commit/"), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("audit entry %d names no commit: %w", es[i].Seq, err)
		}
		last = max(last, n)
	}
	return last, nil
}
