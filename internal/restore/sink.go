package restore

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// Folder is a Sink on disk. The folder must be new: nothing is overwritten.
type Folder struct{ root *os.Root }

// NewFolder makes the folder dir, which must not exist.
func NewFolder(dir string) (*Folder, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the export folder: %w", err)
	}
	r, err := os.OpenRoot(dir) // no name can lead out of it
	if err != nil {
		return nil, fmt.Errorf("open the export folder: %w", err)
	}
	return &Folder{r}, nil
}

// Create implements Sink.
func (f *Folder) Create(name string, modified time.Time) (io.WriteCloser, error) {
	name = filepath.FromSlash(name)
	if err := f.root.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return nil, err
	}
	w, err := f.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	return &folderFile{w, f.root, name, modified}, nil
}

// Close ends the use of the folder.
func (f *Folder) Close() error { return f.root.Close() }

type folderFile struct {
	*os.File
	root *os.Root
	name string
	at   time.Time
}

func (f *folderFile) Close() error {
	return errors.Join(f.File.Close(), f.root.Chtimes(f.name, f.at, f.at))
}

// Zip is a Sink into a zip stream; Close writes its directory. A zip takes one
// file at a time, so a file that is created while another is open waits in
// memory or, past a size, in a temporary file under a key that is never
// written down: no plaintext reaches the disk.
type Zip struct{ zw *zip.Writer }

// NewZip writes a zip to w.
func NewZip(w io.Writer) *Zip { return &Zip{zw: zip.NewWriter(w)} }

// Create implements Sink. The file enters the zip when it is closed.
func (z *Zip) Create(name string, modified time.Time) (io.WriteCloser, error) {
	return &zipFile{z: z, name: name, at: modified}, nil
}

// Close ends the zip.
func (z *Zip) Close() error { return z.zw.Close() }

// spool is how many bytes of a waiting file stay in memory.
const spool = 4 << 20

type zipFile struct {
	z    *Zip
	name string
	at   time.Time
	mem  bytes.Buffer
	w    *zipSpool
}

func (f *zipFile) Write(b []byte) (int, error) {
	if f.w == nil && f.mem.Len()+len(b) <= spool {
		return f.mem.Write(b)
	}
	if f.w == nil {
		w, err := newZipSpool()
		if err != nil {
			return 0, err
		}
		f.w = w
		if _, err := w.Write(f.mem.Bytes()); err != nil {
			return 0, err
		}
		f.mem = bytes.Buffer{}
	}
	return f.w.Write(b)
}

func (f *zipFile) Close() error {
	w, err := f.z.zw.CreateHeader(&zip.FileHeader{Name: f.name, Method: zip.Deflate, Modified: f.at})
	if err != nil {
		return errors.Join(err, f.w.Close())
	}
	if f.w == nil {
		_, err = f.mem.WriteTo(w)
		return err
	}
	err = f.w.copyTo(w)
	return errors.Join(err, f.w.Close())
}
