package replica

import (
	"fmt"
	"maps"
	"net/http"
)

// putAt is the place of a put in the put log of an epoch. The zero value is of an
// appliance that does not say it.
type putAt struct {
	Epoch uint32 `json:"epoch"`
	Pos   int64  `json:"pos"`
}

// putAtHeader comes with a blob: a request may arrive long after its appliance
// gave it up, and of the names that kopia overwrites the last version counts,
// not the last to arrive.
const putAtHeader = "Farol-Put-At"

func (p putAt) String() string { return fmt.Sprintf("%d/%d", p.Epoch, p.Pos) }

// putAtOf is what the request says, zero when it says nothing that is understood.
func putAtOf(h http.Header) (p putAt) {
	if _, err := fmt.Sscanf(h.Get(putAtHeader), "%d/%d", &p.Epoch, &p.Pos); err != nil {
		return putAt{}
	}
	return p
}

// before reports whether a put is known to be older than another.
func (p putAt) before(q putAt) bool {
	return p != putAt{} && (p.Epoch < q.Epoch || p.Epoch == q.Epoch && p.Pos < q.Pos)
}

// setPutAt notes on disk which put the version is of that will be held, ahead of
// it: after a crash in between the same put comes again and is taken. The caller
// holds the lock.
func (v *vault) setPutAt(name string, at putAt) error {
	if at == (putAt{}) || at == v.about.Mutable[name] {
		return nil
	}
	was := v.about
	v.about.Mutable = maps.Clone(was.Mutable) // was stays as it is
	if v.about.Mutable == nil {
		v.about.Mutable = map[string]putAt{}
	}
	v.about.Mutable[name] = at
	return v.saveOr(was)
}

// putPos notes up to which put-log position the blobs are held.
func (v *vault) setPutPos(epoch uint32, pos int64) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if epoch < v.about.Epoch {
		return ErrConflict // an appliance that was recovered elsewhere since
	}
	if epoch == v.about.Epoch && pos <= v.about.PutPos {
		return nil
	}
	was := v.about
	v.about.Epoch, v.about.PutPos = epoch, pos
	return v.saveOr(was)
}

// saveOr goes back to what was when it cannot be saved: what is told as held is
// on disk.
func (v *vault) saveOr(was about) error {
	err := v.save()
	if err != nil {
		v.about = was
	}
	return err
}
