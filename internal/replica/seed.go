package replica

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/mod/sumdb/note"

	"farol/internal/archive"
	"farol/internal/record"
)

// A seed is the first copy on a drive that is carried to the node, because the
// line would take weeks. It holds the repository's files as the node keeps them
// and a list of them that the audit log's key has signed.

// SeedDir is the folder that a seed makes on its drive.
const SeedDir = "farol-seed"

const (
	seedHead  = "head"  // signed note: the head in a line of JSON
	seedFiles = "files" // a line of JSON each
)

// SeedHead says what a seed is.
type SeedHead struct {
	Archive string      `json:"archive"`
	Epoch   uint32      `json:"epoch"`
	Time    time.Time   `json:"time"`
	Files   int64       `json:"files"`
	Bytes   int64       `json:"bytes"`
	Sum     record.Hash `json:"sha256"` // of the list of files
}

// seedFile is a line of the list.
type seedFile struct {
	Name string      `json:"name"` // as the node names it
	Size int64       `json:"size"`
	Sum  record.Hash `json:"sha256"`
}

// ErrSeed means that a seed is not this archive's, or not whole.
var ErrSeed = errors.New("the seed is not whole, or not of this archive")

// WriteSeed writes the repository of an archive onto a drive. What lies there of
// a seed that was cut off is written again. Nothing newer than its beginning is
// in it: the line brings the rest.
func WriteSeed(ctx context.Context, drive string, a *archive.Archive, signer note.Signer, now time.Time, progress func(done, total int64)) (h SeedHead, err error) {
	fail := func(err error) (SeedHead, error) { return h, fmt.Errorf("write the seed: %w", full(err)) }
	dir := filepath.Join(drive, SeedDir)
	if err := os.RemoveAll(filepath.Join(dir, seedHead)); err != nil { // it is whole when its head is there
		return fail(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "blobs"), 0o700); err != nil {
		return fail(err)
	}
	live := map[string]bool{}
	var order []string
	var total int64
	for e, err := range a.PutLog(0) {
		if err != nil {
			return fail(err)
		}
		switch {
		case e.Deleted:
			delete(live, e.Name)
		case !live[e.Name]:
			live[e.Name] = true
			order = append(order, e.Name)
			total += e.Size
		}
	}
	h = SeedHead{Archive: a.ID(), Epoch: a.Epoch(), Time: now.UTC()}
	list, err := os.Create(filepath.Join(dir, seedFiles))
	if err != nil {
		return fail(err)
	}
	defer list.Close()
	sum := sha256.New()
	enc := json.NewEncoder(io.MultiWriter(list, sum))
	for _, name := range order {
		if !live[name] {
			continue
		}
		if err := ctx.Err(); err != nil {
			return fail(err)
		}
		delete(live, name) // once, also when it was deleted and put again
		b, err := a.ReadBlobFile(name)
		if errors.Is(err, archive.ErrNotFound) {
			continue // compacted away meanwhile: the line says so
		} else if err != nil {
			return fail(err)
		}
		f := seedFile{flat(name), int64(len(b)), record.HashOf(b)}
		path := filepath.Join(dir, "blobs", f.Name)
		if err := replaceFile(path, b); err != nil {
			return fail(err)
		}
		if got, err := fileHash(path); err != nil || got != f.Sum {
			return fail(errors.Join(err, fmt.Errorf("%s: %w", name, ErrDamaged)))
		}
		if err := enc.Encode(f); err != nil {
			return fail(err)
		}
		h.Files, h.Bytes = h.Files+1, h.Bytes+f.Size
		if progress != nil {
			progress(h.Bytes, total)
		}
	}
	h.Sum = record.Hash(sum.Sum(nil))
	if err := list.Sync(); err != nil {
		return fail(err)
	}
	head, err := json.Marshal(h)
	if err != nil {
		return fail(err)
	}
	signed, err := note.Sign(&note.Note{Text: string(head) + "\n"}, signer)
	if err != nil {
		return fail(err)
	}
	if err := replaceFile(filepath.Join(dir, seedHead), signed); err != nil {
		return fail(err)
	}
	return h, nil
}

// SeedReport tells what a node took from a seed.
type SeedReport struct {
	SeedHead
	Taken int64    `json:"taken"` // files that the node did not hold
	Held  int64    `json:"held"`
	Bad   []string `json:"bad"` // files that were missing or differed: the line brings them
}

// TakeSeed takes the files of a seed into the vault of its archive, which must be
// enrolled: the list's signature is checked with the log's key, each file with
// the list. The node must not be serving.
func (n *Node) TakeSeed(ctx context.Context, drive string, progress func(done, total int64)) (r SeedReport, err error) {
	fail := func(err error) (SeedReport, error) { return r, fmt.Errorf("take the seed: %w", err) }
	dir := filepath.Join(drive, SeedDir)
	signed, err := os.ReadFile(filepath.Join(dir, seedHead))
	if errors.Is(err, os.ErrNotExist) {
		return fail(fmt.Errorf("%s has no head, so it was not finished: %w", dir, ErrSeed))
	} else if err != nil {
		return fail(err)
	}
	if r.SeedHead, err = parseSeedHead(signed); err != nil {
		return fail(err)
	}
	n.mu.Lock()
	v := n.vaults[r.Archive]
	n.mu.Unlock()
	if v == nil {
		return fail(fmt.Errorf("its archive is not enrolled here: %w", ErrUnknown))
	}
	key, err := note.NewVerifier(v.about.LogKey)
	if err != nil {
		return fail(err)
	}
	if _, err := note.Open(signed, note.VerifierList(key)); err != nil {
		return fail(fmt.Errorf("its head is not signed by the archive's log: %w", ErrSeed))
	}
	path := filepath.Join(dir, seedFiles)
	if sum, err := fileHash(path); err != nil || sum != r.Sum {
		return fail(errors.Join(err, fmt.Errorf("its list differs from its head: %w", ErrSeed)))
	}
	list, err := os.Open(path)
	if err != nil {
		return fail(err)
	}
	defer list.Close()
	var done int64
	sc := bufio.NewScanner(list)
	for sc.Scan() {
		if err := ctx.Err(); err != nil {
			return fail(err)
		}
		f, err := parseSeedFile(sc.Bytes())
		if err != nil {
			return fail(err)
		}
		switch err := v.takeSeedFile(filepath.Join(dir, "blobs", f.Name), f, r.Epoch); {
		case err == nil:
			r.Taken++
		case errors.Is(err, errHeld):
			r.Held++
		case errors.Is(err, ErrNodeFull), errors.Is(err, ErrQuota), errors.Is(err, ErrSuperseded), errors.Is(err, ErrTakingOver):
			return fail(err)
		default:
			n.log.WarnContext(ctx, "a file of the seed is not taken", "name", f.Name, "err", err)
			r.Bad = append(r.Bad, f.Name)
		}
		if done += f.Size; progress != nil {
			progress(done, r.Bytes)
		}
	}
	if err := sc.Err(); err != nil {
		return fail(err)
	}
	return r, nil
}

// parseSeedHead reads the first line; who signed it is another question.
func parseSeedHead(signed []byte) (h SeedHead, err error) {
	first, _, _ := bytes.Cut(signed, []byte("\n"))
	if err := json.Unmarshal(first, &h); err != nil || h.Files < 0 || h.Bytes < 0 {
		return SeedHead{}, fmt.Errorf("its head cannot be read: %w", ErrSeed)
	}
	return h, nil
}

// parseSeedFile reads a line of the list, whose name becomes a path.
func parseSeedFile(line []byte) (f seedFile, err error) {
	if err := json.Unmarshal(line, &f); err != nil || !isBlob(f.Name) || f.Size < 0 {
		return seedFile{}, fmt.Errorf("a line of its list cannot be read: %w", ErrSeed)
	}
	return f, nil
}

var errHeld = errors.New("it is held already")

func (v *vault) takeSeedFile(path string, f seedFile, epoch uint32) error {
	if info, err := os.Stat(filepath.Join(v.dir, "blobs", f.Name)); err == nil && (mutable(f.Name) || info.Size() == f.Size) {
		return errHeld // of what kopia overwrites, the line may have brought a newer one
	}
	from, err := os.Open(path)
	if err != nil {
		return err
	}
	defer from.Close()
	return v.putBlob(f.Name, f.Sum, from, epoch, putAt{})
}
