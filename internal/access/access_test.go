package access

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"farol/internal/db"
	"farol/internal/policy"
	"farol/internal/record"
)

func book(t *testing.T, now func() time.Time) *Book {
	t.Helper()
	d, err := db.Open(t.Context(), filepath.Join(t.TempDir(), "control.db"), db.Control, now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	if err := d.Update(t.Context(), func(tx *db.Tx) error {
		_, err := tx.ExecContext(t.Context(), `INSERT INTO account(id,name,shown,role,password,totp,created) VALUES(1,'maria','Maria','owner','',x'',0),(2,'chan','Chan','head','',x'',0),(3,'lei','Lei','reader','',x'',0),(4,'it1','IT','it','',x'',0)`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return New(d)
}

func preset(t *testing.T, role string, until time.Time) policy.Grant {
	t.Helper()
	g, ok := Preset(role, []int64{7}, record.AllRealms, until)
	if !ok {
		t.Fatalf("%s has no template", role)
	}
	return g
}

func TestAGrantStaysWithinItsRoleAndNobodyGivesHimselfOne(t *testing.T) {
	now := time.Now()
	b := book(t, func() time.Time { return now })
	head := preset(t, "head", time.Time{})
	with := func(change func(*policy.Grant)) policy.Grant {
		g := head
		change(&g)
		return g
	}
	for name, c := range map[string]struct {
		to, by string
		g      policy.Grant
		want   error
	}{
		"himself":           {"chan", "CHAN", head, ErrSelf},
		"everything":        {"chan", "maria", with(func(g *policy.Grant) { g.All = true }), ErrDepts},
		"no department":     {"chan", "maria", with(func(g *policy.Grant) { g.Depts = nil }), ErrDepts},
		"a higher class":    {"chan", "maria", with(func(g *policy.Grant) { g.Class = record.Secret }), ErrBeyond},
		"a closed circle":   {"chan", "maria", with(func(g *policy.Grant) { g.Realms = record.Personnel }), ErrBeyond},
		"1:1 conversations": {"chan", "maria", with(func(g *policy.Grant) { g.Private = true }), ErrBeyond},
		"a further act":     {"chan", "maria", with(func(g *policy.Grant) { g.Actions = []policy.Action{policy.Accounts} }), ErrBeyond},
		"past its end":      {"chan", "maria", with(func(g *policy.Grant) { g.Until = now }), ErrEnd},
		"no end":            {"lei", "maria", preset(t, "reader", time.Time{}), ErrEnd},
		"too long":          {"lei", "maria", preset(t, "reader", now.Add(91*24*time.Hour)), ErrEnd},
		"IT reads content":  {"it1", "maria", head, ErrBeyond},
		"nobody":            {"ghost", "maria", head, ErrAccount},
	} {
		if err := b.Give(t.Context(), c.to, c.g, c.by, ""); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if list, err := b.List(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("something was given: %+v %v", list, err)
	}
}

func TestAGrantEndsByTimeByHandAndWithItsRole(t *testing.T) {
	now := time.Now()
	b := book(t, func() time.Time { return now })
	if err := b.Give(t.Context(), "lei", preset(t, "reader", now.Add(time.Hour)), "maria", "r1"); err != nil {
		t.Fatal(err)
	}
	count := func(role string, at time.Time) int {
		gs, err := b.Of(t.Context(), 3, role, at)
		if err != nil {
			t.Fatal(err)
		}
		return len(gs)
	}
	if count("reader", now) != 1 || count("reader", now.Add(time.Hour)) != 0 {
		t.Error("its end is not kept")
	}
	if n, own := count("it", now), len(policy.GrantsOf("it")); n != own {
		t.Errorf("as IT the account keeps a reader's grant: %d, of the role %d", n, own)
	}
	list, err := b.List(t.Context())
	if err != nil || len(list) != 1 || list[0].Approval != "r1" || !slices.Equal(list[0].Grant.Depts, []int64{7}) {
		t.Fatal(list, err)
	}
	id := list[0].ID
	if err := b.End(t.Context(), id, "lei"); !errors.Is(err, ErrSelf) {
		t.Error(err)
	}
	if err := b.End(t.Context(), id, "maria"); err != nil || count("reader", now) != 0 {
		t.Error(err)
	}
	if err := b.End(t.Context(), id, "maria"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}

func TestAGrantWantsToBeLookedAtEveryQuarter(t *testing.T) {
	now := time.Now()
	b := book(t, func() time.Time { return now })
	if err := b.Give(t.Context(), "chan", preset(t, "head", time.Time{}), "maria", ""); err != nil {
		t.Fatal(err)
	}
	one := func() Given {
		l, err := b.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return l[0]
	}
	g := one()
	if g.Due(now) || !g.Due(now.Add(Quarter)) {
		t.Error("due at the wrong time")
	}
	if err := b.Review(t.Context(), g.ID, "chan"); !errors.Is(err, ErrSelf) {
		t.Error(err)
	}
	now = now.Add(Quarter)
	if err := b.Review(t.Context(), g.ID, "maria"); err != nil {
		t.Fatal(err)
	}
	if g = one(); g.Due(now) || g.ReviewedBy != "maria" {
		t.Errorf("%+v", g)
	}
}
