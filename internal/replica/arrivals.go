package replica

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// The node notes when what it holds came, by its own clock, so that its history
// can be had as it was before an attack. It stands in a file of the vault, not in
// the files' own times: a copy of the vault to another disk keeps it.
//
// The file has a line for each arrival, written before the bytes, so that a crash
// never leaves bytes that look older than they are:
//
//	b <ms> <name> <sha256>     a blob comes; early lines have no hash
//	h <ms> <name> <sha256>     of a blob without a hash: as it was first read back (vaultverify.go)
//	j <ms> <name> <bytes>      a journal file grows; until then it had so many bytes
//	l <ms> <bytes>             the log's entries grow; until then they had so many bytes
//	c <ms> <base64>            the log is witnessed: the signed checkpoint
//	k <ms> <folder>            another log begins; the one before is kept in that folder
//	x <ms> <name>              a blob is of a branch (branch.go) and counts no more
//	y <ms> <name>              and comes again: it counts
//	t <ms> <name> <bytes>      of a journal file only so many bytes count
//
// ms are milliseconds since 1970. Of what grows all the time there is a line a
// second at most, of checkpoints a line a minute; times never go backwards.

const (
	arrivalsName   = "arrivals"
	growthEvery    = time.Second
	witnessedEvery = time.Minute
)

// keptLog is the folder of a log after which another began.
var keptLog = regexp.MustCompile(`^log\.kept-[0-9T.]{1,40}$`)

// arrivals writes the file. The vault's lock guards it.
type arrivals struct {
	end   int64
	last  time.Time            // of the last line
	noted map[string]time.Time // of what grows: when its last line was written
	out   map[string]bool      // blobs of a branch
}

func (v *vault) arrivalsPath() string { return filepath.Join(v.dir, arrivalsName) }

// openArrivals reads the file and notes what it does not know: of a vault that is
// older than it, the files' own times are the best there is.
func (v *vault) openArrivals() error {
	v.came = arrivals{noted: map[string]time.Time{}, out: map[string]bool{}}
	b, err := os.ReadFile(v.arrivalsPath())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("read when things arrived: %w", err)
	}
	v.came.end = int64(bytes.LastIndexByte(b, '\n') + 1) // what follows is a torn line
	known := map[string]bool{}
	err = eachArrival(bytes.NewReader(b[:v.came.end]), func(a arrival) {
		known[a.what+a.name] = true
		switch a.what {
		case "x":
			v.came.out[a.name] = true
		case "y":
			delete(v.came.out, a.name)
		}
		if a.at.After(v.came.last) {
			v.came.last = a.at
		}
	})
	if err != nil {
		return fmt.Errorf("read when things arrived: %w", err)
	}
	var add strings.Builder
	for dir, line := range map[string]string{"blobs": "b %d %s\n", "journal": "j %d %s 0\n"} {
		ds, err := os.ReadDir(filepath.Join(v.dir, dir))
		if err != nil {
			return fmt.Errorf("note what was there: %w", err)
		}
		for _, d := range ds {
			if name, _, _ := strings.Cut(d.Name(), "@"); known[dir[:1]+name] {
				continue
			} else if info, err := d.Info(); err == nil {
				fmt.Fprintf(&add, line, info.ModTime().UnixMilli(), name)
			}
		}
	}
	for name, line := range map[string]string{"entries.log": "l %d 0\n", "checkpoint": "c %d "} {
		info, err := os.Stat(filepath.Join(v.dir, "log", name))
		if err != nil || info.Size() == 0 || known[line[:1]] {
			continue
		}
		fmt.Fprintf(&add, line, info.ModTime().UnixMilli())
		if name == "checkpoint" {
			b, err := os.ReadFile(filepath.Join(v.dir, "log", name))
			if err != nil {
				return fmt.Errorf("note what was there: %w", err)
			}
			fmt.Fprintln(&add, base64.StdEncoding.EncodeToString(b))
		}
	}
	if add.Len() == 0 {
		return nil
	}
	return v.noteArrivals(add.String())
}

// time is what the node's clock says.
func (v *vault) time() time.Time {
	if v.now == nil {
		return time.Now()
	}
	return v.now()
}

// arrive notes a line of what comes now; rest is what follows the time.
func (v *vault) arrive(what, rest string) error {
	if now := v.time(); now.After(v.came.last) {
		v.came.last = now
	}
	return v.noteArrivals(fmt.Sprintf("%s %d %s\n", what, v.came.last.UnixMilli(), rest))
}

// arriveOften does it for what comes all the time, once in every.
func (v *vault) arriveOften(what, name, rest string, every time.Duration) error {
	if now := v.time(); now.Sub(v.came.noted[what+name]).Abs() < every {
		return nil
	}
	if err := v.arrive(what, rest); err != nil {
		return err
	}
	v.came.noted[what+name] = v.came.last
	return nil
}

func (v *vault) noteArrivals(lines string) error {
	err := v.step("arrive", v.arrivalsPath())
	if err == nil {
		err = (&vault{}).grow(v.arrivalsPath(), v.came.end, []byte(lines)) // its steps are no steps of what arrives
	}
	if err != nil {
		return fmt.Errorf("note an arrival: %w", err)
	}
	v.came.end += int64(len(lines))
	return nil
}

// arrivals gives the file to an appliance that reads back.
func (n *Node) arrivals(w http.ResponseWriter, r *http.Request, v *vault) error {
	v.mu.Lock()
	end := v.came.end
	v.mu.Unlock()
	f, err := os.Open(v.arrivalsPath())
	if errors.Is(err, os.ErrNotExist) {
		return nil // nothing has arrived
	} else if err != nil {
		return err
	}
	defer f.Close()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, err = io.Copy(w, io.LimitReader(f, end))
	return err
}
