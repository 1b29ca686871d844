package replica

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"
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
	oldest int           // protocol that an appliance must speak
	quota  int64         // bytes that an archive may take, 0 = no bound
	silent time.Duration // after which an appliance that says nothing is reported
	page   http.Handler  // for browsers, nil for none

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
	n := &Node{dir: dir, log: log, now: now, oldest: oldest, vaults: map[string]*vault{}}
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
		v.now = now
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

// Bound sets how many bytes each archive may take, 0 for what the disk holds,
// and after how long an appliance that says nothing is reported. An archive's
// own quota, in its vault.json, goes before. Call it before [Node.Serve].
func (n *Node) Bound(quota int64, silent time.Duration) {
	n.quota, n.silent = quota, silent
}

// Fingerprint is the node's certificate as people compare it.
func (n *Node) Fingerprint() string { return Fingerprint(n.cert.Certificate[0]) }

// WitnessKey is the verifier key of what the node signs: who checks a log's package
// asks the node's operator for it.
func (n *Node) WitnessKey() string { return n.key }

// Serve answers on ln until ctx ends. Once it has returned nothing of it is at
// the folder any more, so that the node may be opened again.
func (n *Node) Serve(ctx context.Context, ln net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	running := &running{h: n.handler()}
	var listening sync.WaitGroup
	srv := &http.Server{Handler: running, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Minute, IdleTimeout: 2 * time.Minute,
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{n.cert}, ClientAuth: tls.RequestClientCert},
		ErrorLog:  slog.NewLogLogger(n.log.Handler(), slog.LevelDebug)}
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer func() { stop(); cancel(); srv.Close(); running.end(); listening.Wait() }()
	listening.Go(func() { n.listen(ctx) })
	listening.Go(func() { n.verifyAll(ctx) })
	if err := srv.ServeTLS(ln, "", ""); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve node: %w", err)
	}
	return ctx.Err()
}

// running is a handler whose end waits for the requests that it began: closing
// a server cuts their connections, and they go on.
type running struct {
	h http.Handler

	mu    sync.RWMutex // held for reading by each request
	ended bool
}

func (r *running) ServeHTTP(w http.ResponseWriter, rq *http.Request) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.ended {
		panic(http.ErrAbortHandler) // its connection is closed already
	}
	r.h.ServeHTTP(w, rq)
}

func (r *running) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
}

func (n *Node) handler() http.Handler { return n.beside(n.says(n.routes())) }

func (n *Node) routes() *http.ServeMux {
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
	m.HandleFunc("GET /v1/arrivals", n.read(n.arrivals))
	m.HandleFunc("POST /v1/branch", n.write(n.takeBranch))
	return m
}
