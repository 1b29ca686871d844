package web

import (
	"testing"
	"time"

	"farol/internal/i18n"
	"farol/templates"
	"farol/templates/ui"
)

// TestANodesPageSaysEachTroubleAndWhatToDo draws the rows of archives that are
// well and in trouble; the gravest is said.
func TestANodesPageSaysEachTroubleAndWhatToDo(t *testing.T) {
	now := time.Date(2026, 11, 29, 9, 0, 0, 0, time.UTC)
	heard := now.Add(-time.Minute)
	for _, k := range []struct {
		a     NodeArchive
		state ui.State
		id    string
	}{
		{NodeArchive{Heard: heard}, ui.Safe, "node.state.good"},
		{NodeArchive{}, ui.Idle, "node.state.never"},
		{NodeArchive{Heard: heard, Silent: true, Conflicts: 3, Refused: 2, LastRefused: heard}, ui.Danger, "node.state.refused"},
		{NodeArchive{Heard: heard, Silent: true, Conflicts: 3}, ui.Danger, "node.state.conflict"},
		{NodeArchive{Heard: heard, Silent: true, Full: true}, ui.Danger, "node.state.silent"},
		{NodeArchive{Heard: heard, Full: true, Replaced: true}, ui.Danger, "node.state.noroom"},
		{NodeArchive{Heard: heard, Replaced: true}, ui.Signal, "node.state.replaced"},
		{NodeArchive{Heard: heard, Used: 95, Quota: 100}, ui.Signal, "node.state.full"},
	} {
		for _, l := range i18n.Langs {
			w := words{l, now}
			p := w.nodePage(templates.Bare{}, NodeFacts{Archives: []NodeArchive{k.a}}, "1")
			row := p.Rows[0]
			n := k.a.Refused
			if n == 0 {
				n = k.a.Conflicts
			}
			want := w.t(k.id, "n", w.n(n), "when", w.moment(k.a.LastRefused).Text)
			if row.State != k.state || row.Word != want {
				t.Errorf("%s, %+v: %s %q, want %s %q", l, k.a, row.State, row.Word, k.state, want)
			}
			if wrong := k.state == ui.Danger || k.state == ui.Signal; (row.Then != "") != wrong || (p.State == ui.Danger) != wrong {
				t.Errorf("%s, %s: the page is %s and says %q", l, k.id, p.State, row.Then)
			}
		}
	}
}
