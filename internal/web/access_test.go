package web

import (
	"bufio"
	"context"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"farol/internal/policy"
	"farol/internal/record"
)

func TestEveryRouteHasItsPermission(t *testing.T) {
	h := newHouse(t)
	want := map[string]string{}
	for _, r := range h.routes() {
		if r.access.name == "" {
			t.Errorf("%s %s names no permission", r.method, r.path)
		}
		want[r.method+" "+r.path] = r.access.name
		if r.method == "POST" && r.access.open && r.path != "/login" && r.path != "/look" && !slices.Contains([]string{"/join", "/join/account", "/consent/join"}, r.path) && !strings.HasPrefix(r.path, "/setup/") {
			t.Errorf("POST %s is open", r.path)
		}
	}
	for _, r := range h.e.Routes() {
		if name, ok := want[r.Method+" "+r.Path]; !ok || r.Name != name {
			t.Errorf("%s %s is served beside the list, as %q", r.Method, r.Path, r.Name)
		}
	}
}

// TestWhoMayDoWhat asks every route as every role.
func TestWhoMayDoWhat(t *testing.T) {
	h := newHouse(t)
	h.account("owner1", "owner")
	if err := h.mach.FinishSetup(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, preset := range policy.Roles {
		role := preset.Name
		h.account("x-"+role, role)
		v := h.login("x-" + role)
		sub := policy.Subject{Role: role, Grants: policy.GrantsOf(role)}
		for _, r := range h.routes() {
			if r.access.open || r.access.member || r.method != "GET" || strings.HasPrefix(r.path, "/events/") {
				continue
			}
			got := v.get(strings.NewReplacer(":kind", "chat", ":id", "1", ":seq", "0", ":n", "0", ":token", "x").Replace(r.path))
			allowed := r.access.action == "" || policy.May(sub, r.access.action, time.Now())
			if (got.code == 403) == allowed {
				t.Errorf("%s: GET %s answers %d, allowed %v", role, r.path, got.code, allowed)
			}
			if r.access.content && allowed && !(got.code == 303 && strings.HasPrefix(got.to, "/purpose")) {
				t.Errorf("%s: GET %s without a purpose answers %d to %q", role, r.path, got.code, got.to)
			}
			if got.code == 500 {
				t.Errorf("%s: GET %s: %.400s", role, r.path, got.body)
			}
		}
		for _, r := range h.routes() {
			if r.access.action == "" || r.method != "POST" || policy.May(sub, r.access.action, time.Now()) {
				continue
			}
			if got := v.post(strings.ReplaceAll(r.path, ":id", "1")); got.code != 403 {
				t.Errorf("%s: POST %s answers %d", role, r.path, got.code)
			}
		}
	}
	v := h.login("x-it")
	n := h.logged("access.denied")
	v.get("/archive/chat").wants(t, 403, "owner1", "可以授權的人")
	if h.logged("access.denied") != n+1 {
		t.Error("the refusal is not in the log")
	}
	v.get("/").wants(t, 200).lacks(t, `href="/archive"`, `href="/search"`)
}

func TestNothingWithoutASession(t *testing.T) {
	h := newHouse(t)
	h.account("maria", "owner")
	v := h.visitor()
	for _, r := range h.routes() {
		if r.access.open || r.access.member {
			continue
		}
		got := v.do(r.method, strings.NewReplacer(":kind", "chat", ":id", "1", ":seq", "0", ":n", "0").Replace(r.path), nil)
		if got.code != 303 && got.code != 401 || got.code == 303 && !strings.HasPrefix(got.to, "/login") {
			t.Errorf("%s %s answers %d to %q", r.method, r.path, got.code, got.to)
		}
	}
	v.get("/search?q=x").wants(t, 303, "/login?next=%2Fsearch%3Fq%3Dx")
	v.get("/healthz").wants(t, 200, "ok")
	v.get("/readyz").wants(t, 200, "ready")
	h.mach.unready = "journal"
	if a := v.get("/readyz"); a.code != 503 || a.body != "journal\n" {
		t.Errorf("not ready: %d %q", a.code, a.body)
	}
	for _, bad := range []string{"https://evil.example/", "//evil.example", `/\evil.example`, "/a\nb"} {
		if got := local(bad); got != "/" {
			t.Errorf("%q leads to %q", bad, got)
		}
	}
}

func TestHeadersAndOrigins(t *testing.T) {
	h := newHouse(t)
	h.account("maria", "owner")
	a := h.visitor().get("/login").wants(t, 200)
	for k, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store", "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin"} {
		if got := a.head.Get(k); got != want {
			t.Errorf("%s: %q", k, got)
		}
	}
	csp := a.head.Get("Content-Security-Policy")
	for _, p := range []string{"default-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} {
		if !strings.Contains(csp, p) || strings.Contains(csp, "unsafe") {
			t.Errorf("CSP %q", csp)
		}
	}
	v := h.visitor()
	v.head.Set("Sec-Fetch-Site", "cross-site")
	v.post("/login", "name", "maria").wants(t, 403)
	v.head.Set("Sec-Fetch-Site", "same-origin")
	r := v.post("/login", "name", "maria", "password", password, "totp", h.code(h.kept["maria"].Text)).wants(t, 303)
	c := r.head.Get("Set-Cookie")
	for _, p := range []string{"__Host-farol=", "Path=/", "HttpOnly", "Secure", "SameSite=Strict"} {
		if !strings.Contains(c, p) {
			t.Errorf("cookie %q lacks %s", c, p)
		}
	}
	h.visitor().get("/static/console.css").wants(t, 404)
}

func TestLanguageAndThemeFollowTheReader(t *testing.T) {
	h := newHouse(t)
	h.account("maria", "owner")
	v := h.visitor()
	v.head.Set("Accept-Language", "pt-PT,pt;q=0.9")
	v.get("/login").wants(t, 200, `lang="pt-PT"`, "Iniciar sessão")
	v.post("/look", "lang", "zh-Hans", "next", "/login").wants(t, 303, "/login")
	v.get("/login").wants(t, 200, `lang="zh-Hans"`, "登录")
	v.post("/look", "theme", "dark", "next", "https://evil.example").wants(t, 303, "/")
	v.get("/login").wants(t, 200, `data-theme="dark"`, `lang="zh-Hans"`)
}

// TestReadingStory: purpose, conversation, search, record, proof.
func TestReadingStory(t *testing.T) {
	h := newHouse(t)
	h.account("maria", "owner")
	h.backedUp()
	v := h.login("maria")
	v.get("/archive/chat").wants(t, 303, "/purpose?next=%2Farchive%2Fchat")
	v.post("/purpose", "purpose", "curiosity", "title", "供應商訴訟案", "next", "/archive/chat").wants(t, 422)
	v.post("/purpose", "purpose", "dispute", "title", "供應商訴訟案", "next", "/archive/chat").wants(t, 303, "/archive/chat")
	box, body := h.someContainer(record.Chat)
	v.get("/archive/chat").wants(t, 200, escaped(box.Title), "爭議或訴訟")
	path := "/archive/chat/" + strconv.FormatInt(box.CatalogID, 10)
	v.get(path).wants(t, 200, escaped(strings.Fields(body)[0]), "爭議或訴訟")
	v.get("/archive/files/"+strconv.FormatInt(box.CatalogID, 10)).wants(t, 404)
	for _, k := range record.Kinds {
		v.get("/archive/"+string(k)).wants(t, 200)
	}
	for _, k := range []record.Kind{record.Files, record.Approvals, record.Contacts} {
		rows := v.get("/archive/" + string(k)).body
		if i := strings.Index(rows, `href="/archive/`+string(k)+`/`); i > 0 {
			to := rows[i+6:]
			v.get(to[:strings.Index(to, `"`)]).wants(t, 200)
		}
	}
	word := longest(body)
	hit := v.find("/search", word).wants(t, 200, "<mark>").body
	v.find("/search", "", "from", "2026-13-01").wants(t, 422)
	v.find("/search", "-x").wants(t, 422)
	v.find("/search", "<script>alert(1)</script>").wants(t, 200, "&lt;script&gt;").lacks(t, "<script>alert")
	found := regexp.MustCompile(`href="(/archive/chat/-?\d+\?near=(\d+))#m`).FindStringSubmatch(hit)
	if found == nil {
		t.Fatal("no hit leads into a conversation")
	}
	id := found[2]
	v.get(found[1]).wants(t, 200, `class="msg hit"`, "日誌第")
	v.get("/record/"+id).wants(t, 200, "版本 1", "proof.json")
	v.get("/record/"+id+"/proof.json").wants(t, 200, "farol-proof/1")
	v.get("/record/999").wants(t, 404)
	v.get("/archive/chat?side=1").wants(t, 200, escaped(box.Title)).lacks(t, "<html")

	h.clock.pass(6 * time.Minute) // the code of the login no longer counts
	v.get("/record/"+id+"/proof.json").wants(t, 303, "/stepup?next=%2Frecord%2F"+id+"%2Fproof.json")
	v.post("/restore/run", "kind", "chat", "container", strconv.FormatInt(box.CatalogID, 10), "target", "zip").wants(t, 403, `name="kind" value="chat"`, `name="again" value="post"`)
	v.post("/stepup", "totp", "000000", "next", "/restore/run", "again", "post", "kind", "chat").wants(t, 422, `name="kind" value="chat"`)
	on := v.post("/stepup", "totp", h.code(h.kept["maria"].Text), "next", "/restore/run", "again", "post", "kind", "chat", "container", strconv.FormatInt(box.CatalogID, 10), "target", "zip")
	if on.code != 307 || on.to != "/restore/run" {
		t.Fatalf("after the code: %d to %q", on.code, on.to)
	}
	zip := v.post("/restore/run", "kind", "chat", "container", strconv.FormatInt(box.CatalogID, 10), "target", "zip").wants(t, 200)
	if !strings.HasPrefix(zip.body, "PK") || !strings.Contains(zip.head.Get("Content-Disposition"), "farol-chat-") {
		t.Errorf("no zip: %v %.20q", zip.head, zip.body)
	}
	v.get("/restore?kind=chat&step=2&container="+strconv.FormatInt(box.CatalogID, 10)).wants(t, 200, escaped(box.Title), `value="dingtalk"`)
	v.post("/restore/run", "kind", "chat").wants(t, 422, "請選擇還原到哪裏")
	for op, least := range map[string]int{"purpose.declare": 1, "view": 5, "search": 3, "stepup": 2, "evidence.pack": 1, "export.run": 2} {
		if got := h.logged(op); got < least {
			t.Errorf("%d entries %s, want at least %d", got, op, least)
		}
	}
	v.get("/audit").wants(t, 200, "maria")
	v.get("/audit/3").wants(t, 200, "證明鏈")
	v.post("/audit/verify").wants(t, 303)
	v.get("/audit").wants(t, 200, "紀錄完整")
	for _, p := range []string{"/", "/backup", "/assurance", "/settings", "/consents", "/api/status", "/api/progress", "/status/band"} {
		v.get(p).wants(t, 200)
	}
	v.post("/backup/schedule", "incremental", "every night", "full", "0 3 * * 0").wants(t, 422, "every night")
	v.post("/backup/schedule", "incremental", "15 5 * * *", "full", "0 3 * * 0").wants(t, 303)
	out := v.post("/logout").wants(t, 303, "/login?done=logout")
	if got := out.head.Get("Clear-Site-Data"); got != `"cache", "storage"` {
		t.Errorf("the browser is told to forget %q", got)
	}
	v.get("/").wants(t, 303, "/login")
}

func escaped(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&#34;", "'", "&#39;").Replace(s)
}

// longest is the longest word or run of a text, to search for.
func longest(s string) string {
	best := ""
	for _, w := range strings.FieldsFunc(s, func(r rune) bool {
		return strings.ContainsRune(" ,.!?;:'\"()/-，。！？；：「」、", r) || r == '\n'
	}) {
		if len(w) > len(best) && len(w) < 30 {
			best = w
		}
	}
	return best
}

func TestABrokenPanelDoesNotTakeThePageAway(t *testing.T) {
	h := newHouse(t)
	h.account("maria", "owner")
	h.backedUp()
	h.mach.broken = context.DeadlineExceeded
	v := h.login("maria")
	v.get("/").wants(t, 200, "讀不到檔案庫的狀態", "錯誤編號", "30 日備份水位").lacks(t, "deadline")
	v.get("/assurance").wants(t, 200, "錯誤編號").lacks(t, "deadline")
}

func TestTheFirstEventIsTheStateNow(t *testing.T) {
	h := newHouse(t)
	h.account("maria", "owner")
	h.backedUp()
	v := h.login("maria")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", h.srv.URL+"/events/backup", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := v.hc.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.Header.Get("Content-Type") != "text/event-stream; charset=utf-8" {
		t.Fatal(resp.Header)
	}
	var events, data []string
	sc := bufio.NewScanner(resp.Body)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		if e, ok := strings.CutPrefix(sc.Text(), "event: "); ok {
			events = append(events, e)
		} else if d, ok := strings.CutPrefix(sc.Text(), "data: "); ok {
			data = append(data, d)
		}
	}
	if len(events) < 2 || events[0] != "fragment" || events[len(events)-1] != "end" || !strings.Contains(strings.Join(data, ""), "kind-rows") {
		t.Errorf("events %v, data %.200v", events, data)
	}
}

// TestAnOpenPageDoesNotKeepTheSessionAlive: the band asks every half minute.
func TestAnOpenPageDoesNotKeepTheSessionAlive(t *testing.T) {
	h := newHouse(t)
	h.account("maria", "owner")
	if err := h.mach.FinishSetup(t.Context()); err != nil {
		t.Fatal(err)
	}
	v := h.login("maria")
	v.head.Set("HX-Request", "true")
	for range 7 {
		v.get("/status/band").wants(t, 200)
		h.clock.pass(4 * time.Minute)
	}
	h.clock.pass(3 * time.Minute)
	if a := v.get("/status/band").wants(t, 401); a.head.Get("HX-Redirect") != "/login" {
		t.Errorf("the page is sent to %q", a.head.Get("HX-Redirect"))
	}
}
