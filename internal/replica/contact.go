package replica

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// When each appliance was heard, what it was refused, and what the node's
// operator is told of it.

// refusal is a checkpoint that did not extend the one held.
type refusal struct {
	Last  time.Time `json:"last"`
	Times int64     `json:"times"`
}

// contact is what is kept beside a vault for [NodeStatus].
type contact struct {
	Heard   time.Time `json:"heard"`
	Refused refusal   `json:"refused"`

	Doubts map[string]refusal `json:"doubts,omitempty"`
}

const contactName = "contact.json"

func (v *vault) loadContact() error {
	c, err := readContact(v.dir)
	v.heard, v.refused, v.doubts = c.Heard, c.Refused, c.Doubts
	return err
}

func readContact(dir string) (c contact, err error) {
	b, err := os.ReadFile(filepath.Join(dir, contactName))
	if errors.Is(err, os.ErrNotExist) {
		return c, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &c)
	}
	if err != nil {
		return c, fmt.Errorf("read the last contact: %w", err)
	}
	return c, nil
}

// hear notes that the appliance which writes was heard, and the node's quota.
func (v *vault) hear(print string, now time.Time, quota int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.quota = quota
	if !v.about.Clients[print].Write {
		return
	}
	first := v.heard.IsZero()
	if v.heard = now; first {
		_ = v.saveContact() // [Node.listen] does it again and says when it fails
	}
}

// refuse notes a refused checkpoint, on disk at once.
func (v *vault) refuse(now time.Time) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.refused = refusal{now, v.refused.Times + 1}
	return v.saveContact()
}

// saveContact writes what was heard; the caller holds the lock.
func (v *vault) saveContact() error {
	b, err := json.Marshal(contact{v.heard, v.refused, v.doubts})
	if err != nil {
		return err
	}
	return replaceFile(filepath.Join(v.dir, contactName), b)
}

// DefaultSilence is after how long an appliance that says nothing is reported:
// it speaks every ten seconds while it is well.
const DefaultSilence = 15 * time.Minute

// listen reports appliances that fall silent, once each time, and keeps when
// they were heard, until ctx ends.
func (n *Node) listen(ctx context.Context) {
	silent := n.silent
	if silent <= 0 {
		silent = DefaultSilence
	}
	t := time.NewTicker(min(silent/4, 30*time.Second))
	defer t.Stop()
	told := map[string]bool{}
	for {
		for _, v := range n.all() {
			v.mu.Lock()
			id, heard := v.about.Archive, v.heard
			err := v.saveContact()
			v.mu.Unlock()
			if err != nil {
				n.log.WarnContext(ctx, "keep the last contact", "archive", id, "err", err)
			}
			switch quiet := n.now().Sub(heard) > silent && !heard.IsZero(); {
			case quiet && !told[id]:
				told[id] = true
				n.log.ErrorContext(ctx, "an appliance is silent: it may be stolen, switched off or cut off", "archive", id, "heard", heard.UTC(), "for", n.now().Sub(heard).Round(time.Second))
			case !quiet && told[id]:
				delete(told, id)
				n.log.InfoContext(ctx, "a silent appliance is heard again", "archive", id)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// Held is how an archive stands on the node, for its operator: no content.
type Held struct {
	Archive     string    `json:"archive"`
	Heard       time.Time `json:"heard"`
	Silent      bool      `json:"silent"`
	Refused     int64     `json:"refused"` // checkpoints that did not extend the one held
	LastRefused time.Time `json:"last_refused,omitzero"`
	Used        int64     `json:"used"`
	Quota       int64     `json:"quota"`     // its own, 0 = the node's
	Witnessed   int64     `json:"witnessed"` // size of the checkpoint that is cosigned

	Conflicts    int64     `json:"conflicts"` // other bytes for what is held, refused
	LastConflict time.Time `json:"last_conflict,omitzero"`
	LastFull     time.Time `json:"last_full,omitzero"`     // something found no room
	LastReplaced time.Time `json:"last_replaced,omitzero"` // the archive's lock came anew, or its settings too often
	Full         bool      `json:"full"`                   // lately
	Replaced     bool      `json:"replaced"`               // lately
	Nearly       bool      `json:"nearly"`                 // nine tenths of the quota are used

	Verified      time.Time `json:"verified,omitzero"` // when everything was last read back; zero: not yet
	VerifiedFiles int64     `json:"verified_files"`    // then
	Damaged       int64     `json:"damaged"`           // files that are not as they came, or gone
	Healed        int64     `json:"healed"`            // by the appliance, since ever
}

// Alarm reports whether somebody should look.
func (h Held) Alarm() bool {
	return h.Silent || h.Refused > 0 || h.Conflicts > 0 || h.Full || h.Replaced || h.Nearly || h.Damaged > 0
}

// NodeStatus reads the folder of a node, which may be running.
func NodeStatus(dir string, silent time.Duration, now time.Time) ([]Held, error) {
	if silent <= 0 {
		silent = DefaultSilence
	}
	ds, err := os.ReadDir(filepath.Join(dir, "vaults"))
	if err != nil {
		return nil, fmt.Errorf("read the node's folder: %w", err)
	}
	var out []Held
	for _, d := range ds {
		h, err := heldIn(filepath.Join(dir, "vaults", d.Name()))
		if err != nil {
			return nil, err
		}
		// what is heard is kept twice a minute
		h.Silent = !h.Heard.IsZero() && now.Sub(h.Heard) > silent+time.Minute
		h.Full, h.Replaced = lately(h.LastFull, now), lately(h.LastReplaced, now)
		out = append(out, h)
	}
	slices.SortFunc(out, func(a, b Held) int { return strings.Compare(a.Archive, b.Archive) })
	return out, nil
}

func lately(t, now time.Time) bool { return !t.IsZero() && now.Sub(t) < recent }

func heldIn(dir string) (h Held, err error) {
	c, err := readContact(dir)
	if err != nil {
		return h, err
	}
	h.Heard, h.Refused, h.LastRefused = c.Heard, c.Refused.Times, c.Refused.Last
	h.Conflicts, h.LastConflict = c.Doubts[doubtConflict].Times, c.Doubts[doubtConflict].Last
	h.LastFull, h.LastReplaced = c.Doubts[doubtFull].Last, c.Doubts[doubtReplaced].Last
	var a about
	b, err := os.ReadFile(filepath.Join(dir, "vault.json"))
	if err == nil {
		err = json.Unmarshal(b, &a)
	}
	if err != nil {
		return h, fmt.Errorf("read what the node holds: %w", err)
	}
	h.Archive, h.Quota = a.Archive, a.Quota
	v := &vault{dir: dir}
	if err := v.loadVerified(); err != nil {
		return h, err
	}
	h.Verified, h.VerifiedFiles, h.Damaged, h.Healed = v.verified.Ended, v.verified.Files, int64(len(v.verified.Damaged)), v.verified.Healed
	for _, sub := range []string{"journal", "blobs", "log"} {
		fs, err := os.ReadDir(filepath.Join(dir, sub))
		if err != nil {
			return h, fmt.Errorf("read what the node holds: %w", err)
		}
		for _, f := range fs {
			if info, err := f.Info(); err == nil { // it may be renamed meanwhile
				h.Used += info.Size()
			}
		}
	}
	h.Witnessed = witnessed(dir, a.LogKey)
	h.Nearly = h.Quota > 0 && h.Used >= h.Quota/10*9
	return h, nil
}
