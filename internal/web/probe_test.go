package web

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"farol/internal/audit"
	"farol/internal/catalog"
	"farol/internal/policy"
	"farol/internal/record"
	"farol/internal/restore"
)

var (
	regexpStatic = regexp.MustCompile(`/static/[a-z/.0-9-]*[.]css`)
	sessionID    = regexp.MustCompile(`action="/session/end"><input type="hidden" name="id" value="([0-9a-f]+)"`)
)

// whys counts the refusals by their reason.
func (h *house) whys(why string) (n int) {
	h.t.Helper()
	for _, e := range h.said("access.denied") {
		if e.Detail["why"] == why {
			n++
		}
	}
	return n
}

// refusal checks that what was tried is an entry, exactly once more.
func (h *house) refusal(why string, try func()) {
	h.t.Helper()
	before := h.whys(why)
	try()
	if n := h.whys(why) - before; n != 1 {
		h.t.Errorf("%q: %d entries, want 1", why, n)
	}
	h.clock.pass(2 * time.Minute)
}

// serve answers as the appliance does, on a port of its own.
func (h *house) serve() (address string, stop func()) {
	h.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(h.t.Context())
	served := make(chan error, 1)
	go func() { served <- h.Serve(ctx, ln) }()
	return ln.Addr().String(), func() { cancel(); <-served }
}

// raw sends bytes as they are and reads until the other side ends.
func raw(t *testing.T, address, text string) string {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(conn, text)
	b, err := io.ReadAll(bufio.NewReader(conn))
	if err != nil {
		t.Errorf("the connection is kept: %v", err)
	}
	return string(b)
}

func TestAnAddressThatClimbsIsRefusedAndLogged(t *testing.T) {
	h, _ := ready(t)
	address, stop := h.serve()
	defer stop()
	for _, p := range []string{"/static/../../etc/passwd", "/static/%2e%2e/%2e%2e/etc/passwd", "/static/..%2f..%2fetc%2fpasswd", `/static/..%5c..%5cwin.ini`, "/archive/chat/..%00", "/record/1%0d%0aSet-Cookie:%20x=1"} {
		h.refusal("path", func() {
			a := raw(t, address, "GET "+p+" HTTP/1.1\r\nHost: farol\r\nConnection: close\r\n\r\n")
			if !strings.HasPrefix(a, "HTTP/1.1 404") || strings.Contains(a, "root:") || strings.Contains(a, "Set-Cookie: x=1") {
				t.Errorf("%s: %.80q", p, a)
			}
		})
	}
}

func TestAWayOutInNextIsLogged(t *testing.T) {
	h, v := ready(t)
	for _, next := range []string{"/\r\nSet-Cookie: x=1", "https://evil.example", "//evil.example/", `/\evil.example`} {
		h.refusal("next", func() { v.post("/look", "theme", "dark", "next", next).wants(t, 303, "/") })
	}
	h.refusal("next", func() { v.get("/stepup?next=https://evil.example").wants(t, 200).lacks(t, `value="https://evil`) })
}

func TestASessionThatIsNoneIsLogged(t *testing.T) {
	h, v := ready(t)
	h.refusal("session", func() { h.with(strings.Repeat("A", 52)).get("/settings").wants(t, 303) })
	before := v.session()
	v.fresh("maria")
	h.refusal("session", func() { h.with(before).get("/settings").wants(t, 303) }) // replayed after the step-up
	h.account("rui", "auditor")
	x := h.login("rui")
	v.fresh("maria")
	v.post("/accounts/2/role", "role", "legal").wants(t, 303)
	h.refusal("session", func() { x.get("/audit").wants(t, 303) }) // its rights changed
	h.refusal("session", func() { x.get("/api/status").wants(t, 401) })
	h.visitor().get("/settings").wants(t, 303)
	if h.whys("session") != 4 {
		t.Error("a browser without a session is an entry")
	}
}

func TestALargeBodyIsLogged(t *testing.T) {
	h, v := ready(t)
	big := strings.Repeat("x", 300<<10)
	h.refusal("size", func() { v.post("/settings/password", "password_old", big).wants(t, 413) })
	h.refusal("size", func() {
		r, err := http.NewRequestWithContext(t.Context(), "POST", h.srv.URL+"/login", io.MultiReader(strings.NewReader("name=maria&password="), strings.NewReader(big))) // without a length
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		resp, err := h.visitor().hc.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("a body without a length: %d", resp.StatusCode)
		}
	})
	if n := h.logged("login.failed"); n != 0 {
		t.Errorf("half a form was taken for a try: %d", n)
	}
}

func TestASlowBodyIsLogged(t *testing.T) {
	h, _ := ready(t)
	h.readTime = 300 * time.Millisecond
	address, stop := h.serve()
	defer stop()
	h.refusal("slow", func() {
		raw(t, address, "POST /login HTTP/1.1\r\nHost: farol\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\nname=maria&pass")
	})
	if n := h.logged("login.failed"); n != 0 {
		t.Errorf("half a form was taken for a try: %d", n)
	}
}

// TestOneRequestIsOneRequest: what a second length would hide is not run.
func TestOneRequestIsOneRequest(t *testing.T) {
	h, _ := ready(t)
	address, stop := h.serve()
	defer stop()
	hidden := "GET /audit HTTP/1.1\r\nHost: farol\r\n\r\n"
	for name, head := range map[string]string{
		"both lengths": "Transfer-Encoding: chunked\r\nContent-Length: " + strconv.Itoa(len("0\r\n\r\n")+len(hidden)) + "\r\n\r\n0\r\n\r\n",
		"two lengths":  "Content-Length: 5\r\nContent-Length: 6\r\n\r\nname=",
	} {
		a := raw(t, address, "POST /look HTTP/1.1\r\nHost: farol\r\nContent-Type: application/x-www-form-urlencoded\r\nConnection: close\r\n"+head+hidden)
		if n := strings.Count(a, "HTTP/1.1 "); n != 1 {
			t.Errorf("%s: %d answers", name, n)
		}
	}
}

func TestAFormIsFilledInByItsBodyAlone(t *testing.T) {
	h, _ := ready(t)
	v := h.visitor()
	code := h.code(h.kept["maria"].Text)
	v.post("/login?name=maria&password="+strings.ReplaceAll(password, " ", "+")+"&totp="+code).wants(t, 422)
	v.post("/login?name=nobody&password=x", "name", "maria", "password", password, "totp", code).wants(t, 303)
	h.entries(map[string]int{"login.failed": 1, "login": 2})
}

func TestOtherMethodsAreRefused(t *testing.T) {
	h, v := ready(t)
	for _, r := range h.routes() {
		path := strings.NewReplacer(":kind", "chat", ":id", "1", ":seq", "0", ":n", "0", ":token", "x", ":number", "1").Replace(r.path)
		for _, m := range []string{"TRACE", "PUT", "DELETE", "PATCH"} {
			if a := v.do(m, path, nil); a.code != 404 && a.code != 405 {
				t.Errorf("%s %s answers %d", m, r.path, a.code)
			}
		}
	}
}

// TestEveryAnswerHasItsHeaders: pages, files, refusals and what breaks before
// there is a page.
func TestEveryAnswerHasItsHeaders(t *testing.T) {
	h, v := ready(t)
	v.head.Set("Sec-Fetch-Site", "cross-site")
	answers := []answerOf{v.post("/login")}
	v.head.Del("Sec-Fetch-Site")
	answers = append(answers, v.get("/"), v.get("/nothing"), v.get("/static/nothing"), v.get("/healthz"), v.get("/api/status"), h.visitor().get("/audit"), v.post("/settings/password", "x", strings.Repeat("x", 300<<10)), h.visitor().get("/login"))
	icon := regexpStatic.FindString(v.get("/").body)
	answers = append(answers, v.get(icon).wants(t, 200))
	answers = append(answers, h.with(strings.Repeat("A", 52)).get("/static/../x"))
	for _, a := range answers {
		for k, want := range map[string]string{"Strict-Transport-Security": "max-age=63072000; includeSubDomains", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin", "Access-Control-Allow-Origin": ""} {
			if got := a.head.Get(k); got != want {
				t.Errorf("%s: %s is %q", a.path, k, got)
			}
		}
		csp := a.head.Get("Content-Security-Policy")
		for _, p := range []string{"default-src 'self'", "object-src 'none'", "base-uri 'none'", "frame-ancestors 'none'", "form-action 'self'"} {
			if !strings.Contains(csp, p) {
				t.Errorf("%s: %q lacks %s", a.path, csp, p)
			}
		}
		kind := a.head.Get("Content-Type")
		if a.body != "" && !strings.Contains(kind, "charset=utf-8") && !strings.Contains(kind, "charset=UTF-8") && kind != "application/json" {
			t.Errorf("%s: is %q", a.path, kind)
		}
		if want := "no-store"; !strings.Contains(a.path, "/static/") && a.head.Get("Cache-Control") != want {
			t.Errorf("%s: may be kept: %q", a.path, a.head.Get("Cache-Control"))
		}
	}
}

// TestAJobIsItsOwnersAlone: what a restore gave back is not for everybody who
// may restore something.
func TestAJobIsItsOwnersAlone(t *testing.T) {
	h := newHouse(t)
	h.account("maria", "owner")
	h.backedUp()
	box, _ := h.someContainer(record.Chat)
	maria := h.login("maria")
	maria.post("/purpose", "purpose", "recovery", "title", "誤刪的對話", "next", "/")
	job := maria.post("/restore/run", "kind", "chat", "container", strconv.FormatInt(box.CatalogID, 10), "target", "dingtalk").wants(t, 303).to
	if !strings.HasPrefix(job, "/restore/job/") {
		t.Fatal(job)
	}
	maria.get(job).wants(t, 200)
	h.account("rui", "owner")
	rui := h.login("rui")
	rui.post("/purpose", "purpose", "recovery", "title", "誤刪的對話", "next", "/")
	events := strings.Replace(job, "/restore/job/", "/events/restore/", 1)
	for _, p := range []string{job, events, "/restore/job/AAAAAA"} {
		h.refusal("job", func() { rui.get(p).wants(t, 404) })
	}
	h.refusal("job", func() { rui.post(strings.Replace(job, "/job/", "/cancel/", 1)).wants(t, 404) })
	rui.get("/restore").wants(t, 200).lacks(t, job)
	maria.get("/restore").wants(t, 200, job)
	for end := time.Now().Add(30 * time.Second); h.d.Door.Jobs()[0].Snapshot().State == "running"; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the restore does not end")
		}
	}
}

func TestHisOwnRequestIsAnEntryOfTheRefusal(t *testing.T) {
	h := newHouse(t)
	h.account("maria", "owner")
	h.account("chan", "manager")
	h.backedUp()
	box, _ := h.someContainer(record.Chat)
	maria := h.login("maria")
	maria.post("/purpose", "purpose", "dispute", "title", "供應商訴訟案", "next", "/")
	path := strings.TrimSuffix(maria.post("/restore/run", "kind", "chat", "container", strconv.FormatInt(box.CatalogID, 10), "target", "zip", "reason", "法院要求的對話紀錄").wants(t, 303).to, "?done=asked")
	maria.post(path+"/decide", "word", "yes").wants(t, 409)
	es, _, err := h.d.Audit.List(audit.Filter{Operation: "export.approve"}, 0, 10)
	if err != nil || len(es) != 1 || es[0].Outcome != "denied" || es[0].Actor != "maria" || es[0].Approval != strings.TrimPrefix(path, "/inbox/") {
		t.Errorf("%+v %v", es, err)
	}
	maria.post(path+"/run").wants(t, 409) // still waits
}

func TestNoAccountCopiesEverythingAtOnce(t *testing.T) {
	h, _ := ready(t)
	h.burst = 10
	v := h.login("maria")
	v.post("/purpose", "purpose", "recovery", "title", "誤刪的對話", "next", "/")
	h.refusal("pace", func() {
		for range 60 {
			if v.get("/record/x").code == http.StatusTooManyRequests {
				return
			}
		}
		t.Error("60 openings at once, at 10 allowed")
	})
	v.get("/settings").wants(t, 200) // the console itself goes on
}

func TestAForgedReturnIsLogged(t *testing.T) {
	h, v := ready(t)
	h.refusal("state", func() {
		v.get("/setup/dingtalk/callback?state=guessed&authCode=x").wants(t, 303, "/setup/dingtalk?problem=state")
	})
	if len(h.mach.consents) != 0 {
		t.Error("a forged code was exchanged")
	}
}

func TestEndingASessionNeedsAFreshCode(t *testing.T) {
	h, v := ready(t)
	other := h.login("maria")
	h.clock.pass(6 * time.Minute)
	id := sessionID.FindStringSubmatch(v.get("/settings").wants(t, 200).body)
	if id == nil {
		t.Fatal("the other session is not shown")
	}
	v.post("/session/end", "id", id[1]).wants(t, 403, `action="/stepup"`)
	other.get("/settings").wants(t, 200)
	v.fresh("maria")
	v.post("/session/end", "id", id[1]).wants(t, 303)
	other.get("/settings").wants(t, 303)
	if h.logged("session.revoke") != 1 {
		t.Error("no entry of the end")
	}
}

// TestAStrangersFileRunsNowhere: a file from DingTalk is either a picture or
// something to take away, in a box in which nothing runs.
func TestAStrangersFileRunsNowhere(t *testing.T) {
	h := newHouse(t)
	h.account("maria", "owner")
	h.backedUp()
	rq := restore.Request{Subject: policy.Subject{Account: "test", Grants: policy.GrantsOf("owner")}, Purpose: policy.Verification}
	list, err := h.d.Door.Containers(t.Context(), rq, record.Files, 0)
	if err != nil {
		t.Fatal(err)
	}
	v := h.login("maria")
	v.post("/purpose", "purpose", "dispute", "title", "供應商訴訟案", "next", "/")
	taken := 0
	for _, box := range list {
		p, err := h.d.Door.Page(t.Context(), rq, catalog.PageQuery{Container: box.CatalogID, Limit: 20})
		if err != nil {
			t.Fatal(err)
		}
		for _, it := range p.Items {
			if len(it.Record.Blobs) == 0 || taken > 5 {
				continue
			}
			taken++
			path := "/record/" + strconv.FormatInt(it.ID, 10) + "/blob/0"
			shown := v.get(path)
			if picture := showable(it.Record.Blobs[0]); picture == "" && shown.code != 404 || picture != "" && shown.head.Get("Content-Type") != picture {
				t.Errorf("%s is shown: %d %q", it.Record.Blobs[0].Name, shown.code, shown.head.Get("Content-Type"))
			}
			a := v.get(path+"/download").wants(t, 200)
			if a.head.Get("Content-Type") != "application/octet-stream" || !strings.HasPrefix(a.head.Get("Content-Disposition"), "attachment") || a.head.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s: %v", path, a.head)
			}
			for _, part := range []string{"default-src 'none'", "sandbox", "frame-ancestors 'none'"} {
				if csp := a.head.Get("Content-Security-Policy"); !strings.Contains(csp, part) {
					t.Errorf("%s: %q lacks %s", path, csp, part)
				}
			}
		}
	}
	if taken == 0 {
		t.Fatal("no file was captured")
	}
}
