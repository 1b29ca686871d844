package replica

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"time"
)

// What an appliance does not do while it is well, the node counts for its
// operator: whoever has taken the appliance over can do all of it, and nothing
// that is held suffers by it.
const (
	doubtConflict = "conflict" // other bytes for what is held
	doubtFull     = "full"     // no room: a flood, or a quota that is too small
	doubtReplaced = "replaced" // the archive's lock was replaced, or its settings far too often
)

// often is how many times a day a file that kopia overwrites may come anew: its
// maintenance writes one a few times.
const often = 200

// recent is how long what was taken, or had no room, is an alarm. What was refused
// for its bytes stays one until a person enrols the appliance anew.
const recent = 24 * time.Hour

// doubt counts what a request was refused for, and tells the operator once in
// ten minutes.
func (n *Node) doubt(ctx context.Context, v *vault, err error) {
	kind, words := doubtConflict, "an appliance sends other bytes for what is held, which is kept: it may be in an attacker's hands"
	switch {
	case errors.Is(err, ErrQuota), errors.Is(err, ErrNodeFull):
		kind, words = doubtFull, "an appliance has no room here any more: what is held is kept, nothing new comes"
	case errors.Is(err, errReplaced):
		kind, words = doubtReplaced, "the lock of an archive was replaced, or its settings more often than is usual: right when its root key was changed now, else an attack; every version is kept"
	case !errors.Is(err, ErrConflict):
		return
	}
	v.mu.Lock()
	now := v.time()
	if v.doubts == nil {
		v.doubts = map[string]refusal{}
	}
	was := v.doubts[kind]
	v.doubts[kind] = refusal{now, was.Times + 1}
	var serr error
	if now.Sub(was.Last) >= time.Second { // a flood is written down by [Node.listen]
		serr = v.saveContact()
	}
	archive := v.about.Archive
	v.mu.Unlock()
	if serr != nil {
		n.log.WarnContext(ctx, "keep what was refused", "archive", archive, "err", serr)
	}
	if now.Sub(was.Last) >= 10*time.Minute {
		n.log.ErrorContext(ctx, words, "archive", archive, "times", was.Times+1, "err", err)
	}
}

// errReplaced is no error of the request: the bytes were taken.
var errReplaced = errors.New("the lock was replaced")

// lockFile is the blob that the archive's root key opens.
const lockFile = "kopia.repository.f"

// mayReplace refuses a lock that is plainly none of this archive's. What it says
// of itself in the clear never changes, also when the root key does.
func mayReplace(name, held, by string) error {
	if name != lockFile {
		return nil
	}
	was, err := lockID(held)
	if err != nil || was == "" {
		return err
	}
	if id, err := lockID(by); err != nil || id != was {
		return errors.Join(ErrConflict, err)
	}
	return nil
}

func lockID(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil || info.Size() > 1<<20 {
		return "", err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	var lock struct {
		ID string `json:"uniqueID"`
	}
	if json.Unmarshal(b, &lock) != nil {
		return "", nil
	}
	return lock.ID, nil
}

// replaced notes that a file which kopia overwrites has come anew, and reports
// whether that is unusual. The caller holds the lock.
func (v *vault) replaced(name string) bool {
	if name == lockFile {
		return true
	}
	now := v.time()
	if v.anew == nil || now.Sub(v.anewFrom).Abs() > 24*time.Hour {
		v.anew, v.anewFrom = map[string]int{}, now
	}
	v.anew[name]++
	return v.anew[name] > often
}

// own returns an error for a put log, a put or a journal file of an epoch that its
// appliance does not have: believed, it would keep every later appliance's from
// being taken.
func (c clientOf) own(epoch uint32) error {
	if c.Epoch > 0 && epoch > c.Epoch {
		return ErrConflict
	}
	return nil
}
