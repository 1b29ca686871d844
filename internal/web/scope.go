package web

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"farol/internal/approval"
	"farol/internal/audit"
	"farol/internal/catalog"
	"farol/internal/record"
	"farol/internal/settings"
	"farol/templates"
	"farol/templates/ui"
)

// choice is a scope in the making: department × kind → captured.
type choice map[int64]map[record.Kind]bool

// family is the departments with who is under whom, in the order of the page.
type family struct {
	order    []record.Dept
	depth    map[int64]int
	children map[int64][]int64
}

func newFamily(all []record.Dept) family {
	f := family{depth: map[int64]int{}, children: map[int64][]int64{}}
	byID := map[int64]record.Dept{}
	for _, d := range all {
		byID[d.ID] = d
	}
	for _, d := range all {
		parent := d.Parent
		if _, ok := byID[parent]; !ok || parent == d.ID {
			parent = 0
		}
		f.children[parent] = append(f.children[parent], d.ID)
	}
	var walk func(id int64, depth int)
	walk = func(id int64, depth int) {
		for _, ch := range f.children[id] {
			if _, seen := f.depth[ch]; seen || depth > 32 {
				continue // a cycle in a damaged tree must end
			}
			f.depth[ch] = depth
			f.order = append(f.order, byID[ch])
			walk(ch, depth+1)
		}
	}
	walk(0, 0)
	return f
}

// below is id and everything under it.
func (f *family) below(id int64) []int64 {
	out := []int64{id}
	for i := 0; i < len(out); i++ {
		for _, ch := range f.children[out[i]] {
			if !slices.Contains(out, ch) {
				out = append(out, ch)
			}
		}
	}
	return out
}

// saved is the scope as it is kept.
func (s *Server) saved(c echo.Context) (family, choice, error) {
	ctx := c.Request().Context()
	depts, err := s.d.Catalog.Depts(ctx)
	if err != nil {
		return family{}, nil, err
	}
	chosen, err := s.d.Settings.Chosen(ctx, depts)
	if err != nil {
		return family{}, nil, err
	}
	f, pick := newFamily(depts), choice{}
	for _, d := range f.order {
		pick[d.ID] = map[record.Kind]bool{}
		for _, k := range record.Kinds {
			pick[d.ID][k] = chosen.Includes(d.ID, k)
		}
	}
	return f, pick, nil
}

func (s *Server) savedTree(c echo.Context, action string) (templates.ScopeTree, error) {
	f, pick, err := s.saved(c)
	if err != nil {
		return templates.ScopeTree{}, err
	}
	return s.tree(c, f, pick, action, 0)
}

// tree draws a scope; unsaved is how many boxes differ from what is kept.
func (s *Server) tree(c echo.Context, f family, pick choice, action string, unsaved int) (templates.ScopeTree, error) {
	ctx, w := c.Request().Context(), s.words(c)
	counts, err := s.d.Catalog.Counts(ctx)
	if err != nil {
		return templates.ScopeTree{}, err
	}
	held := map[int64]map[record.Kind]catalog.Count{}
	for _, n := range counts {
		if held[n.Dept] == nil {
			held[n.Dept] = map[record.Kind]catalog.Count{}
		}
		held[n.Dept][n.Kind] = n
	}
	t := templates.ScopeTree{Action: action}
	for _, k := range record.Kinds {
		t.Kinds = append(t.Kinds, templates.ScopeKind{Key: string(k), Name: w.kind(k), Icon: kindIcons[k]})
	}
	whole := 0
	for _, d := range f.order {
		id := strconv.FormatInt(d.ID, 10)
		row := templates.ScopeRow{Key: id, Name: d.Name, Depth: f.depth[d.ID]}
		if n := held[d.ID][record.Contacts].Items; n > 0 {
			row.People = w.n(n)
		}
		all := map[string]bool{}
		for _, k := range record.Kinds {
			state := triState(f.below(d.ID), func(x int64) bool { return pick[x][k] })
			all[state] = true
			cell := templates.ScopeCell{Toggle: id + ":" + string(k), State: state, Label: w.t("scope.cell", "dept", d.Name, "kind", w.kind(k), "state", w.t("scope.state."+state))}
			if n := held[d.ID][k].Items; n > 0 && k != record.Contacts {
				cell.Held = w.n(n)
			}
			row.Cells = append(row.Cells, cell)
			if pick[d.ID][k] {
				t.Include = append(t.Include, id+":"+string(k))
			}
		}
		row.State = "mixed"
		if len(all) == 1 {
			for st := range all {
				row.State = st
			}
		}
		row.Status = map[string]ui.State{"true": ui.Safe, "mixed": ui.Signal, "false": ui.Idle}[row.State]
		row.Word = w.t("scope.state." + row.State)
		if row.State == "true" {
			whole++
		}
		t.Rows = append(t.Rows, row)
	}
	t.Summary = w.t("scope.summary", "whole", whole, "all", len(f.order))
	if unsaved > 0 {
		t.Changed = w.t("scope.unsaved", "n", unsaved)
	}
	return t, nil
}

func triState(ids []int64, on func(int64) bool) string {
	yes := 0
	for _, id := range ids {
		if on(id) {
			yes++
		}
	}
	switch yes {
	case 0:
		return "false"
	case len(ids):
		return "true"
	}
	return "mixed"
}

// takeScope reads the form: a press on a box answers with the new tree, a save
// keeps it.
func (s *Server) takeScope(c echo.Context, action string) (templates.ScopeTree, bool, error) {
	form, err := c.FormParams()
	if err != nil {
		return templates.ScopeTree{}, false, err
	}
	f, kept, err := s.saved(c)
	if err != nil {
		return templates.ScopeTree{}, false, err
	}
	pick := choice{}
	for _, d := range f.order {
		pick[d.ID] = map[record.Kind]bool{}
		for _, k := range record.Kinds {
			pick[d.ID][k] = form.Get("all") != ""
		}
	}
	for _, v := range form["include"] {
		if id, k, ok := parseCell(v); ok && pick[id] != nil {
			pick[id][k] = true
		}
	}
	if toggle := form.Get("toggle"); toggle != "" {
		press(f, pick, toggle)
		unsaved := 0
		for id, ks := range pick {
			for k, on := range ks {
				if kept[id][k] != on {
					unsaved++
				}
			}
		}
		t, err := s.tree(c, f, pick, action, unsaved)
		return t, false, err
	}
	if lines := s.words(c).scopeChange(f, kept, pick); len(lines) > 0 {
		if ok, err := s.agreed(c, approval.Scope, lines...); err != nil {
			return templates.ScopeTree{}, false, err
		} else if !ok {
			return templates.ScopeTree{}, false, errAnswered
		}
	}
	ds := decisions(f, pick)
	if err := s.d.Settings.Choose(c.Request().Context(), ds); err != nil {
		return templates.ScopeTree{}, false, err
	}
	ev := audit.Event{Operation: "scope.change", Object: "scope", Outcome: "ok", Detail: map[string]string{"decisions": strconv.Itoa(len(ds))}}
	return templates.ScopeTree{}, true, s.note(c, ev)
}

// scopeChange says what a choice adds and what it leaves out from now on.
func (w words) scopeChange(f family, kept, pick choice) (lines []string) {
	const most = 30
	n := 0
	for _, d := range f.order {
		var more, less []string
		for _, k := range record.Kinds {
			switch was, is := kept[d.ID][k], pick[d.ID][k]; {
			case is && !was:
				more = append(more, w.t("kind."+string(k)))
			case was && !is:
				less = append(less, w.t("kind."+string(k)))
			}
		}
		for _, x := range []struct {
			id    string
			kinds []string
		}{{"deed.scope.more", more}, {"deed.scope.less", less}} {
			if len(x.kinds) == 0 {
				continue
			}
			if n++; n <= most {
				lines = append(lines, w.t(x.id, "dept", d.Name, "kinds", strings.Join(x.kinds, w.t("deed.and"))))
			}
		}
	}
	if n > most {
		lines = append(lines, w.t("deed.scope.rest", "n", n-most))
	}
	return lines
}

// press turns a box, or with "dept:" a whole department, with all below it.
func press(f family, pick choice, toggle string) {
	kinds := record.Kinds
	id, k, ok := parseCell(toggle)
	if ok {
		kinds = []record.Kind{k}
	} else {
		n, err := strconv.ParseInt(strings.TrimSuffix(toggle, ":"), 10, 64)
		if err != nil || pick[n] == nil {
			return
		}
		id = n
	}
	on := true // a box that is not full becomes full
	for _, x := range f.below(id) {
		for _, k := range kinds {
			if !pick[x][k] {
				on = false
			}
		}
	}
	for _, x := range f.below(id) {
		for _, k := range kinds {
			if pick[x] != nil {
				pick[x][k] = !on
			}
		}
	}
}

func parseCell(v string) (int64, record.Kind, bool) {
	d, name, ok := strings.Cut(v, ":")
	id, err := strconv.ParseInt(d, 10, 64)
	k, kerr := record.ParseKind(name)
	return id, k, ok && err == nil && kerr == nil
}

// decisions keeps only what differs from the department above, so that a new
// department follows its parent by itself.
func decisions(f family, pick choice) []settings.Decision {
	parent := map[int64]int64{}
	for p, chs := range f.children {
		for _, ch := range chs {
			parent[ch] = p
		}
	}
	var out []settings.Decision
	for _, d := range f.order {
		for _, k := range record.Kinds {
			inherits := true
			if up, ok := pick[parent[d.ID]]; ok {
				inherits = up[k]
			}
			if pick[d.ID][k] != inherits {
				out = append(out, settings.Decision{Dept: d.ID, Kind: k, Included: pick[d.ID][k]})
			}
		}
	}
	return out
}

func (s *Server) scopeForm(c echo.Context) error {
	tree, err := s.savedTree(c, "/scope")
	if err != nil {
		return err
	}
	return render(c, http.StatusOK, templates.Scope{Shell: s.shell(c, s.words(c).t("scope.title"), "/scope"), Tree: tree})
}

func (s *Server) scope(c echo.Context) error {
	if form, err := c.FormParams(); err == nil && form.Get("toggle") == "" && !visitOf(c).session.FreshAt(s.d.Now()) {
		return s.askStepUp(c) // trying is free, saving is a change of the configuration
	}
	tree, saved, err := s.takeScope(c, "/scope")
	if err != nil {
		return err
	}
	if saved {
		return seeOther(c, "/scope?done=scope")
	}
	return render(c, http.StatusOK, templates.Scope{Shell: s.shell(c, s.words(c).t("scope.title"), "/scope"), Tree: tree})
}
