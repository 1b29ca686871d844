package audit

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// # How content expires
//
// The sealed bytes of an entry are overwritten where they lie by a tomb of the
// same length: offsets stay, hashes stay, and so does every proof. What is to go
// is first written to a list (expire.list), then the entry that says so is
// appended with the list's hash, then the bytes are overwritten, then the list
// goes. A start that finds a list looks for its entry: found, the overwriting is
// done again, which changes nothing that was done already; not found, nothing
// had been touched and the list is dropped.

// OperationExpire is the entry before content goes.
const OperationExpire = "audit.expire"

const (
	expireList = "expire.list"
	expireMany = 1000 // how many go at a time: writers wait meanwhile
)

// ErrClock means that time stood still or jumped: nobody knows the age of
// entries, and nothing expires.
var ErrClock = errors.New("the log was silent for weeks, or the clock jumped: nothing expires until some days have been lived through")

// silence is the longest ordinary time without an entry, settled how long the
// clock must have run since a longer one.
const (
	silence = 31 * 24 * time.Hour
	settled = 7 * 24 * time.Hour
)

// Rules are how long the content of each log class stays.
func Rules() (map[string]Period, error) {
	out := map[string]Period{}
	for id, c := range Classes {
		p, err := ParsePeriod(c.Default)
		if err != nil {
			return nil, fmt.Errorf("log class %s: %w", id, err)
		}
		out[id] = p
	}
	return out, nil
}

// expires reports whether a rule ever ends the entry. The root of a commit
// stays as long as the data: the proofs of its records stand on it, and it is
// about nobody. An expiry stays for the same reason.
func expires(e *Entry) bool {
	return e.Expired == nil && e.Operation != OperationCommit && e.Operation != OperationExpire
}

// Expire removes the content of entries that are older than the rule of their
// class, and returns how many went. It goes on where it ended, and may be
// stopped at any time. It returns [ErrClock] when the time cannot be believed.
func (l *Log) Expire(ctx context.Context, rules map[string]Period) (n int64, err error) {
	if err := l.clock(ctx); err != nil {
		return 0, err
	}
	l.mu.Lock()
	err = l.finishExpiry(ctx) // of a run that failed
	l.mu.Unlock()
	if err != nil {
		return 0, err
	}
	now := l.now().UTC()
	// Classes of the same length share a walk over the entries.
	for _, p := range lengths(rules) {
		classes := map[string]bool{}
		for c, q := range rules {
			classes[c] = q == p
		}
		gone, err := l.expireBefore(ctx, p, classes, p.Before(now), now)
		if n += gone; err != nil {
			return n, fmt.Errorf("expire audit entries of %s: %w", p, err)
		}
	}
	return n, nil
}

func lengths(rules map[string]Period) (out []Period) {
	seen := map[Period]bool{}
	for _, p := range rules {
		if !seen[p] {
			seen[p] = true
			out = append(out, p)
		}
	}
	return out
}

// clock refuses when the time since the last entries cannot be believed.
func (l *Log) clock(ctx context.Context) error {
	now := l.now()
	size := l.Size()
	if size == 0 {
		return nil
	}
	last, err := l.Entry(size - 1)
	if err != nil {
		return err
	}
	if last.Time.After(now.Add(time.Hour)) || now.Sub(last.Time) > silence {
		return ErrClock
	}
	first, _, err := l.Between(now.Add(-settled), now)
	if err != nil || first == 0 || first >= size {
		return err
	}
	before, err := l.Entry(first - 1)
	if err != nil {
		return err
	}
	after, err := l.Entry(first)
	if err != nil {
		return err
	}
	if after.Time.Sub(before.Time) > silence {
		return ErrClock
	}
	return ctx.Err()
}

// expireBefore walks the entries up to a time that were not walked yet.
func (l *Log) expireBefore(ctx context.Context, p Period, classes map[string]bool, limit, now time.Time) (n int64, err error) {
	mark := "expired." + p.String()
	at, err := l.lookup.mark(ctx, mark)
	if err != nil {
		return 0, err
	}
	_, end, err := l.Between(time.Time{}, limit)
	if err != nil {
		return 0, err
	}
	for at < end {
		var due []Entry
		for ; at < end && len(due) < expireMany; at++ {
			e, err := l.Entry(at)
			if err != nil {
				return n, err
			}
			class := e.LogClass
			if _, known := Classes[class]; !known {
				class = unmappedClass
			}
			if classes[class] && e.Time.Before(limit) && expires(&e) {
				due = append(due, e)
			}
		}
		if err := l.bury(ctx, due, p, now); err != nil {
			return n, err
		}
		n += int64(len(due))
		if err := l.lookup.setMark(ctx, mark, at); err != nil {
			return n, err
		}
		if err := ctx.Err(); err != nil {
			return n, err
		}
	}
	return n, nil
}

// bury removes the content of entries, with an entry before.
func (l *Log) bury(ctx context.Context, due []Entry, p Period, now time.Time) error {
	if len(due) == 0 {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.finishExpiry(ctx); err != nil { // of a run that failed
		return err
	}
	detail := map[string]string{"entries": strconv.Itoa(len(due)), "from": strconv.FormatInt(due[0].Seq, 10), "to": strconv.FormatInt(due[len(due)-1].Seq, 10),
		"size": strconv.FormatInt(l.tree.N, 10), "rule": p.String()}
	count := map[string]int{}
	list := expiryList{at: l.tree.N}
	for i := range due {
		b, err := l.burial(&due[i], now)
		if err != nil {
			return err
		}
		list.graves = append(list.graves, b)
		count[due[i].LogClass]++
	}
	for class, n := range count {
		if class != "" {
			detail[class] = strconv.Itoa(n)
		}
	}
	if err := l.step("list"); err != nil {
		return err
	}
	text := list.encode()
	if err := writeFile(filepath.Join(l.dir, expireList), text); err != nil {
		return fmt.Errorf("write the list of what expires: %w", err)
	}
	if err := l.step("entry"); err != nil {
		return err
	}
	sum := sha256.Sum256(text)
	if _, err := l.append(ctx, []Event{{Actor: "system", Operation: OperationExpire, Object: "audit", Hash: hex.EncodeToString(sum[:]), Outcome: "ok", Detail: detail}}); err != nil {
		return err
	}
	return l.finishExpiry(ctx)
}

// burial makes what takes an entry's place.
func (l *Log) burial(e *Entry, now time.Time) (g grave, err error) {
	sealed, err := l.read(e.Seq)
	if err != nil {
		return g, err
	}
	o, err := l.open(e.Seq, sealed)
	if err != nil {
		return g, err
	}
	g.seq = e.Seq
	if g.tomb, err = l.tomb(e.Seq, o.leaf, Expiry{Time: e.Time, Class: e.LogClass, At: now}, len(sealed)); err != nil {
		return g, err
	}
	for _, r := range e.Refs() {
		g.refs = append(g.refs, l.lookup.blind("object", r))
	}
	return g, nil
}

// finishExpiry does what a list says, if there is one, and drops it; the caller
// holds the lock.
func (l *Log) finishExpiry(ctx context.Context) error {
	graves, err := l.overwrite()
	if err != nil || graves == nil {
		return err
	}
	if err := l.step("forget"); err != nil {
		return err
	}
	if err := l.lookup.forget(ctx, graves); err != nil {
		return err
	}
	if err := l.step("drop"); err != nil {
		return err
	}
	return l.dropList()
}

func (l *Log) dropList() error {
	if err := os.Remove(filepath.Join(l.dir, expireList)); err != nil {
		return fmt.Errorf("drop the list of what expired: %w", err)
	}
	return syncDir(l.dir)
}

// overwrite puts the tombs of a list where the entries lie; doing it again
// changes nothing. A list whose entry is not in the log is dropped: nothing was
// touched yet.
func (l *Log) overwrite() ([]grave, error) {
	text, err := os.ReadFile(filepath.Join(l.dir, expireList))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("read the list of what expires: %w", err)
	}
	list, err := decodeExpiryList(text)
	if err != nil || !l.announced(list.at, text) {
		return nil, l.dropList()
	}
	for _, g := range list.graves {
		off, err := l.offsets.at(g.seq, l.end)
		if err != nil {
			return nil, err
		}
		if end, ok := entryEnd(l.entries, off, l.end); !ok || end-off-4 != int64(len(g.tomb)) {
			return nil, fmt.Errorf("%w: entry %d is not as long as it was", ErrTampered, g.seq)
		}
		if err := l.step("overwrite"); err != nil {
			return nil, err
		}
		if _, err := l.entries.WriteAt(g.tomb, off+4); err != nil {
			return nil, fmt.Errorf("expire audit entry %d: %w", g.seq, err)
		}
	}
	if err := l.entries.Sync(); err != nil {
		return nil, fmt.Errorf("expire audit entries: %w", err)
	}
	return list.graves, nil
}

// announced reports whether entry seq says that this list is carried out.
func (l *Log) announced(seq int64, list []byte) bool {
	if seq >= l.offsets.n {
		return false
	}
	_, e, err := l.entryAt(seq)
	sum := sha256.Sum256(list)
	return err == nil && e.Operation == OperationExpire && e.Hash == hex.EncodeToString(sum[:])
}

// step is where a test makes an expiry fail.
func (l *Log) step(name string) error {
	if l.fault == nil {
		return nil
	}
	return l.fault(name)
}

// grave is an entry that goes: what takes its place, and by what the lookup
// finds it.
type grave struct {
	seq  int64
	tomb []byte
	refs []int64
}

// expiryList is the content of expire.list, big endian: the number of the entry
// that announces it, then for each grave its number, the length of the tomb, the
// tomb, the number of references, the references.
type expiryList struct {
	at     int64
	graves []grave
}

func (x *expiryList) encode() []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(x.at))
	for _, g := range x.graves {
		b = binary.BigEndian.AppendUint64(b, uint64(g.seq))
		b = binary.BigEndian.AppendUint32(b, uint32(len(g.tomb)))
		b = append(b, g.tomb...)
		b = append(b, byte(len(g.refs)))
		for _, r := range g.refs {
			b = binary.BigEndian.AppendUint64(b, uint64(r))
		}
	}
	return b
}

var errList = errors.New("the list of what expires cannot be read")

func decodeExpiryList(b []byte) (x expiryList, err error) {
	take := func(n int) []byte {
		if n < 0 || n > len(b) {
			err = errList
			return make([]byte, 8)
		}
		part := b[:n]
		b = b[n:]
		return part
	}
	x.at = int64(binary.BigEndian.Uint64(take(8)))
	for len(b) > 0 && err == nil {
		g := grave{seq: int64(binary.BigEndian.Uint64(take(8)))}
		g.tomb = take(int(binary.BigEndian.Uint32(take(4))))
		if n := take(1)[0]; err == nil {
			for range n {
				g.refs = append(g.refs, int64(binary.BigEndian.Uint64(take(8))))
			}
		}
		if g.seq < 0 || g.seq >= x.at {
			err = errList
		}
		x.graves = append(x.graves, g)
	}
	if x.at < 0 {
		err = errList
	}
	return x, err
}
