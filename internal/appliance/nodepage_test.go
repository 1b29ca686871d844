package appliance

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestANodesPageShowsHowItStandsAndOnlyToWhoHasTheCode walks the page of a node
// that an appliance ships to.
func TestANodesPageShowsHowItStandsAndOnlyToWhoHasTheCode(t *testing.T) {
	s := newSite(t)
	commitOne(t, s.a, "nobody but the house may read this")
	s.ship(t)
	ctx := t.Context()
	serve := func() (base string) {
		t.Helper()
		s.stopNode()
		s.node.Page(nodePage(s.node, s.nodeDir, Logger("error")))
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(ctx)
		ended := make(chan struct{})
		go func() { defer close(ended); s.node.Serve(ctx, ln) }()
		s.stopNode = func() { cancel(); <-ended }
		return "https://" + ln.Addr().String()
	}
	base := serve()
	browser := func() *http.Client {
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		return &http.Client{Jar: jar, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	}
	ask := func(hc *http.Client, method, path string, form url.Values) (int, string) {
		t.Helper()
		rq, err := http.NewRequestWithContext(ctx, method, base+path, strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		if form != nil {
			rq.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		rq.Header.Set("Accept-Language", "pt")
		resp, err := hc.Do(rq)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		if h := resp.Header.Get("Content-Security-Policy"); h == "" && !strings.HasPrefix(path, "/v1/") {
			t.Errorf("%s %s has no policy of what it may load", method, path)
		}
		return resp.StatusCode, string(b)
	}
	b := browser()
	if code, body := ask(b, "GET", "/", nil); code != 200 || !strings.Contains(body, "--page-code") || strings.Contains(body, s.a.archive.ID()) {
		t.Fatalf("before there is a code: %d %.300s", code, body)
	}
	newCode := func() string {
		t.Helper()
		var out strings.Builder
		if err := NewPageCode(s.nodeDir, &out); err != nil {
			t.Fatal(err)
		}
		m := regexp.MustCompile(`: ([A-Z2-7-]{29})\n`).FindStringSubmatch(out.String())
		if m == nil {
			t.Fatalf("it prints %q", out.String())
		}
		return m[1]
	}
	old := newCode()
	code := newCode()
	for _, wrong := range []string{"", "AAAAA-AAAAA-AAAAA-AAAAA-AAAAA", old} {
		if status, body := ask(b, "POST", "/", url.Values{"code": {wrong}}); status != 422 || strings.Contains(body, s.a.archive.ID()) {
			t.Errorf("with the code %q: %d", wrong, status)
		}
	}
	if status, body := ask(b, "POST", "/", url.Values{"code": {strings.ToLower(strings.ReplaceAll(code, "-", " "))}}); status != 200 || !strings.Contains(body, s.a.archive.ID()) || !strings.Contains(body, "Em contacto") || !strings.Contains(body, s.node.Fingerprint()) {
		t.Fatalf("with the code: %d %.600s", status, body)
	} else if strings.Contains(body, "nobody but the house") || strings.Contains(body, "ana") {
		t.Error("the page says more than how it stands")
	}
	if status, _ := ask(b, "POST", "/leave", url.Values{}); status != 200 {
		t.Errorf("leaving: %d", status)
	}
	if _, body := ask(b, "GET", "/", nil); strings.Contains(body, s.a.archive.ID()) {
		t.Error("who left still sees it")
	}
	if status, _ := ask(b, "GET", "/v1/state", nil); status < 400 {
		t.Errorf("a browser is taken for an appliance: %d", status)
	}
	x := browser()
	for range 7 { // three were wrong before
		ask(x, "POST", "/", url.Values{"code": {"guess"}})
	}
	if status, _ := ask(browser(), "POST", "/", url.Values{"code": {code}}); status != 429 {
		t.Errorf("after ten wrong codes: %d", status)
	}

	s.stopNode()
	s.node.Bound(0, 40*time.Millisecond) // the appliance is silent soon
	base, code = serve(), newCode()
	time.Sleep(100 * time.Millisecond)
	if status, body := ask(browser(), "POST", "/", url.Values{"code": {code}}); status != 200 || !strings.Contains(body, "Em silêncio") || !strings.Contains(body, "roubado") {
		t.Errorf("when its appliance is silent: %d %.300s", status, body)
	}
}
