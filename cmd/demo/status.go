package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// status is what `farol status --json` tells, as far as it is used here.
type status struct {
	Commits  uint64 `json:"commits"`
	Progress struct {
		Running bool
		Part    float64
		Rate    float64
		Left    time.Duration
		Kinds   []struct {
			Kind, State, Problem                      string
			Listed, Same, Added, Changed, Gaps, Bytes int64
		}
	} `json:"progress"`
	Runs []struct {
		What, State string
		Kinds       []struct {
			Kind                               string
			Listed, Same, Added, Changed, Gaps int64
			Problem, State                     string
		}
	} `json:"runs"`
	Completeness []struct {
		Kind             string
		Listed, Archived int64
	} `json:"completeness"`
	Counts []struct {
		Kind           string
		Dept           int64
		Items, Deleted int64
	} `json:"counts"`
	Gaps int `json:"gaps"`
	Lag  struct {
		Events   int64
		P50, P99 time.Duration
	} `json:"lag"`
	Entries int64 `json:"log_entries"`
	Archive struct {
		LastFold struct{ Records int64 }
	} `json:"archive"`

	fullDone bool
}

func (w *world) status(ctx context.Context) (*status, error) {
	var s status
	if err := w.farol(ctx, &s, "status"); err != nil {
		return nil, err
	}
	for _, r := range s.Runs {
		if r.What == "full" && (r.State == "done" || r.State == "partial") {
			s.fullDone = true
		}
	}
	w.counts = map[string]int{}
	for _, c := range s.Counts {
		w.counts[fmt.Sprint(c.Dept)+"/"+c.Kind] += int(c.Items)
	}
	return &s, nil
}

// held is how many items of a kind the catalog counts.
func (s *status) held(kind string) (n int64) {
	for _, c := range s.Counts {
		if c.Kind == kind {
			n += c.Items
		}
	}
	return n
}

func (s *status) line() string {
	var parts []string
	for _, k := range s.Progress.Kinds {
		p := fmt.Sprintf("%s %s %d", k.Kind, k.State, k.Listed)
		if k.Problem != "" {
			p += " (" + k.Problem + ")"
		}
		parts = append(parts, p)
	}
	left := ""
	if s.Progress.Left > 0 {
		left = ", " + s.Progress.Left.String() + " left"
	}
	return fmt.Sprintf("backup %3.0f %%  %s  %.0f items/s%s", s.Progress.Part*100, strings.Join(parts, ", "), s.Progress.Rate, left)
}

// truth is one line of what the simulated DingTalk holds now.
type truth struct {
	Type, ID, Container   string
	SHA256, ContentSHA256 string
	Size                  int64
}

func (w *world) expected(ctx context.Context, kind string) ([]truth, error) {
	rq, err := http.NewRequestWithContext(ctx, http.MethodGet, w.simURL()+"/_sim/expected?kind="+kind, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(rq)
	if err != nil {
		return nil, fmt.Errorf("ask the simulator: %w", err)
	}
	defer resp.Body.Close()
	var out []truth
	sc := bufio.NewScanner(resp.Body)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		var t truth
		if err := json.Unmarshal(sc.Bytes(), &t); err != nil {
			return nil, fmt.Errorf("read the simulator's truth: %w", err)
		}
		out = append(out, t)
	}
	return out, sc.Err()
}
