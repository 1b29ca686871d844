package appliance

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"

	"farol/internal/replica"
)

// consoleTLS is TLS as the console speaks it: 1.3, or 1.2 with nothing but
// forward secrecy and authenticated encryption.
func consoleTLS(cert tls.Certificate) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2", "http/1.1"},
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, // HTTP/2 wants one of them
		}}
}

// certificate is the console's: the one that the configuration names, else its
// own, made once and kept sealed.
func (a *Appliance) certificate(ctx context.Context) (tls.Certificate, error) {
	c, err := a.configured()
	if err == nil && len(c.Certificate) == 0 {
		c, err = a.selfMade(ctx)
	}
	if err != nil {
		return c, err
	}
	a.mu.Lock()
	a.print = replica.Fingerprint(c.Certificate[0])
	if x, err := x509.ParseCertificate(c.Certificate[0]); err == nil {
		a.certEnds = x.NotAfter
	}
	a.mu.Unlock()
	return c, nil
}

func (a *Appliance) configured() (tls.Certificate, error) {
	if a.cfg.TLSCert == "" {
		return tls.Certificate{}, nil
	}
	c, err := tls.LoadX509KeyPair(a.cfg.TLSCert, a.cfg.TLSKey)
	if err != nil {
		return c, fmt.Errorf("read the console's certificate (tls_cert, tls_key): %w", err)
	}
	return c, nil
}

func (a *Appliance) selfMade(ctx context.Context) (tls.Certificate, error) {
	var id replica.Identity
	ok, err := a.settings.GetJSON(ctx, tlsIdentity, &id)
	if err != nil {
		return tls.Certificate{}, err
	}
	if !ok {
		host, err := os.Hostname()
		if err != nil {
			host = "farol"
		}
		if id, err = replica.NewIdentity("farol", host, host+".local", "localhost", "farol.local"); err != nil {
			return tls.Certificate{}, err
		}
		b, err := json.Marshal(id)
		if err != nil {
			return tls.Certificate{}, err
		}
		if err := a.settings.SetSecret(ctx, map[string]string{tlsIdentity: string(b)}); err != nil {
			return tls.Certificate{}, err
		}
	}
	return id.TLS()
}
