package replica

import (
	"context"
	"crypto/sha256"
	"io"
	"os"
	"time"

	"farol/internal/record"
)

// throttle reads files no faster than rate.
type throttle struct {
	ctx   context.Context
	rate  int64
	began time.Time
	read  int64
}

func (t *throttle) hash(path string) (sum record.Hash, n int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return sum, 0, err
	}
	defer f.Close()
	h := sha256.New()
	buf := make([]byte, 1<<20)
	for {
		k, err := f.Read(buf)
		h.Write(buf[:k])
		n += int64(k)
		t.read += int64(k)
		if err == io.EOF {
			return record.Hash(h.Sum(nil)), n, nil
		} else if err != nil {
			return sum, n, err
		}
		if err := t.wait(); err != nil {
			return sum, n, err
		}
	}
}

// grown hashes the first n bytes of a file and reports whether it still begins as
// it did.
func (t *throttle) grown(path string, n int64, was grown) (same bool, sum record.Hash, err error) {
	f, err := os.Open(path)
	if err != nil {
		return false, sum, err
	}
	defer f.Close()
	h := sha256.New()
	same = was.Bytes == 0
	buf := make([]byte, 1<<20)
	for at := int64(0); at < n; {
		end := n
		if at < was.Bytes {
			end = min(n, was.Bytes)
		}
		k, err := io.ReadFull(f, buf[:min(int64(len(buf)), end-at)])
		if err != nil {
			return false, sum, err
		}
		h.Write(buf[:k])
		at += int64(k)
		t.read += int64(k)
		if at == was.Bytes {
			same = record.Hash(h.Sum(nil)) == was.Sum
		}
		if err := t.wait(); err != nil {
			return false, sum, err
		}
	}
	return same, record.Hash(h.Sum(nil)), nil
}

func (t *throttle) wait() error {
	if t.rate == 0 {
		return t.ctx.Err()
	}
	ahead := time.Duration(float64(t.read)/float64(t.rate)*float64(time.Second)) - time.Since(t.began)
	if ahead < 10*time.Millisecond {
		return t.ctx.Err()
	}
	select {
	case <-t.ctx.Done():
		return t.ctx.Err()
	case <-time.After(ahead):
		return nil
	}
}
