package replica

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"farol/internal/audit"
)

// maxEntry bounds one sealed audit entry.
const maxEntry = 16 << 20

func (v *vault) countEntries() error {
	f, err := os.OpenFile(v.entriesPath(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("open vault: %w", err)
	}
	defer f.Close()
	var head [4]byte
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("open vault: %w", err)
	}
	for {
		if _, err := f.ReadAt(head[:], v.entEnd); err == io.EOF {
			break
		} else if err != nil { // a bad sector is no end: nothing may be cut off for it
			return fmt.Errorf("count the log's entries: %w", err)
		}
		n := int64(binary.BigEndian.Uint32(head[:]))
		if n == 0 || v.entEnd+4+n > info.Size() {
			break
		}
		v.entEnd += 4 + n
		v.entries++
		v.ended(v.entEnd)
	}
	return errors.Join(f.Truncate(v.entEnd), f.Sync())
}

func (v *vault) entriesPath() string { return filepath.Join(v.dir, "log", "entries.log") }

// renewLog keeps the log that is held as it is and begins another under a new
// key; the caller holds the lock and saves.
func (v *vault) renewLog(key string, now time.Time) error {
	log := filepath.Join(v.dir, "log")
	kept := log + ".kept-" + now.UTC().Format("20060102T150405.000000000")
	if err := v.arrive("k", filepath.Base(kept)); err != nil {
		return err
	}
	delete(v.came.noted, "l") // of the new one the first is noted
	delete(v.came.noted, "c")
	if err := os.Rename(log, kept); err != nil {
		return fmt.Errorf("keep the log before: %w", err)
	}
	if err := os.MkdirAll(log, 0o700); err != nil {
		return fmt.Errorf("begin another log: %w", err)
	}
	v.used -= v.entEnd // as after a restart: what is kept aside does not count
	v.about.LogKey, v.entries, v.entEnd, v.ends = key, 0, 0, nil
	delete(v.verified.Grown, logEntries)
	return errors.Join(syncDir(v.dir), v.saveVerified())
}

// appendEntries adds sealed audit entries from number from on.
func (v *vault) appendEntries(from int64, entries [][]byte) (int64, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if from > v.entries || from < 0 {
		return v.entries, fmt.Errorf("the log has %d entries, these begin at %d: %w", v.entries, from, ErrConflict)
	}
	skip := v.entries - from
	if err := v.sameEntries(from, entries[:min(skip, int64(len(entries)))]); errors.Is(err, ErrConflict) && v.about.Anew {
		return v.entries, v.beginAnew()
	} else if err != nil {
		return v.entries, err
	}
	if skip >= int64(len(entries)) {
		return v.entries, nil
	}
	var buf bytes.Buffer
	var ends []int64
	for _, e := range entries[skip:] {
		if len(e) == 0 || len(e) > maxEntry {
			// An empty one would be taken for the end at the next start, and what
			// follows it be cut off.
			return v.entries, fmt.Errorf("an entry of %d bytes: %w", len(e), ErrConflict)
		}
		binary.Write(&buf, binary.BigEndian, uint32(len(e)))
		buf.Write(e)
		ends = append(ends, v.entEnd+int64(buf.Len()))
	}
	if err := v.room(int64(buf.Len())); err != nil {
		return v.entries, err
	}
	if err := v.arriveOften("l", "", fmt.Sprint(v.entEnd), growthEvery); err != nil {
		return v.entries, err
	}
	if err := v.grow(v.entriesPath(), v.entEnd, buf.Bytes()); err != nil {
		return v.entries, err
	}
	v.entEnd += int64(buf.Len())
	v.used += int64(buf.Len())
	v.entries += int64(len(entries)) - skip
	v.ended(ends...)
	return v.entries, nil
}

// sameEntries compares entries that are held already with what is sent for them.
// They lie at the end: nothing older is ever sent again.
func (v *vault) sameEntries(from int64, entries [][]byte) error {
	if len(entries) == 0 {
		return nil
	}
	f, err := os.Open(v.entriesPath())
	if err != nil {
		return fmt.Errorf("compare entries: %w", err)
	}
	defer f.Close()
	first := v.entries - int64(len(v.ends))
	for i, e := range entries {
		at := from + int64(i) - first
		if at < 0 || at == 0 && first > 0 { // older than what is sent twice
			continue
		}
		var begin int64
		if at > 0 {
			begin = v.ends[at-1]
		}
		held := make([]byte, v.ends[at]-begin)
		if _, err := f.ReadAt(held, begin); err != nil {
			return fmt.Errorf("compare entries: %w", err)
		}
		if !bytes.Equal(held[4:], e) {
			return fmt.Errorf("entry %d is held with other bytes: %w", from+int64(i), ErrConflict)
		}
	}
	return nil
}

// manyEnds is how many entries back what is sent twice is compared.
const manyEnds = 4096

// ended notes where the entries that were added end.
func (v *vault) ended(ends ...int64) {
	v.ends = append(v.ends, ends...)
	if n := len(v.ends); n > 2*manyEnds {
		v.ends = slices.Clone(v.ends[n-manyEnds:])
	}
}

// cosign checks that a checkpoint extends the last one and signs it. It does
// nothing for who has gone meanwhile: they have sent a later one since, beside
// which this one would look like a log that was set back.
func (v *vault) cosign(ctx context.Context, checkpoint []byte, proof []tlog.Hash, signer note.Signer) ([]byte, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("cosign: %w", err)
	}
	key, err := note.NewVerifier(v.about.LogKey)
	if err != nil {
		return nil, fmt.Errorf("read the log's key: %w", err)
	}
	now, err := audit.OpenCheckpoint(checkpoint, key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRolledBack, err)
	}
	path := filepath.Join(v.dir, "log", "checkpoint")
	var was tlog.Tree
	if old, err := os.ReadFile(path); err == nil {
		if was, err = audit.OpenCheckpoint(old, key); err != nil {
			return nil, err
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if err := extends(was, now, proof); err != nil && v.about.Anew {
		return nil, v.beginAnew()
	} else if err != nil {
		return nil, err
	}
	if v.about.Anew && now.N > was.N { // it goes on where the one before ended, entries and all
		before := v.about
		v.about.Anew = false
		if err := v.saveOr(before); err != nil {
			return nil, full(err)
		}
	}
	n, err := note.Open(checkpoint, note.VerifierList(key))
	if err != nil {
		return nil, err
	}
	signed, err := note.Sign(n, signer)
	if err != nil {
		return nil, fmt.Errorf("cosign: %w", err)
	}
	if err := v.step("witness", path); err != nil {
		return nil, full(err)
	}
	if err := replaceFile(path, signed); err != nil {
		return signed, err
	}
	return signed, v.arriveOften("c", "", base64.StdEncoding.EncodeToString(signed), witnessedEvery)
}

// beginAnew keeps the log that is held aside, for an appliance that was recovered as of
// an earlier time, and returns [ErrLogAnew].
func (v *vault) beginAnew() error {
	if err := v.renewLog(v.about.LogKey, v.time()); err != nil {
		return full(err)
	}
	before := v.about
	v.about.Anew = false
	return errors.Join(ErrLogAnew, v.saveOr(before))
}

// extends returns [ErrRolledBack] unless a tree extends the one before.
func extends(was, now tlog.Tree, proof []tlog.Hash) error {
	if now.N < was.N || now.N == was.N && now.Hash != was.Hash {
		return ErrRolledBack
	}
	if now.N > was.N {
		if err := audit.VerifyConsistency(was, now, proof); err != nil {
			return fmt.Errorf("%w: %w", ErrRolledBack, err)
		}
	}
	return nil
}

// witnessed is the size of the checkpoint that a vault holds, 0 without one.
func witnessed(dir, logKey string) int64 {
	key, err := note.NewVerifier(logKey)
	if err != nil {
		return 0
	}
	b, err := os.ReadFile(filepath.Join(dir, "log", "checkpoint"))
	if err != nil {
		return 0
	}
	t, err := audit.OpenCheckpoint(b, key)
	if err != nil {
		return 0
	}
	return t.N
}
