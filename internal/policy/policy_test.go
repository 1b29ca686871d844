package policy

import (
	"errors"
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
				if sc, err := Allow(s, a, p, now, same); !errors.Is(err, ErrDenied) || !sc.Nothing() {
					t.Errorf("%s may %s for %s: %+v %v", role, a, p, sc, err)
				}
			}
		}
	}
}

func TestContentNeedsAPurposeThatTheGrantNames(t *testing.T) {
	now := time.Now()
	legal := Subject{Grants: GrantsOf("legal")}
	if _, err := Allow(legal, Read, "", now, same); !errors.Is(err, ErrPurpose) {
		t.Error(err)
	}
	if _, err := Allow(legal, Read, Handover, now, same); !errors.Is(err, ErrDenied) {
		t.Error(err)
	}
	if sc, err := Allow(legal, Read, Dispute, now, same); err != nil || sc.Class != record.Confidential {
		t.Error(sc, err)
	}
}

func TestOneToOneConversationsOpenForLegalPurposesOnly(t *testing.T) {
	now := time.Now()
	for _, p := range Purposes {
		sc, err := Allow(Subject{Grants: GrantsOf("owner")}, Read, p, now, same)
		if err != nil || sc.Private != (p == Investigation || p == Dispute || p == Request) {
			t.Errorf("%s: private %v, %v", p, sc.Private, err)
		}
	}
	if sc, err := Allow(Subject{Grants: Machine}, Export, Verification, now, same); err != nil || !sc.Private {
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
	sc, err := Allow(s, Read, Dispute, now, same)
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
	} {
		if got := Classify(c.f); got != c.want {
			t.Errorf("%+v: %d", c.f, got)
		}
	}
}
