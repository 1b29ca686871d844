package policy

import (
	"errors"
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
				s := Subject{Role: role, Grants: Roles[role]}
				if sc, err := Allow(s, a, p, now, same); !errors.Is(err, ErrDenied) || !sc.Nothing() {
					t.Errorf("%s may %s for %s: %+v %v", role, a, p, sc, err)
				}
			}
		}
	}
}

func TestContentNeedsAPurposeThatTheGrantNames(t *testing.T) {
	now := time.Now()
	legal := Subject{Grants: Roles["legal"]}
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
		sc, err := Allow(Subject{Grants: Roles["owner"]}, Read, p, now, same)
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
	}}
	sc, err := Allow(s, Read, Dispute, now, same)
	if err != nil || sc.All || len(sc.Depts) != 2 || sc.Class != record.Internal || len(sc.Kinds) != 1 {
		t.Errorf("%+v %v", sc, err)
	}
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
