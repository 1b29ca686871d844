package keys

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// RingFile is the name of the sealed ring in the state directory.
const RingFile = "state-keys.sealed"

const labelRing = "state keys"

// Ring holds the keys of the state directory: what the control database, the
// log and the index are sealed with. They are random and not made from the
// root key, which only seals the ring: so a new root key opens at once what
// the former one opened, and none of it has to be sealed again in one go.
//
// A rotation puts a fresh key in front, which seals from then on. The others
// stay: entries of the log and secrets nobody wrote since lie under them.
//
// Ring is safe for concurrent use.
type Ring struct {
	mu    sync.Mutex
	keys  []Root // oldest first, so that a number means a key for ever
	index int    // which one the search index and the log's lookup lie under
	boxes map[string]*Box
}

// NewRing makes a ring of one fresh key.
func NewRing() (*Ring, error) {
	k, err := New()
	return &Ring{keys: []Root{k}}, err
}

type ringFile struct {
	Version int      `json:"version"`
	Keys    [][]byte `json:"keys"` // oldest first
	Index   int      `json:"index"`
}

// Bytes is the ring as [ParseRing] reads it. It is not sealed: it belongs into
// the archive, which is, and nowhere else.
func (r *Ring) Bytes() ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := ringFile{Version: 1, Index: r.index}
	for i := range r.keys {
		f.Keys = append(f.Keys, r.keys[i].b[:])
	}
	return json.Marshal(f)
}

// ParseRing reads what [Ring.Bytes] wrote.
func ParseRing(b []byte) (*Ring, error) {
	var f ringFile
	if err := json.Unmarshal(b, &f); err != nil || f.Version != 1 || len(f.Keys) == 0 || f.Index < 0 || f.Index >= len(f.Keys) {
		return nil, fmt.Errorf("the ring of state keys is not one: %w", ErrKey)
	}
	r := &Ring{index: f.Index}
	for _, k := range f.Keys {
		if len(k) != Size {
			return nil, fmt.Errorf("the ring of state keys holds a key of %d bytes: %w", len(k), ErrKey)
		}
		root, err := RootFrom(k)
		if err != nil {
			return nil, err
		}
		r.keys = append(r.keys, root)
	}
	return r, nil
}

// Len is how many keys the ring holds: one more than there were rotations.
func (r *Ring) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.keys)
}

// Current reports whether the index lies under the newest key.
func (r *Ring) Current() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.index == len(r.keys)-1
}

// Grown is the ring with a fresh key in front. The ring itself stays as it is
// until [Ring.Adopt].
func (r *Ring) Grown() (*Ring, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k, err := New()
	return &Ring{keys: append(slices.Clone(r.keys), k), index: r.index}, err
}

// Reindexed is the ring whose index lies under the newest key.
func (r *Ring) Reindexed() *Ring {
	r.mu.Lock()
	defer r.mu.Unlock()
	return &Ring{keys: slices.Clone(r.keys), index: len(r.keys) - 1}
}

// Adopt makes the ring what o is: its boxes seal with the newest key of o from
// now on and open what all of its keys sealed.
func (r *Ring) Adopt(o *Ring) {
	o.mu.Lock()
	ks, index := slices.Clone(o.keys), o.index
	o.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys, r.index = ks, index
	for label, b := range r.boxes {
		b.rekey(r.derived(label))
	}
}

// Holds reports whether every key of o is one of the ring's.
func (r *Ring) Holds(o *Ring) bool {
	o.mu.Lock()
	ks := slices.Clone(o.keys)
	o.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	return !slices.ContainsFunc(ks, func(k Root) bool { return !slices.ContainsFunc(r.keys, k.Equal) })
}

// derived are the keys of a label, newest first. r.mu is held.
func (r *Ring) derived(label string) (out [][]byte) {
	for _, k := range slices.Backward(r.keys) {
		out = append(out, k.Derive(label))
	}
	return out
}

// Box is the box of a label, always the same.
func (r *Ring) Box(label string) *Box {
	r.mu.Lock()
	defer r.mu.Unlock()
	if b := r.boxes[label]; b != nil {
		return b
	}
	if r.boxes == nil {
		r.boxes = map[string]*Box{}
	}
	ks := r.derived(label)
	b := NewBox(ks[0], ks[1:]...)
	r.boxes[label] = b
	return b
}

// Derive is a key for what is made anew each time it is needed: see
// [Root.Derive].
func (r *Ring) Derive(label string) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.derived(label)[0]
}

// IndexKey is a key of an index, which stays the same until the index is
// built anew.
func (r *Ring) IndexKey(label string) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.keys[r.index].Derive(label)
}

// FirstKey is a key that no rotation changes, for what has to be found again by
// the same name for ever.
func (r *Ring) FirstKey(label string) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.keys[0].Derive(label)
}

// String redacts the keys.
func (*Ring) String() string { return "keys.Ring(redacted)" }

// GoString redacts the keys.
func (*Ring) GoString() string { return "keys.Ring(redacted)" }

// StoreRing seals the ring under root into the state directory, durably.
func StoreRing(dir string, root Root, r *Ring) error {
	b, err := r.Bytes()
	if err != nil {
		return err
	}
	return writeDurable(filepath.Join(dir, RingFile), NewBox(root.Derive(labelRing)).Seal(b, []byte(labelRing)))
}

// LoadRing opens the ring with the first root key that fits. It returns [ErrNoKey] when the file is not there and [ErrKey] when
// none fits.
func LoadRing(dir string, roots ...Root) (*Ring, error) {
	b, err := os.ReadFile(filepath.Join(dir, RingFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", RingFile, ErrNoKey)
	}
	if err != nil {
		return nil, fmt.Errorf("read the state keys: %w", err)
	}
	for _, root := range roots {
		if plain, err := NewBox(root.Derive(labelRing)).Open(b, []byte(labelRing)); err == nil {
			return ParseRing(plain)
		}
	}
	return nil, fmt.Errorf("open the state keys: %w", ErrKey)
}
