package appliance

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"runtime/pprof"
	"time"

	"github.com/prometheus/common/expfmt"

	"farol/internal/audit"
	"farol/internal/backup"
	"farol/internal/settings"
	"farol/internal/verify"
)

// supportAnswer is what the running appliance gives to a support bundle. Each
// field is one that may leave the house: counts, sizes, times, words of ours.
type supportAnswer struct {
	Entry      int64         `json:"entry"` // of the audit log
	Status     supportStatus `json:"status"`
	Metrics    string        `json:"metrics"`
	Goroutines string        `json:"goroutines"`
}

type supportStatus struct {
	Version  string           `json:"version"`
	NotReady string           `json:"not_ready,omitempty"`
	Schemas  map[string]int64 `json:"schemas"` // database → number of its last migration

	Commits       uint64        `json:"commits"`
	LastCommit    time.Time     `json:"last_commit,omitzero"`
	JournalFiles  int           `json:"journal_files"`
	JournalBytes  int64         `json:"journal_bytes"`
	Unfolded      int           `json:"unfolded_commits"`
	PendingMoves  int           `json:"pending_moves"`
	LastFold      time.Time     `json:"last_fold,omitzero"`
	FoldTook      time.Duration `json:"fold_took"`
	RepoFiles     int           `json:"repository_files"`
	RepoBytes     int64         `json:"repository_bytes"`
	DiskFree      int64         `json:"disk_free"`
	Disk          int64         `json:"disk"`
	Damage        int           `json:"damage"`
	Entries       int64         `json:"log_entries"`
	Lag           backup.Lag    `json:"event_lag"`
	Runs          []supportRun  `json:"runs"`
	Verified      []supportRead `json:"verified"`
	Offsite       supportNode   `json:"offsite"`
	Witness       supportSecond `json:"second_witness"`
	Places        []supportCopy `json:"places"`
	Gaps          int           `json:"gaps"`
	Mended        []Mended      `json:"mended,omitempty"`
	Memory        Memory        `json:"memory"`
	SetupFinished bool          `json:"setup_finished"`
}

type supportRun struct {
	What    string                `json:"what"`
	State   string                `json:"state"`
	Started time.Time             `json:"started"`
	Ended   time.Time             `json:"ended,omitzero"`
	Kinds   []backup.KindProgress `json:"kinds"` // counts, reasons, names of permissions
}

type supportRead struct {
	What    string        `json:"what"`
	State   string        `json:"state"`
	Ended   time.Time     `json:"ended,omitzero"`
	Took    time.Duration `json:"took"`
	Records int64         `json:"records"`
	Bytes   int64         `json:"bytes"`
	Bad     int64         `json:"bad"`
	Healed  int64         `json:"healed"`
}

type supportNode struct {
	Set        bool          `json:"set"`
	Connected  bool          `json:"connected"`
	Lag        time.Duration `json:"lag"`
	Behind     int64         `json:"behind_bytes"`
	LastAck    time.Time     `json:"last_ack,omitzero"`
	Witnessed  int64         `json:"witnessed"`
	Problem    string        `json:"problem,omitempty"` // a message id
	Superseded bool          `json:"superseded"`
	SlowKbit   int64         `json:"slow_kbit,omitempty"`
}

type supportSecond struct {
	Set       bool      `json:"set"`
	Connected bool      `json:"connected"`
	LastAck   time.Time `json:"last_ack,omitzero"`
	Witnessed int64     `json:"witnessed"`
	Problem   string    `json:"problem,omitempty"` // a message id
}

type supportCopy struct {
	Number  int       `json:"number"`
	Kind    string    `json:"kind"`
	State   string    `json:"state"`
	Done    int64     `json:"done"`
	Total   int64     `json:"total"`
	Free    int64     `json:"disk_free"`
	Size    int64     `json:"disk_size"`
	LastOK  time.Time `json:"last_ok,omitzero"`
	Problem string    `json:"problem,omitempty"` // a message id
}

// ctlSupport answers a bundle; the entry comes before anything is told.
func (a *Appliance) ctlSupport(r *http.Request) (any, error) {
	ctx := r.Context()
	seqs, err := a.audit.Append(ctx, audit.Event{Actor: machineUser, Role: "machine", Operation: "support.bundle", Object: "appliance", Outcome: "ok", Source: "control socket"})
	if err != nil {
		return nil, err
	}
	out := supportAnswer{Entry: seqs[0]}
	if out.Status, err = a.supportStatus(ctx); err != nil {
		return nil, err
	}
	fs, err := a.metrics.reg.Gather()
	if err != nil {
		return nil, err
	}
	var text, dump bytes.Buffer
	for _, f := range fs {
		if _, err := expfmt.MetricFamilyToText(&text, f); err != nil {
			return nil, err
		}
	}
	if err := pprof.Lookup("goroutine").WriteTo(&dump, 2); err != nil {
		return nil, err
	}
	out.Metrics, out.Goroutines = text.String(), cleanTrace(dump.String())
	return out, nil
}

func (a *Appliance) supportStatus(ctx context.Context) (supportStatus, error) {
	st, off, second := a.archive.Status(), a.Offsite(ctx), a.Witness(ctx)
	s := supportStatus{Version: Version, NotReady: a.Ready(ctx), Schemas: map[string]int64{}, Commits: st.LastSeq, LastCommit: st.LastCommit, JournalFiles: st.JournalFiles, JournalBytes: st.JournalBytes,
		Unfolded: st.Unfolded, PendingMoves: st.PendingMoves, LastFold: st.LastFold.Time, FoldTook: st.FoldTook, RepoFiles: st.RepoFiles, RepoBytes: st.Repository, DiskFree: st.DiskFree, Disk: st.Disk, Damage: st.Damage,
		Entries: a.audit.Size(), Lag: a.engine.Lag(), Mended: a.mended, Memory: memoryNow(os.DirFS("/")),
		Offsite: supportNode{off.Set, off.Connected, off.Lag, off.BehindBytes, off.LastAck, off.CheckpointSize, off.Problem, off.Superseded, off.SlowKbit},
		Witness: supportSecond{second.Set, second.Connected, second.LastAck, second.CheckpointSize, second.Problem}}
	var errs []error
	var err error
	if s.Schemas["control"], err = a.control.Migration(ctx); err != nil {
		errs = append(errs, err)
	}
	if s.Schemas["catalog"], err = a.catalog.Migration(ctx); err != nil {
		errs = append(errs, err)
	}
	done, err := a.settings.Get(ctx, settings.SetupDone)
	s.SetupFinished, errs = done != "", append(errs, err)
	runs, err := a.engine.Runs(ctx, 30)
	errs = append(errs, err)
	for _, r := range runs {
		s.Runs = append(s.Runs, supportRun{r.What, r.State, r.Started, r.Ended, r.Kinds})
	}
	for _, what := range []string{verify.All, verify.Sample} {
		r, ok, err := a.verify.Last(ctx, what)
		errs = append(errs, err)
		if ok {
			s.Verified = append(s.Verified, supportRead{r.What, r.State, r.Ended, r.Took, r.Records, r.Bytes, r.Bad, r.Healed})
		}
	}
	gaps, err := a.engine.Gaps(ctx, 10000)
	s.Gaps, errs = len(gaps), append(errs, err)
	a.mu.Lock()
	for i, p := range a.places {
		st := p.Status()
		c := supportCopy{Number: i + 1, Kind: p.Config().Kind, State: st.State, Done: st.Done, Total: st.Total, Free: st.Free, Size: st.Size, LastOK: st.LastOK}
		if st.Err != nil {
			c.Problem = placeProblem(st.Err)
		}
		s.Places = append(s.Places, c)
	}
	a.mu.Unlock()
	return s, errors.Join(errs...)
}
