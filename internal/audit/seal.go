package audit

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// complete fills in what the log itself knows. Times never go backwards: a
// clock that jumped is shown by the entry's own skew field.
func (l *Log) complete(ev Event, seq int64) Entry {
	t := l.now().UTC().Truncate(time.Millisecond)
	e := Entry{Event: ev, Seq: seq, Time: t}
	if t.Before(l.last) {
		e.Skew = l.last.Sub(t).Milliseconds()
		e.Time = l.last
	}
	l.last = e.Time
	if text, ok := strings.CutPrefix(e.Object, "query/"); ok {
		// A plain hash of a name that was searched for can be found by trying
		// names; with the key it cannot, and the same search still looks the same.
		e.Object = "query/" + hex.EncodeToString(l.lookup.mac("query", text)[:8])
	}
	op := Operations[ev.Operation]
	e.Laws, e.ISO, e.Personal, e.LogClass, e.Severity = op.Laws, op.ISO, op.Personal, op.Policy.Class, op.Policy.Severity
	if op.ID == "" {
		e.Severity, e.LogClass, e.Laws = "warn", unmappedClass, []string{Unmapped}
	}
	return e
}

func (l *Log) seal(e Entry) (leaf, sealed []byte, err error) {
	text, err := json.Marshal(e)
	if err != nil {
		return nil, nil, fmt.Errorf("encode audit entry: %w", err)
	}
	salt := make([]byte, saltSize)
	if _, err := rand.Read(salt); err != nil {
		return nil, nil, fmt.Errorf("salt audit entry: %w", err)
	}
	plain := append(salt, text...)
	sum := sha256.Sum256(plain)
	return sum[:], l.box.Seal(plain, entryAAD(e.Seq)), nil
}

const saltSize = 16

func entryAAD(seq int64) []byte { return fmt.Appendf(nil, "farol audit entry %d", seq) }

// opened is one entry as it lies on disk: its content, or that it is gone.
type opened struct {
	leaf  []byte
	plain []byte // salt and JSON; nil when gone
	gone  *Expiry
}

func (l *Log) open(seq int64, sealed []byte) (opened, error) {
	if bytes.HasPrefix(sealed, []byte(tombMark)) {
		return l.openTomb(seq, sealed)
	}
	plain, err := l.box.Open(sealed, entryAAD(seq))
	if err != nil {
		return opened{}, fmt.Errorf("%w: open audit entry %d: %w", ErrTampered, seq, err)
	}
	if len(plain) < saltSize {
		return opened{}, fmt.Errorf("%w: audit entry %d is short", ErrTampered, seq)
	}
	sum := sha256.Sum256(plain)
	return opened{leaf: sum[:], plain: plain}, nil
}
