package dingtalk

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"
)

// errPrivate means that a name of the outside leads into the local network.
var errPrivate = errors.New("the address leads into a private network")

// shared is the range that providers use inside, cloud metadata among it.
var shared = netip.MustParsePrefix("100.64.0.0/10")

func private(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsUnspecified() || a.IsMulticast() || shared.Contains(a)
}

// privateHost reports whether a host is written as an address that no public
// file server has.
func privateHost(host string) bool {
	a, err := netip.ParseAddr(host)
	return err == nil && private(a)
}

// outside dials public addresses only, whatever name led there.
func outside(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		if ap, err := netip.ParseAddrPort(address); err != nil || private(ap.Addr()) {
			return errPrivate
		}
		return nil
	}}
	return d.DialContext(ctx, network, address)
}

// direct reports whether this machine reaches the outside by itself. Behind a
// proxy the proxy looks names up, and may itself be in the local network.
func direct() bool {
	p, err := http.ProxyFromEnvironment(&http.Request{URL: &url.URL{Scheme: "https", Host: "files.example"}})
	return err == nil && p == nil
}

// configured reports whether an address lies on a host that a person chose.
func (c *Client) configured(u *url.URL) bool {
	for _, h := range []string{c.cfg.Hosts.API, c.cfg.Hosts.OAPI, c.cfg.Hosts.Gateway, c.cfg.Hosts.MCP} {
		if hu, err := url.Parse(h); err == nil && hu.Host == u.Host && (hu.Scheme == u.Scheme || hu.Scheme == "http" && u.Scheme == "ws" || hu.Scheme == "https" && u.Scheme == "wss") {
			return true
		}
	}
	return false
}

// carrier is the client for an address that an answer named.
func (c *Client) carrier(u *url.URL) *http.Client {
	if c.configured(u) {
		return c.http
	}
	return c.files
}
