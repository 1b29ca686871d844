// Package watch tells an ordinary day from an attack: it counts what each
// commit destroys or changes, looks at the bytes of new versions, and keeps
// the alarms that a person has to answer.
//
// It promises that an alarm names the last good point before it began, that
// it stays open over restarts until a person has acknowledged it, that the
// same cause while open is one alarm with newer figures, and that neither
// opening nor acknowledging happens without an entry in the audit log. It
// stops nothing, deletes nothing, and never keeps or tells content or names:
// places are the catalog's blind ids.
//
// # Design
//
// Deciding is pure ([Limits.Judge], [Limits.Silent], [Limits.Shrunk],
// [Suspect]). The counts of a day are kept per container; the usual of a
// container is its second busiest day of nine weeks, so that one attack does
// not become the next one's usual and a monthly clean-up does after two
// months. How a file's version before looked is not kept: when a new version
// is suspicious the one before is read from the archive, 64 KiB of it. That
// costs nothing on an ordinary day and cannot disagree with what is held.
//
// # Why an ordinary day is silent
//
//   - The first full backup, and the first walk of any container, only adds.
//     Deletions and changes are counted against what is held, and what is
//     added there counts for nothing, so it cannot ring, whatever it finds.
//   - Onboarding adds people, groups and files, and changes the contacts;
//     changes of contacts are not judged at all.
//   - A clean-up of some files stays below 30 deletions in a container. A
//     larger one must also be a quarter of the container and four times its
//     second busiest day.
//   - A month-end moves hundreds of approvals on; changes of approvals are not
//     judged. Spreadsheets saved all day make versions of few files: 150
//     changes and 40 % of a container is another matter.
//   - Office files, pictures and films look like chance to a count of bytes.
//     They say in their first bytes what they are, also when locked with a
//     password, and so they are never noise. Keys, encrypted mail and disk
//     images are left out by name, and by their version before.
//   - One file of an unknown program is one file: noise needs five on a day,
//     or two beside a ransom note. A guide "how to restore files" is one note.
//   - A holiday silences everybody; a department is silent only while others
//     write, on three whole working days, after writing on nine of ten.
//   - A changed scope is a person's decision: figures of another scope are not
//     compared. A run that failed or was resumed tells nothing of the whole.
//
// What does ring, rightly or not, is a container wound up on purpose. A person
// acknowledges it; its day is not judged twice.
package watch

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"farol/internal/archive"
	"farol/internal/audit"
	"farol/internal/db"
	"farol/internal/record"
)

// Points is what watch needs of the archive.
type Points interface {
	Points(ctx context.Context) ([]archive.Point, error)
	LastSeq() uint64
}

// Log is what watch needs of the audit log.
type Log interface {
	Append(ctx context.Context, events ...audit.Event) ([]int64, error)
}

// Catalog is what watch needs of the catalog.
type Catalog interface {
	// Live counts the items of a container that upstream still shows.
	Live(ctx context.Context, container int64) (int64, error)
	// Written calls fn with how many messages a department wrote on a day.
	Written(ctx context.Context, from time.Time, fn func(dept int64, day string, n int64)) error
}

// Box seals the notes at rest.
type Box interface {
	Seal(plain, aad []byte) []byte
	Open(sealed, aad []byte) ([]byte, error)
}

// Deps is what a watch works with.
type Deps struct {
	Control *db.DB
	Archive Points
	Audit   Log
	Catalog Catalog
	Box     Box
	Limits  Limits // the zero value is Default
	Log     *slog.Logger
	Now     func() time.Time
}

// Watch counts and keeps the alarms. It is safe for concurrent use.
type Watch struct {
	d Deps

	mu    sync.Mutex // guards below
	day   string     // in Macau
	today map[place]*tally
	dirty map[place]bool
	heard string // day on which silence was judged last

	pending bool          // something was counted that is not judged yet
	soon    chan struct{} // wakes Run

	judging sync.Mutex // one judgement at a time; taken before mu
}

type place struct {
	kind      record.Kind
	container int64
}

// tally is a row of watch_day with what was looked up for it.
type tally struct {
	Activity           // as counted, without regard to what was looked at
	ok       [4]int64  // deleted, changed, noise and notes that a person has looked at
	usual    *[2]int64 // deleted, changed; nil: not looked up
	held     int64     // what the container held when the day began, as last looked up
	heldOf   int64     // deletions and changes counted then
	heldAt   time.Time // zero: not looked up
}

// New returns a watch. It starts nothing.
func New(d Deps) *Watch {
	if d.Limits == (Limits{}) {
		d.Limits = Default
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	return &Watch{d: d, today: map[place]*tally{}, dirty: map[place]bool{}, pending: true, soon: make(chan struct{}, 1)}
}

// Fact is what a commit did to one record.
type Fact struct {
	Kind      record.Kind
	Container int64 // the catalog's blind id
	Dept      int64
	Held      bool // an earlier version was held
	Deleted   bool // upstream shows it no longer, or its author took it back
	First     bool // met while its container was walked for the first time
	Signs     Signs
}

// Committed counts what a commit did; [Watch.Run] judges it within a second.
// The commit is durable whatever this returns.
func (w *Watch) Committed(ctx context.Context, seq uint64, facts []Fact) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.turn(ctx); err != nil {
		return err
	}
	for _, f := range facts {
		w.pending = w.count(seq, f) || w.pending
	}
	if !w.pending {
		return nil
	}
	select {
	case w.soon <- struct{}{}:
	default:
	}
	return nil
}

// count adds a fact to its container's day. It reports whether there was
// anything to add.
func (w *Watch) count(seq uint64, f Fact) bool {
	if f.First && !f.Held || !f.Held && f.Signs == 0 {
		return false
	}
	p := place{f.Kind, f.Container}
	t := w.today[p]
	if t == nil {
		t = &tally{Activity: Activity{Kind: f.Kind, Container: f.Container}}
		w.today[p] = t
	}
	t.Dept = f.Dept
	switch {
	case f.Deleted && f.Held:
		t.Deleted++
		t.SeqDeleted = first(t.SeqDeleted, seq)
	case f.Held:
		t.Changed++
		t.SeqChanged = first(t.SeqChanged, seq)
	}
	if f.Signs&Note != 0 {
		t.Notes++
	} else if f.Signs != 0 {
		t.Noise++
	}
	if f.Signs != 0 {
		t.SeqNoise = first(t.SeqNoise, seq)
	}
	w.dirty[p] = true
	return true
}

// turn loads the counts of the day, once a day and after a restart.
func (w *Watch) turn(ctx context.Context) error {
	day := midnight(w.d.Now()).Format(time.DateOnly)
	if day == w.day && w.today != nil {
		return nil
	}
	if err := w.flush(ctx); err != nil {
		return err
	}
	today, err := w.load(ctx, day)
	if err != nil {
		return err
	}
	w.day, w.today = day, today
	return nil
}

// Raise opens or updates an alarm about what another part has found.
func (w *Watch) Raise(ctx context.Context, found ...Finding) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.raise(ctx, found)
}
