package replica

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"farol/internal/archive"
)

// A branch is what a node holds of a history that its appliance does not go on
// from: what came after the moment as of which that was recovered, or what the one
// before still sent meanwhile. Nothing of it is removed, and it can be had as of an
// earlier time. Who asks for what there is now gets the history that goes on.

// branchRequest says what is of a branch. The first session of an appliance that
// was enrolled after another brings it, once: the node asks for it in its state, so
// that nobody who only has a certificate can set the history aside.
type branchRequest struct {
	Epoch   uint32           `json:"epoch"`   // of the archive that goes on
	Journal map[string]int64 `json:"journal"` // file → how many of its bytes are not of the branch
	Blobs   []string         `json:"blobs"`   // of the branch, flat
}

// branch tells the node what it holds that this archive does not go on from.
func (s *Sender) branch(ctx context.Context, a *archive.Archive, st *State) error {
	base := a.Adopted()
	if base == nil || st.Branch != a.Epoch() {
		return nil
	}
	rq := branchRequest{Epoch: a.Epoch(), Journal: map[string]int64{}}
	for name, size := range st.Journal {
		if n := base.Keeps(a.Epoch(), name, size); n < size {
			rq.Journal[name] = n
		}
	}
	held, err := s.client.List(ctx, "blobs") // before the put log: what is put meanwhile is in both or in neither
	if err != nil {
		return err
	}
	own := map[string]bool{}
	for e, err := range a.PutLog(0) {
		if err != nil {
			return fmt.Errorf("read the put log: %w", err)
		}
		own[flat(e.Name)] = true // what was deleted since was once of this history
	}
	for name := range held {
		if !own[name] && !mutable(name) {
			rq.Blobs = append(rq.Blobs, name)
		}
	}
	slices.Sort(rq.Blobs)
	if err := s.client.branch(ctx, rq); err != nil {
		return err
	}
	st.Branch = 0
	if n := len(rq.Journal) + len(rq.Blobs); n > 0 {
		s.logger.WarnContext(ctx, "the node holds files of a history that this appliance does not go on from: they stay there, and can be had as of an earlier time", "files", n)
		if s.branched != nil {
			s.branched(ctx, n)
		}
	}
	return nil
}

// OnBranch sets what is done when the node was told that so many of its files are
// of a history that this archive does not go on from. Call it before Run.
func (s *Sender) OnBranch(fn func(ctx context.Context, files int)) { s.branched = fn }

func (c *Client) branch(ctx context.Context, rq branchRequest) error {
	b, err := json.Marshal(rq)
	if err != nil {
		return err
	}
	return c.do(ctx, http.MethodPost, "/v1/branch", b, nil, nil)
}

func (n *Node) takeBranch(w http.ResponseWriter, r *http.Request, v *vault) error {
	var rq branchRequest
	if err := json.NewDecoder(io.LimitReader(r.Body, 256<<20)).Decode(&rq); err != nil {
		return ErrConflict
	}
	client := v.clientOf(r)
	if err := client.own(rq.Epoch); err != nil {
		return err
	}
	leave, err := v.enter(client.Epoch)
	if err != nil {
		return err
	}
	defer leave()
	files, err := v.setBranch(rq)
	if err != nil {
		return err
	}
	if files > 0 {
		n.log.WarnContext(r.Context(), "the appliance goes on from an earlier moment: what came after it stays, and can be had as of then", "archive", v.about.Archive, "files", files)
	}
	return writeJSON(w, map[string]int{"files": files})
}

// setBranch notes among the arrivals what no longer counts from now on.
func (v *vault) setBranch(rq branchRequest) (files int, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.about.Branch == 0 || v.about.Branch != rq.Epoch {
		return 0, ErrConflict // nobody was enrolled since it was said
	}
	if now := v.time(); now.After(v.came.last) {
		v.came.last = now
	}
	ms := v.came.last.UnixMilli()
	var lines strings.Builder
	var out []string
	for _, name := range rq.Blobs {
		if !isBlob(name) || mutable(name) || v.came.out[name] {
			continue
		}
		if _, err := os.Stat(filepath.Join(v.dir, "blobs", name)); errors.Is(err, os.ErrNotExist) {
			continue
		} else if err != nil {
			return 0, err
		}
		fmt.Fprintf(&lines, "x %d %s\n", ms, name)
		out = append(out, name)
	}
	for name, n := range rq.Journal {
		if size, ok := v.journal[name]; !ok || n < 0 || n >= size {
			continue
		}
		fmt.Fprintf(&lines, "t %d %s %d\n", ms, name, n)
		files++
	}
	if files += len(out); files > 0 {
		if err := v.noteArrivals(lines.String()); err != nil {
			return 0, err
		}
		for _, name := range out {
			v.came.out[name] = true
		}
	}
	was := v.about
	v.about.Branch = 0
	return files, v.saveOr(was)
}
