package appliance

import (
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"farol/internal/replica"
)

// shake asks the console's TLS for a connection.
func shake(t *testing.T, c tls.Certificate, want *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	client, server := net.Pipe()
	defer client.Close()
	defer server.Close()
	go func() { _ = tls.Server(server, consoleTLS(c)).Handshake() }()
	want.InsecureSkipVerify = true
	conn := tls.Client(client, want)
	err := conn.Handshake()
	return conn.ConnectionState(), err
}

func TestTheConsoleSpeaksStrongTLSOnly(t *testing.T) {
	id, err := replica.NewIdentity("farol", "localhost")
	if err != nil {
		t.Fatal(err)
	}
	c, err := id.TLS()
	if err != nil {
		t.Fatal(err)
	}
	if s, err := shake(t, c, &tls.Config{}); err != nil || s.Version != tls.VersionTLS13 {
		t.Errorf("the newest is not preferred: %x %v", s.Version, err)
	}
	if s, err := shake(t, c, &tls.Config{MaxVersion: tls.VersionTLS12}); err != nil || s.Version != tls.VersionTLS12 {
		t.Errorf("1.2: %x %v", s.Version, err)
	}
	for name, weak := range map[string]*tls.Config{
		"1.1":              {MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11},
		"CBC with SHA-1":   {MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA}},
		"CBC with SHA-256": {MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256}},
		"RC4":              {MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_RC4_128_SHA}},
	} {
		if s, err := shake(t, c, weak); err == nil {
			t.Errorf("%s is spoken: %x", name, s.CipherSuite)
		}
	}
}

func TestACompanysOwnCertificateIsServed(t *testing.T) {
	id, err := replica.NewIdentity("farol.nanwan.example", "farol.nanwan.example")
	if err != nil {
		t.Fatal(err)
	}
	own, err := id.TLS()
	if err != nil {
		t.Fatal(err)
	}
	cfg := bench(t)
	cfg.TLSCert = filepath.Join(t.TempDir(), "cert.pem")
	if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), "tls_key") {
		t.Fatalf("a certificate without its key: %v", err)
	}
	cfg.TLSKey = filepath.Join(filepath.Dir(cfg.TLSCert), "key.pem")
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{cfg.TLSCert: id.Cert, cfg.TLSKey: id.Key} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a, stop := runs(t, cfg)
	defer stop()
	if got := a.Fingerprint(); got != replica.Fingerprint(own.Certificate[0]) {
		t.Errorf("another certificate is served: %s", got)
	}
}
