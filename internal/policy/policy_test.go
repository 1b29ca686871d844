package policy

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"farol/internal/record"
)

func same(ids []int64) []int64 { return ids }

func TestITNeverGetsAContentScope(t *testing.T) {
	now := time.Now()
	for _, a := range []Action{Read, Search, Export, Restore} {
		for _, role := range []string{"it", "auditor"} {
			for _, p := range Purposes {
				s := Subject{Role: role, Grants: GrantsOf(role)}
				if sc, err := Allow(s, a, p, now, Org{Below: same}); !errors.Is(err, ErrDenied) || !sc.Nothing() {
					t.Errorf("%s may %s for %s: %+v %v", role, a, p, sc, err)
				}
			}
		}
	}
}

func TestContentNeedsAPurposeThatTheGrantNames(t *testing.T) {
	now := time.Now()
	legal := Subject{Grants: GrantsOf("legal")}
	if _, err := Allow(legal, Read, "", now, Org{Below: same}); !errors.Is(err, ErrPurpose) {
		t.Error(err)
	}
	if _, err := Allow(legal, Read, Handover, now, Org{Below: same}); !errors.Is(err, ErrDenied) {
		t.Error(err)
	}
	if sc, err := Allow(legal, Read, Dispute, now, Org{Below: same}); err != nil || sc.Class != record.Confidential {
		t.Error(sc, err)
	}
}

func TestOneToOneConversationsOpenForLegalPurposesOnly(t *testing.T) {
	now := time.Now()
	for _, p := range Purposes {
		sc, err := Allow(Subject{Grants: GrantsOf("owner")}, Read, p, now, Org{Below: same})
		if err != nil || sc.Private != (p == Investigation || p == Dispute || p == Request) {
			t.Errorf("%s: private %v, %v", p, sc.Private, err)
		}
	}
	if sc, err := Allow(Subject{Grants: Machine}, Export, Verification, now, Org{Below: same}); err != nil || !sc.Private {
		t.Error("the machine's own export must be whole", sc, err)
	}
}

func TestAGrantEndsAndIsNotMixedWithAnother(t *testing.T) {
	now := time.Now()
	s := Subject{Grants: []Grant{
		{Depts: []int64{7}, Kinds: record.Kinds, Class: record.Secret, Actions: []Action{Read}, Purposes: Purposes},
		{Depts: []int64{1, 2}, Kinds: []record.Kind{record.Files}, Class: record.Internal, Actions: []Action{Read}, Purposes: Purposes},
		{All: true, Kinds: record.Kinds, Class: record.Secret, Actions: []Action{Read}, Purposes: Purposes, Until: now.Add(-time.Hour)},
		{All: true, Kinds: record.Kinds, Class: record.Secret, Actions: []Action{Export}, Purposes: Purposes},
	}}
	sc, err := Allow(s, Read, Dispute, now, Org{Below: same})
	if err != nil || sc.All || len(sc.Depts) != 1 || sc.Class != record.Secret || len(sc.Or) != 1 {
		t.Fatalf("%+v %v", sc, err)
	}
	if o := sc.Or[0]; o.All || len(o.Depts) != 2 || o.Class != record.Internal || len(o.Kinds) != 1 || o.Or != nil {
		t.Errorf("%+v", o)
	}
}

func TestClosedCirclesOpenOnlyForThoseNamedForThem(t *testing.T) {
	for _, r := range Roles {
		var have record.Realms
		content := false
		for _, g := range append(slices.Clone(r.Grants), template(r)...) {
			have |= g.Realms
			content = content || slices.ContainsFunc(g.Actions, Action.Content)
		}
		want := map[string]record.Realms{"owner": record.AllRealms, "manager": record.Finance, "hr": record.Personnel, "legal": record.AllRealms}[r.Name]
		if have != want {
			t.Errorf("%s sees the circles %b, want %b", r.Name, have, want)
		}
		if content == (r.Name == "it" || r.Name == "auditor") {
			t.Errorf("%s: content %v", r.Name, content)
		}
		if r.Template != nil && (r.Template.All || len(r.Template.Depts) > 0 || len(r.Template.Purposes) == 0) {
			t.Errorf("the template of %s does not leave the departments open: %+v", r.Name, r.Template)
		}
	}
	for _, c := range []struct {
		f    Facts
		want record.Realms
	}{
		{Facts{Kind: record.Chat, Text: "付款了嗎"}, 0},
		{Facts{Kind: record.Approvals, Title: "王小明提交的報銷單"}, record.Finance},
		{Facts{Kind: record.Files, Title: "Payroll 2026.xlsx", DeptNames: []string{"財務部"}}, record.AllRealms},
		{Facts{Kind: record.Chat, DeptNames: []string{"招聘組", "人力資源部"}}, record.Personnel},
		{Facts{Kind: record.Contacts, DeptNames: []string{"財務部"}}, 0},
	} {
		if got := RealmsOf(c.f); got != c.want {
			t.Errorf("%+v: %b, want %b", c.f, got, c.want)
		}
	}
}

func template(r Role) []Grant {
	if r.Template == nil {
		return nil
	}
	return []Grant{*r.Template}
}

func TestClassesFollowKindDepartmentAndWords(t *testing.T) {
	for _, c := range []struct {
		f    Facts
		want record.Class
	}{
		{Facts{Kind: record.Chat, Text: "hello"}, record.Internal},
		{Facts{Kind: record.Chat, Text: "Strictly CONFIDENTIAL"}, record.Confidential},
		{Facts{Kind: record.Chat, Private: true}, record.Confidential},
		{Facts{Kind: record.Approvals}, record.Confidential},
		{Facts{Kind: record.Files, DeptNames: []string{"出納", "財務部"}}, record.Confidential},
		{Facts{Kind: record.Contacts, DeptNames: []string{"財務部"}}, record.Internal},
		{Facts{Kind: record.Chat, DeptNames: []string{"人力资源部"}}, record.Confidential},
		{Facts{Kind: record.Chat, DeptNames: []string{"法务部"}}, record.Confidential},
		{Facts{Kind: record.Chat, Text: "三月的工资单已发"}, record.Confidential},
	} {
		if got := Classify(c.f); got != c.want {
			t.Errorf("%+v: %d", c.f, got)
		}
	}
}

// TestAnExplanationIsTheDecision compares Explain with Allow on random grants
// and records.
func TestAnExplanationIsTheDecision(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	now := time.Now()
	parent := map[int64]int64{1: 0, 2: 1, 3: 1, 4: 2, 5: 2}
	above := func(d int64) (out []int64) {
		for ; d != 0; d = parent[d] {
			out = append(out, d)
		}
		return out
	}
	expand := func(ids []int64) (out []int64) {
		for d := range parent {
			if slices.ContainsFunc(above(d), func(x int64) bool { return slices.Contains(ids, x) }) {
				out = append(out, d)
			}
		}
		return out
	}
	all := append(slices.Clone(Purposes), Self)
	some := func() Grant {
		g := Grant{All: rng.IntN(5) == 0, Class: record.Class(rng.IntN(4)), Realms: record.Realms(rng.IntN(4)), Private: rng.IntN(2) == 0, Custody: rng.IntN(8) == 0, Depts: []int64{1 + rng.Int64N(5)}}
		for _, a := range []Action{Read, Export} {
			if rng.IntN(3) > 0 {
				g.Actions = append(g.Actions, a)
			}
		}
		for _, p := range all {
			if rng.IntN(3) > 0 {
				g.Purposes = append(g.Purposes, p)
			}
		}
		for _, k := range record.Kinds {
			if rng.IntN(3) > 0 {
				g.Kinds = append(g.Kinds, k)
			}
		}
		if rng.IntN(3) == 0 {
			g.Own = true
			g.Names = [][]string{nil, {"a"}, {"a", "b"}}[rng.IntN(3)]
		}
		if rng.IntN(5) == 0 {
			g.Until = now.Add(time.Duration(rng.IntN(2)*2-1) * time.Hour)
		}
		return g
	}
	yes := 0
	for range 20_000 {
		s := Subject{Grants: []Grant{some(), some()}}
		d := 1 + rng.Int64N(5)
		tg := Target{Kind: record.Kinds[rng.IntN(len(record.Kinds))], Depts: above(d), Class: record.Class(rng.IntN(4)), Realms: record.Realms(rng.IntN(4)), Private: rng.IntN(3) == 0, Author: []string{"", "a", "b", "c"}[rng.IntN(4)]}
		a, p := []Action{Read, Export}[rng.IntN(2)], all[rng.IntN(len(all))]
		marked := tg.Realms // what the record's own row says
		org := Org{Below: expand, Circles: map[record.Realms][]int64{record.Finance: {1 + rng.Int64N(5)}, record.Personnel: {1 + rng.Int64N(5)}}}
		for realm, ids := range org.Circles {
			if tg.Kind != record.Contacts && slices.Contains(tg.Depts, ids[0]) {
				tg.Realms |= realm
			}
		}
		allowed, why := Explain(s, a, p, tg, now)
		scope, err := Allow(s, a, p, now, org)
		covers := false
		for _, o := range append([]record.Scope{scope}, scope.Or...) {
			covers = covers || err == nil && slices.Contains(o.Kinds, tg.Kind) && (o.All || slices.Contains(o.Depts, d)) && tg.Class <= o.Class && marked&^o.Realms == 0 && (tg.Kind == record.Contacts || !slices.Contains(o.Except, d)) && (!tg.Private || o.Private) &&
				(!o.Own || slices.Contains(o.Authors, tg.Author))
		}
		if allowed != covers || len(why) != 2 {
			t.Fatalf("explained %v, decided %v: %+v for %s %s by %+v", allowed, covers, tg, a, p, s)
		}
		if allowed {
			yes++
		}
	}
	if yes < 500 {
		t.Errorf("only %d of the random acts were allowed: the comparison says little", yes)
	}
}
