package restore

import (
	"context"
	"fmt"
	"io"
	"maps"
	"strconv"

	"farol/internal/audit"
	"farol/internal/policy"
	"farol/internal/record"
)

// Blob opens the bytes of a record's attachment number n. Looking at it inside
// the page needs a purpose; taking it away (download) needs a fresh code too,
// and for a confidential record [*Unagreed] says that others have to agree:
// then it leaves as an export of that record.
func (d *Door) Blob(ctx context.Context, rq Request, id int64, n int, download bool) (io.ReadSeekCloser, record.Blob, error) {
	action, op := policy.Read, "view"
	if download {
		action, op = policy.Export, "export.download"
	}
	detail := d.aboutRecord(ctx, id)
	detail["attachment"] = strconv.Itoa(n)
	if download {
		more, err := d.agreedToTake(ctx, rq, id)
		if err != nil {
			return nil, record.Blob{}, err
		}
		maps.Copy(detail, more)
	}
	scope, err := d.enter(ctx, rq, action, op, ref("record", id), detail)
	if err != nil {
		return nil, record.Blob{}, err
	}
	hit, err := d.d.Catalog.Get(ctx, scope, id, 0)
	if err != nil {
		return nil, record.Blob{}, d.missed(ctx, rq, ref("record", id), err)
	}
	rec, err := d.read(ctx, hit)
	if err != nil {
		return nil, record.Blob{}, err
	}
	if n < 0 || n >= len(rec.Blobs) {
		return nil, record.Blob{}, ErrNotFound
	}
	r, err := d.d.Archive.OpenBlob(ctx, rec.Blobs[n])
	return r, rec.Blobs[n], err
}

// Proof builds the stand-alone proof of a record version. It holds the record,
// so for a confidential one [*Unagreed] says that others have to agree, as for
// [Door.Blob].
func (d *Door) Proof(ctx context.Context, rq Request, id int64) (*audit.Proof, error) {
	detail := d.aboutRecord(ctx, id)
	asked := rq
	asked.Fresh = true // it asks for no code of its own
	more, err := d.agreedToTake(ctx, asked, id)
	if err != nil {
		return nil, err
	}
	maps.Copy(detail, more)
	scope, err := d.enter(ctx, rq, policy.Read, "evidence.pack", ref("record", id), detail)
	if err != nil {
		return nil, err
	}
	hit, err := d.d.Catalog.Get(ctx, scope, id, 0)
	if err != nil {
		return nil, d.missed(ctx, rq, ref("record", id), err)
	}
	rec, err := d.read(ctx, hit)
	if err != nil {
		return nil, err
	}
	c, err := d.commitment(ctx, hit.Seq)
	if err != nil {
		return nil, err
	}
	if hit.Index >= len(c.Leaves) {
		return nil, fmt.Errorf("record %d of commit %d: %w", hit.Index, hit.Seq, ErrNotFound)
	}
	p := &audit.Proof{Format: audit.ProofFormat, Kind: rec.Kind, Group: rec.Container, ID: rec.ID, Time: rec.Time, SHA256: rec.Hash(),
		Raw: rec.Raw, Deleted: rec.Deleted, Blobs: rec.Blobs, Log: *c.Log, Key: d.d.LogKey}
	p.Commit.Seq, p.Commit.Leaves, p.Commit.Index, p.Commit.Root = hit.Seq, len(c.Leaves), hit.Index, c.Root
	p.Commit.Path = record.Path(c.Leaves, hit.Index)
	return p, nil
}

// Commitment is what binds the records of one commit: its leaves and the log
// entry that witnesses their root. An export carries one for each commit, so
// that every line of it can be verified.
type Commitment struct {
	Seq    uint64            `json:"seq"`
	Root   record.Hash       `json:"root"`
	Leaves []record.Hash     `json:"leaves"`
	Log    *audit.EntryProof `json:"log"`
}

func (d *Door) commitment(ctx context.Context, seq uint64) (*Commitment, error) {
	leaves, root, err := d.d.Archive.Commitment(ctx, seq)
	if err != nil {
		return nil, fmt.Errorf("leaves of commit %d: %w", seq, err)
	}
	n, err := d.d.Audit.FindCommit(seq)
	if err != nil {
		return nil, err
	}
	ep, err := d.d.Audit.Inclusion(n)
	if err != nil {
		return nil, err
	}
	return &Commitment{seq, root, leaves, ep}, nil
}
