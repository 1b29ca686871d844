// Package replica copies archive and audit log to an off-site node and keeps
// them there. The node holds no key: it stores sealed bytes append-only,
// witnesses the log's checkpoints, and gives everything back to an appliance
// that has lost its disk.
//
// It promises that what the node acknowledged is on its disk, that nothing
// acknowledged is ever overwritten or shortened there, and that a checkpoint
// which does not extend the last one is refused. A second node, somebody else's,
// may witness the log too, and gets that alone.
//
// # Design
//
// Both sides have self-made certificates. Enrolment binds them with a one-time
// code through a stretched MAC over both certificates, so a man in the middle
// is found out; afterwards each side accepts only the pinned certificate.
// Requests are idempotent: sending the same bytes to the same place again is
// success, other bytes are a conflict.
package replica

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"golang.org/x/crypto/argon2"
)

// Errors of this package.
var (
	ErrCode       = errors.New("the enrolment code is not right, was used or has lapsed")
	ErrConflict   = errors.New("the node holds other bytes there and keeps them")
	ErrRolledBack = errors.New("the checkpoint does not extend the one the node holds")
	ErrStranger   = errors.New("the node does not know this certificate")
	ErrUnknown    = errors.New("the node has no such file")
	ErrNodeFull   = errors.New("the node's disk is full: it keeps what it has and takes no more")
	ErrQuota      = errors.New("the archive has used up its quota on the node: it keeps what it has and takes no more of it")
	ErrLogAnew    = errors.New("the node begins this appliance's log anew, and keeps the one before: send it from the start")
	ErrSameNode   = errors.New("this node serves this appliance already: copy and witness are two nodes")
	ErrNode       = errors.New("the node cannot be reached or answered wrongly")
	ErrImpostor   = errors.New("the other side does not know the enrolment code: somebody may stand between")
)

// Identity is a side's certificate and key, PEM.
type Identity struct {
	Cert string `json:"cert"`
	Key  string `json:"key"`
}

// NewIdentity makes a self-signed certificate for 20 years; it is pinned, so
// nobody has to sign it.
func NewIdentity(name string, hosts ...string) (Identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Identity{}, fmt.Errorf("make a key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return Identity{}, fmt.Errorf("make a serial number: %w", err)
	}
	t := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().AddDate(20, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}, DNSNames: hosts, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return Identity{}, fmt.Errorf("make a certificate: %w", err)
	}
	kb, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return Identity{}, fmt.Errorf("encode a key: %w", err)
	}
	return Identity{string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: kb}))}, nil
}

// TLS is the identity as the tls package takes it.
func (i Identity) TLS() (tls.Certificate, error) {
	c, err := tls.X509KeyPair([]byte(i.Cert), []byte(i.Key))
	if err != nil {
		return c, fmt.Errorf("read an identity: %w", err)
	}
	return c, nil
}

// Fingerprint is the SHA-256 of a certificate, as people compare it.
func Fingerprint(der []byte) string {
	h := sha256.Sum256(der)
	s := strings.ToUpper(hex.EncodeToString(h[:]))
	var parts []string
	for i := 0; i < len(s); i += 4 {
		parts = append(parts, s[i:i+4])
	}
	return strings.Join(parts, " ")
}

// mac binds the enrolment code to both certificates. The code is stretched, so
// that who stands between cannot try codes fast enough.
func mac(code, side string, nodeCert, clientCert, body []byte) []byte {
	key := argon2.IDKey([]byte(normal(code)), []byte("farol enrolment"), 2, 64<<10, 2, 32)
	m := hmac.New(sha256.New, key)
	for _, b := range [][]byte{[]byte(side), nodeCert, clientCert, body} {
		h := sha256.Sum256(b)
		m.Write(h[:])
	}
	return m.Sum(nil)
}

func normal(code string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return -1
	}, code)
}

// newCode is 60 bits in three groups.
func newCode() string {
	t := rand.Text()
	return t[:4] + "-" + t[4:8] + "-" + t[8:12]
}

// enrolRequest is what the appliance sends to be known.
type enrolRequest struct {
	Archive string `json:"archive"` // id of the archive
	LogKey  string `json:"log_key"` // verifier key of the audit log, "" when recovering
	Recover bool   `json:"recover"` // read back, never write
	Epoch   uint32 `json:"epoch"`   // of the archive; not under the MAC: it keeps an old appliance out, and lets nobody in
	MAC     []byte `json:"mac"`
}

func (r enrolRequest) body() []byte {
	return fmt.Appendf(nil, "%s\n%s\n%v", r.Archive, r.LogKey, r.Recover)
}

type enrolAnswer struct {
	MAC     []byte   `json:"mac"`
	Key     string   `json:"key"`      // verifier key of the node's cosignatures
	Archive []string `json:"archives"` // when recovering: what there is
}

// State is what the node holds of an archive.
type State struct {
	Journal  map[string]int64 `json:"journal"` // file → length
	Blobs    int64            `json:"blobs"`
	PutPos   int64            `json:"put_pos"`   // put log position up to which blobs are held
	PutEpoch uint32           `json:"put_epoch"` // epoch of the put log that PutPos is of
	Entries  int64            `json:"entries"`   // audit entries
	Size     int64            `json:"size"`      // of the checkpoint
	DiskFree int64            `json:"disk_free"`
	DiskSize int64            `json:"disk_size"`
	Fence    uint32           `json:"fence,omitempty"`  // epoch of the appliance that took over; 0: none has
	Used     int64            `json:"used,omitempty"`   // by this archive
	Quota    int64            `json:"quota,omitempty"`  // that it may take, 0 = no bound
	Epoch    uint32           `json:"epoch,omitempty"`  // the highest of those that were ever enrolled or took over
	Branch   uint32           `json:"branch,omitempty"` // epoch of the appliance that should say what is of a branch; 0: none

	Damaged       []string  `json:"damaged,omitempty"`       // blobs that are not as they came, or gone: the appliance is asked for them; of many, others at each asking
	DamagedFiles  int       `json:"damaged_files,omitempty"` // how many there are in all
	Verified      time.Time `json:"verified,omitzero"`       // when the node last read everything back
	VerifiedFiles int64     `json:"verified_files,omitempty"`

	compared bool // of a session: the entries behind the checkpoint are the node's too
}
