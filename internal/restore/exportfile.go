package restore

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"farol/internal/record"
)

// file is one file of the export; its hash is taken while it is written.
type file struct {
	*bufio.Writer
	w    io.WriteCloser
	sum  io.Writer
	hash func() record.Hash
	name string
	n    int64
}

func (x *exporter) create(name string, at time.Time) (*file, error) {
	w, err := x.sink.Create(name, at)
	if err != nil {
		return nil, fmt.Errorf("create a file of the export: %w", err)
	}
	h := sha256.New()
	f := &file{w: w, sum: h, name: name, hash: func() (out record.Hash) { h.Sum(out[:0]); return out }}
	f.Writer = bufio.NewWriterSize(io.MultiWriter(w, h, (*counter)(&f.n)), 64<<10)
	return f, nil
}

type counter int64

func (c *counter) Write(b []byte) (int, error) { *c += counter(len(b)); return len(b), nil }

func (x *exporter) close(f *file) error {
	if err := errors.Join(f.Flush(), f.w.Close()); err != nil {
		return fmt.Errorf("write a file of the export: %w", err)
	}
	h := f.hash()
	fmt.Fprintf(&x.manifest, "%s  %s\n", hex.EncodeToString(h[:]), f.name)
	x.sum.Files++
	x.sum.Bytes += f.n
	return nil
}

func (x *exporter) copy(name string, at time.Time, rd io.ReadCloser, b record.Blob) error {
	defer rd.Close()
	f, err := x.create(name, at)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, rd); err != nil {
		return errors.Join(fmt.Errorf("copy an attachment: %w", err), f.w.Close())
	}
	if err := x.close(f); err != nil {
		return err
	}
	if f.hash() != b.SHA256 {
		return fmt.Errorf("an attachment does not have the hash taken at capture: %w", ErrDamaged)
	}
	return nil
}

func (x *exporter) text(name, s string) error {
	if s == "" {
		return nil
	}
	f, err := x.create(name, x.began)
	if err != nil {
		return err
	}
	if _, err := f.WriteString(s); err != nil {
		return err
	}
	return x.close(f)
}
