package appliance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"farol/internal/archive"
	"farol/internal/backup"
	"farol/internal/catalog"
	"farol/internal/i18n"
	"farol/internal/policy"
	"farol/internal/record"
	"farol/internal/restore"
	"farol/internal/verify"
)

// The control socket is how the command line speaks to the running appliance.
// Whoever may open it is root or the service user on the machine itself.

func (a *Appliance) controlListener() (net.Listener, error) {
	path := filepath.Join(a.cfg.RunDir, "farol.sock")
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("replace the control socket: %w", err)
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen on the control socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	return ln, nil
}

func (a *Appliance) serveControl(ctx context.Context, ln net.Listener) error {
	m := http.NewServeMux()
	for pattern, h := range map[string]func(*http.Request) (any, error){
		"POST /setup-code": a.ctlSetupCode, "POST /status": a.ctlStatus, "POST /fold": a.ctlFold, "POST /verify": a.ctlVerify, "POST /backup": a.ctlBackup,
		"POST /search": a.ctlSearch, "POST /export": a.ctlExport, "POST /caught-up": a.ctlCaughtUp, "POST /proof": a.ctlProof, "POST /audit-package": a.ctlAuditPackage,
		"POST /places": a.ctlPlaces, "POST /place-add": a.ctlPlaceAdd, "POST /place-verify": a.ctlPlaceVerify, "POST /place-retire": a.ctlPlaceRetire,
		"POST /unlock": a.ctlUnlock, "POST /merge": a.ctlMerge, "POST /seed": a.ctlSeed, "POST /offsite": a.ctlOffsite, "POST /witness-add": a.ctlWitnessAdd, "POST /witness-remove": a.ctlWitnessRemove, "POST /support": a.ctlSupport,
	} {
		m.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			v, err := h(r)
			w.Header().Set("Content-Type", "application/json")
			if err != nil {
				w.WriteHeader(http.StatusUnprocessableEntity)
				v = map[string]string{"error": Words(err) + wayOut(err)}
			}
			if err := json.NewEncoder(w).Encode(v); err != nil {
				a.log.DebugContext(r.Context(), "control answer", "err", err)
			}
		})
	}
	srv := &http.Server{Handler: m, ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the control socket: %w", err)
	}
	return ctx.Err()
}

// Words is what the command line may print: English, and no internals beyond
// the wrapped causes that name things, never content.
func Words(err error) string {
	var ie *i18n.Error
	if errors.As(err, &ie) {
		return ie.Text(i18n.EN)
	}
	return err.Error()
}

// Message is a message of the catalogs as the command line prints it.
func Message(id string) string { return (&i18n.Error{ID: id}).Text(i18n.EN) }

// wayOut says what to do when the service may not write where it was asked to:
// its unit closes it in, so that also root's wish is refused.
func wayOut(err error) string {
	var ie *i18n.Error
	if errors.As(err, &ie) || !errors.Is(err, syscall.EROFS) && !errors.Is(err, fs.ErrPermission) {
		return ""
	}
	return "\nAs it is installed, the service writes as the user farol, and only below /var/lib/farol. To let it write elsewhere: give it the folder (chown farol: FOLDER), " +
		"put the lines [Service] and ReadWritePaths=FOLDER into a drop-in (systemctl edit farol), then systemctl restart farol."
}

// operator is the person at the machine: the command line acts for root.
func (a *Appliance) operator(p policy.Purpose) restore.Request {
	return restore.Request{Subject: policy.Subject{Account: "root@machine", Role: "machine", Grants: policy.Machine}, Source: "control socket", Purpose: p, Fresh: true}
}

func (a *Appliance) ctlSetupCode(r *http.Request) (any, error) {
	n, err := a.accounts.Count(r.Context())
	if err != nil {
		return nil, err
	}
	if n > 0 {
		return nil, errors.New("the appliance has an owner already: there is no set-up code any more")
	}
	return map[string]string{"code": a.claim.Code(), "fingerprint": a.Fingerprint()}, nil
}

// Status is what `farol status` prints.
type Status struct {
	Version  string                `json:"version"`
	Commits  uint64                `json:"commits"`
	Counts   []catalog.Count       `json:"counts"`
	Archive  any                   `json:"archive"`
	Progress backup.Progress       `json:"progress"`
	Complete []backup.Completeness `json:"completeness"`
	Gaps     int                   `json:"gaps"`
	Lag      backup.Lag            `json:"lag"`
	Offsite  any                   `json:"offsite"`
	Runs     []backup.Run          `json:"runs"`
	Jobs     []jobStatus           `json:"jobs"`
	Entries  int64                 `json:"log_entries"`
	Calls    int64                 `json:"counted_calls"`
	Mended   []Mended              `json:"mended,omitempty"` // databases this start made anew
	Memory   Memory                `json:"memory"`
}

// jobStatus is a restore without any name in it.
type jobStatus struct {
	State    string         `json:"state"`
	Problem  string         `json:"problem,omitempty"`
	Done     int64          `json:"done"`
	Total    int64          `json:"total"`
	Outcomes map[string]int `json:"outcomes"`
}

func (a *Appliance) jobs() []jobStatus {
	var out []jobStatus
	for _, j := range a.door.Jobs() {
		s := j.Snapshot()
		js := jobStatus{s.State, s.Problem, s.Done, s.Total, map[string]int{}}
		for _, it := range s.Items {
			js.Outcomes[it.Outcome]++
		}
		out = append(out, js)
	}
	return out
}

func (a *Appliance) ctlStatus(r *http.Request) (any, error) {
	ctx := r.Context()
	s := Status{Version: Version, Commits: a.archive.LastSeq(), Archive: a.archive.Status(), Progress: a.engine.Progress(), Lag: a.engine.Lag(), Jobs: a.jobs(), Offsite: a.Offsite(ctx), Entries: a.audit.Size(), Mended: a.mended, Memory: memoryNow(os.DirFS("/"))}
	var err error
	if s.Counts, err = a.catalog.Counts(ctx); err != nil {
		return nil, err
	}
	if s.Complete, err = a.engine.Completeness(ctx); err != nil {
		return nil, err
	}
	if s.Runs, err = a.engine.Runs(ctx, 10); err != nil {
		return nil, err
	}
	gaps, err := a.engine.Gaps(ctx, 10000)
	if err != nil {
		return nil, err
	}
	s.Gaps = len(gaps)
	if c := a.Client(); c != nil {
		s.Calls = c.Counted()
	}
	return s, nil
}

func (a *Appliance) ctlFold(r *http.Request) (any, error) {
	p, err := a.archive.Fold(r.Context())
	if err != nil {
		return nil, err
	}
	if p == nil {
		return map[string]string{"folded": "nothing was waiting"}, nil
	}
	return p, nil
}

func (a *Appliance) ctlVerify(r *http.Request) (any, error) {
	run, err := a.verify.Now(r.Context(), "root@machine")
	if err != nil {
		return nil, err
	}
	parts, err := a.verify.Parts(r.Context(), run.ID)
	if err != nil {
		return nil, err
	}
	return struct {
		verify.Run
		Parts  []verify.Part    `json:"parts"`
		Damage []archive.Damage `json:"damage"` // of files, since the start
	}{run, parts, a.archive.Damage()}, nil
}

func (a *Appliance) ctlBackup(r *http.Request) (any, error) {
	var q struct {
		Mode backup.Mode `json:"mode"`
		Wait bool        `json:"wait"`
	}
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		return nil, fmt.Errorf("read the request: %w", err)
	}
	if q.Mode != backup.Full && q.Mode != backup.Incremental {
		return nil, errors.New("mode must be full or incremental")
	}
	id, err := a.engine.Start(r.Context(), q.Mode, "root@machine")
	if err != nil {
		return nil, err
	}
	if q.Wait {
		if err := a.engine.Wait(r.Context()); err != nil {
			return nil, err
		}
		runs, err := a.engine.Runs(r.Context(), 1)
		if err != nil || len(runs) == 0 {
			return nil, err
		}
		return runs[0], nil
	}
	return map[string]int64{"run": id}, nil
}

func (a *Appliance) ctlSearch(r *http.Request) (any, error) {
	var q struct {
		Text string `json:"text"`
		N    int    `json:"n"`
		AsOf uint64 `json:"as_of"`
	}
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		return nil, fmt.Errorf("read the request: %w", err)
	}
	res, err := a.door.Search(r.Context(), a.operator(policy.Verification), q.Text, catalog.Query{Limit: max(1, min(q.N, 500)), AsOf: q.AsOf})
	if err != nil {
		return nil, err
	}
	type row struct {
		ID     int64     `json:"id"`
		Time   time.Time `json:"time"`
		Kind   string    `json:"kind"`
		Author string    `json:"author"`
		Text   string    `json:"text"`
	}
	out := struct {
		Count int           `json:"count"`
		Exact bool          `json:"exact"`
		Took  time.Duration `json:"took"`
		Rows  []row         `json:"rows"`
	}{res.Count, res.Exact, res.Took, nil}
	for _, it := range res.Items {
		out.Rows = append(out.Rows, row{it.ID, it.Doc.Time, string(it.Kind), it.Author, it.Shown})
	}
	return out, nil
}

func (a *Appliance) ctlExport(r *http.Request) (any, error) {
	var q struct {
		Dir     string         `json:"dir"`
		Kinds   []record.Kind  `json:"kinds"`
		Depts   []int64        `json:"depts"`
		AsOf    uint64         `json:"as_of"`
		Purpose policy.Purpose `json:"purpose"`
		Lang    i18n.Lang      `json:"lang"`
	}
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		return nil, fmt.Errorf("read the request: %w", err)
	}
	dir, err := filepath.Abs(q.Dir)
	if err != nil || !filepath.IsAbs(q.Dir) {
		return nil, errors.New("the folder must be an absolute path")
	}
	for _, own := range []string{a.cfg.StateDir, a.cfg.ArchiveDir} {
		if rel, err := filepath.Rel(own, dir); err == nil && filepath.IsLocal(rel) {
			return nil, errors.New("an export is readable by anybody: choose a folder outside Farol's own")
		}
	}
	f, err := restore.NewFolder(dir)
	if err != nil {
		return nil, err
	}
	sum, err := a.door.Export(r.Context(), a.operator(q.Purpose), restore.Selection{Kinds: q.Kinds, Depts: q.Depts, AsOf: q.AsOf}, q.Lang, f, nil)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	return sum, nil
}

func (a *Appliance) ctlCaughtUp(r *http.Request) (any, error) {
	if err := a.caughtUp(r.Context()); err != nil {
		return nil, err
	}
	return a.Offsite(r.Context()), nil
}

func (a *Appliance) ctlProof(r *http.Request) (any, error) {
	var q struct {
		ID int64 `json:"id"`
	}
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		return nil, fmt.Errorf("read the request: %w", err)
	}
	return a.door.Proof(r.Context(), a.operator(policy.Verification), q.ID)
}
