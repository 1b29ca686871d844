package web

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
)

// The figures of the pages as JSON, for a session. No content, no names.

type apiKind struct {
	Kind     string `json:"kind"`
	State    string `json:"state"`
	Listed   int64  `json:"listed"`
	Same     int64  `json:"same"`
	Added    int64  `json:"added"`
	Changed  int64  `json:"changed"`
	Gaps     int64  `json:"gaps"`
	Bytes    int64  `json:"bytes"`
	Problem  string `json:"problem,omitempty"`
	Finished int    `json:"containers_done"`
	Total    int    `json:"containers"`
}

type apiRun struct {
	ID      int64      `json:"id"`
	Mode    string     `json:"mode"`
	State   string     `json:"state"`
	Started time.Time  `json:"started"`
	Ended   *time.Time `json:"ended,omitempty"`
	By      string     `json:"by"`
	Kinds   []apiKind  `json:"kinds"`
}

func (s *Server) apiProgress(c echo.Context) error {
	p := s.d.Engine.Progress()
	out := struct {
		Running bool    `json:"running"`
		Part    float64 `json:"part"`
		Rate    float64 `json:"items_per_second"`
		Left    float64 `json:"seconds_left"` // -1 unknown
		Run     *apiRun `json:"run,omitempty"`
		Last    *apiRun `json:"last,omitempty"`
	}{Running: p.Running, Part: p.Part, Rate: p.Rate, Left: p.Left.Seconds()}
	if p.Left < 0 {
		out.Left = -1
	}
	if p.Running {
		out.Run = &apiRun{ID: p.ID, Mode: string(p.Mode), State: "running", Started: p.Started, By: p.By}
		for _, k := range p.Kinds {
			out.Run.Kinds = append(out.Run.Kinds, apiKind{string(k.Kind), k.State, k.Listed, k.Same, k.Added, k.Changed, k.Gaps, k.Bytes, k.Problem, k.Finished, k.Containers})
		}
	}
	runs, err := s.d.Engine.Runs(c.Request().Context(), 5)
	if err != nil {
		return err
	}
	for _, r := range runs {
		if r.Ended.IsZero() {
			continue
		}
		out.Last = &apiRun{ID: r.ID, Mode: r.What, State: r.State, Started: r.Started, Ended: &r.Ended, By: r.By}
		for _, k := range r.Kinds {
			out.Last.Kinds = append(out.Last.Kinds, apiKind{string(k.Kind), k.State, k.Listed, k.Same, k.Added, k.Changed, k.Gaps, k.Bytes, k.Problem, k.Finished, k.Containers})
		}
		break
	}
	return c.JSON(http.StatusOK, out)
}

func (s *Server) apiStatus(c echo.Context) error {
	s.stale()
	f := s.standing(c.Request().Context())
	say := f.say(s.words(c))
	type offsite struct {
		Set        bool      `json:"set"`
		Connected  bool      `json:"connected"`
		LagSeconds float64   `json:"lag_seconds"`
		Behind     int64     `json:"bytes_behind"`
		LastAck    time.Time `json:"last_ack"`
		Witnessed  int64     `json:"log_entries_witnessed"`
	}
	type check struct {
		Running bool      `json:"running"`
		At      time.Time `json:"at"`
		Records int64     `json:"records"`
		Bytes   int64     `json:"bytes"`
		Damage  int       `json:"damage"`
	}
	type archive struct {
		Used           int64     `json:"used_bytes"`
		Free           int64     `json:"free_bytes"`
		JournalBytes   int64     `json:"journal_bytes"`
		JournalCommits int64     `json:"journal_commits"`
		LastFold       time.Time `json:"last_fold"`
		Points         int       `json:"points"`
	}
	out := struct {
		State    string    `json:"state"`
		Say      string    `json:"say"`
		Version  string    `json:"version"`
		Bound    bool      `json:"bound"`
		Paused   bool      `json:"paused"`
		Kit      bool      `json:"kit_confirmed"`
		Consents int       `json:"consents"`
		Last     time.Time `json:"last_backup"`
		Listed   int64     `json:"listed"`
		Archived int64     `json:"archived"`
		Gaps     int       `json:"gaps"`
		Events   int64     `json:"events"`
		P50      float64   `json:"event_p50_seconds"`
		P99      float64   `json:"event_p99_seconds"`
		LogSize  int64     `json:"log_entries"`
		Offsite  offsite   `json:"offsite"`
		Check    check     `json:"check"`
		Archive  archive   `json:"archive"`
	}{State: string(say.State), Say: say.Bold, Version: s.d.Machine.Version(), Bound: f.bound, Paused: f.paused, Kit: f.kit != nil, Consents: f.consented, Last: f.last, Listed: f.listed, Archived: f.archived,
		Gaps: len(f.gaps), Events: f.lag.Events, P50: f.lag.P50.Seconds(), P99: f.lag.P99.Seconds(), LogSize: s.d.Audit.Size(),
		Offsite: offsite{f.offsite.Set, f.offsite.Connected, f.offsite.Lag.Seconds(), f.offsite.BehindBytes, f.offsite.LastAck, f.offsite.CheckpointSize},
		Check:   check{f.health.Checking, f.health.CheckedAt, f.health.CheckedRecords, f.health.CheckedBytes, f.health.Damage}}
	a := archive{JournalBytes: f.health.JournalBytes, JournalCommits: f.health.JournalCommits, LastFold: f.health.LastFold, Points: f.health.Points}
	for _, p := range f.health.Places {
		a.Used, a.Free = a.Used+p.Used, a.Free+p.Free
	}
	out.Archive = a
	return c.JSON(http.StatusOK, out)
}
