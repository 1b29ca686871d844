package replica

import (
	"errors"
	"net/http"
	"strconv"
)

// Protocol is what this release speaks. Both sides say theirs with every
// message, in [protocolHeader], and use the lower; a side that says none speaks
// 1, as the first releases did.
//
//	1: enrol, state, journal, blobs, putpos, log, checkpoint, list, file
//	2: a journal may be sent while a blob is; quotas; an unknown request is
//	   answered with 501, so that it cannot be taken for a lost file
//
// Of the later releases of 2 a blob comes with [putAtHeader]; without it the
// version that arrives last is the one in force.
// What a side does not know in a message it ignores.
const (
	Protocol = 2
	oldest   = 1 // that is still understood
)

const protocolHeader = "Farol-Protocol"

// Errors of sides that are too far apart.
var (
	ErrTooOld     = errors.New("this appliance is too old for the node: update the appliance")
	ErrNodeTooOld = errors.New("the node is too old for this appliance: update the node")
	ErrNotOffered = errors.New("the node does not know this request: it is older")
)

// protocolOf is what the other side says.
func protocolOf(h http.Header) int {
	if n, err := strconv.Atoi(h.Get(protocolHeader)); err == nil && n > 0 {
		return n
	}
	return 1
}

// says puts the version on every answer, refuses who is too old and tells what
// it does not know from what it does not have.
func (n *Node) says(m *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(protocolHeader, strconv.Itoa(Protocol))
		if theirs := protocolOf(r.Header); theirs < n.oldest {
			n.log.WarnContext(r.Context(), "an appliance is too old: update it", "protocol", theirs, "needed", n.oldest, "from", r.RemoteAddr)
			fail(w, ErrTooOld)
			return
		}
		if _, pattern := m.Handler(r); pattern == "" {
			fail(w, ErrNotOffered)
			return
		}
		m.ServeHTTP(w, r)
	})
}

// agree notes what the node says.
func (c *Client) agree(resp *http.Response) error {
	theirs := protocolOf(resp.Header)
	c.agreed.Store(int32(min(theirs, Protocol)))
	switch {
	case resp.StatusCode == status[ErrTooOld]:
		return ErrTooOld
	case theirs < c.oldest:
		return ErrNodeTooOld
	case resp.StatusCode == status[ErrNotOffered], resp.StatusCode == http.StatusMethodNotAllowed,
		theirs < 2 && resp.StatusCode == http.StatusNotFound && resp.Header.Get(protocolHeader) == "" && resp.ContentLength == int64(len("404 page not found\n")):
		return ErrNotOffered
	}
	return nil
}

// Protocol is what both sides speak, as far as the node has answered.
func (c *Client) Protocol() int { return max(int(c.agreed.Load()), 1) }
