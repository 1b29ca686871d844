package dingtalk

import "net/netip"

// privateHost reports whether a host is written as an address that no public
// file server has.
func privateHost(host string) bool {
	a, err := netip.ParseAddr(host)
	return err == nil && (a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsUnspecified() || a.IsMulticast())
}
