package dingtalk

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"farol/internal/dingtalk/simulator"
)

func newPair(t *testing.T, opt simulator.Options) (*simulator.Simulator, *Client, string) {
	t.Helper()
	opt.Seed, opt.People, opt.Messages = 5, 20, 200
	sim, err := simulator.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(sim)
	t.Cleanup(func() { srv.Close(); sim.Close() })
	return sim, New(Config{Hosts: SameHost(srv.URL), ClientID: sim.ClientID(), ClientSecret: sim.ClientSecret(), QPS: 1000, Backoff: 5 * time.Millisecond}), srv.URL
}

func control(t *testing.T, base, path, body string) {
	t.Helper()
	resp, err := http.Post(base+path, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s answered %d", path, resp.StatusCode)
	}
}

func TestAWrongSecretIsNamedAsSuch(t *testing.T) {
	_, c, _ := newPair(t, simulator.Options{})
	c.cfg.ClientSecret = "wrong"
	if err := c.CheckApp(t.Context()); !errors.Is(err, ErrCredentials) {
		t.Fatal(err)
	}
}

func TestAnExpiredTokenIsRenewedOnce(t *testing.T) {
	_, c, _ := newPair(t, simulator.Options{AppTokenLife: 300 * time.Millisecond})
	if _, err := c.Department(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	time.Sleep(400 * time.Millisecond)
	c.expires = time.Now().Add(time.Hour) // the clock here and there disagree
	if _, err := c.Department(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
}

func TestAMissingPermissionIsNamedWithItsScope(t *testing.T) {
	_, c, base := newPair(t, simulator.Options{})
	control(t, base, "/_sim/permissions", `{"revoke":["Workflow.Form.Read"]}`)
	_, err := c.Forms(t.Context())
	scopes, api := Missing(err)
	if !errors.Is(err, ErrPermission) || len(scopes) != 1 || scopes[0] != "Workflow.Form.Read" || api == "" {
		t.Fatalf("%v %v %v", err, scopes, api)
	}
	control(t, base, "/_sim/permissions", `{"revoke":["qyapi_get_department_list"]}`)
	if _, err := c.Department(t.Context(), 1); !errors.Is(err, ErrPermission) {
		t.Fatalf("legacy host: %v", err)
	}
}

func TestFaultsAreRiddenOutAndQuotaStops(t *testing.T) {
	for _, kind := range []string{"http500", "htmlblock", "qps", "drop"} {
		_, c, base := newPair(t, simulator.Options{})
		control(t, base, "/_sim/faults", `{"match":"department/get","kind":"`+kind+`","count":2}`)
		if _, err := c.Department(t.Context(), 1); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
	_, c, base := newPair(t, simulator.Options{MonthlyCalls: 1})
	_ = base
	if _, err := c.Forms(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Forms(t.Context()); !errors.Is(err, ErrQuota) {
		t.Fatal(err)
	}
}

func TestAnUnreachableHostIsNamedWithoutItsToken(t *testing.T) {
	c := New(Config{Hosts: SameHost("http://127.0.0.1:1"), ClientID: "id", ClientSecret: "canary-secret", Backoff: time.Millisecond})
	_, err := c.Department(t.Context(), 1)
	if !errors.Is(err, ErrUnreachable) || strings.Contains(err.Error(), "canary") {
		t.Fatal(err)
	}
}

func TestADownloadStaysOutOfTheLocalNetwork(t *testing.T) {
	c := New(Config{Hosts: China})
	for _, u := range []string{"http://files.example.com/x", "https://127.0.0.1/x", "https://10.1.2.3/x", "https://[::1]/x", "https://[::ffff:10.1.2.3]/x", "https://100.100.100.200/latest", "https://169.254.169.254/latest", "file:///etc/passwd", "ftp://x/y"} {
		if _, _, err := c.Fetch(t.Context(), Signed{URLs: []string{u}}); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", u, err)
		}
	}
}

// TestANameThatLeadsInsideIsNotFollowed: what counts is where a name leads.
func TestANameThatLeadsInsideIsNotFollowed(t *testing.T) {
	asked := false
	srv := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer srv.Close()
	inside := strings.Replace(srv.URL, "127.0.0.1", "localhost", 1)
	c := New(Config{Hosts: China})
	if _, _, err := c.Fetch(t.Context(), Signed{URLs: []string{inside}}); !errors.Is(err, ErrRefused) {
		t.Errorf("a download: %v", err)
	}
	if err := c.put(t.Context(), Signed{URLs: []string{inside}}, 1, strings.NewReader("x")); !errors.Is(err, ErrRefused) {
		t.Errorf("an upload: %v", err)
	}
	err := c.session(t.Context(), strings.Replace(inside, "https", "wss", 1), func(bool) {}, func(Event) error { return nil })
	if !errors.Is(err, errPrivate) || asked {
		t.Errorf("a stream: %v", err)
	}
}

// TestAStreamStaysInsideTLS: an answer must not lead events out of TLS or into
// the local network; the plain host of a simulator is one that was configured.
func TestAStreamStaysInsideTLS(t *testing.T) {
	for _, c := range []struct {
		hosts    Hosts
		endpoint string
		ok       bool
	}{
		{China, "wss://wss-open-connection.dingtalk.com:443/connect", true},
		{China, "ws://wss-open-connection.dingtalk.com/connect", false},
		{China, "ws://api.dingtalk.com/connect", false},
		{China, "wss://10.1.2.3/connect", false},
		{China, "https://api.dingtalk.com/connect", false},
		{China, "wss://[::1]:80/connect", false},
		{SameHost("http://127.0.0.1:9000"), "ws://127.0.0.1:9000/connect", true},
		{SameHost("http://127.0.0.1:9000"), "ws://127.0.0.1:9001/connect", false},
	} {
		u, err := New(Config{Hosts: c.hosts}).endpoint("gateway/connections/open", []byte(`{"endpoint":"`+c.endpoint+`","ticket":"t&x"}`))
		if c.ok && (err != nil || u != c.endpoint+"?ticket=t%26x") || !c.ok && !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %q %v", c.endpoint, u, err)
		}
	}
}

func TestARedirectDoesNotCarryTheToken(t *testing.T) {
	var leaked atomic.Bool
	thief := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { leaked.Store(true) }))
	defer thief.Close()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "accessToken") {
			w.Write([]byte(`{"accessToken":"t","expireIn":7200}`))
			return
		}
		http.Redirect(w, r, thief.URL, http.StatusTemporaryRedirect)
	}))
	defer srv.Close()
	c := New(Config{Hosts: SameHost(srv.URL), Backoff: time.Millisecond})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if _, err := c.Forms(ctx); err == nil || leaked.Load() {
		t.Fatalf("followed: %v %v", leaked.Load(), err)
	}
}

func TestAFileGoesUpAndComesDownEqual(t *testing.T) {
	sim, c, _ := newPair(t, simulator.Options{})
	ctx := t.Context()
	var union string
	users, _, err := c.Users(ctx, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	_ = users
	raw, err := c.User(ctx, sim.AdminUserID())
	if err != nil {
		t.Fatal(err)
	}
	if i := bytes.Index(raw, []byte(`"unionid":"`)); i >= 0 {
		union = string(raw[i+11 : i+11+bytes.IndexByte(raw[i+11:], '"')])
	}
	spaces, err := c.Spaces(ctx, union)
	if err != nil || len(spaces) == 0 {
		t.Fatal(len(spaces), err)
	}
	space := string(spaces[0][bytes.Index(spaces[0], []byte(`"spaceId":"`))+11:])
	space = space[:strings.IndexByte(space, '"')]
	_, uuid, err := c.AddFolder(ctx, union, space, "0", "Farol 還原")
	if err != nil {
		t.Fatal(err)
	}
	content := []byte("還原的內容")
	names := map[string]bool{}
	for range 2 { // the second must not overwrite the first
		up, err := c.Upload(ctx, union, uuid, "報價單.pdf", int64(len(content)), bytes.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		names[up.Name] = true
		s, err := c.DownloadInfo(ctx, union, space, up.ID, 0)
		if err != nil {
			t.Fatal(err)
		}
		body, _, err := c.Fetch(ctx, s)
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		got.ReadFrom(body)
		body.Close()
		if !bytes.Equal(got.Bytes(), content) {
			t.Fatal("other bytes came back")
		}
	}
	if len(names) != 2 {
		t.Fatalf("names %v", names)
	}
	if v := sim.Violations(); len(v) > 0 {
		t.Error(v)
	}
}

func TestTheConsentAddressCarriesStateAndNoSecret(t *testing.T) {
	c := New(Config{Hosts: China, ClientID: "id", ClientSecret: "canary"})
	u, err := url.Parse(c.ConsentURL("https://farol.local/cb", "st", ""))
	if err != nil || u.Host != "login.dingtalk.com" || u.Query().Get("state") != "st" || strings.Contains(u.String(), "canary") {
		t.Fatal(u, err)
	}
}

func TestAUnionIDStandsForAPresentEmployeeOrNobody(t *testing.T) {
	sim, c, base := newPair(t, simulator.Options{})
	ctx := t.Context()
	depts, err := c.SubDepartments(ctx, 1)
	if err != nil || len(depts) == 0 {
		t.Fatal(len(depts), err)
	}
	var d struct {
		ID int64 `json:"dept_id"`
	}
	if err := decode("department", depts[len(depts)-1], &d); err != nil {
		t.Fatal(err)
	}
	users, _, err := c.Users(ctx, d.ID, 0)
	if err != nil || len(users) == 0 {
		t.Fatal(len(users), err)
	}
	var u struct{ UserID, UnionID string }
	if err := decode("user", users[len(users)-1], &u); err != nil {
		t.Fatal(err)
	}
	if id, err := c.UserByUnion(ctx, u.UnionID); err != nil || id != u.UserID {
		t.Errorf("%q, %v", id, err)
	}
	if id, err := c.UserByUnion(ctx, "nobody"); !errors.Is(err, ErrNotFound) || id != "" {
		t.Errorf("%q, %v", id, err)
	}
	control(t, base, "/_sim/leave", `{"userId":"`+u.UserID+`"}`)
	if id, err := c.UserByUnion(ctx, u.UnionID); !errors.Is(err, ErrNotFound) || id != "" {
		t.Errorf("after he left: %q, %v", id, err)
	}
	if n := len(sim.Violations()); n > 0 {
		t.Errorf("%d breaches of the contract", n)
	}
	outside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1.0/oauth2/accessToken" {
			w.Write([]byte(`{"accessToken":"t","expireIn":7200}`))
			return
		}
		w.Write([]byte(`{"errcode":0,"errmsg":"ok","result":{"contact_type":1,"userid":"guest"}}`))
	}))
	defer outside.Close()
	if id, err := New(Config{Hosts: SameHost(outside.URL)}).UserByUnion(ctx, "u"); !errors.Is(err, ErrNotFound) || id != "" {
		t.Errorf("a contact from outside: %q, %v", id, err)
	}
}
