package appliance

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"farol/internal/archive"
	"farol/internal/audit"
	"farol/internal/replica"
	"farol/internal/watch"
)

// lookEvery is how often the files on disk are looked at. A look takes a second
// where there are a million of them, and waits in proportion.
const lookEvery = time.Minute

// watchFiles notices what somebody does to the files of a running appliance.
func (a *Appliance) watchFiles(ctx context.Context) error {
	held, err := a.stateFiles()
	if err != nil {
		return err
	}
	for wait := lookEvery; ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
		began := time.Now()
		if err := a.lookAtFiles(ctx, held); errors.Is(err, audit.ErrTampered) {
			return err
		} else if err != nil && ctx.Err() == nil {
			a.log.WarnContext(ctx, "the files were not looked at", "err", err)
		}
		wait = max(lookEvery, 50*time.Since(began))
	}
}

// lookAtFiles looks once. The archive's findings raise their alarm by themselves;
// of a log that was tampered with the next start tells.
func (a *Appliance) lookAtFiles(ctx context.Context, held map[string]os.FileInfo) error {
	_, err := a.archive.Look(ctx)
	cut := false
	look := func(sure bool) {
		for name, was := range held {
			what, serr := stateDiffers(filepath.Join(a.cfg.StateDir, name), was)
			err = errors.Join(err, serr)
			switch {
			case what == "":
			case what == fileCut && !sure: // SQLite writes a file's first page before it has grown to what that says
				cut = true
			default:
				a.damaged(archive.Damage{What: what, Where: name, Lost: true})
				delete(held, name) // once is enough: the next start mends it, or says that it cannot
			}
		}
	}
	look(false)
	err = errors.Join(err, a.checkLog(ctx, false))
	if !cut {
		return err
	}
	select {
	case <-ctx.Done():
	case <-time.After(growing):
		look(true)
	}
	return err
}

const (
	fileCut = "file cut"
	growing = 3 * time.Second // how long a database may be shorter than it says
)

// stateFiles are those that must stay where they are while the appliance runs.
func (a *Appliance) stateFiles() (map[string]os.FileInfo, error) {
	held := map[string]os.FileInfo{}
	for _, name := range []string{"control.db", "catalog.db"} {
		fi, err := os.Stat(filepath.Join(a.cfg.StateDir, name))
		if err != nil {
			return nil, fmt.Errorf("look at the appliance's files: %w", err)
		}
		held[name] = fi
	}
	return held, nil
}

var sqliteHead = []byte("SQLite format 3\x00")

// stateDiffers says whether a database is another file than was opened, or plainly no
// longer what it was: its own check reads deeper, and seldom.
func stateDiffers(path string, was os.FileInfo) (string, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return "file missing", nil
	} else if err != nil {
		return "", err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return "", err
	}
	if !os.SameFile(fi, was) {
		return "file replaced", nil
	}
	head := make([]byte, 32)
	if _, err := io.ReadFull(f, head); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fileCut, nil
	} else if err != nil {
		return "", err
	}
	if !bytes.HasPrefix(head, sqliteHead) {
		return "file overwritten", nil
	}
	page := int64(binary.BigEndian.Uint16(head[16:]))
	if page == 1 {
		page = 65536
	}
	if fi.Size() < page*int64(binary.BigEndian.Uint32(head[28:])) {
		return fileCut, nil
	}
	return "", nil
}

// refusedAgain is how long the same refusal of the node is no new alarm.
const refusedAgain = 24 * time.Hour

// refusal is what a node or the second witness does not take.
type refusal struct {
	by    audit.Witness
	cause watch.Cause
}

// refused opens an alarm about what a node does not take: it holds other bytes
// than this appliance sends, or another log, or has no room.
func (a *Appliance) refused(ctx context.Context, by audit.Witness, err error) {
	f := watch.Finding{Cause: watch.Refused, Seen: 1, Witness: by}
	if errors.Is(err, replica.ErrRolledBack) {
		f = watch.Finding{Cause: watch.LogTamper, Seen: 1, Held: a.audit.Size(), Witness: by}
	}
	what := refusal{by, f.Cause}
	a.mu.Lock()
	if a.refusals == nil {
		a.refusals = map[refusal]time.Time{}
	}
	known := time.Since(a.refusals[what]) < refusedAgain
	a.mu.Unlock()
	if known {
		return
	}
	if err := a.watch.Raise(ctx, f); err != nil {
		a.log.ErrorContext(ctx, "a refusal has no alarm", "by", by, "err", err)
		return
	}
	a.mu.Lock()
	a.refusals[what] = time.Now()
	a.mu.Unlock()
}
