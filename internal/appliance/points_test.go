package appliance

import (
	"errors"
	"strings"
	"testing"

	"farol/internal/audit"
	"farol/internal/i18n"
	"farol/internal/web"
)

// TestThePointsPageActsOnTheArchive previews rules, keeps them, and holds a
// point, with an entry for each act and no reason in the log.
func TestThePointsPageActsOnTheArchive(t *testing.T) {
	cfg := bench(t)
	a, stop := runs(t, cfg)
	defer func() { stop() }()
	for _, id := range []string{"a", "b", "c"} {
		commitOne(t, a, id)
		if _, err := a.archive.Fold(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := a.Retention(t.Context())
	if err != nil || kept.All != 7 || kept.Stopped {
		t.Fatalf("%+v %v", kept, err)
	}
	var ie *i18n.Error
	if err := a.KeepRules(t.Context(), "maria", web.Rules{All: 9, Daily: 2, Weekly: 3, Monthly: 4}); !errors.As(err, &ie) || ie.ID != "points.rules.bad" {
		t.Errorf("%v", err)
	}
	want := web.Rules{All: 1, Daily: 2, Weekly: 3, Monthly: 4, From: 1, To: 5}
	if err := a.KeepRules(t.Context(), "maria", want); err != nil {
		t.Fatal(err)
	}
	vs, err := a.PlanPoints(t.Context(), want)
	if err != nil || len(vs) != 3 || vs[0].Why != "newest" || vs[2].Why != "all" || vs[0].Seq <= vs[2].Seq {
		t.Fatalf("%+v %v", vs, err)
	}
	if err := a.HoldPoint(t.Context(), "maria", vs[2].ID, "case of 陳大文"); err != nil {
		t.Fatal(err)
	}
	if err := a.HoldPoint(t.Context(), "maria", vs[2].ID, "again"); !errors.As(err, &ie) || ie.ID != "points.unknown" {
		t.Errorf("the old id: %v", err)
	}
	stop()
	a, stop = runs(t, cfg)
	if kept, err := a.Retention(t.Context()); err != nil || kept.Rules != want {
		t.Errorf("%+v %v", kept, err)
	}
	vs, err = a.PlanPoints(t.Context(), want)
	if err != nil || len(vs) != 3 || vs[2].Why != "held" || vs[2].Held != "case of 陳大文" {
		t.Fatalf("%+v %v", vs, err)
	}
	if err := a.UnholdPoint(t.Context(), "maria", vs[2].ID); err != nil {
		t.Fatal(err)
	}
	for _, op := range []string{"retention.policy.change", "hold.place", "hold.release"} {
		es, _, err := a.audit.List(audit.Filter{Operation: op}, 0, 10)
		if err != nil || len(es) != 1 || es[0].Actor != "maria" {
			t.Fatalf("%s: %+v %v", op, es, err)
		}
		for _, v := range es[0].Detail {
			if strings.Contains(v, "陳大文") {
				t.Errorf("the log names a person: %s", v)
			}
		}
	}
}
