package web

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/a-h/templ"
	"github.com/labstack/echo/v4"

	"farol/internal/restore"
	"farol/templates"
	"farol/templates/ui"
)

var jobStates = map[string]ui.State{"running": ui.Run, "done": ui.Safe, "failed": ui.Danger, "cancelled": ui.Idle}

func (w words) job(j restore.JobState) templates.JobRow {
	return templates.JobRow{Href: "/restore/job/" + j.ID, Title: w.t("restore.job", "id", j.ID), State: jobStates[j.State], Word: w.t("job." + j.State), Started: w.moment(j.Started), Amount: w.t("restore.done.of", "done", w.n(j.Done), "total", w.n(j.Total))}
}

var outcomes = map[string]ui.State{restore.Restored: ui.Safe, restore.StillThere: ui.Safe, restore.NotWritable: ui.Idle, restore.InPart: ui.Signal, restore.NotRestored: ui.Danger}

// shownItems is how many results a page lists, the newest first.
const shownItems = 200

func (w words) jobPage(j restore.JobState) templates.RestoreJob {
	p := templates.RestoreJob{ID: j.ID, Crumb: w.t("restore.job", "id", j.ID), Running: j.State == "running", State: jobStates[j.State], Heading: w.t("job.title." + j.State)}
	p.Line = w.t("restore.by", "when", w.moment(j.Started).Text, "who", j.By)
	n := map[string]int64{}
	for _, it := range j.Items {
		n[it.Outcome]++
	}
	if n[restore.InPart] > 0 && p.State == ui.Safe || n[restore.NotRestored] > 0 && p.State == ui.Safe {
		p.State = ui.Signal
	}
	p.Result = w.t("job.result."+j.State, "n", w.n(n[restore.Restored]), "same", w.n(n[restore.StillThere]), "failed", w.n(n[restore.NotRestored]), "part", w.n(n[restore.InPart]), "kept", w.n(n[restore.NotWritable]))
	p.Where = w.t("restore.where")
	if j.Problem != "" {
		p.Problem = w.t(j.Problem)
	}
	if j.Total > 0 {
		p.Percent = int(j.Done * 100 / j.Total)
	}
	p.Amount = w.t("restore.done.of", "done", w.n(j.Done), "total", w.n(j.Total))
	took := w.now.Sub(j.Started)
	if !j.Ended.IsZero() {
		took = j.Ended.Sub(j.Started)
	}
	for _, o := range []string{restore.Restored, restore.StillThere, restore.InPart, restore.NotWritable, restore.NotRestored} {
		p.Figures = append(p.Figures, templates.Figure{Label: w.t("outcome." + o), Number: w.n(n[o]), Unit: w.t("restore.of", "n", w.n(j.Total))})
	}
	p.Figures = append(p.Figures, templates.Figure{Label: w.t("runs.took"), Number: w.l.Duration(took)})
	for i, it := range slices.Backward(j.Items) {
		if len(j.Items)-i > shownItems {
			break
		}
		row := templates.RestoredItem{Icon: hitIcons[it.Kind], Name: or(it.Name, w.t("items.untitled")), Container: it.Container, State: outcomes[it.Outcome], Word: w.t("outcome." + it.Outcome)}
		if it.Detail != "" {
			row.Detail = w.t(it.Detail)
		}
		if !it.SHA256.IsZero() {
			row.Hash = it.SHA256.String()
		}
		p.Items = append(p.Items, row)
	}
	p.More = w.t("restore.shown", "n", w.n(int64(len(p.Items))), "total", w.n(int64(len(j.Items))))
	if j.Summary.AuditSeq > 0 {
		p.Audit = ui.Link{Label: w.t("restore.audit", "n", w.n(j.Summary.AuditSeq)), Href: fmt.Sprintf("/audit/%d", j.Summary.AuditSeq)}
	}
	return p
}

// findJob finds a job of the reader's own: it names what it gave back, which
// another may not be allowed to see. Another's looks like one that never was.
func (s *Server) findJob(c echo.Context) (*restore.Job, error) {
	j, ok := s.d.Door.Job(c.Param("id"))
	if !ok || !s.startedBy(c, j.Snapshot()) {
		return nil, errors.Join(restore.ErrNotFound, s.refused(c, "job"))
	}
	return j, nil
}

func (s *Server) startedBy(c echo.Context, j restore.JobState) bool {
	return strings.EqualFold(j.By, visitOf(c).session.User.Name)
}

func (s *Server) restoreJob(c echo.Context) error {
	j, err := s.findJob(c)
	if err != nil {
		return err
	}
	p := s.words(c).jobPage(j.Snapshot())
	p.Shell = s.shell(c, p.Heading, "/restore")
	return render(c, http.StatusOK, p)
}

func (s *Server) restoreCancel(c echo.Context) error {
	j, err := s.findJob(c)
	if err != nil {
		return err
	}
	j.Cancel()
	return seeOther(c, "/restore/job/"+c.Param("id"))
}

func (s *Server) restoreEvents(c echo.Context) error {
	j, err := s.findJob(c)
	if err != nil {
		return err
	}
	l := visitOf(c).lang
	return s.stream(c, j.Changed, func() (templ.Component, bool) {
		snap := j.Snapshot()
		return words{l, s.d.Now()}.jobPage(snap).Panel(), snap.State == "running"
	})
}
