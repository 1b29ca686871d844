package audit

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"farol/internal/record"
)

// EntryProof shows that one entry is in the log that a checkpoint signs. Of an
// entry whose content has expired it shows that something stood there: the leaf
// is what salt and entry had been hashed to.
type EntryProof struct {
	Seq        int64    `json:"seq"`
	Salt       []byte   `json:"salt,omitempty"`
	Entry      []byte   `json:"entry,omitempty"` // the entry's JSON, exactly
	Leaf       []byte   `json:"leaf,omitempty"`
	Expired    *Expiry  `json:"expired,omitempty"`
	Path       []string `json:"path"`
	Checkpoint string   `json:"checkpoint,omitempty"`
}

// Proof shows that one record was captured, unchanged since, and when: record
// in the commit's tree, the tree's root in an audit entry, the entry in the
// signed log. It stands alone: nothing of the appliance is needed to check it.
type Proof struct {
	Format  string        `json:"format"` // "farol-proof/1"
	Kind    record.Kind   `json:"kind"`
	Group   string        `json:"container"`
	ID      string        `json:"id"`
	Time    time.Time     `json:"time"`
	SHA256  record.Hash   `json:"sha256"` // of the version; see Recompute
	Raw     []byte        `json:"raw,omitempty"`
	Deleted bool          `json:"deleted,omitempty"`
	Blobs   []record.Blob `json:"blobs,omitempty"`
	Commit  struct {
		Seq    uint64        `json:"seq"`
		Leaves int           `json:"leaves"`
		Index  int           `json:"index"`
		Root   record.Hash   `json:"root"`
		Path   []record.Hash `json:"path"`
	} `json:"commit"`
	Log EntryProof `json:"log"`
	Key string     `json:"key"` // verifier key of the log, note format
}

// ProofFormat is the only value of Proof.Format so far.
const ProofFormat = "farol-proof/1"

// Errors of verification. Each names what does not hold.
var (
	ErrFormat  = errors.New("not a Farol proof of a known format")
	ErrContent = errors.New("the content does not have the proved hash")
	ErrCommit  = errors.New("the record is not in the commit")
	ErrEntry   = errors.New("the log entry does not name the commit")
	ErrLog     = errors.New("the log entry is not in the signed log")
	ErrKey     = errors.New("the checkpoint is not signed by the expected key")
)

// OperationCommit is the entry that binds a commit's root.
const OperationCommit = "backup.commit"

// VerifyProof checks p offline. key is the log's verifier key that the reader
// trusts; empty means the key inside the proof, which shows only that the
// proof agrees with itself. It returns the entry that witnessed the commit.
func VerifyProof(p *Proof, key string) (*Entry, error) {
	if p.Format != ProofFormat {
		return nil, ErrFormat
	}
	rec := record.Record{Ref: record.Ref{Kind: p.Kind, Container: p.Group, ID: p.ID}, Time: p.Time, Raw: p.Raw, Deleted: p.Deleted, Blobs: p.Blobs}
	if rec.Hash() != p.SHA256 {
		return nil, ErrContent
	}
	c := p.Commit
	if err := record.VerifyPath(c.Root, c.Leaves, c.Index, record.LeafHash(rec.Leaf()), c.Path); err != nil {
		return nil, ErrCommit
	}
	var e Entry
	if err := json.Unmarshal(p.Log.Entry, &e); err != nil {
		return nil, ErrEntry
	}
	if e.Operation != OperationCommit || e.Hash != c.Root.String() || e.Seq != p.Log.Seq {
		return nil, ErrEntry
	}
	if key == "" {
		key = p.Key
	}
	v, err := note.NewVerifier(key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	tree, err := OpenCheckpoint([]byte(p.Log.Checkpoint), v)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	path, err := parseHashes(p.Log.Path)
	if err != nil {
		return nil, ErrLog
	}
	leaf := sha256.Sum256(append(append([]byte{}, p.Log.Salt...), p.Log.Entry...))
	if err := tlog.CheckRecord(path, tree.N, tree.Hash, p.Log.Seq, tlog.RecordHash(leaf[:])); err != nil {
		return nil, ErrLog
	}
	return &e, nil
}

// checkpointText is the C2SP checkpoint body: origin, size, root.
func checkpointText(origin string, t tlog.Tree) string {
	return fmt.Sprintf("%s\n%d\n%s\n", origin, t.N, t.Hash)
}

// OpenCheckpoint checks the signature of a checkpoint and returns its tree.
func OpenCheckpoint(signed []byte, v note.Verifier) (tlog.Tree, error) {
	n, err := note.Open(signed, note.VerifierList(v))
	if err != nil {
		return tlog.Tree{}, fmt.Errorf("open checkpoint: %w", err)
	}
	if origin, _, _ := strings.Cut(n.Text, "\n"); origin != v.Name() {
		return tlog.Tree{}, errors.New("open checkpoint: malformed")
	}
	return parseCheckpoint(n.Text)
}

// parseCheckpoint reads origin, size and root; what follows is passed over.
func parseCheckpoint(text string) (t tlog.Tree, err error) {
	lines := strings.SplitN(text, "\n", 4)
	if len(lines) < 4 {
		return t, errors.New("open checkpoint: malformed")
	}
	// As c2sp.org/tlog-checkpoint has it: decimal, no sign, no leading zero.
	if t.N, err = strconv.ParseInt(lines[1], 10, 64); err != nil || t.N < 0 || strconv.FormatInt(t.N, 10) != lines[1] {
		return tlog.Tree{}, errors.New("open checkpoint: malformed size")
	}
	if t.Hash, err = tlog.ParseHash(lines[2]); err != nil || t.Hash.String() != lines[2] {
		return tlog.Tree{}, errors.New("open checkpoint: malformed root")
	}
	return t, nil
}

// VerifyConsistency checks that the tree now extends the tree old.
func VerifyConsistency(old, now tlog.Tree, proof []tlog.Hash) error {
	if old.N == 0 {
		return nil
	}
	if err := tlog.CheckTree(proof, now.N, now.Hash, old.N, old.Hash); err != nil {
		return fmt.Errorf("%w: %w", ErrTampered, err)
	}
	return nil
}

func hashTexts(hs []tlog.Hash) []string {
	out := make([]string, len(hs))
	for i, h := range hs {
		out[i] = h.String()
	}
	return out
}

func parseHashes(texts []string) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(texts))
	for i, s := range texts {
		h, err := tlog.ParseHash(s)
		if err != nil {
			return nil, err
		}
		out[i] = h
	}
	return out, nil
}

// Verify reads every entry again and compares the tree with the checkpoint.
// It returns the number of entries that are as they were signed, and a
// [Tampering] when they differ.
func (l *Log) Verify() (int64, error) {
	l.mu.RLock()
	signed := l.signed
	l.mu.RUnlock()
	if signed == nil {
		return 0, nil
	}
	tree, err := OpenCheckpoint(signed, l.verify)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrTampered, err)
	}
	w := walker{l: l, f: l.entries, hashes: l.hashes, head: tree, all: true}
	return w.walk(map[int64]tlog.Hash{tree.N: tree.Hash})
}
