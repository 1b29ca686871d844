// Package verify reads back what is held and says, per department and kind,
// what was read, what it hashed to and what differs.
//
// It promises that a figure it shows was counted while bytes were read from
// the archive and hashed, never taken from an index; that an unfinished
// reading goes on where it stopped, over nights and restarts; that two never
// overlap; and that a difference opens an alarm and each healing leaves an
// entry in the audit log. It changes no record and tells no content.
//
// It is a package of its own because its invariant is nobody else's: the
// archive knows files and addresses but neither departments nor schedules, and
// the backup must go on when reading back fails.
//
// # Design
//
// Whether a commit can be read at all is the archive's business: it hashes at
// capture and reads segments back at the fold. Here are two readings. Every
// night a sample of each department and kind is read with its files, held
// against its commit's leaves in the signed log, and some containers are
// listed afresh upstream. Every week everything is read: the archive's files
// by name, which heals them from their parity or a copy, then every version in the
// order of containers. The root of a department and kind is an RFC 6962 tree
// over the leaves that the audit log binds, so an outsider can compute it from
// an export.
package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/robfig/cron/v3"

	"farol/internal/archive"
	"farol/internal/audit"
	"farol/internal/catalog"
	"farol/internal/db"
	"farol/internal/record"
	"farol/internal/watch"
)

// What a run reads.
const (
	Sample = "sample"
	All    = "all"
)

// States of a run.
const (
	Running = "running"
	Waiting = "waiting" // its time for tonight is over; it goes on the next night
	Done    = "done"
	Failed  = "failed" // it could not go on
)

// Archive is what verify needs of the archive.
type Archive interface {
	LastSeq() uint64
	CheckSome(ctx context.Context, after string, stop func() bool, progress func(done, total int64)) (*archive.Report, string, error)
	Read(ctx context.Context, loc record.Loc) (record.Record, error)
	ReadMany(ctx context.Context, locs []record.Loc, fn func(i int, r record.Record) error) error
	OpenBlob(ctx context.Context, b record.Blob) (io.ReadSeekCloser, error)
	Commitment(ctx context.Context, seq uint64) (leaves []record.Hash, root record.Hash, err error)
}

// Catalog is what verify needs of the catalog.
type Catalog interface {
	Every(ctx context.Context, container, id int64, limit int) ([]catalog.Hit, error)
	Where(ctx context.Context, id int64) (record.Loc, error)
	Rows(ctx context.Context) (int64, error)
	Counts(ctx context.Context) ([]catalog.Count, error)
	Span(ctx context.Context, kind record.Kind, dept int64) (first, last int64, err error)
	Sampled(ctx context.Context, kind record.Kind, dept int64, places []int64) ([]catalog.Hit, error)
}

// Log is what verify needs of the audit log.
type Log interface {
	Append(ctx context.Context, events ...audit.Event) ([]int64, error)
	Verify() (int64, error)
}

// Alarms is who is told about a difference.
type Alarms interface {
	Raise(ctx context.Context, found ...watch.Finding) error
}

// Compared is what a fresh listing of a container showed.
type Compared struct {
	Kind      record.Kind
	Dept      int64
	Container int64 // the catalog's blind id
	Listed    int64 // items old enough to be held
	Missing   int64 // of these, not held
}

// Plan says when and for how long. Times are Macau's.
type Plan struct {
	Night     string        // cron: the sample
	Week      string        // cron: everything
	Go        string        // cron: when an unfinished reading of everything goes on
	NightTime time.Duration // budget of the sample
	WeekTime  time.Duration // budget of everything, a night
	PerPart   int           // records sampled of each department and kind
	Listings  int           // containers of each kind listed afresh
	Items     int           // items of each of these
}

// Default samples at 05:30, after the nightly backup, and reads everything
// from Saturday 02:00 on, when few people write.
var Default = Plan{Night: "30 5 * * *", Week: "0 2 * * 6", Go: "0 2 * * *", NightTime: 10 * time.Minute, WeekTime: 4 * time.Hour, PerPart: 40, Listings: 3, Items: 200}

// Deps is what a verifier works with.
type Deps struct {
	Control *db.DB
	Archive Archive
	Catalog Catalog
	Audit   Log
	Alarms  Alarms
	// Relist lists some containers of each kind afresh, nil before binding.
	Relist func(ctx context.Context, containers, items int) ([]Compared, error)
	Busy   func() bool // a full backup runs: reading back waits
	// Plan says how reading back is planned now; nil is Default.
	Plan func(ctx context.Context) (Plan, error)
	Log  *slog.Logger
	Now  func() time.Time
}

// Verifier reads back on schedule. It is safe for concurrent use.
type Verifier struct {
	d       Deps
	started time.Time

	mu   sync.Mutex // guards below
	live *Progress
}

// Progress is the reading under way.
type Progress struct {
	What        string
	Done, Total int64 // bytes of files first, then records
}

// ErrRunning means that a reading is under way already.
var ErrRunning = errors.New("a verification is running already")

// New returns a verifier. It starts nothing.
func New(d Deps) *Verifier {
	if d.Plan == nil {
		d.Plan = func(context.Context) (Plan, error) { return Default, nil }
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Busy == nil {
		d.Busy = func() bool { return false }
	}
	return &Verifier{d: d, started: d.Now()}
}

// Under is the reading under way, nil when there is none.
func (v *Verifier) Under() *Progress {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.live == nil {
		return nil
	}
	p := *v.live
	return &p
}

func (v *Verifier) progress(done, total int64) {
	v.mu.Lock()
	v.live.Done, v.live.Total = done, total
	v.mu.Unlock()
}

// Now reads everything from the beginning, however long it takes, and returns
// the finished run. It returns [ErrRunning] while another reading is under way.
func (v *Verifier) Now(ctx context.Context, by string) (Run, error) {
	return v.exclusive(All, func() (Run, error) {
		r, err := v.begin(ctx, All, by)
		if err != nil {
			return r, err
		}
		return v.all(ctx, r, 0)
	})
}

// Start is Now in the background: it returns when the reading has begun. The
// reading ends with ctx.
func (v *Verifier) Start(ctx context.Context, by string) error {
	if err := v.claim(All); err != nil {
		return err
	}
	r, err := v.begin(ctx, All, by)
	if err != nil {
		v.release()
		return err
	}
	go func() { // ends with the reading
		defer v.release()
		if _, err := v.all(ctx, r, 0); err != nil && ctx.Err() == nil {
			v.d.Log.ErrorContext(ctx, "a verification could not go on", "err", err)
		}
	}()
	return nil
}

func (v *Verifier) exclusive(what string, fn func() (Run, error)) (Run, error) {
	if err := v.claim(what); err != nil {
		return Run{}, err
	}
	defer v.release()
	return fn()
}

func (v *Verifier) claim(what string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.live != nil {
		return ErrRunning
	}
	v.live = &Progress{What: what}
	return nil
}

func (v *Verifier) release() {
	v.mu.Lock()
	v.live = nil
	v.mu.Unlock()
}

// Run keeps the schedule until ctx ends. What was due while the appliance was
// off is made up for.
func (v *Verifier) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		if _, err := v.Due(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, ErrRunning) {
			v.d.Log.WarnContext(ctx, "a verification could not go on", "err", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// Due does what is due now and reports what it was, "" for nothing.
func (v *Verifier) Due(ctx context.Context) (string, error) {
	if v.d.Archive.LastSeq() == 0 || v.d.Busy() {
		return "", nil
	}
	plan, err := v.d.Plan(ctx)
	if err != nil {
		return "", err
	}
	now := v.d.Now()
	last := func(what string) (Run, time.Time, error) {
		rs, err := v.runs(ctx, "WHERE what=? ORDER BY id DESC LIMIT 1", what)
		if err != nil || len(rs) == 0 {
			return Run{}, v.started, err
		}
		if rs[0].Started.After(now) { // under a wrong clock: it counts, its time does not
			rs[0].Started = time.Time{}
		}
		if rs[0].Ended.After(now) {
			rs[0].Ended = time.Time{}
		}
		return rs[0], rs[0].Started, nil
	}
	past := func(spec string, since time.Time) (bool, error) {
		s, err := cron.ParseStandard(spec)
		if err != nil {
			return false, fmt.Errorf("read the schedule: %w", err)
		}
		return !now.Before(s.Next(since.In(record.Macau))), nil
	}
	r, since, err := last(All)
	if err != nil {
		return "", err
	}
	spec := plan.Week
	switch r.State {
	case Waiting:
		spec, since = plan.Go, r.Ended
	case Running: // the process ended under it
		spec, since = plan.Go, time.Time{}
	}
	if ok, err := past(spec, since); err != nil {
		return "", err
	} else if ok {
		_, err := v.exclusive(All, func() (Run, error) {
			if r.State != Waiting && r.State != Running {
				if r, err = v.begin(ctx, All, "system"); err != nil {
					return r, err
				}
			}
			return v.all(ctx, r, plan.WeekTime)
		})
		return All, err
	}
	_, since, err = last(Sample)
	if err != nil {
		return "", err
	}
	if ok, err := past(plan.Night, since); err != nil || !ok {
		return "", err
	}
	_, err = v.exclusive(Sample, func() (Run, error) {
		r, err := v.begin(ctx, Sample, "system")
		if err != nil {
			return r, err
		}
		return v.sample(ctx, r, plan)
	})
	return Sample, err
}
