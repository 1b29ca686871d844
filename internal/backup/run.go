package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"farol/internal/archive"
	"farol/internal/audit"
	"farol/internal/connector"
	"farol/internal/dingtalk"
	"farol/internal/record"
	"farol/internal/settings"
	"farol/internal/watch"
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
// running and [ErrUnbound] before DingTalk is bound.
func (e *Engine) Start(ctx context.Context, mode Mode, by string) (int64, error) {
	if e.d.Client() == nil {
		return 0, ErrUnbound
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

// fatal errors end the whole run; any other ends one kind or one container.
func fatal(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, errAfterArchive) || isStorage(err)
}

func (e *Engine) runKind(ctx context.Context, r *run, env *connector.Env, c connector.Connector, groups *feed) error {
	err := e.kindInto(ctx, r, env, c, groups)
	if err != nil && fatal(ctx, err) {
		return err
	}
	if err != nil {
		e.d.Log.WarnContext(ctx, "a kind could not be backed up whole", "kind", c.Kind(), "err", err)
	}
	var total result
	e.mu.Lock()
	k := r.kinds[c.Kind()]
	if err != nil {
		k.State, k.Problem = Failed, Problem(err)
		k.Scopes, k.API = dingtalk.Missing(err)
	} else {
		k.State = Done
		e.lastOK[c.Kind()] = e.d.Now()
	}
	total = result{added: k.Added, changed: k.Changed, gaps: k.Gaps, bytes: k.Bytes}
	e.mu.Unlock()
	e.notify()
	return e.countDay(ctx, c.Kind(), total, err != nil)
}

// lanesFor is how many containers of a kind are read at the same time. They
// wait for DingTalk most of the time, so there are more than cores; each holds
// a page and its attachments in memory, so there are not many more.
func lanesFor(cores int) int { return min(max(2*cores, 2), 16) }

// kindInto reads every container as soon as the listing finds it.
func (e *Engine) kindInto(ctx context.Context, r *run, env *connector.Env, c connector.Connector, groups *feed) error {
	if groups != nil {
		defer groups.end()
	}
	kind := c.Kind()
	e.update(r, kind, func(k *KindProgress) { k.State = Listing })
	e.mu.Lock()
	depts := slices.Clone(e.depts)
	e.mu.Unlock()
	chosen, err := e.d.Settings.Chosen(ctx, depts)
	if err != nil {
		return err
	}
	perItem := kind == record.Approvals || kind == record.Contacts // a form or the organisation is of no department
	keep := func(it *connector.Item) bool {
		return kind != record.Approvals || chosen.Includes(it.Rec.Dept, kind)
	}
	g, gctx := errgroup.WithContext(ctx)
	lane := make(chan struct{}, e.lanes)
	var mu sync.Mutex
	var errs []error
	var found []connector.Source
	listErr := c.Sources(gctx, env, func(src connector.Source) error {
		found = append(found, connector.Source{Container: src.Container, Via: src.Via})
		e.remember([]connector.Source{src})
		if groups != nil {
			groups.add(src)
		}
		if !perItem && !chosen.Includes(src.Dept, kind) {
			return nil
		}
		if err := e.describe(gctx, kind, src); err != nil {
			return err
		}
		e.update(r, kind, func(k *KindProgress) { k.Containers++ })
		g.Go(func() error {
			select {
			case lane <- struct{}{}:
			case <-gctx.Done():
				return gctx.Err()
			}
			defer func() { <-lane }()
			err := e.pull(gctx, r, env, c, src, keep)
			if err != nil && fatal(gctx, err) {
				return err
			}
			if err != nil { // one container's failure must not lose the others
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			}
			e.update(r, kind, func(k *KindProgress) { k.Finished++ })
			return nil
		})
		return nil
	})
	if groups != nil {
		groups.end()
	}
	e.listed(gctx, kind, found, listErr == nil)
	e.update(r, kind, func(k *KindProgress) { k.State = Running })
	if err := g.Wait(); err != nil {
		return err
	}
	return errors.Join(append(errs, listErr)...)
}

// describe commits the rows that describe a container.
func (e *Engine) describe(ctx context.Context, kind record.Kind, src connector.Source) error {
	var items []connector.Item
	for _, rec := range src.Describe {
		items = append(items, connector.Item{Rec: rec})
	}
	_, err := e.take(ctx, items, nil, kind, src.ID, nil, origin{})
	return err
}

func (e *Engine) update(r *run, kind record.Kind, fn func(*KindProgress)) {
	e.mu.Lock()
	if k := r.kinds[kind]; k != nil {
		fn(k)
	}
	e.mu.Unlock()
	e.notify()
}

// Names of cursors in the archive: "c/" where the next incremental begins,
// "f/" how far the full run has come in a container.
func cursorKey(kind record.Kind, container string) string {
	return "c/" + string(kind) + "/" + container
}
func fullKey(kind record.Kind, container string) string { return "f/" + string(kind) + "/" + container }

// walk is how far a full run has come in one container.
type walk struct {
	Run    int64  `json:"run"`
	Listed int64  `json:"listed"`
	Gaps   int64  `json:"gaps"`
	Cursor string `json:"cursor"`
	Done   bool   `json:"done"`
}

func (e *Engine) walkOf(kind record.Kind, container string, runID int64) (w walk) {
	if json.Unmarshal([]byte(e.d.Archive.Cursor(fullKey(kind, container))), &w) != nil || w.Run != runID {
		return walk{Run: runID}
	}
	return w
}

// pull reads one container: from its cursor, or from the beginning in a full
// run, or from where an interrupted full run stood.
func (e *Engine) pull(ctx context.Context, r *run, env *connector.Env, c connector.Connector, src connector.Source, keep func(*connector.Item) bool) error {
	kind := c.Kind()
	defer e.lock(kind, src.ID)()
	had := e.d.Archive.Cursor(cursorKey(kind, src.ID))
	cursor := had
	w := walk{Run: r.id}
	whole := had == "" // this pull walks the container from beginning to end
	if r.mode == Full {
		w = e.walkOf(kind, src.ID, r.id)
		if w.Done {
			return nil
		}
		cursor, whole = w.Cursor, w.Cursor == ""
	}
	total := result{listed: w.Listed, gaps: w.Gaps}
	seen := map[int64]bool{}
	pending := map[string]string{}
	pages := 0
	part := 0.0
	err := c.Pull(ctx, env, src, cursor, func(p connector.Page) error {
		p.Items = slices.DeleteFunc(p.Items, func(it connector.Item) bool { return !keep(&it) })
		if _, ok := c.(connector.Confirmer); ok && whole {
			for i := range p.Items {
				seen[e.d.Catalog.ItemID(string(kind), src.ID, p.Items[i].Rec.ID)] = true
			}
		}
		if p.Cursor != "" {
			w.Cursor = p.Cursor
			if r.mode != Full || had == "" || p.Walked {
				pending[cursorKey(kind, src.ID)] = p.Cursor
			}
		}
		res, err := e.takeCounting(ctx, r, kind, src.ID, p, &w, &total, pending, pages)
		if err != nil {
			return err
		}
		pages++
		e.update(r, kind, func(k *KindProgress) {
			k.Listed += res.listed
			k.Same += res.same
			k.Added += res.added
			k.Changed += res.changed
			k.Gaps += res.gaps
			k.Bytes += res.bytes
			k.Part += p.Done - part
			part = p.Done
		})
		return nil
	})
	e.update(r, kind, func(k *KindProgress) { k.Part -= part })
	if err != nil {
		return err
	}
	if r.mode != Full && !whole {
		return e.grew(ctx, kind, src.ID, total)
	}
	if conf, ok := c.(connector.Confirmer); ok && whole {
		if err := e.tombstones(ctx, env, conf, kind, src.ID, seen); err != nil {
			return err
		}
	}
	return e.walked(ctx, kind, src.ID, src.Dept, total)
}

// takeCounting commits a page with the cursors that belong to it. A page that
// brought nothing new only moves the cursor now and then, so that a full walk
// over what is held already writes next to nothing.
func (e *Engine) takeCounting(ctx context.Context, r *run, kind record.Kind, container string, p connector.Page, w *walk, total *result, pending map[string]string, pages int) (result, error) {
	return e.take(ctx, p.Items, p.Lost, kind, container, func(res result) (map[string]string, error) {
		total.add(res)
		if r.mode == Full {
			w.Done, w.Listed, w.Gaps = p.Walked, total.listed, total.gaps
			b, err := json.Marshal(w)
			if err != nil {
				return nil, err
			}
			pending[fullKey(kind, container)] = string(b)
		}
		if !p.Walked && res.added+res.changed == 0 && pages%50 != 49 {
			return nil, nil
		}
		cursors := maps.Clone(pending)
		clear(pending)
		return cursors, nil
	}, origin{asked: p.Asked})
}

// tombstones marks what a complete walk no longer listed, after asking
// DingTalk about each.
func (e *Engine) tombstones(ctx context.Context, env *connector.Env, conf connector.Confirmer, kind record.Kind, container string, seen map[int64]bool) error {
	hits, err := e.d.Catalog.Unseen(ctx, e.d.Catalog.ContainerID(kind, container), seen)
	if err != nil {
		return err
	}
	for _, h := range hits {
		rec, err := e.read(ctx, h.ID, h.Loc)
		if err != nil {
			return fmt.Errorf("read a record that is no longer listed: %w", err)
		}
		gone, err := conf.Gone(ctx, env, &rec)
		if err != nil {
			return err
		}
		if !gone {
			continue
		}
		if err := e.bury(ctx, rec); err != nil {
			return err
		}
	}
	return nil
}

// read opens a record, looking its address up again when a fold has moved it.
func (e *Engine) read(ctx context.Context, id int64, loc record.Loc) (record.Record, error) {
	rec, err := e.d.Archive.Read(ctx, loc)
	if !errors.Is(err, archive.ErrNotFound) {
		return rec, err
	}
	if loc, err = e.d.Catalog.Where(ctx, id); err != nil {
		return rec, err
	}
	return e.d.Archive.Read(ctx, loc)
}

// bury commits the tombstone of a record: its last state stays readable.
func (e *Engine) bury(ctx context.Context, rec record.Record) error {
	rec.Deleted = true
	if err := e.auditFor(ctx, audit.Event{Operation: "source.delete.seen", Object: rec.Kind.Object(), Hash: rec.Hash().String(), Outcome: "ok"}); err != nil {
		return err
	}
	return e.submit(ctx, &work{recs: []record.Record{rec}, missing: []bool{false}, facts: []watch.Fact{e.fact(&rec, true, 0)}})
}

// Problem names a failure for the catalogs, message id "problem.<name>".
func Problem(err error) string {
	for name, target := range map[string]error{
		"permission": dingtalk.ErrPermission, "credentials": dingtalk.ErrCredentials, "quota": dingtalk.ErrQuota, "consent": dingtalk.ErrConsent,
		"notenabled": dingtalk.ErrNotEnabled, "unreachable": dingtalk.ErrUnreachable, "throttled": dingtalk.ErrThrottled, "token": dingtalk.ErrToken,
		"unbound": ErrUnbound,
	} {
		if errors.Is(err, target) {
			return name
		}
	}
	if isStorage(err) {
		return "storage"
	}
	return "other"
}

func (e *Engine) paused(ctx context.Context) bool {
	return strings.EqualFold(e.setting(ctx, settings.BackupPaused, ""), "yes")
}
