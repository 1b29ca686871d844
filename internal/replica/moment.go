package replica

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"farol/internal/record"
)

// ErrNoTimes is that a node is too old to know when what it holds arrived.
var ErrNoTimes = errors.New("this node does not note when things arrive: update it; what it holds now can be had without a time")

// arrival is a line of the file.
type arrival struct {
	what string
	at   time.Time
	name string      // of a blob, a journal file or a folder
	size int64       // before; of what is cut, of what counts
	note []byte      // signed checkpoint
	sum  record.Hash // of a blob, zero where the line does not say
}

func eachArrival(r io.Reader, fn func(arrival)) error {
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 1<<16)
	for sc.Scan() {
		f := strings.Fields(sc.Text())
		if len(f) < 3 {
			continue // a later release may write what this one does not know
		}
		ms, err := strconv.ParseInt(f[1], 10, 64)
		if err != nil {
			continue
		}
		a := arrival{what: f[0], at: time.UnixMilli(ms)}
		switch {
		case f[0] == "b" && len(f) == 4:
			a.name = f[2]
			if a.sum.UnmarshalText([]byte(f[3])) != nil {
				a.sum = record.Hash{}
			}
		case f[0] == "h" && len(f) == 4:
			a.name = f[2]
			err = a.sum.UnmarshalText([]byte(f[3]))
		case f[0] == "b", f[0] == "k", f[0] == "x", f[0] == "y":
			a.name = f[2]
		case (f[0] == "j" || f[0] == "t") && len(f) == 4:
			a.name = f[2]
			a.size, err = strconv.ParseInt(f[3], 10, 64)
		case f[0] == "l":
			a.size, err = strconv.ParseInt(f[2], 10, 64)
		case f[0] == "c":
			a.note, err = base64.StdEncoding.DecodeString(f[2])
		default:
			continue
		}
		if err == nil && a.whole() {
			fn(a)
		}
	}
	return sc.Err()
}

// whole reports whether a line says what a node writes: what it names becomes a
// path, what it counts a length.
func (a arrival) whole() bool {
	switch a.what {
	case "b", "h", "j", "x", "y", "t":
		return blobName.MatchString(a.name) && a.size >= 0
	case "k":
		return keptLog.MatchString(a.name)
	}
	return a.size >= 0
}

// Moment is what a node held at a time, or holds now.
type Moment struct {
	at      time.Time            // zero: now
	first   map[string]time.Time // blob → when it came first
	last    map[string]time.Time // blob → when the bytes that are held came
	journal map[string]int64     // file → bytes then, where it has more now
	entries int64                // bytes of the log's entries then, -1 where it has no more now
	out     map[string]bool      // blobs of a branch that was left by then
	cut     map[string]int64     // journal file → bytes that are of none
	witness []byte               // the checkpoint then, nil without one
	log     string               // folder of the log then
}

// Moment asks what the node held at a time; the zero time is now. It returns
// [ErrNoTimes] from a node that does not know.
func (c *Client) Moment(ctx context.Context, at time.Time) (Moment, error) {
	pr, pw := io.Pipe()
	asked := make(chan error, 1)
	go func() {
		err := c.do(ctx, http.MethodGet, "/v1/arrivals", nil, nil, io.Writer(pw))
		asked <- err
		pw.CloseWithError(err)
	}()
	m, err := momentOf(pr, at)
	pr.CloseWithError(err)
	if aerr := <-asked; errors.Is(aerr, ErrNotOffered) {
		return untimed(at)
	} else if aerr != nil {
		return m, aerr
	}
	return m, err
}

func (s Standby) moment(at time.Time) (Moment, error) {
	f, err := os.Open(filepath.Join(s.dir, arrivalsName))
	if errors.Is(err, os.ErrNotExist) {
		return untimed(at)
	} else if err != nil {
		return Moment{}, fmt.Errorf("read when things arrived: %w", err)
	}
	defer f.Close()
	return momentOf(f, at)
}

// untimed is what a node holds that does not note when things arrive.
func untimed(at time.Time) (Moment, error) {
	if at.IsZero() {
		return Moment{entries: -1, log: "log"}, nil
	}
	return Moment{}, ErrNoTimes
}

func momentOf(r io.Reader, at time.Time) (Moment, error) {
	m := Moment{at: at, first: map[string]time.Time{}, last: map[string]time.Time{}, journal: map[string]int64{}, entries: -1, log: "log", out: map[string]bool{}, cut: map[string]int64{}}
	err := eachArrival(r, func(a arrival) {
		after := !m.Now() && a.at.After(at)
		switch a.what {
		case "b":
			if t, ok := m.first[a.name]; !ok || a.at.Before(t) {
				m.first[a.name] = a.at
			}
			m.last[a.name] = a.at
		case "j":
			if _, ok := m.journal[a.name]; !ok && after {
				m.journal[a.name] = a.size
			}
		case "l":
			if after && m.entries < 0 && m.log == "log" {
				m.entries = a.size
			}
		case "c":
			if !after {
				m.witness = a.note
			}
		case "k":
			switch {
			case !after: // what was before it is of another log
				m.witness = nil
			case m.log == "log":
				m.log = a.name
			}
		case "x":
			if !after {
				m.out[a.name] = true
			}
		case "y":
			if !after {
				delete(m.out, a.name)
			}
		case "t":
			if !after {
				m.cut[a.name] = a.size
			}
		}
	})
	if err != nil {
		return m, fmt.Errorf("read when things arrived: %w", err)
	}
	if m.Now() {
		m.witness = nil // the one that lies there
	}
	return m, nil
}

// Journal is how many of a journal file's bytes were held.
func (m Moment) Journal(name string, size int64) int64 {
	for _, held := range []map[string]int64{m.journal, m.cut} {
		if n, ok := held[name]; ok {
			size = min(n, size)
		}
	}
	return size
}

// Log is the folder of the log, how many bytes of its entries were held, -1 for
// all of them, and the checkpoint that was, nil for the one that lies there.
func (m Moment) Log() (folder string, entries int64, witness []byte) {
	return m.log, m.entries, m.witness
}

// Now reports whether the moment is the present.
func (m Moment) Now() bool { return m.at.IsZero() }

// Versions chooses from the blobs of a listing those that were held. files are
// the repository's files by their name there; of those that kopia overwrites,
// versions lists every one, from the newest to the oldest.
func (m Moment) Versions(listed map[string]int64) (files map[string]string, versions map[string][]string) {
	files, versions = map[string]string{}, map[string][]string{}
	type version struct {
		name string
		till time.Time // zero: in force
	}
	all := map[string][]version{}
	for name := range listed {
		base, at, old := strings.Cut(name, "@")
		if m.out[base] {
			continue
		}
		if !m.Now() {
			t, ok := m.last[base]
			if mutable(base) {
				t, ok = m.first[base]
			}
			if !ok || t.After(m.at) {
				continue
			}
		}
		if !mutable(base) {
			if !old {
				deep, _ := Deep(base)
				files[deep] = name
			}
			continue
		}
		if !isBlob(base) { // the name becomes a path, and a node that is not honest may send any
			continue
		}
		v := version{name: name}
		if old {
			ns, err := strconv.ParseInt(at, 36, 64)
			if err != nil {
				continue
			}
			v.till = time.Unix(0, ns)
		}
		all[base] = append(all[base], v)
	}
	for base, vs := range all {
		// the newest first: what is in force, then by when each was replaced
		slices.SortFunc(vs, func(a, b version) int {
			if a.till.IsZero() != b.till.IsZero() {
				return map[bool]int{true: -1, false: 1}[a.till.IsZero()]
			}
			return b.till.Compare(a.till)
		})
		from := 0
		for i, v := range vs { // the last that was replaced only after the moment was in force then
			if !m.Now() && !v.till.IsZero() && v.till.After(m.at) {
				from = i
			}
		}
		deep, _ := Deep(base)
		for _, v := range vs[from:] {
			versions[deep] = append(versions[deep], v.name)
		}
	}
	return files, versions
}
