package appliance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"syscall"
	"time"

	"farol/internal/archive"
	"farol/internal/audit"
	"farol/internal/backup"
	"farol/internal/i18n"
	"farol/internal/keys"
)

// MergeAsk is what `farol merge` needs.
type MergeAsk struct {
	StateDir   string `json:"state_dir"`   // of the former appliance: its disk, or a copy of it
	ArchiveDir string `json:"archive_dir"` // "" = archive below it
	Try        bool   `json:"try"`         // only tell what it has that is missing here
}

// MergeReport tells what a merge found and took over.
type MergeReport struct {
	backup.Merged
	Epoch   uint32 `json:"epoch"`   // of the former appliance
	Entries int64  `json:"entries"` // of its audit log that this log did not have
}

// Merge takes over what a former appliance captured and logged after another had
// taken over from it: nothing of it is lost. It may be done again.
func (a *Appliance) Merge(ctx context.Context, by string, q MergeAsk) (r MergeReport, err error) {
	if a.archive.Frozen() {
		return r, &i18n.Error{ID: "merge.superseded"}
	}
	if q.ArchiveDir == "" {
		q.ArchiveDir = filepath.Join(q.StateDir, "archive")
	}
	from, err := archive.Open(ctx, q.ArchiveDir, a.root, archive.Options{Log: a.log, NoParity: true, Offsite: true})
	if err != nil {
		return r, mergeProblem(err, q.ArchiveDir)
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	switch r.Epoch = from.Epoch(); {
	case from.ID() != a.archive.ID():
		return r, &i18n.Error{ID: "merge.foreign"}
	case r.Epoch >= a.archive.Epoch():
		return r, &i18n.Error{ID: "merge.newer"}
	}
	if r.Merged, err = a.engine.Merge(ctx, from, q.Try); err == nil {
		r.Entries, err = a.mergeLog(ctx, filepath.Join(q.StateDir, "log"), r.Epoch, q.Try)
	}
	if q.Try {
		return r, err
	}
	outcome := "ok"
	if err != nil {
		outcome = "partial"
	}
	_, aerr := a.audit.Append(context.WithoutCancel(ctx), audit.Event{Actor: by, Operation: "replication.merge", Object: "epoch/" + strconv.FormatUint(uint64(r.Epoch), 10), Outcome: outcome,
		Detail: map[string]string{"records": strconv.FormatInt(r.Lacking(), 10), "entries": strconv.FormatInt(r.Entries, 10), "damage": strconv.FormatInt(r.Damaged, 10), "bytes": strconv.FormatInt(r.Bytes, 10)}})
	return r, errors.Join(err, aerr)
}

// mergeProblem says why a former appliance's archive does not open.
func mergeProblem(err error, dir string) error {
	for id, target := range map[string]error{"merge.running": archive.ErrLocked, "merge.otherkey": archive.ErrKey, "merge.none": archive.ErrMissing, "merge.denied": fs.ErrPermission, "merge.readonly": syscall.EROFS} {
		if errors.Is(err, target) {
			return &i18n.Error{ID: id, Args: []any{"dir", dir}, Err: err}
		}
	}
	return fmt.Errorf("open the former appliance's archive: %w", err)
}

// mergedLog is the setting that says how far a former appliance's log was taken
// over: JSON, epoch → size.
const mergedLog = "merge.log"

// mergeLog enters what the former appliance logged after the two logs parted,
// each as an entry of its own with the former's number and time.
func (a *Appliance) mergeLog(ctx context.Context, dir string, epoch uint32, try bool) (n int64, err error) {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return 0, nil // the archive alone was saved
	}
	l, err := audit.Open(dir, audit.Options{Box: a.ring.Box(keys.LabelLog), Signer: a.logSign, Verify: a.logVerify, Key: a.logKey, Log: a.log, LookupKey: a.ring.IndexKey("log lookup")})
	if err != nil {
		return 0, fmt.Errorf("open the former appliance's log: %w", err)
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	done := map[string]int64{}
	if _, err := a.settings.GetJSON(ctx, mergedLog, &done); err != nil {
		return 0, err
	}
	key := strconv.FormatUint(uint64(epoch), 10)
	at, err := parted(l, a.audit)
	if err != nil {
		return 0, err
	}
	for at = max(at, done[key]); at < l.Size(); at++ {
		n++
		if try {
			continue
		}
		e, err := l.Entry(at)
		if err != nil {
			return n, fmt.Errorf("read entry %d of the former appliance's log: %w", at, err)
		}
		detail := maps.Clone(e.Detail)
		if detail == nil {
			detail = map[string]string{}
		}
		detail["former_epoch"], detail["former_entry"], detail["former_time"], detail["former_operation"] = key, strconv.FormatInt(at, 10), e.Time.UTC().Format(time.RFC3339), e.Operation
		ev := e.Event
		ev.Operation, ev.Detail = "replication.merge.entry", detail
		if _, err := a.audit.Append(ctx, ev); err != nil {
			return n, err
		}
		if n%500 == 0 || at+1 == l.Size() {
			done[key] = at + 1
			b, err := json.Marshal(done)
			if err != nil {
				return n, err
			}
			if err := a.settings.Set(ctx, map[string]string{mergedLog: string(b)}); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// parted is how many entries two logs have in common. Entries hold random bytes:
// where two are equal all before them are.
func parted(x, y *audit.Log) (int64, error) {
	var failed error
	n := sort.Search(int(min(x.Size(), y.Size())), func(i int) bool {
		bx, errx := x.Raw(int64(i), int64(i)+1)
		by, erry := y.Raw(int64(i), int64(i)+1)
		if err := errors.Join(errx, erry); err != nil {
			failed = err
			return true
		}
		return string(bx[0]) != string(by[0])
	})
	if failed != nil {
		return 0, fmt.Errorf("compare the logs: %w", failed)
	}
	return int64(n), nil
}

func (a *Appliance) ctlMerge(r *http.Request) (any, error) {
	var q MergeAsk
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		return nil, fmt.Errorf("read the request: %w", err)
	}
	return a.Merge(r.Context(), machineUser, q)
}
