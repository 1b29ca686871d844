package appliance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"farol/internal/archive"
	"farol/internal/audit"
	"farol/internal/i18n"
	"farol/internal/record"
	"farol/internal/replica"
)

// placesSetting is the sealed list of replica.PlaceConfig.
const placesSetting = "places"

// placeRun is a storage place with what ends its copying.
type placeRun struct {
	*replica.Place
	stop context.CancelFunc
	done chan struct{}
	work placeWork
}

// machineUser is who acts on the command line.
const machineUser = "root@machine"

func (a *Appliance) openPlaces(ctx context.Context) error {
	cfgs, err := a.placeConfigs(ctx)
	if err != nil {
		return err
	}
	for _, c := range cfgs {
		if !c.Retired {
			a.places = append(a.places, &placeRun{Place: replica.NewPlace(c, a.log, nil)})
		}
	}
	return nil
}

func (a *Appliance) placeConfigs(ctx context.Context) (cfgs []replica.PlaceConfig, err error) {
	_, err = a.settings.GetJSON(ctx, placesSetting, &cfgs)
	return cfgs, err
}

// keepPlace adds or replaces the settings of a place.
func (a *Appliance) keepPlace(ctx context.Context, cfg replica.PlaceConfig) error {
	cfgs, err := a.placeConfigs(ctx)
	if err != nil {
		return err
	}
	cfgs = append(slices.DeleteFunc(cfgs, func(c replica.PlaceConfig) bool { return c.ID == cfg.ID }), cfg)
	b, err := json.Marshal(cfgs)
	if err != nil {
		return err
	}
	return a.settings.SetSecret(ctx, map[string]string{placesSetting: string(b)})
}

// runPlaces begins to copy to every place. a.sendersCtx is set.
func (a *Appliance) runPlaces() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, p := range a.places {
		a.runPlace(p)
	}
}

// runPlace copies until the appliance ends or the place is retired. a.mu is
// held.
func (a *Appliance) runPlace(p *placeRun) {
	if p.stop != nil || a.sendersCtx == nil {
		return
	}
	every := time.Minute // an object store charges for each put
	if p.Config().Kind == "dir" {
		every = 10 * time.Second
	}
	ctx, cancel := context.WithCancel(a.sendersCtx)
	p.stop, p.done = cancel, make(chan struct{})
	go func() { // ends with sendersCtx
		defer close(p.done)
		if err := p.Run(ctx, a.archive, a.audit, every); err != nil && ctx.Err() == nil {
			a.log.ErrorContext(ctx, "storage place", "place", p.Config().ID, "err", err)
		}
	}()
}

// fetch gives a file of the archive back from any copy there is.
func (a *Appliance) fetch(ctx context.Context, name string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	a.mu.Lock()
	places, sender := slices.Clone(a.places), a.sender
	a.mu.Unlock()
	err := fmt.Errorf("no copy of it: %w", archive.ErrNotFound)
	for _, p := range places {
		b, perr := p.File(ctx, name)
		if perr == nil {
			return b, nil
		}
		err = errors.Join(err, perr)
	}
	if sender != nil {
		b, serr := sender.File(ctx, name)
		if serr == nil {
			return b, nil
		}
		err = errors.Join(err, serr)
	}
	return nil, err
}

func (a *Appliance) place(id string) *placeRun {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, p := range a.places {
		if p.Config().ID == id {
			return p
		}
	}
	return nil
}

// AddPlace takes a storage place into use; it is filled in the background. One
// that is in use already takes the new settings, such as another secret.
func (a *Appliance) AddPlace(ctx context.Context, by string, cfg replica.PlaceConfig) (string, error) {
	if err := a.allowedPlace(cfg); err != nil {
		return "", err
	}
	cfg, err := replica.AddPlace(ctx, cfg, a.archive.ID())
	if err != nil {
		return "", &i18n.Error{ID: addProblem(err), Err: err}
	}
	step := "add"
	old := a.place(cfg.ID)
	if old != nil {
		step = "change"
		if cfg.Lock.Days == 0 { // nor is a lock taken off by the way
			cfg.Lock = old.Config().Lock
		}
		if cfg.Price == (record.Price{}) { // given anew is the secret, as a rule
			cfg.Price = old.Config().Price
		}
		if _, err := a.begin(cfg.ID, step, nil); err != nil {
			return "", err
		}
		defer a.end(old, nil)
	}
	if err := a.placeEntry(ctx, by, "replication.policy.change", cfg, "ok", step); err != nil {
		return "", err
	}
	if err := a.keepPlace(ctx, cfg); err != nil {
		return "", err
	}
	if old != nil {
		a.halt(old)
	}
	p := &placeRun{Place: replica.NewPlace(cfg, a.log, nil)}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.places = append(slices.DeleteFunc(a.places, func(x *placeRun) bool { return x == old }), p)
	a.runPlace(p)
	return cfg.ID, nil
}

// halt ends the copying to a place.
func (a *Appliance) halt(p *placeRun) {
	a.mu.Lock()
	stop, done := p.stop, p.done
	a.mu.Unlock()
	if stop != nil {
		stop()
		<-done
	}
}

// allowedPlace refuses what would break the law or save nothing.
func (a *Appliance) allowedPlace(cfg replica.PlaceConfig) error {
	if len(cfg.Missing(time.Now())) > 0 {
		return &i18n.Error{ID: "place.add.abroad", Err: errors.New("the bytes would leave Macau: Articles 19 and 20 of Law 8/2005 ask for a basis first")}
	}
	if cfg.Kind != "dir" {
		return nil
	}
	if !filepath.IsAbs(cfg.Path) {
		return &i18n.Error{ID: "place.add.relative"}
	}
	for _, own := range []string{a.cfg.StateDir, a.cfg.ArchiveDir} {
		if rel, err := filepath.Rel(own, cfg.Path); err == nil && filepath.IsLocal(rel) {
			return &i18n.Error{ID: "place.add.inside"}
		}
	}
	return nil
}

func (a *Appliance) placeEntry(ctx context.Context, by, op string, cfg replica.PlaceConfig, outcome, step string) error {
	detail := map[string]string{"step": step, "kind": cfg.Kind, "country": cfg.Country, "filing": cfg.Filing}
	if cfg.Lock.Days > 0 {
		detail["lock_days"], detail["lock_strict"] = strconv.Itoa(cfg.Lock.Days), strconv.FormatBool(cfg.Lock.Strict)
	}
	_, err := a.audit.Append(context.WithoutCancel(ctx), audit.Event{Actor: by, Operation: op, Object: "place/" + cfg.ID, Outcome: outcome, Detail: detail})
	return err
}

// PlaceRow is a storage place as `farol place list` shows it: no secret.
type PlaceRow struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Kind    string    `json:"kind"`
	Country string    `json:"country"`
	State   string    `json:"state"`
	Done    int64     `json:"done"`
	Total   int64     `json:"total"`
	Free    int64     `json:"disk_free"`
	Size    int64     `json:"disk_size"`
	LastOK  time.Time `json:"last_ok"`
	Problem string    `json:"problem,omitempty"`
}

// Places lists the storage places.
func (a *Appliance) Places() []PlaceRow {
	a.mu.Lock()
	places := slices.Clone(a.places)
	a.mu.Unlock()
	rows := make([]PlaceRow, 0, len(places))
	for _, p := range places {
		c, st := p.Config(), p.Status()
		row := PlaceRow{c.ID, c.Name, c.Kind, c.Country, st.State, st.Done, st.Total, st.Free, st.Size, st.LastOK, ""}
		if st.Err != nil {
			row.Problem = st.Err.Error()
		}
		rows = append(rows, row)
	}
	return rows
}

// VerifyPlace reads a copy again and compares it with the hashes.
func (a *Appliance) VerifyPlace(ctx context.Context, by, id string) (replica.PlaceReport, error) {
	p, err := a.begin(id, "verify", nil)
	if err != nil {
		return replica.PlaceReport{}, err
	}
	rep, err := a.verifyPlace(ctx, by, p)
	a.end(p, err)
	return rep, err
}

func (a *Appliance) verifyPlace(ctx context.Context, by string, p *placeRun) (replica.PlaceReport, error) {
	rep, err := p.Verify(ctx, a.archive, a.progress(p))
	outcome := "ok"
	if err != nil || len(rep.Damaged) > 0 {
		outcome = "partial"
	}
	if err == nil {
		err = a.verifiedPlace(ctx, p.Config().ID, rep)
	}
	return rep, errors.Join(err, a.placeEntry(ctx, by, "replication.verify", p.Config(), outcome, "verify"))
}

func (a *Appliance) ctlPlaces(*http.Request) (any, error) { return a.Places(), nil }

func (a *Appliance) ctlPlaceAdd(r *http.Request) (any, error) {
	var cfg replica.PlaceConfig
	if err := json.NewDecoder(r.Body).Decode(&cfg); err != nil {
		return nil, fmt.Errorf("read the request: %w", err)
	}
	id, err := a.AddPlace(r.Context(), machineUser, cfg)
	return map[string]string{"id": id}, err
}

type placeAsk struct {
	ID    string `json:"id"`
	Erase bool   `json:"erase"`
	Force bool   `json:"force"`
}

func (a *Appliance) ctlPlaceVerify(r *http.Request) (any, error) {
	var q placeAsk
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		return nil, fmt.Errorf("read the request: %w", err)
	}
	return a.VerifyPlace(r.Context(), machineUser, q.ID)
}

func (a *Appliance) ctlPlaceRetire(r *http.Request) (any, error) {
	var q placeAsk
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		return nil, fmt.Errorf("read the request: %w", err)
	}
	return map[string]string{"retired": q.ID}, a.RetirePlace(r.Context(), machineUser, q.ID, q.Erase, q.Force)
}
