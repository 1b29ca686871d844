package replica

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"farol/internal/record"
)

type handler func(w http.ResponseWriter, r *http.Request, v *vault) error

// read and write find the vault of the client's certificate.
func (n *Node) read(h handler) http.HandlerFunc { return n.client(h, false) }

func (n *Node) write(h handler) http.HandlerFunc { return n.client(h, true) }

func (n *Node) client(h handler, write bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, ok := n.vaultOf(r, write)
		if v != nil && !ok && !v.clientOf(r).Ended.IsZero() {
			fail(w, ErrSuperseded)
			return
		}
		if !ok {
			n.log.WarnContext(r.Context(), "a stranger was refused", "path", r.Pattern, "from", r.RemoteAddr)
			fail(w, ErrStranger)
			return
		}
		v.hear(Fingerprint(r.TLS.PeerCertificates[0].Raw), n.now(), n.quota)
		r.Body = &patient{ReadCloser: r.Body, rc: http.NewResponseController(w)}
		if err := h(w, r, v); err != nil {
			n.log.WarnContext(r.Context(), "refused", "path", r.Pattern, "archive", v.about.Archive, "err", err)
			if write {
				n.doubt(r.Context(), v, err)
			}
			if errors.Is(err, ErrQuota) && protocolOf(r.Header) < 2 {
				err = ErrNodeFull // what an older appliance can tell
			}
			fail(w, err)
		}
	}
}

// patient is a body that may take as long as it moves: a slow link is no fault.
type patient struct {
	io.ReadCloser
	rc *http.ResponseController
}

func (p *patient) Read(b []byte) (int, error) {
	_ = p.rc.SetReadDeadline(time.Now().Add(stall)) // not every connection has one
	return p.ReadCloser.Read(b)
}

func (n *Node) vaultOf(r *http.Request, write bool) (*vault, bool) {
	if len(r.TLS.PeerCertificates) == 0 {
		return nil, false
	}
	print := Fingerprint(r.TLS.PeerCertificates[0].Raw)
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, v := range n.vaults {
		v.mu.Lock()
		c, ok := v.about.Clients[print]
		v.mu.Unlock()
		if ok {
			return v, c.Write || !write
		}
	}
	return nil, false
}

var status = map[error]int{ErrCode: http.StatusForbidden, ErrConflict: http.StatusConflict, ErrRolledBack: http.StatusPreconditionFailed, ErrStranger: http.StatusUnauthorized,
	ErrUnknown: http.StatusNotFound, ErrNodeFull: http.StatusInsufficientStorage, ErrTooOld: http.StatusUpgradeRequired, ErrNotOffered: http.StatusNotImplemented,
	ErrQuota: http.StatusRequestEntityTooLarge, ErrSuperseded: http.StatusGone, ErrTakingOver: http.StatusLocked, ErrLogAnew: http.StatusTooEarly}

func fail(w http.ResponseWriter, err error) {
	for e, code := range status {
		if errors.Is(err, e) {
			http.Error(w, e.Error(), code)
			return
		}
	}
	http.Error(w, "the node could not do this", http.StatusInternalServerError)
}

func writeJSON(w http.ResponseWriter, v any) error {
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(v)
}

func (n *Node) putJournal(w http.ResponseWriter, r *http.Request, v *vault) error {
	off, err := strconv.ParseInt(r.URL.Query().Get("off"), 10, 64)
	if err != nil {
		return ErrConflict
	}
	b, err := io.ReadAll(io.LimitReader(r.Body, 32<<20))
	if err != nil {
		return err
	}
	client := v.clientOf(r)
	var epoch uint32
	if _, err := fmt.Sscanf(r.PathValue("name"), "%d-", &epoch); err == nil {
		if err := client.own(epoch); err != nil {
			return err
		}
	}
	leave, err := v.enter(client.Epoch)
	if err != nil {
		return err
	}
	defer leave()
	size, err := v.appendJournal(r.PathValue("name"), off, b)
	if err != nil {
		return err
	}
	return writeJSON(w, map[string]int64{"size": size})
}

func (n *Node) putBlob(w http.ResponseWriter, r *http.Request, v *vault) error {
	var sum record.Hash
	if err := sum.UnmarshalText([]byte(r.Header.Get("X-SHA256"))); err != nil {
		return ErrConflict
	}
	client, at := v.clientOf(r), putAtOf(r.Header)
	if err := client.own(at.Epoch); err != nil {
		return err
	}
	switch err := v.putBlob(r.PathValue("name"), sum, r.Body, client.Epoch, at); {
	case errors.Is(err, errReplaced):
		n.doubt(r.Context(), v, err)
	case errors.Is(err, errHealed):
		n.log.InfoContext(r.Context(), "a file that this machine's disk had damaged or lost is whole again", "archive", v.about.Archive)
	case err != nil:
		return err
	}
	return writeJSON(w, true)
}

func (n *Node) putPos(w http.ResponseWriter, r *http.Request, v *vault) error {
	pos, err := strconv.ParseInt(r.PathValue("pos"), 10, 64)
	if err != nil {
		return ErrConflict
	}
	epoch, err := strconv.ParseUint(r.PathValue("epoch"), 10, 32)
	if err != nil {
		return ErrConflict
	}
	client := v.clientOf(r)
	if err := client.own(uint32(epoch)); err != nil {
		return err
	}
	leave, err := v.enter(client.Epoch)
	if err != nil {
		return err
	}
	defer leave()
	if err := v.setPutPos(uint32(epoch), pos); err != nil {
		return err
	}
	return writeJSON(w, true)
}

func (n *Node) putEntries(w http.ResponseWriter, r *http.Request, v *vault) error {
	from, err := strconv.ParseInt(r.PathValue("from"), 10, 64)
	if err != nil {
		return ErrConflict
	}
	var entries [][]byte
	if err := json.NewDecoder(io.LimitReader(r.Body, 64<<20)).Decode(&entries); err != nil {
		return ErrConflict
	}
	leave, err := v.enter(v.clientOf(r).Epoch)
	if err != nil {
		return err
	}
	defer leave()
	size, err := v.appendEntries(from, entries)
	if err != nil {
		return err
	}
	return writeJSON(w, map[string]int64{"size": size})
}

type checkpointRequest struct {
	Checkpoint []byte      `json:"checkpoint"`
	Proof      []tlog.Hash `json:"proof"`
}

func (n *Node) checkpoint(w http.ResponseWriter, r *http.Request, v *vault) error {
	var rq checkpointRequest
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&rq); err != nil {
		return ErrConflict
	}
	leave, err := v.enter(v.clientOf(r).Epoch)
	if err != nil {
		return err
	}
	defer leave()
	signed, err := v.cosign(r.Context(), rq.Checkpoint, rq.Proof, n.signer)
	if err != nil {
		if errors.Is(err, ErrRolledBack) {
			n.log.ErrorContext(r.Context(), "a checkpoint was refused: the appliance's log was set back, forked or forged", "archive", v.about.Archive, "err", err)
			return errors.Join(err, v.refuse(n.now()))
		}
		return err
	}
	return writeJSON(w, signed)
}

func (n *Node) list(w http.ResponseWriter, r *http.Request, v *vault) error {
	dir := r.PathValue("what")
	if dir != "journal" && dir != "blobs" && dir != "log" && !keptLog.MatchString(dir) {
		return ErrUnknown
	}
	ds, err := os.ReadDir(filepath.Join(v.dir, dir))
	if err != nil {
		return err
	}
	sizes := map[string]int64{}
	for _, d := range ds {
		if info, err := d.Info(); err == nil && filepath.Ext(d.Name()) != ".tmp" {
			sizes[d.Name()] = info.Size()
		}
	}
	return writeJSON(w, sizes)
}

func (n *Node) file(w http.ResponseWriter, r *http.Request, v *vault) error {
	what, name := r.PathValue("what"), r.PathValue("name")
	if what != "journal" && what != "blobs" && what != "log" && !keptLog.MatchString(what) || !blobName.MatchString(name) && !(what == "blobs" && blobVersion.MatchString(name)) {
		return ErrUnknown
	}
	f, err := os.Open(filepath.Join(v.dir, what, name))
	if errors.Is(err, os.ErrNotExist) {
		return ErrUnknown
	} else if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	http.ServeContent(w, r, "", info.ModTime(), f)
	return nil
}
