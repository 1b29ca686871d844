package policy

import (
	"errors"
	"slices"
	"testing"
	"time"

	"farol/internal/record"
)

// TestNobodyButAMemberHasThePurposeSelf: no preset and not the machine reads
// under it, so that only what enters by a member's own door can.
func TestNobodyButAMemberHasThePurposeSelf(t *testing.T) {
	if slices.Contains(Purposes, Self) {
		t.Fatal("an account can declare it")
	}
	grants := slices.Clone(Machine)
	for _, r := range Roles {
		grants = append(append(grants, r.Grants...), template(r)...)
	}
	for _, g := range grants {
		if g.Own || slices.Contains(g.Purposes, Self) {
			t.Errorf("%+v", g)
		}
	}
}

func TestAMemberReachesHisNamesAndNothingElse(t *testing.T) {
	now := time.Now()
	m := Member("member/1", Names{record.Chat: {"Dopen"}, record.Files: {"union"}, record.Approvals: nil})
	for _, a := range Actions {
		for _, p := range append(slices.Clone(Purposes), Self) {
			sc, err := Allow(m, a, p, now, Org{Below: same})
			if may := p == Self && (a == Read || a == Search || a == Export); may != (err == nil) {
				t.Errorf("%s for %s: %v", a, p, err)
			}
			for _, o := range append([]record.Scope{sc}, sc.Or...) {
				if err == nil && (!o.Own || len(o.Authors) != 1 || len(o.Kinds) != 1 || o.Authors[0] != map[record.Kind]string{record.Chat: "Dopen", record.Files: "union"}[o.Kinds[0]]) {
					t.Errorf("%s for %s reaches %+v", a, p, o)
				}
			}
		}
	}
	// the keys of one kind say nothing in another, and none is nobody's
	for _, c := range []struct {
		kind   record.Kind
		author string
		want   bool
	}{{record.Chat, "Dopen", true}, {record.Chat, "union", false}, {record.Files, "union", true}, {record.Files, "Dopen", false}, {record.Approvals, "Dopen", false}, {record.Chat, "", false}, {record.Contacts, "Dopen", false}} {
		got, _ := Explain(m, Read, Self, Target{Kind: c.kind, Author: c.author, Class: record.Secret, Realms: record.AllRealms, Private: true}, now)
		if got != c.want {
			t.Errorf("%s of %q: %v", c.kind, c.author, got)
		}
	}
	if _, err := Allow(Member("member/2", nil), Read, Self, now, Org{Below: same}); !errors.Is(err, ErrDenied) {
		t.Error("without a name:", err)
	}
}
