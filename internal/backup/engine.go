// Package backup runs full, incremental and event-driven backups, from cursor
// to cursor, and repairs at start what a crash left between two steps.
//
// It promises that what DingTalk listed is either in the archive or a named
// gap, that an acknowledged commit is never lost or doubled, and that the
// figures on the dashboard come from a listing, never from an assumption.
//
// # Design
//
// Connectors hand over pages. Every page goes through one committer, which
// drops what is already held, fetches attachments, and writes in the order
// archive, audit log, catalog; a page is acknowledged, and its cursor moves,
// only then. The catalog says which commit it has applied, the audit log which
// it has witnessed: at start both are brought forward from the journal.
package backup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"farol/internal/archive"
	"farol/internal/audit"
	"farol/internal/catalog"
	"farol/internal/connector"
	"farol/internal/db"
	"farol/internal/dingtalk"
	"farol/internal/record"
	"farol/internal/settings"
	"farol/internal/watch"
)

// Deps is what an engine works with.
type Deps struct {
	Archive    *archive.Archive
	Audit      *audit.Log
	Catalog    *catalog.Catalog
	Control    *db.DB
	Settings   *settings.Settings
	Connectors []connector.Connector
	// Client returns the client of the bound tenant, nil before binding.
	Client func() *dingtalk.Client
	Watch  Watcher // told what commits do; nil when nobody watches
	Log    *slog.Logger
	Now    func() time.Time
}

// Watcher is told what commits and runs do. What it returns is logged: the
// backup goes on.
type Watcher interface {
	Committed(ctx context.Context, seq uint64, facts []watch.Fact) error
	Ended(ctx context.Context, r watch.Report) error
}

// Engine runs the backups of one tenant. It is safe for concurrent use.
type Engine struct {
	d      Deps
	kinds  map[record.Kind]connector.Connector
	people *connector.Directory
	queue  chan *work // pages waiting for the committer
	lanes  int        // containers of a kind read at the same time

	witnessed uint64 // last commit in the audit log; owned by the committer
	recent    recent

	mu      sync.Mutex // guards below
	run     *run       // the one run under way, nil when idle
	sources map[string]connector.Source
	locks   map[string]*sync.Mutex // one per container
	watch   chan struct{}          // closed when the progress changed
	streams int                    // open event streams
	missed  bool                   // a stream (re)connected: events before were not heard
	caught  time.Time              // when the last catching-up began
	lastOK  map[record.Kind]time.Time
	depts   []record.Dept
	lag     lagMeter
	whole   map[string]bool // containers that were walked from beginning to end once
	wake    chan struct{}
	resumed chan struct{} // closed once what a restart cut off goes on or is ended
}

// Errors of this package.
var (
	ErrBusy    = errors.New("a backup is running already")
	ErrUnbound = errors.New("no DingTalk organisation is bound yet")
	ErrIdle    = errors.New("no backup is running")
	ErrPaused  = errors.New("backups are paused")
)

// New returns an engine. It starts nothing.
func New(d Deps) *Engine {
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	e := &Engine{d: d, kinds: map[record.Kind]connector.Connector{}, people: connector.NewDirectory(), queue: make(chan *work), lanes: lanesFor(runtime.GOMAXPROCS(0)),
		sources: map[string]connector.Source{}, locks: map[string]*sync.Mutex{}, watch: make(chan struct{}), lastOK: map[record.Kind]time.Time{}, whole: map[string]bool{}, wake: make(chan struct{}, 1), resumed: make(chan struct{})}
	for _, c := range d.Connectors {
		e.kinds[c.Kind()] = c
	}
	return e
}

// Run works until ctx ends: the committer, the event lanes and the schedule.
// Repair must have returned before.
func (e *Engine) Run(ctx context.Context) error {
	if err := e.resume(ctx); err != nil {
		return err
	}
	close(e.resumed)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return e.commitLoop(ctx) })
	g.Go(func() error { return e.eventLoop(ctx) })
	g.Go(func() error { return e.scheduleLoop(ctx) })
	return g.Wait()
}

// People is who belongs where, as far as the contacts have been read.
func (e *Engine) People() *connector.Directory { return e.people }

// Connector returns the connector of a kind.
func (e *Engine) Connector(k record.Kind) connector.Connector { return e.kinds[k] }

// lock serialises reading one container on from its cursor, so that the cursor
// only moves forward.
func (e *Engine) lock(k record.Kind, container string) func() {
	m := e.lockOf(k, container)
	m.Lock()
	return m.Unlock
}

// beingRead reports whether somebody reads the container just now.
func (e *Engine) beingRead(k record.Kind, container string) bool {
	m := e.lockOf(k, container)
	if !m.TryLock() {
		return true
	}
	m.Unlock()
	return false
}

func (e *Engine) lockOf(k record.Kind, container string) *sync.Mutex {
	key := string(k) + "/" + container
	e.mu.Lock()
	defer e.mu.Unlock()
	m := e.locks[key]
	if m == nil {
		m = &sync.Mutex{}
		e.locks[key] = m
	}
	return m
}

// env builds what the connectors need for a run.
func (e *Engine) env(ctx context.Context) (*connector.Env, error) {
	client := e.d.Client()
	if client == nil {
		return nil, ErrUnbound
	}
	operator, err := e.d.Settings.Get(ctx, settings.Operator)
	if err != nil {
		return nil, err
	}
	corp, err := e.d.Settings.Get(ctx, settings.CorpID)
	if err != nil {
		return nil, err
	}
	consents, err := e.d.Settings.Consents(ctx)
	if err != nil {
		return nil, err
	}
	env := &connector.Env{Client: client, CorpID: corp, Operator: operator, People: e.people, Log: e.d.Log, Now: e.d.Now, Conversations: e.eachConversation}
	for _, c := range consents {
		if c.State == settings.Active {
			env.Readers = append(env.Readers, c.Person)
		}
	}
	return env, nil
}

// conversations are those known, in no order.
func (e *Engine) conversations() []connector.Source {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []connector.Source
	for _, s := range e.sources {
		if s.Kind == record.Chat {
			out = append(out, s)
		}
	}
	return out
}

func (e *Engine) eachConversation(_ context.Context, fn func(connector.Source) error) error {
	for _, s := range e.conversations() {
		if err := fn(s); err != nil {
			return err
		}
	}
	return nil
}

// feed hands the conversations of a run on to the files kind while the chat
// kind still finds them.
type feed struct {
	mu    sync.Mutex
	found []connector.Source
	ended bool
	more  chan struct{}
}

func newFeed() *feed { return &feed{more: make(chan struct{})} }

func (f *feed) add(s connector.Source) { f.change(func() { f.found = append(f.found, s) }) }
func (f *feed) end()                   { f.change(func() { f.ended = true }) }

func (f *feed) change(fn func()) {
	f.mu.Lock()
	fn()
	close(f.more)
	f.more = make(chan struct{})
	f.mu.Unlock()
}

func (f *feed) each(ctx context.Context, fn func(connector.Source) error) error {
	for i := 0; ; {
		f.mu.Lock()
		found, ended, more := f.found[i:], f.ended, f.more
		f.mu.Unlock()
		for _, s := range found {
			if err := fn(s); err != nil {
				return err
			}
			i++
		}
		if len(found) > 0 {
			continue
		}
		if ended {
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// loadDepts keeps the departments in memory as the catalog knows them.
func (e *Engine) loadDepts(ctx context.Context) error {
	ds, err := e.d.Catalog.Depts(ctx)
	if err != nil {
		return err
	}
	e.mu.Lock()
	e.depts = ds
	e.mu.Unlock()
	return nil
}

// deptNames is the name of a department and of those above it.
func (e *Engine) deptNames(id int64) []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return namesUp(id, func(id int64) (record.Dept, bool) {
		i := slices.IndexFunc(e.depts, func(d record.Dept) bool { return d.ID == id })
		if i < 0 {
			return record.Dept{}, false
		}
		return e.depts[i], true
	})
}

// namesUp is the name of a department and of those above it.
func namesUp(id int64, find func(int64) (record.Dept, bool)) (out []string) {
	for range 32 {
		d, ok := find(id)
		if !ok {
			break
		}
		out = append(out, d.Name)
		if id = d.Parent; id == 0 {
			break
		}
	}
	return out
}

// notify tells everybody who watches that the progress changed.
func (e *Engine) notify() {
	e.mu.Lock()
	close(e.watch)
	e.watch = make(chan struct{})
	e.mu.Unlock()
}

// Watch returns a channel that is closed at the next change of the progress.
func (e *Engine) Watch() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.watch
}

func (e *Engine) setting(ctx context.Context, name, def string) string {
	v, err := e.d.Settings.Get(ctx, name)
	if err != nil || v == "" {
		return def
	}
	return v
}

// auditFor writes an entry of the engine's own.
func (e *Engine) auditFor(ctx context.Context, ev audit.Event) error {
	if ev.Actor == "" {
		ev.Actor = "system"
	}
	_, err := e.d.Audit.Append(ctx, ev)
	if err != nil {
		return fmt.Errorf("write audit entry: %w", err)
	}
	return nil
}
