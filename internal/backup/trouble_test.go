package backup

import (
	"net/http"
	"strings"
	"testing"

	"farol/internal/record"
	"farol/internal/settings"
)

func (b *bench) control(t *testing.T, path, body string) {
	t.Helper()
	resp, err := http.Post(b.srv.URL+path, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s answered %d", path, resp.StatusCode)
	}
}

func kindOf(r Run, k record.Kind) KindProgress {
	for _, p := range r.Kinds {
		if p.Kind == k {
			return p
		}
	}
	return KindProgress{}
}

func TestAMissingPermissionIsNamedAndTheOtherKindsGoOn(t *testing.T) {
	b := newBench(t, small())
	b.control(t, "/_sim/permissions", `{"revoke":["Workflow.Form.Read"]}`)
	r := b.run(t, Full)
	a := kindOf(r, record.Approvals)
	if a.State != Failed || a.Problem != "permission" || len(a.Scopes) != 1 || a.Scopes[0] != "Workflow.Form.Read" {
		t.Errorf("approvals: %+v", a)
	}
	for _, k := range []record.Kind{record.Contacts, record.Chat, record.Files} {
		if p := kindOf(r, k); p.State != Done || p.Listed == 0 {
			t.Errorf("%s: %+v", k, p)
		}
	}
	if r.State != Partial {
		t.Errorf("the run ended %s", r.State)
	}
	b.control(t, "/_sim/permissions", `{"grant":["Workflow.Form.Read"]}`)
	if p := kindOf(b.run(t, Incremental), record.Approvals); p.State != Done || p.Added == 0 {
		t.Errorf("after the grant: %+v", p)
	}
}

func TestARevokedConsentIsMarkedAndOthersReadOn(t *testing.T) {
	b := newBench(t, small())
	cs, err := b.d.Settings.Consents(t.Context())
	if err != nil || len(cs) < 3 {
		t.Fatal(len(cs), err)
	}
	gone := cs[len(cs)-1].Person
	b.control(t, "/_sim/consent/revoke", `{"userId":"`+gone+`"}`)
	r := b.run(t, Full)
	if p := kindOf(r, record.Chat); p.Listed == 0 {
		t.Fatalf("%+v", p)
	}
	if cs, err = b.d.Settings.Consents(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range cs {
		if (c.State == settings.Lapsed) != (c.Person == gone) {
			t.Errorf("one member revoked, and a consent is %s", c.State)
		}
	}
}

func TestFaultsUpstreamLoseNothing(t *testing.T) {
	b := newBench(t, small())
	for _, f := range []string{
		`{"match":"list_conversation_message_v2","kind":"http500","count":7}`, `{"match":"list_conversation_message_v2","kind":"reorder","count":20}`,
		`{"match":"listAll","kind":"htmlblock","count":3}`, `{"match":"downloadInfos","kind":"drop","count":5}`, `{"match":"processInstances","kind":"qps","count":9}`,
		`{"match":"user/list","kind":"duplicate_page","count":3}`, `{"match":"list_all_conversations","kind":"expired_token","count":2}`,
	} {
		b.control(t, "/_sim/faults", f)
	}
	b.run(t, Full)
	resp, err := http.NewRequest(http.MethodDelete, b.srv.URL+"/_sim/faults", nil)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := http.DefaultClient.Do(resp); err != nil {
		t.Fatal(err)
	} else {
		r.Body.Close()
	}
	b.run(t, Full)
	b.compare(t)
}
