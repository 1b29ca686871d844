package web

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"farol/internal/backup"
	"farol/internal/kit"
	"farol/internal/policy"
	"farol/internal/settings"
	"farol/internal/watch"
	"farol/templates"
	"farol/templates/ui"
)

// facts is how the machine stands: what the band, the watch panel and
// /api/status are made of. Figures that could not be had keep their error.
type facts struct {
	at         time.Time
	firm       string
	bound      bool
	paused     bool
	kit        *kit.Kit  // nil before one was proved
	root       string    // which root key it is; see kit.Kit.Root
	last       time.Time // newest backup that ended well
	runs       []backup.Run
	runsErr    error
	progress   backup.Progress
	listed     int64
	archived   int64
	walked     time.Time // oldest walk behind the two
	listedErr  error
	gaps       []backup.Gap
	gapsErr    error
	lag        backup.Lag
	offsite    Offsite
	alarms     []watch.Alarm // open ones
	alarmsErr  error
	health     Health
	healthErr  error
	lapsed     int // members whose consent no longer works
	consented  int
	nextInc    time.Time
	nextFull   time.Time
	nextErr    error
	lastFailed bool // the newest run did not end well
}

// gapLimit is how many gaps a page reads.
const gapLimit = 200

// worst is after how long without a backup the lamp turns red: one night and
// two hours.
const worst = 26 * time.Hour

// offsiteLimit is the promise about the other place.
const offsiteLimit = 5 * time.Minute

// standing reads the facts, at most every two seconds.
func (s *Server) standing(ctx context.Context) facts {
	s.mu.Lock()
	f := s.facts
	s.mu.Unlock()
	if d := s.d.Now().Sub(f.at); !f.at.IsZero() && d >= 0 && d < 2*time.Second {
		f.progress = s.d.Engine.Progress()
		return f
	}
	f = s.readFacts(ctx)
	s.mu.Lock()
	s.facts = f
	s.mu.Unlock()
	return f
}

// stale forgets the facts after an act that changed them.
func (s *Server) stale() {
	s.mu.Lock()
	s.facts = facts{}
	s.mu.Unlock()
}

func (s *Server) readFacts(ctx context.Context) facts {
	e := s.d.Engine
	f := facts{at: s.d.Now(), progress: e.Progress(), lag: e.Lag(), offsite: s.d.Machine.Offsite(ctx)}
	get := func(name string) string {
		v, err := s.d.Settings.Get(ctx, name)
		if err != nil {
			s.d.Log.WarnContext(ctx, "read setting", "name", name, "err", err)
		}
		return v
	}
	f.firm, f.bound = get(settings.CorpName), get(settings.ClientID) != ""
	f.paused = get(settings.BackupPaused) == "yes"
	f.root = s.d.Machine.KeyCheck()
	switch k, err := s.d.Kit.Current(ctx); {
	case err == nil:
		f.kit = &k
	case !errors.Is(err, kit.ErrNone):
		s.d.Log.WarnContext(ctx, "read the recovery kit", "err", err)
	}
	if f.runs, f.runsErr = e.Runs(ctx, 50); f.runsErr == nil {
		for i, r := range f.runs {
			good := r.State == backup.Done || r.State == backup.Partial
			if i == 0 {
				f.lastFailed = r.State == backup.Failed
			}
			if good && r.Ended.After(f.last) {
				f.last = r.Ended
			}
		}
	}
	for _, t := range e.LastGood() {
		if t.After(f.last) {
			f.last = t
		}
	}
	comp, err := e.Completeness(ctx)
	f.listedErr = err
	for _, c := range comp {
		f.listed += c.Listed
		f.archived += c.Archived
		if f.walked.IsZero() || c.At.Before(f.walked) {
			f.walked = c.At
		}
	}
	f.gaps, f.gapsErr = e.Gaps(ctx, gapLimit)
	f.health, f.healthErr = s.d.Machine.Health(ctx)
	list, err := s.d.Watch.Alarms(ctx, alarmLimit)
	f.alarmsErr = err
	for _, a := range list {
		if a.Closed.IsZero() {
			f.alarms = append(f.alarms, a)
		}
	}
	slices.SortStableFunc(f.alarms, func(a, b watch.Alarm) int {
		return cmp.Compare(slices.Index(watch.Causes, a.Cause), slices.Index(watch.Causes, b.Cause))
	})
	if cs, err := s.d.Settings.Consents(ctx); err == nil {
		for _, c := range cs {
			if c.State == settings.Active {
				f.consented++
			} else {
				f.lapsed++
			}
		}
	}
	f.nextInc, f.nextFull, f.nextErr = e.Next(ctx, f.at)
	return f
}

// full reports whether a place's reserve is touched.
func (f *facts) full() bool {
	for _, p := range f.health.Places {
		if p.Total > 0 && p.Free <= p.Reserve {
			return true
		}
	}
	return false
}

// say is the band's sentence: the worst thing first, with one action.
func (f *facts) say(w words) templates.Say {
	switch {
	case f.healthErr != nil:
		return templates.Say{State: ui.Danger, Bold: w.t("say.unreadable"), Text: w.t("say.unreadable.text"), Action: w.t("say.look"), Href: "/assurance"}
	case f.alarmsErr != nil:
		return templates.Say{State: ui.Danger, Bold: w.t("say.unreadable"), Text: w.t("say.unreadable.text"), Action: w.t("say.look"), Href: "/alarms"}
	case f.offsite.Superseded: // before the alarms: they are the other one's to answer now
		return templates.Say{State: ui.Danger, Bold: w.t("say.superseded"), Text: w.t("say.superseded.text"), Action: w.t("say.look"), Href: "/assurance#offsite"}
	case len(f.alarms) > 0:
		a := &f.alarms[0]
		say := templates.Say{State: ui.Danger, Bold: w.alarmTitle(a), Text: w.t("say.alarm.text", "good", w.alarmGood(a).Text), Action: w.t("say.look"), Href: "/alarms/" + strconv.FormatInt(a.ID, 10)}
		if a.Cause == watch.Breakglass {
			say.Text = w.t("say.breakglass.text")
		}
		if len(f.alarms) > 1 {
			say.Text, say.Href = w.t("say.alarms.text", "n", len(f.alarms), "good", w.alarmGood(a).Text), "/alarms"
		}
		return say
	case f.health.Damage > 0:
		return templates.Say{State: ui.Danger, Bold: w.t("say.damage", "n", w.n(int64(f.health.Damage))), Text: w.t("say.damage.text"), Action: w.t("say.look"), Href: "/assurance"}
	case f.full():
		return templates.Say{State: ui.Danger, Bold: w.t("say.full"), Text: w.t("say.full.text"), Action: w.t("say.look"), Href: "/storage"}
	case !f.bound:
		return templates.Say{State: ui.Signal, Bold: w.t("say.unbound"), Text: w.t("say.unbound.text"), Action: w.t("say.bind"), Href: "/setup/dingtalk"}
	case f.last.IsZero() && f.progress.Running:
		return templates.Say{State: ui.Signal, Bold: w.t("say.first"), Text: w.t("say.first.text"), Action: w.t("say.progress"), Href: "/backup"}
	case f.last.IsZero():
		return templates.Say{State: ui.Signal, Bold: w.t("say.never"), Text: w.t("say.never.text"), Action: w.t("say.start"), Href: "/backup"}
	case f.at.Sub(f.last) > worst:
		return templates.Say{State: ui.Danger, Bold: w.t("say.stopped", "age", w.age(f.last)), Text: w.t("say.stopped.text"), Action: w.t("say.why"), Href: "/backup"}
	case f.paused:
		return templates.Say{State: ui.Signal, Bold: w.t("say.paused"), Text: w.t("say.paused.text"), Action: w.t("say.resume"), Href: "/backup"}
	case f.lastFailed:
		return templates.Say{State: ui.Signal, Bold: w.t("say.failed"), Text: w.t("say.failed.text", "age", w.age(f.last)), Action: w.t("say.why"), Href: "/backup"}
	case f.lapsed > 0:
		return templates.Say{State: ui.Signal, Bold: w.t("say.lapsed", "n", f.lapsed), Text: w.t("say.lapsed.text"), Action: w.t("say.look"), Href: "/consents"}
	case f.offsite.Set && (!f.offsite.Connected || f.offsite.Lag > offsiteLimit):
		return templates.Say{State: ui.Signal, Bold: w.t("say.offsite", "lag", w.lag(f.offsite.Lag)), Text: w.t("say.offsite.text"), Action: w.t("say.look"), Href: "/assurance#offsite"}
	case !f.offsite.Set:
		return templates.Say{State: ui.Signal, Bold: w.t("say.single"), Text: w.t("say.single.text", "age", w.age(f.last)), Action: w.t("say.pair"), Href: "/assurance#offsite"}
	case f.kit == nil:
		return templates.Say{State: ui.Signal, Bold: w.t("say.nokit"), Text: w.t("say.nokit.text"), Action: w.t("say.kit"), Href: "/setup/kit"}
	case !f.kit.Opens():
		return templates.Say{State: ui.Danger, Bold: w.t("kit.few", "left", f.kit.Left(), "k", f.kit.K), Text: w.t("kit.few.text"), Action: w.t("say.kit"), Href: "/setup/kit"}
	}
	return templates.Say{State: ui.Safe, Bold: w.t("say.safe"), Text: w.t("say.safe.text", "age", w.age(f.last), "lag", w.lag(f.offsite.Lag))}
}

// todos is what waits for the person who asks: what stands, then his own.
func (s *Server) todos(c echo.Context, f *facts) []templates.Todo {
	v, w := visitOf(c), s.words(c)
	out := append(s.inboxTodos(c, w), f.todos(w, v.subject())...)
	if u := v.session.User; u.Codes == 0 && !u.Breakglass {
		out = append(out, templates.Todo{State: ui.Signal, Icon: "key-round", Title: w.t("todo.codes"), Text: w.t("todo.codes.text"), Action: w.t("todo.codes.do"), Href: "/settings#codes"})
	}
	return out
}

// todos is what waits for a person, worst first. A role sees what it can do.
func (f *facts) todos(w words, sub policy.Subject) []templates.Todo {
	operate, configure := policy.May(sub, policy.Operate, f.at), policy.May(sub, policy.Configure, f.at)
	var out []templates.Todo
	add := func(ok bool, st ui.State, icon, id, href string, args ...any) {
		if ok {
			out = append(out, templates.Todo{State: st, Icon: icon, Title: w.t(id, args...), Text: w.t(id+".text", args...), Action: w.t(id + ".do"), Href: href})
		}
	}
	for i := range f.alarms {
		a := &f.alarms[i]
		if operate {
			out = append(out, templates.Todo{State: ui.Danger, Icon: causeIcons[a.Cause], Title: w.alarmTitle(a), Text: w.t("alarm.do." + string(a.Cause)), Action: w.t("alarm.look"), Href: "/alarms/" + strconv.FormatInt(a.ID, 10)})
		}
	}
	add(operate && f.health.Damage > 0, ui.Danger, "octagon-x", "todo.damage", "/assurance", "n", f.health.Damage)
	add(operate && f.full(), ui.Danger, "database-backup", "todo.full", "/storage")
	add(configure && !f.bound, ui.Signal, "plug", "todo.bind", "/setup/dingtalk")
	add(operate && f.bound && f.last.IsZero() && !f.progress.Running, ui.Signal, "play", "todo.first", "/backup")
	add(configure && f.paused, ui.Signal, "pause", "todo.paused", "/backup")
	add(configure && f.bound && f.consented == 0, ui.Signal, "user-plus", "todo.consent", "/consents")
	add(configure && f.lapsed > 0, ui.Signal, "contact-round", "todo.lapsed", "/consents", "n", f.lapsed)
	add(configure && !f.offsite.Set, ui.Signal, "anchor", "todo.offsite", "/assurance#offsite")
	add(configure && f.kit == nil, ui.Signal, "key-round", "todo.kit", "/setup/kit")
	if k := f.kit; k != nil && configure {
		if c := w.kitCheck(k, f.root); c.State != ui.Safe {
			out = append(out, templates.Todo{State: c.State, Icon: "key-round", Title: c.Line, Text: c.Text, Action: w.t("kit.look"), Href: "/kit"})
		}
	}
	add(operate && f.offsite.Set && !f.offsite.Connected, ui.Signal, "anchor", "todo.offsite.lost", "/assurance#offsite")
	open := 0
	for _, g := range f.gaps {
		if !g.Lost {
			open++
		}
	}
	add(operate && open > 0, ui.Signal, "file-search", "todo.gaps", "/backup#gaps", "n", open)
	return out
}
