package archive

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zstd"

	"farol/internal/record"
)

// Moves are the addresses one fold changed.
type Moves struct {
	Fold  uint64 // number of the fold
	After uint64 // it moved records of the commits After+1 … Upto and of tail segments
	Upto  uint64

	path string
}

// Move is one record's change of address.
type Move struct{ From, To record.Loc }

// moveLine is a move with what verification needs.
type moveLine struct {
	Move
	sum  uint32 // CRC-32C of the record's line
	blob string // in place of a move: a small blob that went into the repository
	sha  record.Hash
}

// All lists the moves, grouped by the segment they went to.
func (m Moves) All() iter.Seq2[Move, error] {
	return func(yield func(Move, error) bool) {
		err := m.each(func(l moveLine) error {
			if l.blob == "" && !yield(l.Move, nil) {
				return errStop
			}
			return nil
		})
		if err != nil && err != errStop {
			yield(Move{}, err)
		}
	}
}

// each reads the moves file: one line a record, compressed. It holds
// addresses only.
func (m Moves) each(fn func(moveLine) error) error {
	f, err := os.Open(m.path)
	if err != nil {
		return fmt.Errorf("read the moves of fold %d: %w", m.Fold, err)
	}
	defer f.Close()
	z, err := zstd.NewReader(f, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
	if err != nil {
		return err
	}
	defer z.Close()
	br := bufio.NewReader(z)
	if _, err := br.ReadString('\n'); err != nil { // the head
		return fmt.Errorf("read the moves of fold %d: %w", m.Fold, ErrCorrupt)
	}
	for {
		line, err := br.ReadString('\n')
		if err == io.EOF && line == "" {
			return fmt.Errorf("read the moves of fold %d: they end early: %w", m.Fold, ErrCorrupt)
		}
		if err != nil {
			return fmt.Errorf("read the moves of fold %d: %w", m.Fold, err)
		}
		if line == "end\n" {
			return nil
		}
		l, ok := parseMove(strings.TrimSuffix(line, "\n"))
		if !ok {
			return fmt.Errorf("read the moves of fold %d: %w", m.Fold, ErrCorrupt)
		}
		if err := fn(l); err != nil {
			return err
		}
	}
}

func parseMove(line string) (l moveLine, ok bool) {
	f := strings.Split(line, "\t")
	if len(f) == 3 && f[0] == "b" {
		l.blob = f[1]
		return l, l.sha.UnmarshalText([]byte(f[2])) == nil
	}
	if len(f) != 6 {
		return l, false
	}
	var n [4]int64
	for i, s := range []string{f[1], f[3], f[4], f[5]} {
		v, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return l, false
		}
		n[i] = v
	}
	l.From = record.Loc{Seg: f[0], Off: n[0], Len: n[2]}
	l.To = record.Loc{Seg: f[2], Off: n[1], Len: n[2]}
	l.sum = uint32(n[3])
	return l, true
}

// moveWriter writes a moves file. It is on disk before the snapshot that
// needs it, and without that snapshot it means nothing.
type moveWriter struct {
	f *os.File
	z *zstd.Encoder
	w *bufio.Writer

	fault func(op string) error
}

func newMoveWriter(m Moves, fault func(op string) error) (*moveWriter, error) {
	if err := fault("moves.create"); err != nil {
		return nil, fmt.Errorf("write the moves of fold %d: %w", m.Fold, err)
	}
	f, err := os.OpenFile(m.path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("write the moves of fold %d: %w", m.Fold, err)
	}
	z, err := zstd.NewWriter(f, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true))
	if err != nil {
		f.Close()
		return nil, err
	}
	mw := &moveWriter{f: f, z: z, w: bufio.NewWriter(z), fault: fault}
	head, _ := json.Marshal(m)
	_, err = mw.w.Write(append(head, '\n'))
	return mw, err
}

func (w *moveWriter) record(from, to record.Loc, line []byte) error {
	_, err := fmt.Fprintf(w.w, "%s\t%d\t%s\t%d\t%d\t%d\n", from.Seg, from.Off, to.Seg, to.Off, to.Len, crc32.Checksum(line, castagnoli))
	return err
}

func (w *moveWriter) blob(id string, sha record.Hash) error {
	_, err := fmt.Fprintf(w.w, "b\t%s\t%s\n", id, sha)
	return err
}

// finish puts the file on disk.
func (w *moveWriter) finish() error {
	_, err := w.w.WriteString("end\n")
	err = errors.Join(err, w.fault("moves.write"), w.w.Flush(), w.z.Close())
	if err == nil {
		err = w.f.Sync()
	}
	if err == nil {
		err = w.fault("moves.synced")
	}
	if err = errors.Join(err, w.f.Close()); err != nil {
		return err
	}
	return syncDir(filepath.Dir(w.f.Name()))
}

func (w *moveWriter) abort() {
	_ = w.z.Close()
	_ = w.f.Close()
	_ = os.Remove(w.f.Name())
}

func (a *Archive) movesPath(fold uint64) string {
	return filepath.Join(a.dir, movesDir, fmt.Sprintf("%012d.moves", fold))
}

// sweepMoves lists the moves that wait for the catalog and drops those of a
// fold that never got its snapshot. A fold that was cut short between
// snapshot and verification is verified here.
func (a *Archive) sweepMoves(ctx context.Context) error {
	des, err := os.ReadDir(filepath.Join(a.dir, movesDir))
	if err != nil {
		return err
	}
	for _, de := range des {
		path := filepath.Join(a.dir, movesDir, de.Name())
		m, err := readMovesHead(path)
		if err != nil || !slices.Contains(a.pointer.Pending, m.Fold) {
			if err := os.Remove(path); err != nil {
				return err
			}
			continue
		}
		a.moves = append(a.moves, m)
	}
	slices.SortFunc(a.moves, func(x, y Moves) int { return int(int64(x.Fold) - int64(y.Fold)) })
	if n := len(a.moves); n > 0 && a.moves[n-1].Fold == a.pointer.Fold {
		if err := a.verifyMoves(ctx, a.moves[n-1]); err != nil {
			a.addDamage(Damage{What: "fold that does not read back", Where: a.point.ID, Hits: err.Error()})
		}
	}
	return nil
}

func readMovesHead(path string) (m Moves, err error) {
	f, err := os.Open(path)
	if err != nil {
		return m, err
	}
	defer f.Close()
	z, err := zstd.NewReader(f, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
	if err != nil {
		return m, err
	}
	defer z.Close()
	line, err := bufio.NewReader(z).ReadBytes('\n')
	if err != nil {
		return m, err
	}
	err = json.Unmarshal(line, &m)
	m.path = path
	return m, err
}

// SetRelocate names the catalog's transaction that takes moved addresses.
// Before the first call no journal file goes; [Archive.Relocate] and each fold
// call fn for every fold it has not taken, oldest first. fn may see the same
// moves again after a crash: a record that is not at From is passed over.
func (a *Archive) SetRelocate(fn func(context.Context, Moves) error) {
	a.mu.Lock()
	a.relocate = fn
	a.mu.Unlock()
}

// Applied says that the catalog holds every commit up to seq. Once it was
// called, a fold leaves later commits alone: their rows would come into the
// catalog after the relocation that concerns them.
func (a *Archive) Applied(seq uint64) {
	a.mu.Lock()
	a.applied, a.appliedN = max(a.applied, seq), true
	a.mu.Unlock()
}

// Relocate hands over what earlier folds moved. Call it once at start, after
// Replay. Without SetRelocate it does nothing.
func (a *Archive) Relocate(ctx context.Context) error {
	a.foldMu.Lock()
	defer a.foldMu.Unlock()
	return a.relocateLocked(ctx)
}

func (a *Archive) relocateLocked(ctx context.Context) error {
	for {
		a.mu.Lock()
		fn := a.relocate
		var m Moves
		n := len(a.moves)
		if n > 0 {
			m = a.moves[0]
		}
		a.mu.Unlock()
		if fn == nil || n == 0 {
			return nil
		}
		if err := fn(ctx, m); err != nil {
			return fmt.Errorf("relocate after fold %d: %w", m.Fold, err)
		}
		if err := a.opt.Fault("fold.relocated"); err != nil {
			return err
		}
		a.mu.Lock()
		a.moves = a.moves[1:]
		a.mu.Unlock()
		if err := a.opt.Fault("moves.remove"); err != nil {
			return fmt.Errorf("relocate after fold %d: %w", m.Fold, err)
		}
		if err := os.Remove(m.path); err != nil {
			return fmt.Errorf("relocate after fold %d: %w", m.Fold, err)
		}
	}
}

// verifyMoves reads back from disk everything a fold wrote.
func (a *Archive) verifyMoves(ctx context.Context, m Moves) error {
	var seg string
	var plain []byte
	return m.each(func(l moveLine) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if l.blob != "" {
			b, err := a.readObject(ctx, l.blob)
			if err != nil {
				return err
			}
			if record.HashOf(b) != l.sha {
				return fmt.Errorf("blob %s differs from its hash: %w", l.blob, ErrCorrupt)
			}
			return nil
		}
		if l.To.Seg != seg {
			b, err := a.readObject(ctx, l.To.Seg)
			if err != nil {
				return err
			}
			seg, plain = l.To.Seg, b
		}
		if l.To.Off+l.To.Len > int64(len(plain)) || crc32.Checksum(plain[l.To.Off:l.To.Off+l.To.Len], castagnoli) != l.sum {
			return fmt.Errorf("segment %s at %d: %w", seg, l.To.Off, ErrCorrupt)
		}
		return nil
	})
}
