package archive

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/kopia/kopia/repo/manifest"
	"github.com/kopia/kopia/snapshot"
)

// Point is one point in time: everything up to commit Seq, as a kopia
// snapshot.
type Point struct {
	ID      string // kopia's snapshot id
	Time    time.Time
	Fold    uint64 // 1, 2, 3 …
	Seq     uint64 // last commit in it
	Records int64  // versions in it
	Blobs   int64  // attached files in it
	Bytes   int64  // plaintext of records and files
	Tags    map[string]string

	root  string // object of the tree's root
	state string
	made  time.Time // of the manifest
}

// pointState is what the next fold and the next open need to know about a
// point. It is a tag of the snapshot, so that a lost pack cannot take it away,
// and for people /farol/state.json. Epoch and File name the last journal file
// the point covers.
type pointState struct {
	Archive string    `json:"archive"`
	Fold    uint64    `json:"fold"`
	Seq     uint64    `json:"seq"`
	Time    time.Time `json:"time"` // of the last commit
	Epoch   uint32    `json:"epoch"`
	File    uint64    `json:"file"`
	Records int64     `json:"records"`
	Blobs   int64     `json:"blobs"`
	Bytes   int64     `json:"bytes"`
	Org     string    `json:"org"`     // name of the tenant's directory
	Pending []uint64  `json:"pending"` // folds whose moves the catalog had not taken
}

// Names in /farol of the tree.
const (
	farolDir    = "farol"
	stateName   = "state.json"
	cursorsName = "cursors.json"
	commitsName = "commits"
)

func pointOf(m *manifest.EntryMetadata) (Point, bool) {
	l := m.Labels
	num := func(k string) int64 { n, _ := strconv.ParseInt(l[k], 10, 64); return n }
	p := Point{
		ID: string(m.ID), Fold: uint64(num("fold")), Seq: uint64(num("seq")),
		Records: num("records"), Blobs: num("blobs"), Bytes: num("bytes"),
		Time: time.UnixMilli(num("time")).UTC(), Tags: map[string]string{}, state: l["state"], made: m.ModTime,
	}
	for k, v := range l {
		switch k {
		case manifest.TypeLabelKey, snapshot.UsernameLabel, snapshot.HostnameLabel, snapshot.PathLabel,
			"fold", "seq", "records", "blobs", "bytes", "time", "state":
		default:
			p.Tags[k] = v
		}
	}
	return p, p.Fold > 0
}

// Points lists the points in time, oldest first.
func (a *Archive) Points(ctx context.Context) ([]Point, error) {
	points, _, err := a.manifests(ctx)
	return points, err
}

// manifests lists the points in time, oldest first, and twins: what a crash
// while a point was held or let go left beside one of them.
func (a *Archive) manifests(ctx context.Context) (points, twins []Point, err error) {
	a.flushMu.Lock()
	list, err := a.w.FindManifests(a.ctx(ctx), map[string]string{
		manifest.TypeLabelKey: snapshot.ManifestType, snapshot.UsernameLabel: clientUser, snapshot.HostnameLabel: clientHost,
	})
	a.flushMu.Unlock()
	if err != nil {
		return nil, nil, fmt.Errorf("list the points in time: %w", kopiaErr(err))
	}
	var out []Point
	for _, m := range list {
		if p, ok := pointOf(m); ok {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(x, y Point) int {
		if x.Fold != y.Fold {
			return int(int64(x.Fold) - int64(y.Fold))
		}
		// A held one counts before one that is not: half a Hold holds, half an
		// Unhold holds still.
		if x.Held() != "" != (y.Held() != "") {
			if x.Held() != "" {
				return -1
			}
			return 1
		}
		return y.made.Compare(x.made)
	})
	for i, p := range out {
		if i > 0 && p.Fold == out[i-1].Fold {
			twins = append(twins, p)
		} else {
			points = append(points, p)
		}
	}
	return points, twins, nil
}

// Forget deletes points in time; maintenance reclaims their space after some
// days. The latest one stays: it holds everything that was folded. It returns
// [ErrNotFound] for an unknown id and changes nothing then.
func (a *Archive) Forget(ctx context.Context, ids ...string) error {
	a.foldMu.Lock()
	defer a.foldMu.Unlock()
	if err := a.writable(); err != nil {
		return fmt.Errorf("forget points: %w", err)
	}
	points, twins, err := a.manifests(ctx)
	if err != nil {
		return err
	}
	known, fold := map[string]bool{}, map[string]uint64{}
	for i, p := range points {
		known[p.ID], fold[p.ID] = i < len(points)-1, p.Fold
	}
	for _, id := range ids {
		ok, there := known[id]
		if !there {
			return fmt.Errorf("forget the point %s: %w", id, ErrNotFound)
		}
		if !ok {
			return fmt.Errorf("forget the point %s: it is the latest", id)
		}
	}
	for _, id := range ids {
		all := []string{id}
		for _, t := range twins {
			if t.Fold == fold[id] {
				all = append(all, t.ID)
			}
		}
		for _, one := range all {
			if err := a.deleteManifest(ctx, one); err != nil {
				return fmt.Errorf("forget the point %s: %w", id, err)
			}
		}
	}
	a.flushMu.Lock()
	defer a.flushMu.Unlock()
	if err := a.w.Flush(a.ctx(ctx)); err != nil {
		return fmt.Errorf("forget points: %w", full(err))
	}
	return nil
}

func (a *Archive) loadSnapshot(ctx context.Context, id string) (*snapshot.Manifest, error) {
	a.flushMu.Lock()
	defer a.flushMu.Unlock()
	return snapshot.LoadSnapshot(a.ctx(ctx), a.w, manifest.ID(id))
}

func (a *Archive) deleteManifest(ctx context.Context, id string) error {
	a.flushMu.Lock()
	defer a.flushMu.Unlock()
	return a.w.DeleteManifest(a.ctx(ctx), manifest.ID(id))
}

// loadPoint finds the latest point and takes its state, cursors and sealed
// files.
func (a *Archive) loadPoint(ctx context.Context) error {
	points, twins, err := a.manifests(ctx)
	if err != nil || len(points) == 0 {
		return err
	}
	if len(twins) > 0 {
		var ids []string
		for _, t := range twins {
			ids = append(ids, t.ID)
		}
		if err := a.deletePoints(ctx, ids); err != nil {
			a.opt.Log.WarnContext(ctx, "a doubled snapshot stays until the next open", "err", err)
		}
	}
	p := points[len(points)-1]
	m, err := a.loadSnapshot(ctx, p.ID)
	if err != nil {
		return fmt.Errorf("load the point %s: %w", p.ID, kopiaErr(err))
	}
	p.root = m.RootObjectID().String()
	if err := json.Unmarshal([]byte(p.state), &a.pointer); err != nil || a.pointer.Fold != p.Fold || a.pointer.Seq != p.Seq {
		return fmt.Errorf("load the point %s: its state differs from its tags: %w", p.ID, ErrCorrupt)
	}
	if err := a.loadOwn(ctx, p.root); err != nil {
		// Records are still there and readable; what is gone costs work.
		a.addDamage(Damage{What: "files of the point", Where: p.ID, Hits: err.Error()})
	}
	a.point, a.foldNo = &p, p.Fold
	a.lastSeq, a.lastTime = a.pointer.Seq, a.pointer.Time
	return nil
}

// loadOwn takes cursors and sealed files from /farol.
func (a *Archive) loadOwn(ctx context.Context, root string) error {
	dir, err := a.openDir(ctx, root, farolDir)
	if err != nil {
		return err
	}
	for name, e := range dir {
		if name != stateName && name != cursorsName && name != commitsName {
			a.sealed[name] = sealedRef{id: e.ObjectID.String()}
		}
	}
	if e := dir[cursorsName]; e != nil {
		b, err := a.readObject(ctx, e.ObjectID.String())
		if err != nil {
			return fmt.Errorf("cursors: %w", err)
		}
		if err := json.Unmarshal(b, &a.cursors); err != nil {
			return fmt.Errorf("cursors: %w", ErrCorrupt)
		}
	}
	return nil
}

// Status is a glance at the archive.
type Status struct {
	ID         string
	LastSeq    uint64
	LastCommit time.Time

	JournalFiles   int   // all that are on disk
	JournalBytes   int64 // in them
	UnfoldedSeq    uint64
	Unfolded       int           // commits no point covers
	UnfoldedBytes  int64         // their plaintext
	PendingMoves   int           // folds whose moves the catalog has not taken
	LastFold       Point         // zero before the first
	FoldTook       time.Duration // the last fold of this process that made a point; 0 before
	Repository     int64         // bytes of the kopia repository
	RepoFiles      int
	DiskFree, Disk int64 // bytes
	Damage         int   // see Archive.Damage
}

// Status never waits for a fold.
func (a *Archive) Status() Status {
	a.j.mu.Lock()
	a.mu.Lock()
	s := Status{ID: a.ID(), LastSeq: a.lastSeq, LastCommit: a.lastTime, PendingMoves: len(a.moves), Damage: len(a.damage), FoldTook: a.foldTook}
	for _, f := range a.j.files {
		s.JournalFiles++
		s.JournalBytes += f.size
		if !f.folded {
			s.UnfoldedBytes += f.plain
		}
	}
	s.Unfolded = len(a.j.refs)
	if len(a.j.refs) > 0 {
		s.UnfoldedSeq = a.j.refs[0].seq
	}
	if a.point != nil {
		s.LastFold = *a.point
		s.LastFold.Tags = maps.Clone(a.point.Tags)
	}
	a.mu.Unlock()
	a.j.mu.Unlock()
	for _, i := range a.blobs.log.snapshot() {
		s.RepoFiles++
		s.Repository += i.size
	}
	s.DiskFree, s.Disk, _ = space(a.dir)
	return s
}
