package backup

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"farol/internal/audit"
	"farol/internal/record"
	"farol/internal/settings"
)

// Mode is what a run does.
type Mode string

// The modes.
const (
	Full        Mode = "full"        // list everything, compare hashes, take what is new
	Incremental Mode = "incremental" // go on from the cursors
)

// States of a run and of a kind inside it.
const (
	Waiting     = "waiting"
	Listing     = "listing"
	Running     = "running"
	Done        = "done"
	Partial     = "partial" // done, with kinds or items that could not be had
	Failed      = "failed"
	Cancelled   = "cancelled"
	Interrupted = "interrupted" // the process ended; a full run goes on at start
)

// run is the one run under way. Its counters are guarded by Engine.mu.
type run struct {
	id      int64
	mode    Mode
	by      string
	started time.Time
	resumed bool // goes on where an earlier process stood: its counts are not the whole
	kinds   map[record.Kind]*KindProgress
	cancel  context.CancelFunc
	ended   chan struct{}
}

// KindProgress is how far a kind has come in a run.
type KindProgress struct {
	Kind       record.Kind
	State      string
	Containers int
	Finished   int
	Part       float64 // of the containers under way
	Listed     int64
	Same       int64 // held already, hash equal
	Added      int64
	Changed    int64
	Gaps       int64
	Bytes      int64
	Problem    string   // reason id, "" when none
	Scopes     []string // permissions that are missing
	API        string   // where they are missing
}

// Start begins a run and returns its number. It returns [ErrBusy] while one is
// running and [ErrUnbound] before DingTalk is bound; it waits for [Engine.Run]
// to come up.
func (e *Engine) Start(ctx context.Context, mode Mode, by string) (int64, error) {
	if e.d.Client() == nil {
		return 0, ErrUnbound
	}
	select { // a run that begins before it would be taken for one that was cut off
	case <-e.resumed:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	if e.paused(ctx) {
		return 0, ErrPaused
	}
	e.mu.Lock()
	busy := e.run != nil
	e.mu.Unlock()
	if busy { // before a row is made: a start that was refused is no failed run
		return 0, ErrBusy
	}
	id, err := e.newRun(ctx, string(mode), by)
	if err != nil {
		return 0, err
	}
	if err := e.begin(ctx, id, mode, by, false); err != nil {
		return 0, errors.Join(err, e.endRun(ctx, id, Failed, nil))
	}
	return id, nil
}

func (e *Engine) begin(ctx context.Context, id int64, mode Mode, by string, resumed bool) error {
	rctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r := &run{id: id, mode: mode, by: by, started: e.d.Now(), resumed: resumed, kinds: map[record.Kind]*KindProgress{}, cancel: cancel, ended: make(chan struct{})}
	for _, c := range e.d.Connectors {
		r.kinds[c.Kind()] = &KindProgress{Kind: c.Kind(), State: Waiting}
	}
	e.mu.Lock()
	if e.run != nil {
		e.mu.Unlock()
		cancel()
		return ErrBusy
	}
	e.run = r
	e.mu.Unlock()
	e.notify()
	go func() { // ends with the run; Stop waits for it
		defer close(r.ended)
		defer cancel()
		e.execute(rctx, r)
	}()
	return nil
}

// Cancel ends the run under way; what it committed stays.
func (e *Engine) Cancel() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.run == nil {
		return ErrIdle
	}
	e.run.cancel()
	return nil
}

// Wait blocks until the run under way has ended, or ctx ends.
func (e *Engine) Wait(ctx context.Context) error {
	e.mu.Lock()
	r := e.run
	e.mu.Unlock()
	if r == nil {
		return nil
	}
	select {
	case <-r.ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stopRun ends the run because the process ends: it stays marked running, so
// that the next start goes on with it.
func (e *Engine) stopRun() {
	e.mu.Lock()
	r := e.run
	if r != nil {
		r.by = "" // marks: not a person's cancel
		r.cancel()
	}
	e.mu.Unlock()
	if r != nil {
		<-r.ended
	}
}

// resume goes on with a full run that the process's end interrupted.
func (e *Engine) resume(ctx context.Context) error {
	if err := e.loadWhole(ctx); err != nil {
		return err
	}
	id, mode, by, err := e.unfinished(ctx)
	if err != nil || id == 0 {
		return err
	}
	if e.d.Client() == nil || mode != Full {
		return e.endRun(ctx, id, Interrupted, nil)
	}
	return e.begin(ctx, id, mode, by, true)
}

func (e *Engine) execute(ctx context.Context, r *run) {
	err := e.runKinds(ctx, r)
	e.mu.Lock()
	state := Done
	var detail []KindProgress
	for _, c := range e.d.Connectors {
		k := r.kinds[c.Kind()]
		if k.State == Failed || k.Gaps > 0 {
			state = Partial
		}
		detail = append(detail, *k)
	}
	stopping := r.by == "" && ctx.Err() != nil
	by := r.by
	e.mu.Unlock()
	switch {
	case stopping:
		state = Running
	case ctx.Err() != nil:
		state = Cancelled
	case err != nil:
		state = Failed
		e.d.Log.ErrorContext(ctx, "backup run ended", "run", r.id, "err", err)
	}
	ctx = context.WithoutCancel(ctx)
	if state != Running {
		outcome := map[string]string{Done: "ok", Partial: "partial", Failed: "failed", Cancelled: "cancelled"}[state]
		d := map[string]string{"mode": string(r.mode)}
		for _, k := range detail {
			d[string(k.Kind)] = fmt.Sprintf("listed %d, same %d, added %d, changed %d, gaps %d", k.Listed, k.Same, k.Added, k.Changed, k.Gaps)
		}
		op := "backup.run"
		if state == Failed {
			op = "backup.fail"
		}
		if err := e.auditFor(ctx, audit.Event{Actor: by, Operation: op, Object: "run/" + strconv.FormatInt(r.id, 10), Outcome: outcome, Detail: d}); err != nil {
			e.d.Log.ErrorContext(ctx, "backup run not witnessed", "run", r.id, "err", err)
		}
		if err := e.endRun(ctx, r.id, state, detail); err != nil {
			e.d.Log.ErrorContext(ctx, "backup run not noted", "run", r.id, "err", err)
		}
		e.tellEnded(ctx, r, state, detail)
	}
	e.mu.Lock()
	e.run = nil
	e.mu.Unlock()
	e.notify()
	e.poke()
}

// runKinds reads the contacts, then the others side by side: they wait for
// DingTalk's rate limits most of the time.
func (e *Engine) runKinds(ctx context.Context, r *run) error {
	env, err := e.env(ctx)
	if err != nil {
		return err
	}
	if err := e.runKind(ctx, r, env, e.kinds[record.Contacts], nil); err != nil {
		return err
	}
	groups := newFeed() // groups have file spaces
	env.Conversations = groups.each
	g, ctx := errgroup.WithContext(ctx)
	for _, c := range e.d.Connectors {
		switch c.Kind() {
		case record.Contacts:
		case record.Chat:
			g.Go(func() error { return e.runKind(ctx, r, env, c, groups) })
		default:
			g.Go(func() error { return e.runKind(ctx, r, env, c, nil) })
		}
	}
	return g.Wait()
}

func (e *Engine) paused(ctx context.Context) bool {
	return strings.EqualFold(e.setting(ctx, settings.BackupPaused, ""), "yes") || e.setting(ctx, settings.Superseded, "") != ""
}
