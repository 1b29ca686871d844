package main

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/errgroup"
)

// limit hashes, compresses, seals and writes the files below Src as fast as
// this machine can with the same primitives: no tree, no index, no splitting,
// one worker a core, packs of 20 MiB, each put on disk.
func limit(_ context.Context, j job) (any, error) {
	paths, err := listFiles(j.Src)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(j.Dir, 0o700); err != nil {
		return nil, err
	}
	var next, packs atomic.Int64
	var g errgroup.Group
	for range runtime.GOMAXPROCS(0) {
		g.Go(func() error {
			w, err := newLimitWriter(j.Dir, &packs)
			if err != nil {
				return err
			}
			var buf []byte
			for {
				i := int(next.Add(1)) - 1
				if i >= len(paths) {
					return w.flush()
				}
				if buf, err = readInto(buf, paths[i]); err != nil {
					return err
				}
				if err := w.add(buf); err != nil {
					return err
				}
			}
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	d, err := os.Open(j.Dir)
	if err != nil {
		return nil, err
	}
	return nil, errors.Join(d.Sync(), d.Close())
}

func readInto(buf []byte, path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return buf, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return buf, err
	}
	if n := int(info.Size()); cap(buf) < n {
		buf = make([]byte, n)
	} else {
		buf = buf[:n]
	}
	for at := 0; at < len(buf); {
		n, err := f.Read(buf[at:])
		if err != nil {
			return buf, err
		}
		at += n
	}
	return buf, nil
}

type limitWriter struct {
	dir     string
	packs   *atomic.Int64
	enc     *zstd.Encoder
	aead    cipher.AEAD
	z, pack []byte
	n       uint64
}

func newLimitWriter(dir string, packs *atomic.Int64) (*limitWriter, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(make([]byte, 32))
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	return &limitWriter{dir: dir, packs: packs, enc: enc, aead: aead, pack: make([]byte, 0, 21<<20)}, err
}

func (w *limitWriter) add(b []byte) error {
	sum := sha256.Sum256(b)
	w.z = w.enc.EncodeAll(b, w.z[:0])
	var nonce [12]byte
	w.n++
	binary.BigEndian.PutUint64(nonce[4:], w.n)
	w.pack = append(w.pack, sum[:]...)
	w.pack = w.aead.Seal(w.pack, nonce[:], w.z, sum[:])
	if len(w.pack) < 20<<20 {
		return nil
	}
	return w.flush()
}

func (w *limitWriter) flush() error {
	if len(w.pack) == 0 {
		return nil
	}
	f, err := os.Create(filepath.Join(w.dir, fmt.Sprintf("p%06d", w.packs.Add(1))))
	if err != nil {
		return err
	}
	_, err = f.Write(w.pack)
	w.pack = w.pack[:0]
	return errors.Join(err, f.Sync(), f.Close())
}
