package settings

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"farol/internal/db"
	"farol/internal/dingtalk"
	"farol/internal/keys"
	"farol/internal/record"
)

func open(t *testing.T) (*Settings, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "control.db")
	d, err := db.Open(t.Context(), path, db.Control, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	root, err := keys.New()
	if err != nil {
		t.Fatal(err)
	}
	return New(d, keys.NewBox(root.Derive("control"))), path
}

func TestSecretsComeBackAndDoNotRestReadable(t *testing.T) {
	s, path := open(t)
	ctx := t.Context()
	if err := s.SetSecret(ctx, map[string]string{ClientSecret: "canary-secret"}); err != nil {
		t.Fatal(err)
	}
	tok := dingtalk.Tokens{Access: "canary-access", Refresh: "canary-refresh", Expires: time.Now()}
	if err := s.AddConsent(ctx, Consent{Person: "u1", UnionID: "x"}, tok); err != nil {
		t.Fatal(err)
	}
	if v, err := s.Get(ctx, ClientSecret); v != "canary-secret" || err != nil {
		t.Fatal(v, err)
	}
	if got, err := s.Tokens(ctx, "u1"); err != nil || got.Refresh != tok.Refresh {
		t.Fatal(got, err)
	}
	for _, f := range []string{path, path + "-wal"} {
		if b, _ := os.ReadFile(f); bytes.Contains(b, []byte("canary")) {
			t.Errorf("%s holds a secret", filepath.Base(f))
		}
	}
	if err := s.Lapsed(ctx, "u1"); err != nil {
		t.Fatal(err)
	}
	if cs, err := s.Consents(ctx); err != nil || len(cs) != 1 || cs[0].State != Lapsed {
		t.Fatal(cs, err)
	}
}

func TestADepartmentFollowsItsParentUntilItHasItsOwnDecision(t *testing.T) {
	s, _ := open(t)
	depts := []record.Dept{{ID: 1}, {ID: 10, Parent: 1}, {ID: 100, Parent: 10}, {ID: 20, Parent: 1}}
	if err := s.Choose(t.Context(), []Decision{{10, record.Chat, false}, {100, record.Chat, true}, {1, record.Approvals, false}}); err != nil {
		t.Fatal(err)
	}
	c, err := s.Chosen(t.Context(), depts)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []struct {
		dept int64
		kind record.Kind
		want bool
	}{{10, record.Chat, false}, {100, record.Chat, true}, {20, record.Chat, true}, {10, record.Files, true}, {100, record.Approvals, false}, {999, record.Chat, true}, {999, record.Approvals, false}} {
		if got := c.Includes(k.dept, k.kind); got != k.want {
			t.Errorf("%d %s: %v", k.dept, k.kind, got)
		}
	}
}
