package record

import (
	"crypto/sha256"
	"errors"
	"fmt"
)

// Leaf is the text a commit's Merkle tree binds for one record: its name, its
// time and its version hash, one a line.
func (r *Record) Leaf() []byte {
	return fmt.Appendf(nil, "%s\n%s\n%s\n%d\n%s\n", r.Kind, r.Container, r.ID, r.Time.UnixMilli(), r.Hash())
}

// LeafHash is the RFC 6962 leaf hash of data.
func LeafHash(data []byte) Hash {
	h := sha256.New()
	h.Write([]byte{0})
	h.Write(data)
	var out Hash
	h.Sum(out[:0])
	return out
}

func nodeHash(l, r Hash) Hash {
	h := sha256.New()
	h.Write([]byte{1})
	h.Write(l[:])
	h.Write(r[:])
	var out Hash
	h.Sum(out[:0])
	return out
}

// split is the largest power of two smaller than n.
func split(n int) int {
	k := 1
	for k < n-k { // as k*2 < n, which overflows for a number that a hostile proof may name
		k *= 2
	}
	return k
}

// Root is the RFC 6962 tree hash over leaf hashes.
func Root(leaves []Hash) Hash {
	switch len(leaves) {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return leaves[0]
	}
	k := split(len(leaves))
	return nodeHash(Root(leaves[:k]), Root(leaves[k:]))
}

// Stack computes the same tree hash leaf by leaf, keeping a hash for each
// complete subtree only. It can be kept as JSON between leaves.
type Stack struct {
	N     int64  `json:"n"`
	Trees []Hash `json:"trees"` // of complete subtrees, largest first
}

// Add appends a leaf hash.
func (s *Stack) Add(leaf Hash) {
	s.Trees = append(s.Trees, leaf)
	s.N++
	for n := s.N; n&1 == 0; n >>= 1 {
		k := len(s.Trees)
		s.Trees = append(s.Trees[:k-2], nodeHash(s.Trees[k-2], s.Trees[k-1]))
	}
}

// Root is what [Root] gives for the leaves added.
func (s *Stack) Root() Hash {
	if len(s.Trees) == 0 {
		return Root(nil)
	}
	h := s.Trees[len(s.Trees)-1]
	for i := len(s.Trees) - 2; i >= 0; i-- {
		h = nodeHash(s.Trees[i], h)
	}
	return h
}

// Path is the RFC 6962 inclusion proof of leaf i.
func Path(leaves []Hash, i int) []Hash {
	if len(leaves) <= 1 {
		return nil
	}
	k := split(len(leaves))
	if i < k {
		return append(Path(leaves[:k], i), Root(leaves[k:]))
	}
	return append(Path(leaves[k:], i-k), Root(leaves[:k]))
}

// ErrProof means that an inclusion proof does not lead to the root.
var ErrProof = errors.New("the proof does not lead to the root")

// VerifyPath checks that leaf is number i of n under root. It returns
// [ErrProof] when it is not.
func VerifyPath(root Hash, n, i int, leaf Hash, path []Hash) error {
	if i < 0 || i >= n {
		return ErrProof
	}
	got, rest, err := fold(n, i, leaf, path)
	if err != nil || len(rest) != 0 || got != root {
		return ErrProof
	}
	return nil
}

func fold(n, i int, leaf Hash, path []Hash) (Hash, []Hash, error) {
	if n == 1 {
		return leaf, path, nil
	}
	k := split(n)
	var h Hash
	var err error
	if i < k {
		h, path, err = fold(k, i, leaf, path)
	} else {
		h, path, err = fold(n-k, i-k, leaf, path)
	}
	if err != nil {
		return h, nil, err
	}
	if len(path) == 0 {
		return h, nil, ErrProof
	}
	if i < k {
		return nodeHash(h, path[0]), path[1:], nil
	}
	return nodeHash(path[0], h), path[1:], nil
}
