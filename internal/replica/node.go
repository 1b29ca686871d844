package replica

import (
	"context"
	"crypto/hmac"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"farol/internal/record"
)

// Node is the off-site receiver. It is safe for concurrent use.
type Node struct {
	dir    string
	id     Identity
	cert   tls.Certificate
	signer note.Signer
	key    string // verifier key of the signer
	log    *slog.Logger
	now    func() time.Time

	mu     sync.Mutex // guards below
	vaults map[string]*vault
	code   string
	until  time.Time
	tries  int
}

// nodeFile is what the node keeps of itself.
type nodeFile struct {
	Identity Identity `json:"identity"`
	Signer   string   `json:"signer"`
	Verifier string   `json:"verifier"`
}

// OpenNode opens or creates the node's folder.
func OpenNode(dir string, log *slog.Logger, now func() time.Time) (*Node, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if now == nil {
		now = time.Now
	}
	if err := os.MkdirAll(filepath.Join(dir, "vaults"), 0o700); err != nil {
		return nil, fmt.Errorf("open node: %w", err)
	}
	n := &Node{dir: dir, log: log, now: now, vaults: map[string]*vault{}}
	if err := n.load(); err != nil {
		return nil, err
	}
	ds, err := os.ReadDir(filepath.Join(dir, "vaults"))
	if err != nil {
		return nil, fmt.Errorf("open node: %w", err)
	}
	for _, d := range ds {
		v, err := openVault(filepath.Join(dir, "vaults", d.Name()))
		if err != nil {
			return nil, err
		}
		n.vaults[d.Name()] = v
	}
	return n, nil
}

func (n *Node) load() error {
	path := filepath.Join(n.dir, "node.json")
	var f nodeFile
	b, err := os.ReadFile(path)
	switch {
	case err == nil:
		if err := json.Unmarshal(b, &f); err != nil {
			return fmt.Errorf("read %s: %w", filepath.Base(path), err)
		}
	case errors.Is(err, os.ErrNotExist):
		if f.Identity, err = NewIdentity("farol node"); err != nil {
			return err
		}
		if f.Signer, f.Verifier, err = newSigner("farol-node"); err != nil {
			return err
		}
		if b, err = json.MarshalIndent(f, "", "  "); err != nil {
			return err
		}
		if err := replaceFile(path, b); err != nil {
			return fmt.Errorf("write %s: %w", filepath.Base(path), err)
		}
	default:
		return fmt.Errorf("open node: %w", err)
	}
	if n.cert, err = f.Identity.TLS(); err != nil {
		return err
	}
	if n.signer, err = note.NewSigner(f.Signer); err != nil {
		return fmt.Errorf("read the node's signing key: %w", err)
	}
	n.id, n.key = f.Identity, f.Verifier
	return nil
}

// codeLife is how long an enrolment code works.
const codeLife = 15 * time.Minute

// NewCode makes a fresh enrolment code; the one before stops working.
func (n *Node) NewCode() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.code, n.until, n.tries = newCode(), n.now().Add(codeLife), 5
	return n.code
}

// Fingerprint is the node's certificate as people compare it.
func (n *Node) Fingerprint() string { return Fingerprint(n.cert.Certificate[0]) }

// Serve answers on ln until ctx ends.
func (n *Node) Serve(ctx context.Context, ln net.Listener) error {
	srv := &http.Server{Handler: n.handler(), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute,
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{n.cert}, ClientAuth: tls.RequestClientCert},
		ErrorLog:  slog.NewLogLogger(n.log.Handler(), slog.LevelDebug)}
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	if err := srv.ServeTLS(ln, "", ""); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve node: %w", err)
	}
	return ctx.Err()
}

func (n *Node) handler() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("POST /v1/enrol", n.enrol)
	m.HandleFunc("GET /v1/state", n.read(func(w http.ResponseWriter, r *http.Request, v *vault) error { return writeJSON(w, v.state()) }))
	m.HandleFunc("PUT /v1/journal/{name}", n.write(n.putJournal))
	m.HandleFunc("PUT /v1/blobs/{name}", n.write(n.putBlob))
	m.HandleFunc("PUT /v1/putpos/{epoch}/{pos}", n.write(n.putPos))
	m.HandleFunc("PUT /v1/log/{from}", n.write(n.putEntries))
	m.HandleFunc("POST /v1/checkpoint", n.write(n.checkpoint))
	m.HandleFunc("GET /v1/list/{what}", n.read(n.list))
	m.HandleFunc("GET /v1/file/{what}/{name}", n.read(n.file))
	return m
}

type handler func(w http.ResponseWriter, r *http.Request, v *vault) error

// read and write find the vault of the client's certificate.
func (n *Node) read(h handler) http.HandlerFunc  { return n.client(h, false) }
func (n *Node) write(h handler) http.HandlerFunc { return n.client(h, true) }

func (n *Node) client(h handler, write bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, ok := n.vaultOf(r, write)
		if !ok {
			fail(w, ErrStranger)
			return
		}
		if err := h(w, r, v); err != nil {
			n.log.WarnContext(r.Context(), "refused", "path", r.Pattern, "err", err)
			fail(w, err)
		}
	}
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
	ErrUnknown: http.StatusNotFound, ErrNodeFull: http.StatusInsufficientStorage}

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
		var ids []string
		for id, v := range n.vaults {
			ids = append(ids, id)
			v.mu.Lock()
			v.about.Clients[print] = clientOf{Write: false, Since: n.now()}
			err := v.save()
			v.mu.Unlock()
			if err != nil {
				return nil, err
			}
		}
		sort.Strings(ids)
		if len(ids) > 1 {
			return nil, fmt.Errorf("the node holds %d archives: %w", len(ids), ErrConflict)
		}
		return ids, nil
	}
	v := n.vaults[rq.Archive]
	if v == nil {
		var err error
		if v, err = openVault(filepath.Join(n.dir, "vaults", rq.Archive)); err != nil {
			return nil, full(err)
		}
		v.about = about{Archive: rq.Archive, LogKey: rq.LogKey, Clients: map[string]clientOf{}, Made: n.now()}
		n.vaults[rq.Archive] = v
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.about.LogKey != rq.LogKey {
		return nil, ErrConflict // another log under the same archive: a person must look
	}
	// one writer: an appliance that was replaced may no longer write
	for p, c := range v.about.Clients {
		c.Write = false
		v.about.Clients[p] = c
	}
	v.about.Clients[print] = clientOf{Write: true, Since: n.now()}
	return nil, v.save()
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
	if err := v.putBlob(r.PathValue("name"), sum, r.Body); err != nil {
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
	signed, err := v.cosign(rq.Checkpoint, rq.Proof, n.signer)
	if err != nil {
		return err
	}
	return writeJSON(w, signed)
}

func (n *Node) list(w http.ResponseWriter, r *http.Request, v *vault) error {
	dir := r.PathValue("what")
	if dir != "journal" && dir != "blobs" && dir != "log" {
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
	if what != "journal" && what != "blobs" && what != "log" || !blobName.MatchString(name) {
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
	http.ServeContent(w, r, "", info.ModTime(), f)
	return nil
}
