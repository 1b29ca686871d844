package replica

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"farol/internal/record"
)

// Place is one further copy of an archive and its audit log: every file of the
// repository under its own name, the journal and the log in parts. Nothing in
// it is ever changed but the three files kopia itself overwrites, whose older
// versions stay beside, and nothing goes but journal that was folded. What it holds is asked of the place itself, so no
// state of ours can be wrong about it. It is safe for concurrent use.
type Place struct {
	cfg  PlaceConfig
	t    target
	log  *slog.Logger
	now  func() time.Time
	wake chan struct{}

	work   sync.Mutex           // held by whoever writes to the place
	listed bool                 // what follows is what the place holds; guarded by work
	held   map[string]int64     // whole files, with their sizes
	ends   map[string]int64     // journal file → how much of it
	locks  map[string]time.Time // with a lock: every file, until when it is locked; zero: not asked yet
	swept  time.Time            // when what was given up was last looked for
	mark   placeMark            // as it lay there when it was opened last
	log0   int64                // entries of the log
	pos    int64                // in the put log

	mu       sync.Mutex // guards below
	status   PlaceStatus
	transfer record.Transfer // in place of the one in cfg
	price    record.Price    // likewise
}

// PlaceStatus is how a further copy stands.
type PlaceStatus struct {
	State  string // new, filling, current, waiting, retired
	Done   int64  // bytes held
	Total  int64  // bytes there are to hold
	Free   int64  // of the disk, 0 where nobody says
	Size   int64
	LastOK time.Time // when it last held everything
	Answer time.Time // when it last answered
	Err    error     // why it waits
}

// NewPlace returns the copy of the archive at a place that was added. It
// touches nothing yet: a place that is not there now may come back.
func NewPlace(cfg PlaceConfig, log *slog.Logger, now func() time.Time) *Place {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if now == nil {
		now = time.Now
	}
	p := &Place{cfg: cfg, log: log, now: now, wake: make(chan struct{}, 1), transfer: cfg.Transfer, price: cfg.Price}
	p.status.State = "new"
	return p
}

// Config is how the place was set up.
func (p *Place) Config() PlaceConfig {
	p.mu.Lock()
	defer p.mu.Unlock()
	cfg := p.cfg
	cfg.Transfer, cfg.Price = p.transfer, p.price
	return cfg
}

// SetPrice says what the place costs from now on.
func (p *Place) SetPrice(price record.Price) {
	p.mu.Lock()
	p.price = price
	p.mu.Unlock()
}

// Status is how the copy stands now.
func (p *Place) Status() PlaceStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.status
}

func (p *Place) set(fn func(*PlaceStatus)) {
	p.mu.Lock()
	fn(&p.status)
	p.mu.Unlock()
}

// Wake makes Run look for something to copy now.
func (p *Place) Wake() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// open makes sure that this is the place that was added. p.work is held.
func (p *Place) open(ctx context.Context) error {
	if p.t == nil {
		t, err := openTarget(p.cfg)
		if err != nil {
			return err
		}
		if d, ok := t.(*dirTarget); ok && p.cfg.Mounted && !d.mounted() {
			return errors.Join(ErrGone, t.close())
		}
		p.t, p.listed = t, false
	}
	err := p.t.check(ctx)
	var m placeMark
	if err == nil {
		m, err = readMark(ctx, p.t)
	}
	switch {
	case errors.Is(err, ErrUnknown), err == nil && m.Place != p.cfg.ID:
		err = ErrGone
	case err == nil && m.Archive != p.cfg.Archive:
		err = ErrForeign
	case err == nil && !m.Retired.IsZero():
		return ErrRetired // the connection stays: it may be asked to erase
	}
	if err != nil {
		p.shut()
	}
	p.mark = m
	return err
}

func (p *Place) shut() {
	if p.t != nil {
		if err := p.t.close(); err != nil {
			p.log.Debug("close a storage place", "err", err)
		}
	}
	p.t, p.listed = nil, false
}

// Close lets go of the place.
func (p *Place) Close() {
	p.work.Lock()
	defer p.work.Unlock()
	p.shut()
}
