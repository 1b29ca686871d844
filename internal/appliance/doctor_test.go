package appliance

import (
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// of is the finding about a thing.
func (d *doctor) of(t *testing.T, thing string) Finding {
	t.Helper()
	for _, f := range d.list {
		if f.Thing == thing {
			if (f.Then == "") != (f.State == "ok") {
				t.Errorf("%+v: what is not well needs a remedy, what is well none", f)
			}
			return f
		}
	}
	t.Fatalf("nothing is said of %s: %+v", thing, d.list)
	return Finding{}
}

// TestTheDoctorFindsWhatIsWrongAndSaysTheRemedy looks at a machine that is well,
// and then at each thing broken.
func TestTheDoctorFindsWhatIsWrongAndSaysTheRemedy(t *testing.T) {
	cfg := bench(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Listen = ln.Addr().String()
	ln.Close()
	_, stop := runs(t, cfg)
	hour := time.Duration(0)
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", time.Now().Add(hour).UTC().Format(http.TimeFormat))
	}))
	t.Cleanup(api.Close)
	look := func(change func(*doctor)) *doctor {
		t.Helper()
		d := &doctor{cfg: cfg, api: api.URL, now: time.Now}
		if change != nil {
			change(d)
		}
		d.look(t.Context())
		return d
	}
	bad := func(thing string, d *doctor, want string) {
		t.Helper()
		if f := d.of(t, thing); f.State != "bad" || !strings.Contains(f.Said+f.Then, want) {
			t.Errorf("%+v, want bad with %q", f, want)
		}
	}
	well := look(nil)
	for _, f := range well.list {
		if f.State == "bad" {
			t.Errorf("a machine that is well: %+v", f)
		}
	}
	for _, thing := range []string{"state folder", "archive folder", "archive's disk", "daemon", "names", "DingTalk", "clock"} {
		if f := well.of(t, thing); f.State != "ok" {
			t.Errorf("%+v", f)
		}
	}
	hour = time.Hour
	bad("clock", look(nil), " off")
	hour = 0
	bad("DingTalk", look(func(d *doctor) { d.api = "http://127.0.0.1:1" }), "cannot be reached")
	bad("names", look(func(d *doctor) { d.api = "https://no-such-name.invalid" }), "resolver")
	bad("archive's disk", look(func(d *doctor) { d.cfg.Reserve = 1 << 60 }), "are needed")
	bad("archive folder", look(func(d *doctor) { d.cfg.ArchiveDir = filepath.Join(cfg.StateDir, "nas") }), "mount")
	if err := os.Chmod(cfg.StateDir, 0o755); err != nil {
		t.Fatal(err)
	}
	bad("state folder", look(nil), "chmod 0700")
	if err := os.Chmod(cfg.StateDir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(cfg.HostKey); err == nil {
		if err := os.Rename(cfg.HostKey, cfg.HostKey+".away"); err != nil {
			t.Fatal(err)
		}
		bad("host key", look(nil), "recover --in-place")
		if err := os.Rename(cfg.HostKey+".away", cfg.HostKey); err != nil {
			t.Fatal(err)
		}
	}
	d := &doctor{now: time.Now}
	d.certificate(&x509.Certificate{NotAfter: time.Now().Add(-time.Hour)})
	bad("certificate", d, "ended")

	stop()
	bad("daemon", look(nil), "journalctl")
	plain, err := net.Listen("tcp", cfg.Listen) // another program has the port
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	go func() {
		for {
			c, err := plain.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	bad("port", look(nil), "taken")
	var out strings.Builder
	if err := Doctor(t.Context(), cfg, false, &out); !errors.Is(err, ErrUnwell) || !strings.Contains(out.String(), "ss -ltnp") {
		t.Errorf("%v\n%s", err, out.String())
	}
}
