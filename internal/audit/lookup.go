package audit

import (
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
	"strconv"
	"strings"
	"sync"
	"time"

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
	if err != nil && !errors.Is(err, db.ErrDamaged) && !errors.Is(err, errOtherKey) {
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
		put, err := tx.PrepareContext(ctx, "INSERT INTO entry(seq, ms, actor, op, object, outcome) VALUES(?,?,?,?,?,?)")
		if err != nil {
			return err
		}
		defer put.Close()
		for i := range entries {
			e := &entries[i]
			if e.Seq < next {
				continue
			}
			if e.Seq > next {
				return nil // a gap: whoever asks fills it first
			}
			if _, err := put.ExecContext(ctx, e.Seq, e.Time.UnixMilli(), x.blind("actor", e.Actor), x.blind("op", e.Operation), x.blind("object", e.Object), x.outcome(e.Outcome)); err != nil {
				return err
			}
			next++
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("take entries into the audit lookup: %w", err)
	}
	x.next = next
	return nil
}

// has is how many entries it knows.
func (x *lookup) has() int64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.next
}

// find returns the numbers of entries below before that may match, newest
// first, at most n.
func (x *lookup) find(ctx context.Context, f Filter, before int64, n int) (seqs []int64, err error) {
	where, args := []string{"seq<?"}, []any{before}
	and := func(cond string, arg any) { where, args = append(where, cond), append(args, arg) }
	if f.Actor != "" {
		and("actor=?", x.blind("actor", f.Actor))
	}
	if f.Operation != "" {
		and("op=?", x.blind("op", f.Operation))
	}
	if f.Object != "" {
		and("object=?", x.blind("object", f.Object))
	}
	if f.Outcome != "" {
		and("outcome=?", x.outcome(f.Outcome))
	}
	// The rarest first: an object has few entries, a failure is rare, an
	// actor's or operation's may be many.
	by := ""
	switch {
	case f.Object != "":
		by = "INDEXED BY entry_object"
	case f.Outcome != "" && f.Outcome != "ok":
		by, where = "INDEXED BY entry_outcome", append(where, "outcome<>0")
	case f.Actor != "" && f.Operation != "":
		by = "INDEXED BY entry_both"
	case f.Actor != "":
		by = "INDEXED BY entry_actor"
	case f.Operation != "":
		by = "INDEXED BY entry_op"
	}
	err = x.db.View(ctx, func(tx *db.Tx) error {
		for _, end := range []struct {
			t    time.Time
			cond string
		}{{f.From, "seq>=?"}, {f.To, "seq<?"}} {
			if end.t.IsZero() {
				continue
			}
			at, err := firstAt(ctx, tx, end.t.UnixMilli())
			if err != nil {
				return err
			}
			and(end.cond, at)
		}
		rows, err := tx.QueryContext(ctx, "SELECT seq FROM entry "+by+" WHERE "+strings.Join(where, " AND ")+" ORDER BY seq DESC LIMIT ?", append(args, n)...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var s int64
			if err := rows.Scan(&s); err != nil {
				return err
			}
			seqs = append(seqs, s)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("look up audit entries: %w", err)
	}
	return seqs, nil
}

// firstAt is the first entry at or after a time, found by halving: times never
// go back.
func firstAt(ctx context.Context, tx *db.Tx, ms int64) (int64, error) {
	var lo, hi int64
	if err := tx.QueryRowContext(ctx, "SELECT coalesce(max(seq), -1) + 1 FROM entry").Scan(&hi); err != nil {
		return 0, err
	}
	for lo < hi {
		mid := (lo + hi) / 2
		var at int64
		if err := tx.QueryRowContext(ctx, "SELECT ms FROM entry WHERE seq=?", mid).Scan(&at); err != nil {
			return 0, err
		}
		if at < ms {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, nil
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
