package replica

import (
	"maps"
	"net/http"
	"strings"
)

// Page sets what answers a browser at the node's address: everything that is no
// request of an appliance. Call it before [Node.Serve].
func (n *Node) Page(h http.Handler) { n.page = h }

// beside sends an appliance's requests to api and the rest to the page.
func (n *Node) beside(api http.Handler) http.Handler {
	page := n.page
	if page == nil {
		return api
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v1/") {
			api.ServeHTTP(w, r)
			return
		}
		page.ServeHTTP(w, r)
	})
}

// Held is how each archive stands now: like [NodeStatus], with what was heard
// since it was last kept.
func (n *Node) Held() ([]Held, error) {
	silent := n.silent
	if silent <= 0 {
		silent = DefaultSilence
	}
	list, err := NodeStatus(n.dir, silent, n.now())
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	vaults := maps.Clone(n.vaults)
	n.mu.Unlock()
	for i := range list {
		v := vaults[list[i].Archive]
		if v == nil {
			continue
		}
		v.mu.Lock()
		list[i].Heard = v.heard
		v.mu.Unlock()
		list[i].Silent = !list[i].Heard.IsZero() && n.now().Sub(list[i].Heard) > silent
		if list[i].Quota == 0 {
			list[i].Quota = n.quota
		}
	}
	return list, nil
}
