package replica

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"farol/internal/record"
)

func newSigner(name string) (signer, verifier string, err error) {
	signer, verifier, err = note.GenerateKey(rand.Reader, name)
	if err != nil {
		return "", "", fmt.Errorf("make a signing key: %w", err)
	}
	return signer, verifier, nil
}

// Peer is a node that this appliance is enrolled with. It is kept sealed.
type Peer struct {
	Address  string   `json:"address"` // https://host:port
	Identity Identity `json:"identity"`
	NodeCert string   `json:"node_cert"` // PEM, pinned
	NodeKey  string   `json:"node_key"`  // verifier key of its cosignatures
}

// Enrolment is what an appliance is to a node.
type Enrolment struct {
	Archive string // id
	Epoch   uint32 // of the archive: a node that knows a later one refuses
	LogKey  string // verifier key of the audit log
	Recover bool   // read back only; the others stay empty
	Other   string // certificate, PEM, of a node that this one must not be: it keeps one writer for an archive, and would drop the other
}

// Enrol makes the appliance known to a node by the code the node shows. When
// recovering it may read only, and archives lists what the node holds.
func Enrol(ctx context.Context, address, code string, as Enrolment) (p Peer, archives []string, err error) {
	if !strings.Contains(address, "://") {
		address = "https://" + address
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return p, nil, fmt.Errorf("read the node's address: %w", ErrNode)
	}
	p.Address = "https://" + u.Host
	if p.Identity, err = NewIdentity("farol appliance"); err != nil {
		return p, nil, err
	}
	cert, err := p.Identity.TLS()
	if err != nil {
		return p, nil, err
	}
	var node []byte // as presented; the MACs decide whether it is the right one
	cfg := &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}, InsecureSkipVerify: true,
		VerifyPeerCertificate: func(raw [][]byte, _ [][]*x509.Certificate) error {
			if len(raw) == 0 || node != nil && !bytes.Equal(node, raw[0]) {
				return ErrImpostor
			}
			node = raw[0]
			return nil
		}}
	hc := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{TLSClientConfig: cfg}, CheckRedirect: stay}
	defer hc.CloseIdleConnections()
	// a first request shows the certificate that the MAC must bind
	c := &Client{http: hc, base: p.Address, oldest: oldest}
	if err := c.do(ctx, http.MethodGet, "/v1/state", nil, nil, nil); err != nil && !errors.Is(err, ErrStranger) {
		return p, nil, err
	}
	if other, _ := pem.Decode([]byte(as.Other)); other != nil && bytes.Equal(other.Bytes, node) {
		return p, nil, ErrSameNode
	}
	rq := enrolRequest{Archive: as.Archive, Epoch: as.Epoch, LogKey: as.LogKey, Recover: as.Recover}
	rq.MAC = mac(code, "appliance", node, cert.Certificate[0], rq.body())
	b, err := json.Marshal(rq)
	if err != nil {
		return p, nil, err
	}
	var ans enrolAnswer
	if err := c.do(ctx, http.MethodPost, "/v1/enrol", b, nil, &ans); err != nil {
		return p, nil, err
	}
	if !hmac.Equal(ans.MAC, mac(code, "node", node, cert.Certificate[0], []byte(ans.Key))) {
		return p, nil, ErrImpostor
	}
	p.NodeCert = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: node}))
	p.NodeKey = ans.Key
	return p, ans.Archive, nil
}

// Client talks to the node of a peer.
type Client struct {
	http  *http.Client
	base  string
	pace  *pace  // of what is sent, nil for none
	signs string // verifier key of what the node signs

	oldest int          // protocol of a node that is still understood
	agreed atomic.Int32 // protocol of both, 0 before the node answered
}

// stall is how long a request may move nothing before it is given up. A slow
// link may take as long as it needs.
const stall = 5 * time.Minute

// NewClient returns a client that accepts the peer's pinned certificate only.
func NewClient(p Peer) (*Client, error) {
	cert, err := p.Identity.TLS()
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode([]byte(p.NodeCert))
	if block == nil {
		return nil, fmt.Errorf("read the node's certificate: %w", ErrNode)
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}, InsecureSkipVerify: true, // pinned below instead
		VerifyPeerCertificate: func(raw [][]byte, _ [][]*x509.Certificate) error {
			if len(raw) == 0 || !bytes.Equal(raw[0], block.Bytes) {
				return ErrImpostor
			}
			return nil
		}}
	return &Client{http: &http.Client{Transport: &http.Transport{TLSClientConfig: cfg, MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: 20 * time.Second}, CheckRedirect: stay},
		base: p.Address, pace: newPace(time.Now), signs: p.NodeKey, oldest: oldest}, nil
}

// stay follows no redirect: a node has none, and what is sent is for it alone.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func (c *Client) do(ctx context.Context, method, path string, body []byte, header http.Header, out any) error {
	return c.send(ctx, method, path, body, nil, header, out)
}

// send is a request. before is called ahead of each piece of the body.
func (c *Client) send(ctx context.Context, method, path string, body []byte, before func() error, header http.Header, out any) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	idle := time.AfterFunc(stall, cancel)
	defer idle.Stop()
	alive := func() { idle.Reset(stall) }
	rq, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("ask the node: %w", err)
	}
	if c.pace != nil && len(body) > 0 {
		rq.GetBody = func() (io.ReadCloser, error) {
			return io.NopCloser(&pacedBody{ctx, bytes.NewReader(body), c.pace, before, alive}), nil
		}
		rq.Body, _ = rq.GetBody()
	}
	rq.Header.Set(protocolHeader, strconv.Itoa(Protocol))
	for k, v := range header {
		rq.Header[k] = v
	}
	resp, err := c.http.Do(rq)
	if err != nil {
		if errors.Is(err, ErrImpostor) {
			return ErrImpostor
		}
		return fmt.Errorf("%w: %w", ErrNode, err)
	}
	defer resp.Body.Close()
	if err := c.agree(resp); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<16)) // for the connection's sake
		for e, code := range status {
			if resp.StatusCode == code {
				return fmt.Errorf("%s: %w", path[:strings.IndexByte(path[4:]+"/", '/')+4], e)
			}
		}
		return fmt.Errorf("%w: status %d", ErrNode, resp.StatusCode)
	}
	answer := &movingBody{resp.Body, alive}
	switch out := out.(type) {
	case nil:
		_, err = io.Copy(io.Discard, answer)
	case io.Writer:
		_, err = io.Copy(out, answer)
	default:
		err = json.NewDecoder(answer).Decode(out)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNode, err)
	}
	return nil
}

// State asks what the node holds.
func (c *Client) State(ctx context.Context) (State, error) {
	var s State
	err := c.do(ctx, http.MethodGet, "/v1/state", nil, nil, &s)
	return s, err
}

func (c *Client) journal(ctx context.Context, name string, off int64, b []byte) error {
	return c.do(ctx, http.MethodPut, fmt.Sprintf("/v1/journal/%s?off=%d", url.PathEscape(name), off), b, nil, nil)
}

func (c *Client) blob(ctx context.Context, name string, sum record.Hash, b []byte, at putAt, before func() error) error {
	return c.send(ctx, http.MethodPut, "/v1/blobs/"+url.PathEscape(flat(name)), b, before, http.Header{"X-Sha256": {sum.String()}, putAtHeader: {at.String()}}, nil)
}

// A repository file's name has folders in it; the node keeps names flat.
func flat(name string) string { return strings.ReplaceAll(name, "/", "~") }

// Deep gives the repository file that the node's blob name stands for, false
// for an older version of one that kopia has overwritten since.
func Deep(name string) (string, bool) {
	return strings.ReplaceAll(name, "~", "/"), !strings.Contains(name, "@")
}

func (c *Client) putPos(ctx context.Context, epoch uint32, pos int64) error {
	return c.do(ctx, http.MethodPut, fmt.Sprintf("/v1/putpos/%d/%d", epoch, pos), nil, nil, nil)
}

func (c *Client) entries(ctx context.Context, from int64, es [][]byte) error {
	b, err := json.Marshal(es)
	if err != nil {
		return err
	}
	return c.do(ctx, http.MethodPut, fmt.Sprintf("/v1/log/%d", from), b, nil, nil)
}

func (c *Client) cosign(ctx context.Context, checkpoint []byte, proof []tlog.Hash) ([]byte, error) {
	b, err := json.Marshal(checkpointRequest{checkpoint, proof})
	if err != nil {
		return nil, err
	}
	var signed []byte
	err = c.do(ctx, http.MethodPost, "/v1/checkpoint", b, nil, &signed)
	return signed, err
}

// List names the files of a kind that the node holds, with their sizes: what
// is "journal", "blobs" or "log".
func (c *Client) List(ctx context.Context, what string) (map[string]int64, error) {
	var m map[string]int64
	err := c.do(ctx, http.MethodGet, "/v1/list/"+what, nil, nil, &m)
	return m, err
}

// Get reads a file from the node into w.
func (c *Client) Get(ctx context.Context, what, name string, w io.Writer) error {
	return c.do(ctx, http.MethodGet, "/v1/file/"+what+"/"+url.PathEscape(name), nil, nil, w)
}
