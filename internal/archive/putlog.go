package archive

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"farol/internal/record"
)

// PutEntry is one line of the put log: a file of the kopia repository that
// was written or deleted. A sender ships entries in order; every prefix of
// the log is a valid repository.
type PutEntry struct {
	Pos     int64 // position after this entry; hand it back to continue
	Name    string
	Size    int64 // bytes
	SHA256  record.Hash
	Time    time.Time
	Deleted bool // the appliance removed it; the off-site node decides for itself

	intent bool // about to be put; not shown to senders
}

type putInfo struct {
	size int64
	sum  record.Hash
	time time.Time
}

// putLog is an append-only text file: "+ name size sha256 unixms" and "-
// name unixms", one a line. The few files that kopia overwrites have a line
// "~ name size sha256 unixms" before, so that a crash between the file and its
// line is told from damage. It is flushed to disk with every index blob, so
// it is never behind what an index names; blobs it does not name after a
// power cut are added again at the next open.
type putLog struct {
	mu   sync.Mutex
	f    *os.File
	size int64
	told int64 // end of the last line that is no intent

	fault func(op string) error // never nil after openPutLog
	live  map[string]putInfo
	next  map[string][]record.Hash // announced since the last line; the file may be any of them
}

func openPutLog(path string) (*putLog, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the put log: %w", err)
	}
	l := &putLog{f: f, fault: func(string) error { return nil }, live: map[string]putInfo{}, next: map[string][]record.Hash{}}
	err = scanPutLog(f, 0, func(e PutEntry) bool {
		l.note(e)
		l.size = e.Pos
		return true
	})
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("read the put log: %w", err)
	}
	// What follows the last whole line was never acknowledged.
	if err := f.Truncate(l.size); err != nil {
		f.Close()
		return nil, fmt.Errorf("cut the put log: %w", err)
	}
	return l, nil
}

// scanPutLog calls fn for each whole line from pos until fn returns false.
func scanPutLog(r io.ReaderAt, pos int64, fn func(PutEntry) bool) error {
	br := bufio.NewReaderSize(io.NewSectionReader(r, pos, 1<<62), 64<<10)
	for {
		line, err := br.ReadString('\n')
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		pos += int64(len(line))
		e, err := parsePut(line[:len(line)-1])
		if err != nil {
			return nil // a torn write; the blobs behind it are found by listing
		}
		e.Pos = pos
		if !fn(e) {
			return nil
		}
	}
}

func parsePut(line string) (e PutEntry, err error) {
	f := strings.Split(line, " ")
	bad := errors.New("not a put log line")
	switch {
	case len(f) == 5 && (f[0] == "+" || f[0] == "~"):
		e.intent = f[0] == "~"
		if e.Size, err = strconv.ParseInt(f[2], 10, 64); err != nil || e.Size < 0 {
			return e, bad
		}
		if err := e.SHA256.UnmarshalText([]byte(f[3])); err != nil {
			return e, bad
		}
	case len(f) == 3 && f[0] == "-":
		e.Deleted = true
	default:
		return e, bad
	}
	ms, err := strconv.ParseInt(f[len(f)-1], 10, 64)
	if err != nil {
		return e, bad
	}
	e.Name, e.Time = f[1], time.UnixMilli(ms).UTC()
	return e, nil
}

func (l *putLog) note(e PutEntry) {
	switch {
	case e.intent:
		l.next[e.Name] = append(l.next[e.Name], e.SHA256)
		return
	case e.Deleted:
		delete(l.live, e.Name)
	default:
		l.live[e.Name] = putInfo{e.Size, e.SHA256, e.Time}
	}
	delete(l.next, e.Name)
	l.told = e.Pos
}

// add appends e and sets its position. sync puts the log on disk.
func (l *putLog) add(e *PutEntry, sync bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	mark := "+"
	if e.intent {
		mark = "~"
	}
	line := fmt.Sprintf("%s %s %d %s %d\n", mark, e.Name, e.Size, e.SHA256, e.Time.UnixMilli())
	if e.Deleted {
		line = fmt.Sprintf("- %s %d\n", e.Name, e.Time.UnixMilli())
	}
	if err := l.fault("putlog.write"); err != nil {
		return fmt.Errorf("write the put log: %w", full(err))
	}
	if _, err := l.f.WriteAt([]byte(line), l.size); err != nil {
		return fmt.Errorf("write the put log: %w", full(err))
	}
	if err := l.fault("putlog.written"); err != nil {
		return fmt.Errorf("write the put log: %w", full(err))
	}
	if sync {
		if err := l.f.Sync(); err != nil {
			return fmt.Errorf("sync the put log: %w", full(err))
		}
		if err := l.fault("putlog.synced"); err != nil {
			return fmt.Errorf("sync the put log: %w", full(err))
		}
	}
	l.size += int64(len(line))
	e.Pos = l.size
	l.note(*e)
	return nil
}

// announced reports whether a file may have these bytes although its last line
// names others: the line that should follow the file could not be written.
func (l *putLog) announced(name string, sum record.Hash) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Contains(l.next[name], sum)
}

func (l *putLog) get(name string) (putInfo, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i, ok := l.live[name]
	return i, ok
}

// snapshot copies the names of all live blobs.
func (l *putLog) snapshot() map[string]putInfo {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := make(map[string]putInfo, len(l.live))
	for k, v := range l.live {
		m[k] = v
	}
	return m
}

func (l *putLog) end() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.size
}

// shown is the position behind the last line that a sender is shown.
func (l *putLog) shown() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.told
}

func (l *putLog) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.f.Sync(), l.f.Close())
}

// PutLog lists what was put into and deleted from the kopia repository after
// position from (0 for all), in order, up to the present.
func (a *Archive) PutLog(from int64) iter.Seq2[PutEntry, error] {
	return func(yield func(PutEntry, error) bool) {
		end := a.blobs.log.end()
		if from < 0 || from > end {
			yield(PutEntry{}, fmt.Errorf("read the put log at %d of %d: %w", from, end, ErrNotFound))
			return
		}
		err := scanPutLog(a.blobs.log.f, from, func(e PutEntry) bool {
			return e.Pos <= end && (e.intent || yield(e, nil))
		})
		if err != nil {
			yield(PutEntry{}, fmt.Errorf("read the put log: %w", err))
		}
	}
}
