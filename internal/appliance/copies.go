package appliance

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"farol/internal/archive"
	"farol/internal/i18n"
	"farol/internal/record"
	"farol/internal/replica"
	"farol/internal/web"
)

// placeWork is what is done with a place besides copying; guarded by a.mu.
type placeWork struct {
	what        string // verify, retire; "" nothing
	done, total int64
	err         error // of the last one
}

// stands reports a place that counts as a copy. a.mu is held.
func (p *placeRun) stands() bool { return p.work.what != "retire" }

// begin takes a place for one piece of work that may allows, which is asked with
// a.mu held; nil allows it.
func (a *Appliance) begin(id, what string, may func(*placeRun) error) (*placeRun, error) {
	p := a.place(id)
	if p == nil {
		return nil, &i18n.Error{ID: "place.unknown"}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if p.work.what != "" {
		return nil, &i18n.Error{ID: "place.busy"}
	}
	if may != nil {
		if err := may(p); err != nil {
			return nil, err
		}
	}
	p.work = placeWork{what: what}
	return p, nil
}

func (a *Appliance) end(p *placeRun, err error) {
	a.mu.Lock()
	p.work = placeWork{err: err}
	a.mu.Unlock()
}

func (a *Appliance) progress(p *placeRun) func(done, total int64) {
	return func(done, total int64) {
		a.mu.Lock()
		p.work.done, p.work.total = done, total
		a.mu.Unlock()
	}
}

// behind does work that outlives the request; Close waits for it.
func (a *Appliance) behind(p *placeRun, fn func(ctx context.Context) error) {
	a.mu.Lock()
	ctx := a.sendersCtx
	a.mu.Unlock()
	if ctx == nil {
		ctx = context.Background()
	}
	a.works.Go(func() {
		err := fn(ctx)
		a.end(p, err)
		if err != nil && ctx.Err() == nil {
			a.log.WarnContext(ctx, "storage place", "place", p.Config().ID, "err", err)
		}
	})
}

// AddCopy takes a place into use for the console.
func (a *Appliance) AddCopy(ctx context.Context, by string, n web.NewCopy) error {
	ctx, cancel := context.WithTimeout(ctx, 45*time.Second) // a server that does not answer
	defer cancel()
	_, err := a.AddPlace(ctx, by, replica.PlaceConfig{Kind: n.Kind, Name: n.Name, Path: n.Path, Host: n.Host, Bucket: n.Bucket, Region: n.Region, User: n.User, Secret: n.Secret,
		HostKey: n.HostKey, CA: n.CA, Plain: n.Plain, Price: n.Price, Lock: replica.Lock{Days: n.LockDays, Strict: n.LockStrict}, Transfer: n.Transfer})
	return err
}

// PriceCopy keeps what a place costs; the zero price forgets it.
func (a *Appliance) PriceCopy(ctx context.Context, by, id string, price record.Price) error {
	p := a.place(id)
	if p == nil || p.Config().Retired {
		return &i18n.Error{ID: "place.unknown"}
	}
	cfg := p.Config()
	cfg.Price = price
	if err := a.placeEntry(ctx, by, "replication.policy.change", cfg, "ok", "price"); err != nil {
		return err
	}
	if err := a.keepPlace(ctx, cfg); err != nil {
		return err
	}
	p.SetPrice(price)
	return nil
}

// VerifyCopy begins to read a copy again.
func (a *Appliance) VerifyCopy(_ context.Context, by, id string) error {
	p, err := a.begin(id, "verify", nil)
	if err == nil {
		a.behind(p, func(ctx context.Context) error { _, err := a.verifyPlace(ctx, by, p); return err })
	}
	return err
}

// RetireCopy begins to end the use of a place. Only one that does not answer
// may be forgotten, whatever the other copies hold: it is none.
func (a *Appliance) RetireCopy(_ context.Context, by, id string, erase, forget bool) error {
	if p := a.place(id); p != nil && forget && p.Status().State != "waiting" {
		return &i18n.Error{ID: "place.answers"}
	}
	if p := a.place(id); p != nil && erase && !forget && p.Config().Lock.Days > 0 {
		return &i18n.Error{ID: "place.locked"}
	}
	p, err := a.beginRetire(id, forget)
	if err == nil {
		a.behind(p, func(ctx context.Context) error { return a.retirePlace(ctx, by, p, erase && !forget, forget) })
	}
	return err
}

// placeFacts are what a restart must not make us forget about a place.
type placeFacts struct {
	Answer   time.Time `json:"answer,omitzero"`
	Whole    time.Time `json:"whole,omitzero"`
	Verified time.Time `json:"verified,omitzero"`
	Files    int64     `json:"files,omitempty"`
	Damaged  int       `json:"damaged,omitempty"`

	Lock replica.LockReport `json:"lock,omitzero"` // likewise, when it was last verified
}

const placesFacts = "places.facts" // JSON: place → placeFacts

func (a *Appliance) placeFacts(ctx context.Context) (map[string]placeFacts, error) {
	out := map[string]placeFacts{}
	_, err := a.settings.GetJSON(ctx, placesFacts, &out)
	return out, err
}

// keepFacts notes what the places said, and what fn adds.
func (a *Appliance) keepFacts(ctx context.Context, fn func(map[string]placeFacts)) error {
	a.factsMu.Lock()
	defer a.factsMu.Unlock()
	was, err := a.placeFacts(ctx)
	if err != nil {
		return err
	}
	next := map[string]placeFacts{}
	a.mu.Lock()
	for _, p := range a.places {
		id, st := p.Config().ID, p.Status()
		next[id] = was[id].with(st)
	}
	a.mu.Unlock()
	if fn != nil {
		fn(next)
	}
	b, err := json.Marshal(next)
	if err != nil {
		return err
	}
	return a.settings.Set(ctx, map[string]string{placesFacts: string(b)})
}

// with is the facts with what this process knows.
func (f placeFacts) with(st replica.PlaceStatus) placeFacts {
	if st.Answer.After(f.Answer) {
		f.Answer = st.Answer.UTC()
	}
	if st.LastOK.After(f.Whole) {
		f.Whole = st.LastOK.UTC()
	}
	return f
}

func (a *Appliance) verifiedPlace(ctx context.Context, id string, rep replica.PlaceReport) error {
	return a.keepFacts(context.WithoutCancel(ctx), func(m map[string]placeFacts) {
		f := m[id]
		f.Verified, f.Files, f.Damaged, f.Lock = time.Now().UTC(), rep.Files, len(rep.Damaged), rep.Lock
		m[id] = f
	})
}

// Copies tells how every further copy stands, those that were retired last.
func (a *Appliance) Copies(ctx context.Context) ([]web.Copy, error) {
	facts, err := a.placeFacts(ctx)
	if err != nil {
		return nil, err
	}
	cfgs, err := a.placeConfigs(ctx)
	if err != nil {
		return nil, err
	}
	total := a.archive.Status()
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []web.Copy
	for _, p := range a.places {
		c, st := p.Config(), p.Status()
		f := facts[c.ID].with(st)
		w := copyOf(c)
		w.State, w.Done, w.Total, w.Free, w.Size = st.State, st.Done, total.Repository+total.JournalBytes, st.Free, st.Size
		w.Answer, w.Whole, w.Verified, w.VerifiedFiles, w.VerifiedDamaged = f.Answer, f.Whole, f.Verified, f.Files, f.Damaged
		w.Lock.Asked, w.Lock.Open, w.Lock.First, w.Lock.Last = f.Lock.Asked, f.Lock.Open, f.Lock.First, f.Lock.Last
		w.Work, w.WorkDone, w.WorkTotal = p.work.what, p.work.done, p.work.total
		w.SameDisk = c.Kind == "dir" && sameDisk(c.Path, a.cfg.ArchiveDir)
		if st.Err != nil {
			w.Problem = placeProblem(st.Err)
		}
		if p.work.err != nil {
			w.WorkProblem = placeProblem(p.work.err)
		}
		out = append(out, w)
	}
	for _, c := range slices.Backward(cfgs) {
		if c.Retired {
			w := copyOf(c)
			w.State, w.Ended, w.Erased = "retired", c.Ended, c.Erased
			out = append(out, w)
		}
	}
	return out, nil
}

// copyOf is what people may see of how a place was set up: no secret.
func copyOf(c replica.PlaceConfig) web.Copy {
	where := c.Path
	switch c.Kind {
	case "s3":
		where = c.Host + "/" + strings.Trim(c.Bucket+"/"+c.Path, "/")
	case "sftp":
		where = c.User + "@" + c.Host + ":" + c.Path
	}
	return web.Copy{ID: c.ID, Name: c.Name, Kind: c.Kind, Where: where, Price: c.Price, Lock: web.CopyLock{Days: c.Lock.Days, Strict: c.Lock.Strict}, Transfer: c.Transfer}
}

// sameDisk reports folders that one broken disk takes both.
func sameDisk(x, y string) bool {
	dev := func(p string) (uint64, bool) {
		fi, err := os.Stat(p)
		if err != nil {
			return 0, false
		}
		st, ok := fi.Sys().(*syscall.Stat_t)
		if !ok {
			return 0, false
		}
		return uint64(st.Dev), true
	}
	a, aok := dev(x)
	b, bok := dev(y)
	return aok && bok && a == b
}

// troubles say an error of a place; the first that fits.
var troubles = []struct {
	err error
	id  string
}{
	{replica.ErrNoLock, "nolock"}, {replica.ErrLock, "lock"}, {replica.ErrLocked, "locked"},
	{replica.ErrGone, "gone"}, {replica.ErrForeign, "foreign"}, {replica.ErrRetired, "retired"}, {replica.ErrHostKey, "hostkey"}, {replica.ErrLogin, "login"}, {replica.ErrKey, "key"}, {replica.ErrPlain, "plain"}, {replica.ErrGate, "gate"}, {replica.ErrSuperseded, "superseded"},
	{replica.ErrNodeFull, "full"}, {syscall.ENOSPC, "full"}, {replica.ErrDamaged, "damaged"}, {archive.ErrCorrupt, "source"}, {fs.ErrPermission, "denied"}, {syscall.EROFS, "denied"},
}

func trouble(err error) string {
	for _, t := range troubles {
		if errors.Is(err, t.err) {
			return t.id
		}
	}
	return "unreachable"
}

// placeProblem is the message that says why a place waits; "<id>.advice" says
// what to do.
func placeProblem(err error) string {
	var said *i18n.Error
	if errors.As(err, &said) {
		return said.ID
	}
	return "place." + trouble(err)
}

// addProblem is the message that says why a place was not taken.
func addProblem(err error) string {
	switch t := trouble(err); t {
	case "gone", "foreign", "hostkey", "login", "key", "plain", "full", "denied", "nolock":
		return "place.add." + t
	}
	return "place.add.unreachable"
}
