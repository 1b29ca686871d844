package restore

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"farol/internal/audit"
	"farol/internal/record"
)

// Verify checks that the commitment's leaves make its root and that the signed
// log witnesses it. trees remembers checkpoints whose signature was checked.
func (c *Commitment) Verify(v note.Verifier, trees map[string]tlog.Tree) error {
	if record.Root(c.Leaves) != c.Root {
		return audit.ErrCommit
	}
	if c.Log == nil {
		return audit.ErrLog
	}
	tree, ok := trees[c.Log.Checkpoint]
	if !ok {
		var err error
		if tree, err = audit.OpenCheckpoint([]byte(c.Log.Checkpoint), v); err != nil {
			return fmt.Errorf("%w: %w", audit.ErrKey, err)
		}
		trees[c.Log.Checkpoint] = tree
	}
	var e audit.Entry
	if err := json.Unmarshal(c.Log.Entry, &e); err != nil || e.Operation != audit.OperationCommit || e.Hash != c.Root.String() || e.Seq != c.Log.Seq {
		return audit.ErrEntry
	}
	path := make(tlog.RecordProof, len(c.Log.Path))
	for i, s := range c.Log.Path {
		h, err := tlog.ParseHash(s)
		if err != nil {
			return audit.ErrLog
		}
		path[i] = h
	}
	leaf := sha256.Sum256(append(append([]byte{}, c.Log.Salt...), c.Log.Entry...))
	if err := tlog.CheckRecord(path, tree.N, tree.Hash, e.Seq, tlog.RecordHash(leaf[:])); err != nil {
		return audit.ErrLog
	}
	return nil
}

var errLine = errors.New("not a line of a Farol export")

// ParseLine reads a line of records.ndjson. Raw is taken byte for byte.
func ParseLine(b []byte) (*Line, error) {
	var l Line
	if err := json.Unmarshal(b, &l); err != nil {
		return nil, errLine
	}
	if i := bytes.Index(b, []byte(`,"raw":`)); i >= 0 && b[len(b)-1] == '}' {
		l.Raw = b[i+len(`,"raw":`) : len(b)-1]
		return &l, nil
	}
	var enc struct {
		Raw []byte `json:"raw_base64"`
	}
	if err := json.Unmarshal(b, &enc); err != nil {
		return nil, errLine
	}
	l.Raw = enc.Raw
	return &l, nil
}

// Verify checks that the line is what the commit bound.
func (l *Line) Verify(c *Commitment) error {
	r := record.Record{Ref: record.Ref{Kind: l.Kind, Container: l.Container, ID: l.ID}, Time: l.Time, Raw: l.Raw, Deleted: l.Deleted, Blobs: l.Blobs}
	if r.Hash() != l.SHA256 {
		return audit.ErrContent
	}
	if l.Index < 0 || l.Index >= len(c.Leaves) || c.Leaves[l.Index] != record.LeafHash(r.Leaf()) {
		return audit.ErrCommit
	}
	return nil
}
