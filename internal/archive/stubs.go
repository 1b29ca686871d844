package archive

import (
	"context"

	"farol/internal/record"
)

func (a *Archive) walkTree(ctx context.Context, p *Point, fn WalkFunc) ([]error, error) {
	return nil, nil
}

func (a *Archive) foldedCommitment(ctx context.Context, seq uint64) (l []record.Hash, r record.Hash, err error) {
	return nil, r, ErrNotFound
}
