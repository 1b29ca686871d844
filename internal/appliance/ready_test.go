package appliance

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"farol/internal/archive"
)

// TestReadyzSaysInOneWordWhyNot asks as a load balancer does, without an
// account, while one part after another stops doing its work.
func TestReadyzSaysInOneWordWhyNot(t *testing.T) {
	cfg := bench(t)
	cfg.Listen = freePort(t)
	a, stop := runs(t, cfg)
	defer stop()
	hc := &http.Client{Transport: insecureTransport()}
	ask := func(want int, word string) {
		t.Helper()
		resp, err := hc.Get("https://" + cfg.Listen + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != want || string(b) != word+"\n" {
			t.Errorf("it answers %d %q %v, want %d %q", resp.StatusCode, b, err, want, word)
		}
	}
	ask(200, "ready")
	mark := filepath.Join(cfg.ArchiveDir, archive.MarkerName)
	if err := os.Rename(mark, mark+".away"); err != nil {
		t.Fatal(err)
	}
	ask(503, "archive")
	if err := os.Rename(mark+".away", mark); err != nil {
		t.Fatal(err)
	}
	ask(200, "ready")
	a.superseded(t.Context())
	ask(503, "superseded")
	if err := a.catalog.Close(); err != nil {
		t.Fatal(err)
	}
	ask(503, "database")
}

// TestANodeSaysWhetherItTakesAnything asks a node's page the same.
func TestANodeSaysWhetherItTakesAnything(t *testing.T) {
	s := newSite(t)
	h := nodePage(s.node, s.nodeDir, Logger("error"))
	if code, body := asked(t, h, "/healthz"); code != 200 || body != "ok\n" {
		t.Errorf("healthz: %d %q", code, body)
	}
	if code, body := asked(t, h, "/readyz"); code != 200 || body != "ready\n" {
		t.Errorf("readyz: %d %q", code, body)
	}
	if err := os.Rename(filepath.Join(s.nodeDir, "node.json"), filepath.Join(s.nodeDir, "away")); err != nil {
		t.Fatal(err)
	}
	if code, body := asked(t, h, "/readyz"); code != 503 || body != "folder\n" {
		t.Errorf("readyz without its folder: %d %q", code, body)
	}
}

func asked(t *testing.T, h http.Handler, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

// freePort is a loopback address that nobody listens at now.
func freePort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}
