package replica

import (
	"crypto/hmac"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"time"
)

// codeLife is how long an enrolment code works.
const codeLife = 15 * time.Minute

// NewCode makes a fresh enrolment code; the one before stops working.
func (n *Node) NewCode() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.code, n.until, n.tries = newCode(), n.now().Add(codeLife), 5
	return n.code
}

// enrol makes a certificate known. A code works once.
func (n *Node) enrol(w http.ResponseWriter, r *http.Request) {
	var rq enrolRequest
	err := json.NewDecoder(io.LimitReader(r.Body, 1<<16)).Decode(&rq)
	if err != nil || len(r.TLS.PeerCertificates) == 0 || !journalName.MatchString(rq.Archive) && !rq.Recover {
		fail(w, ErrCode)
		return
	}
	cert := r.TLS.PeerCertificates[0].Raw
	code, ok := n.spend(rq, cert)
	if !ok {
		n.log.WarnContext(r.Context(), "an enrolment was refused", "from", r.RemoteAddr, "certificate", Fingerprint(cert))
		fail(w, ErrCode)
		return
	}
	ids, err := n.admit(rq, Fingerprint(cert))
	if err != nil {
		n.log.ErrorContext(r.Context(), "enrolment", "err", err)
		fail(w, err)
		return
	}
	ans := enrolAnswer{Key: n.key, Archive: ids}
	ans.MAC = mac(code, "node", n.cert.Certificate[0], cert, []byte(ans.Key))
	if err := writeJSON(w, ans); err != nil {
		n.log.WarnContext(r.Context(), "enrolment answer", "err", err)
	}
}

// spend checks the MAC against the code in force and uses the code up.
func (n *Node) spend(rq enrolRequest, cert []byte) (string, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	code := n.code
	if code == "" || n.tries == 0 || n.now().After(n.until) {
		return "", false
	}
	n.tries--
	if !hmac.Equal(rq.MAC, mac(code, "appliance", n.cert.Certificate[0], cert, rq.body())) {
		return "", false
	}
	n.code = ""
	return code, true
}

func (n *Node) admit(rq enrolRequest, print string) ([]string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if rq.Recover {
		if len(n.vaults) > 1 { // before anything is opened to this certificate
			return nil, fmt.Errorf("the node holds %d archives: %w", len(n.vaults), ErrConflict)
		}
		var ids []string
		for id, v := range n.vaults {
			ids = append(ids, id)
			v.mu.Lock()
			was := v.about
			v.about.Clients = was.others()
			v.about.Clients[print] = clientOf{Write: false, Since: n.now()}
			err := v.saveOr(was)
			v.mu.Unlock()
			if err != nil {
				return nil, err
			}
		}
		return ids, nil
	}
	v := n.vaults[rq.Archive]
	if v == nil {
		var err error
		if v, err = openVault(filepath.Join(n.dir, "vaults", rq.Archive)); err != nil {
			return nil, full(err)
		}
		v.now = n.now
		n.vaults[rq.Archive] = v
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	was := v.about
	if v.about.Archive == "" { // new, or its first enrolment was not kept
		v.about = about{Archive: rq.Archive, LogKey: rq.LogKey, Made: n.now()}
	}
	f, err := readFence(v.dir)
	if err == nil {
		err = f.admits(rq.Epoch, n.now())
	}
	if err != nil {
		return nil, err
	}
	if v.about.LogKey != rq.LogKey {
		// Another log under the same archive: the one before was tampered with.
		// The person who showed the code has decided; nothing of the old one goes.
		if err := v.renewLog(rq.LogKey, n.now()); err != nil {
			return nil, full(err)
		}
	}
	// One recovered as of an earlier time has a log of then; the person who showed the
	// code has decided here too.
	v.about.Anew = false
	for _, c := range v.about.Clients {
		v.about.Anew = v.about.Anew || c.Write && c.Epoch < rq.Epoch
	}
	if v.about.Anew {
		v.about.Branch = rq.Epoch
	}
	v.about.Mutable = nil // whoever had the certificate before may have said any number
	// one writer: an appliance that was replaced may no longer write
	v.about.Clients = was.others()
	for p, c := range v.about.Clients {
		if c.Write {
			c.Write, c.Ended = false, n.now()
		}
		v.about.Clients[p] = c
	}
	v.about.Clients[print] = clientOf{Write: true, Epoch: rq.Epoch, Since: n.now()}
	if err := v.saveOr(was); err != nil {
		return nil, err // the appliance of before goes on
	}
	v.refused, v.doubts = refusal{}, nil // who showed the code has looked
	return nil, v.saveContact()
}

// others are the clients known so far, in a map of their own.
func (a about) others() map[string]clientOf {
	out := make(map[string]clientOf, len(a.Clients)+1)
	maps.Copy(out, a.Clients)
	return out
}
