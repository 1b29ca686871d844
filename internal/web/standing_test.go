package web

import (
	"strings"
	"testing"
	"time"

	"farol/internal/policy"
	"farol/internal/watch"
)

func TestWhatStandsOutLeadsToThePageWhereAPersonActs(t *testing.T) {
	_, v := owned(t)
	w := words{now: time.Now()}
	now := w.now
	good := func(change func(*facts)) *facts {
		f := &facts{at: now, bound: true, kit: aKit(now), last: now, consented: 1, offsite: Offsite{Set: true, Connected: true}}
		change(f)
		return f
	}
	owner := policy.Subject{Role: "owner", Grants: policy.Machine}
	for name, x := range map[string]struct {
		f    *facts
		want string
	}{
		"a full disk":          {good(func(f *facts) { f.health.Places = []Place{{Total: 100, Free: 1, Reserve: 2}} }), "/storage"},
		"damage":               {good(func(f *facts) { f.health.Damage = 1 }), "/assurance"},
		"an alarm":             {good(func(f *facts) { f.alarms = []watch.Alarm{{ID: 7, Cause: watch.Deletion}} }), "/alarms/7"},
		"no organisation":      {good(func(f *facts) { f.bound = false }), "/setup/dingtalk"},
		"no backup":            {good(func(f *facts) { f.last = time.Time{} }), "/backup"},
		"a pause":              {good(func(f *facts) { f.paused = true }), "/backup"},
		"a lapsed consent":     {good(func(f *facts) { f.lapsed = 1 }), "/consents"},
		"no other place":       {good(func(f *facts) { f.offsite = Offsite{} }), "/assurance#offsite"},
		"a node out of reach":  {good(func(f *facts) { f.offsite.Connected = false }), "/assurance#offsite"},
		"no proved kit":        {good(func(f *facts) { f.kit = nil }), "/setup/kit"},
		"nothing that matters": {good(func(*facts) {}), ""},
	} {
		if got := x.f.say(w).Href; got != x.want {
			t.Errorf("%s: the band leads to %q, want %q", name, got, x.want)
		}
		todos := x.f.todos(w, owner)
		if (len(todos) == 0) != (x.want == "") {
			t.Errorf("%s: %d things to do", name, len(todos))
			continue
		}
		if len(todos) > 0 && todos[0].Href != x.want {
			t.Errorf("%s: the to-do leads to %q, want %q", name, todos[0].Href, x.want)
		}
		page, anchor, _ := strings.Cut(x.want, "#")
		if page == "" || strings.HasPrefix(page, "/alarms/") || strings.HasPrefix(page, "/setup/") {
			continue
		}
		if got := v.get(page).wants(t, 200); anchor != "" {
			got.wants(t, 200, `id="`+anchor+`"`)
		}
	}
}
