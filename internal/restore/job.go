package restore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"
	"time"

	"farol/internal/audit"
	"farol/internal/catalog"
	"farol/internal/dingtalk"
	"farol/internal/policy"
	"farol/internal/record"
)

// Outcomes of one item of a restore.
const (
	Restored    = "restored" // put back and compared equal
	StillThere  = "same"     // upstream still has it: left alone
	NotWritable = "kept"     // DingTalk takes no such thing back; it is in the export
	InPart      = "partial"  // put back without something, see Detail
	NotRestored = "failed"
)

// JobItem is the result of one item, as the page shows it.
type JobItem struct {
	Kind      record.Kind
	Name      string
	Container string
	Outcome   string
	Detail    string // message id, "" when nothing is to be said
	SHA256    record.Hash
}

// JobState is a snapshot of a job.
type JobState struct {
	ID          string
	State       string // running, done, failed, cancelled
	Problem     string // message id when failed
	Done, Total int64
	Started     time.Time
	Ended       time.Time
	Items       []JobItem // results so far
	Summary     Summary
	By          string
}

// Job is a restore under way or ended. It lives as long as the process; the
// audit log keeps its outcome.
type Job struct {
	mu     sync.Mutex
	s      JobState
	watch  chan struct{}
	cancel context.CancelFunc
	ended  chan struct{}
}

// Snapshot is the job as it is now.
func (j *Job) Snapshot() JobState {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := j.s
	s.Items = append([]JobItem(nil), j.s.Items...)
	return s
}

// Changed returns a channel that is closed at the next change.
func (j *Job) Changed() <-chan struct{} {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.watch
}

// Cancel ends the job; what was restored stays.
func (j *Job) Cancel() { j.cancel() }

// Wait blocks until the job has ended or ctx ends.
func (j *Job) Wait(ctx context.Context) error {
	select {
	case <-j.ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (j *Job) change(fn func(*JobState)) {
	j.mu.Lock()
	fn(&j.s)
	close(j.watch)
	j.watch = make(chan struct{})
	j.mu.Unlock()
}

func (j *Job) item(it JobItem) {
	j.change(func(s *JobState) {
		s.Done++
		if it.Outcome == Restored || it.Outcome == InPart {
			s.Summary.Items++
		}
		if it.Outcome == NotRestored {
			s.Summary.Damaged++
		}
		s.Items = append(s.Items, it)
	})
}

// Jobs lists the restores of this process, newest first.
func (d *Door) Jobs() []*Job {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := make([]*Job, 0, len(d.jobs))
	for i := len(d.jobs) - 1; i >= 0; i-- {
		out = append(out, d.jobs[i])
	}
	return out
}

// Job finds a restore by its id.
func (d *Door) Job(id string) (*Job, bool) {
	for _, j := range d.Jobs() {
		if j.s.ID == id { // never changes
			return j, true
		}
	}
	return nil, false
}

// ErrUnbound means that there is no DingTalk to put anything back into.
var ErrUnbound = errors.New("no DingTalk organisation is bound")

// StartRestore puts a selection back into DingTalk: files by upload into a new
// folder of their space, chats by import into a new group. Nothing upstream is
// overwritten or removed, and every item is read back and compared.
func (d *Door) StartRestore(ctx context.Context, rq Request, sel Selection) (*Job, error) {
	client := d.d.Client()
	if client == nil {
		return nil, ErrUnbound
	}
	detail, err := d.agreed(ctx, rq, policy.Restore, sel)
	if err != nil {
		return nil, err
	}
	scope, err := d.enterAt(ctx, rq, policy.Restore, "restore.request", "restore", sel.AsOf, sel.detail(detail))
	if err != nil {
		return nil, err
	}
	if scope, err = d.narrow(ctx, scope, sel); err != nil {
		return nil, d.missed(ctx, rq, "restore", err)
	}
	plan, err := d.plan(ctx, scope, sel)
	if err != nil {
		return nil, err
	}
	operator, err := d.d.Operator(ctx)
	if err != nil {
		return nil, err
	}
	readers, err := d.d.Readers(ctx)
	if err != nil {
		return nil, err
	}
	jctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	j := &Job{watch: make(chan struct{}), cancel: cancel, ended: make(chan struct{})}
	j.s = JobState{ID: strings.ToLower(rand.Text()[:12]), State: "running", Started: d.d.Now(), Total: plan.items, By: rq.Subject.Account}
	d.mu.Lock()
	d.jobs = append(d.jobs, j)
	if len(d.jobs) > 20 {
		d.jobs = d.jobs[1:]
	}
	d.mu.Unlock()
	b := &putBack{d: d, client: client, operator: operator, readers: readers, job: j, staff: map[string]bool{}, stamp: d.d.Now().In(record.Macau).Format("2006-01-02 15.04")}
	go func() { // ends by itself or by Cancel
		defer close(j.ended)
		defer cancel()
		d.runRestore(jctx, rq, b, plan)
	}()
	return j, nil
}

func (d *Door) runRestore(ctx context.Context, rq Request, b *putBack, p plan) {
	err := b.run(ctx, p)
	j := b.job
	s := j.Snapshot()
	outcome, state, problem := "ok", "done", ""
	switch {
	case ctx.Err() != nil:
		outcome, state = "cancelled", "cancelled"
	case err != nil:
		outcome, state, problem = "failed", "failed", "restore.failed"
		if errors.Is(err, dingtalk.ErrPermission) {
			problem = "problem.permission"
		}
		d.d.Log.ErrorContext(ctx, "restore ended", "job", s.ID, "err", err)
	case s.Summary.Damaged > 0 || hasPartial(s.Items):
		outcome = "partial"
	}
	op := map[bool]string{true: "restore.run", false: "restore.fail"}[err == nil]
	counts := map[string]int{}
	for _, it := range s.Items {
		counts[it.Outcome]++
	}
	detail := map[string]string{}
	for k, n := range counts {
		detail[k] = strconv.Itoa(n)
	}
	seq, aerr := d.note(context.WithoutCancel(ctx), rq, op, "restore/"+s.ID, outcome, record.Hash{}, detail, &b.touched)
	if aerr != nil {
		d.d.Log.ErrorContext(ctx, "restore not witnessed", "job", s.ID, "err", aerr)
	}
	j.change(func(s *JobState) {
		s.State, s.Problem, s.Ended, s.Summary.AuditSeq = state, problem, d.d.Now(), seq
		s.Summary.Took = s.Ended.Sub(s.Started)
	})
}

func hasPartial(items []JobItem) bool {
	for _, it := range items {
		if it.Outcome == InPart {
			return true
		}
	}
	return false
}

// note writes what came of an act that was entered before, and what it reached.
// All entries are written or none; the number is that of the first.
func (d *Door) note(ctx context.Context, rq Request, op, object, outcome string, hash record.Hash, detail map[string]string, t *touched) (int64, error) {
	ev := audit.Event{Actor: rq.Subject.Account, Role: rq.Subject.Role, Session: rq.Session, Source: rq.Source, Operation: op, Object: object, Purpose: string(rq.Purpose), Approval: rq.Approval, Outcome: outcome}
	if !hash.IsZero() {
		ev.Hash = hash.String()
	}
	var evs []audit.Event
	for i, refs := range t.details() {
		if i == 0 {
			maps.Copy(refs, detail)
		}
		ev.Detail = rq.detail(refs)
		evs = append(evs, ev)
	}
	seqs, err := d.d.Audit.Append(ctx, evs...)
	if err != nil {
		return 0, fmt.Errorf("note the outcome: %w", err)
	}
	return seqs[0], nil
}

// plan is what a restore will do, by container.
type plan struct {
	items      int64
	containers []planned
}

type planned struct {
	info catalog.ContainerInfo
	hits []catalog.Hit // oldest first, without the describing rows
	desc []catalog.Hit // rows that describe the container
}

func (d *Door) plan(ctx context.Context, scope record.Scope, sel Selection) (plan, error) {
	var p plan
	err := d.each(ctx, scope, sel, 5000, func(hits []catalog.Hit) error {
		for _, h := range hits {
			if n := len(p.containers); n == 0 || p.containers[n-1].info.CatalogID != h.Container {
				info, err := d.container(ctx, scope, h.Container, sel.AsOf)
				if err != nil {
					return err
				}
				p.containers = append(p.containers, planned{info: info})
			}
			c := &p.containers[len(p.containers)-1]
			if h.State&catalog.Describes != 0 {
				c.desc = append(c.desc, h)
				continue
			}
			c.hits = append(c.hits, h)
			p.items++
		}
		return nil
	})
	if err == nil && p.items == 0 {
		err = ErrEmpty
	}
	return p, err
}
