package audit

import (
	"archive/zip"
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// PackageFormat is the only value of format in a package's manifest so far.
const PackageFormat = "farol-audit-package/1"

// ErrEmptyPeriod means that a package would hold nothing.
var ErrEmptyPeriod = errors.New("the audit log has no entry in this period")

// Package says what one package for a regulator holds.
type Package struct {
	Format  string            `json:"format"`
	Made    time.Time         `json:"made_utc"`
	From    time.Time         `json:"from_utc"`
	To      time.Time         `json:"to_utc"` // not included
	First   int64             `json:"first"`  // number of the first entry
	End     int64             `json:"end"`    // number after the last one
	Expired int64             `json:"expired"`
	Size    int64             `json:"log_size"`
	Origin  string            `json:"log"`
	Files   map[string]string `json:"files"` // SHA-256, hexadecimal
}

// packed are the files of every package that are the same each time.
var packed = map[string]string{"verifier/main.go": "main.go", "verifier/go.mod": "go.mod.txt", "verifier/go.sum": "go.sum.txt",
	"README.zh-Hant.md": "README.zh-Hant.md", "README.pt.md": "README.pt.md", "README.en.md": "README.en.md"}

// WritePackage writes the entries of a period as a zip that an outsider checks
// alone: entries with salt and way to the root, the signed checkpoint, the first
// checkpoint of the period with the proof that the log grew from it unchanged,
// what each witness signed, and the program that checks. Entries
// are read one by one: a period of any length takes the same
// memory. It returns [ErrEmptyPeriod].
func (l *Log) WritePackage(ctx context.Context, w io.Writer, from, to time.Time) (*Package, error) {
	first, end, err := l.Between(from, to)
	if err != nil {
		return nil, err
	}
	l.mu.RLock()
	signed, tree, now := l.signed, l.tree, l.now().UTC()
	l.mu.RUnlock()
	end = min(end, tree.N)
	if first >= end {
		return nil, ErrEmptyPeriod
	}
	p := &Package{Format: PackageFormat, Made: now, From: from.UTC(), To: to.UTC(), First: first, End: end, Size: tree.N, Origin: l.signer.Name(), Files: map[string]string{}}
	z := &packer{zip: zip.NewWriter(w), made: now, p: p}
	err = z.file("entries.ndjson", func(w io.Writer) error { return l.writeEntries(ctx, w, p) })
	if err != nil {
		return nil, err
	}
	if err := errors.Join(z.text("checkpoint", signed), z.text("log-key.txt", []byte(l.key+"\n")), l.grewFrom(z, tree, first+1, nil, "checkpoint.first", "consistency.json")); err != nil {
		return nil, err
	}
	if err := l.packCosigned(z, tree); err != nil {
		return nil, err
	}
	for name, src := range packed {
		b, err := fs.ReadFile(Outside, "outside/"+src)
		if err != nil {
			return nil, fmt.Errorf("pack %s: %w", name, err)
		}
		if err := z.text(name, b); err != nil {
			return nil, err
		}
	}
	b, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the manifest: %w", err)
	}
	if err := z.text("manifest.json", b); err != nil {
		return nil, err
	}
	if err := z.zip.Close(); err != nil {
		return nil, fmt.Errorf("write the package: %w", err)
	}
	return p, nil
}

// packer writes files into the zip and notes their hashes.
type packer struct {
	zip  *zip.Writer
	made time.Time
	p    *Package
}

func (z *packer) file(name string, write func(io.Writer) error) error {
	f, err := z.zip.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: z.made})
	if err != nil {
		return fmt.Errorf("pack %s: %w", name, err)
	}
	h := sha256.New()
	buf := bufio.NewWriterSize(io.MultiWriter(f, h), 1<<16)
	if err := errors.Join(write(buf), buf.Flush()); err != nil {
		return fmt.Errorf("pack %s: %w", name, err)
	}
	z.p.Files[name] = hex.EncodeToString(h.Sum(nil))
	return nil
}

func (z *packer) text(name string, b []byte) error {
	return z.file(name, func(w io.Writer) error { _, err := w.Write(b); return err })
}

// writeEntries writes one proof a line. All lead to the checkpoint of p.Size,
// which stands in a file of its own.
func (l *Log) writeEntries(ctx context.Context, w io.Writer, p *Package) error {
	enc := json.NewEncoder(w)
	for seq := p.First; seq < p.End; seq++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		l.mu.RLock()
		one, err := l.prove(seq, p.Size)
		l.mu.RUnlock()
		if err != nil {
			return err
		}
		one.Checkpoint = ""
		if one.Expired != nil {
			p.Expired++
		}
		if err := enc.Encode(one); err != nil {
			return err
		}
	}
	return nil
}

// grewFrom packs the checkpoint of an earlier size under a name, and the proof that
// the tree extends it under another. Without signed it is the one of that size.
func (l *Log) grewFrom(z *packer, tree tlog.Tree, size int64, signed []byte, name, proofName string) error {
	l.mu.RLock()
	path, err := tlog.ProveTree(tree.N, size, l)
	if err == nil && signed == nil {
		signed, err = l.checkpointAt(size)
	}
	l.mu.RUnlock()
	if err != nil {
		return fmt.Errorf("prove the log since entry %d: %w", size, err)
	}
	b, err := json.Marshal(hashTexts(path))
	if err != nil {
		return err
	}
	return errors.Join(z.text(name, signed), z.text(proofName, b))
}

// CheckpointAt is the checkpoint of an earlier size, as it was signed then. It
// returns [ErrNotFound] beyond the log.
func (l *Log) CheckpointAt(size int64) ([]byte, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if size < 1 || size > l.tree.N {
		return nil, fmt.Errorf("the checkpoint of %d entries: %w", size, ErrNotFound)
	}
	return l.checkpointAt(size)
}

// checkpointAt signs an earlier size. The signature is a function of the text,
// so these are the bytes that were signed then. The caller holds the lock.
func (l *Log) checkpointAt(size int64) ([]byte, error) {
	h, err := tlog.TreeHash(size, l)
	if err != nil {
		return nil, err
	}
	return note.Sign(&note.Note{Text: checkpointText(l.signer.Name(), tlog.Tree{N: size, Hash: h})}, l.signer)
}
