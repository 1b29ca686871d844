package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"farol/internal/archive"
	"farol/internal/catalog"
	"farol/internal/record"
)

// Merged tells what a former appliance held that this one lacked.
type Merged struct {
	Seen    int64 `json:"seen"`    // records that it holds, in every version
	Added   int64 `json:"added"`   // of items that were not here at all
	Newer   int64 `json:"newer"`   // versions that follow the one held here
	Older   int64 `json:"older"`   // versions beside which the one held here stays current
	Damaged int64 `json:"damaged"` // records and attachments that could not be read there
	Bytes   int64 `json:"bytes"`   // taken over, with attachments
}

// Lacking is how many records were not here.
func (m Merged) Lacking() int64 { return m.Added + m.Newer + m.Older }

// lacking is a record that this appliance does not hold in that version.
type lacking struct {
	seq   uint64
	index int
	loc   record.Loc
	held  int64 // the version that is current here, 0 without one
}

const mergeBatch = 500 // records of one commit

// Merge takes over what another copy of the archive holds and this one lacks:
// what a former appliance captured after the node ceased to take it. Each record
// becomes a commit of this archive, in the order of the former's commits, with
// its attachments. Where both captured an item after they parted, the version
// that is current here stays so. With try nothing is taken, only counted.
//
// It may be cut off and begun again.
func (e *Engine) Merge(ctx context.Context, from *archive.Archive, try bool) (m Merged, err error) {
	list, own, err := e.lacks(ctx, from, &m)
	if err != nil {
		return m, fmt.Errorf("compare with the former appliance: %w", err)
	}
	for batch := range slices.Chunk(list, mergeBatch) {
		if err := e.mergeSome(ctx, from, batch, own, try, &m); err != nil {
			return m, fmt.Errorf("take over from the former appliance: %w", err)
		}
	}
	return m, nil
}

// lacks lists what is not here, in the order of commits. own are the items whose
// current version here the other never had.
func (e *Engine) lacks(ctx context.Context, from *archive.Archive, m *Merged) (list []lacking, own map[record.Ref]bool, err error) {
	changed := map[record.Ref]int64{} // item → version that is current here
	var recs []record.Record
	var at []lacking
	look := func() error {
		refs := make([]record.Ref, len(recs))
		for i := range recs {
			refs[i] = recs[i].Ref
		}
		known, err := e.d.Catalog.Known(ctx, refs)
		if err != nil {
			return err
		}
		for i := range recs {
			k, here := known[recs[i].Ref]
			if here {
				held, err := e.holds(ctx, k, &recs[i])
				if err != nil {
					return err
				}
				if held {
					continue
				}
				at[i].held = version(k.Ver, k.State&catalog.Tombstone != 0)
				changed[recs[i].Ref] = at[i].held
			}
			list = append(list, at[i])
		}
		recs, at = recs[:0], at[:0]
		return nil
	}
	err = from.Walk(ctx, func(r record.Record, loc record.Loc, seq uint64, index int) error {
		m.Seen++
		recs, at = append(recs, r), append(at, lacking{seq: seq, index: index, loc: loc})
		if len(recs) < 1000 {
			return nil
		}
		return look()
	})
	if err = errors.Join(err, look()); err != nil && (!errors.Is(err, archive.ErrCorrupt) || ctx.Err() != nil) {
		return nil, nil, err
	}
	if err != nil {
		e.d.Log.ErrorContext(ctx, "part of the former appliance's archive cannot be read", "err", err)
		m.Damaged++
	}
	own = make(map[record.Ref]bool, len(changed))
	for ref := range changed {
		own[ref] = true
	}
	if len(changed) > 0 {
		err := from.WalkIf(ctx, func(ref record.Ref) bool { return own[ref] }, func(r record.Record, _ record.Loc, _ uint64, _ int) error {
			if changed[r.Ref] == version(catalog.Ver(record.HashOf(r.Raw)), r.Deleted) {
				delete(own, r.Ref)
			}
			return nil
		})
		if err != nil && !errors.Is(err, archive.ErrCorrupt) {
			return nil, nil, err
		}
	}
	slices.SortFunc(list, func(a, b lacking) int {
		return cmp.Or(cmp.Compare(a.seq, b.seq), cmp.Compare(a.index, b.index))
	})
	return list, own, nil
}

// version tells a tombstone from what it buries.
func version(ver int64, buried bool) int64 {
	if buried {
		return ^ver
	}
	return ver
}

// holds reports whether a version of an item is here, current or not.
func (e *Engine) holds(ctx context.Context, k catalog.Known, r *record.Record) (bool, error) {
	want := version(catalog.Ver(record.HashOf(r.Raw)), r.Deleted)
	if version(k.Ver, k.State&catalog.Tombstone != 0) == want {
		return k.State&catalog.Incomplete == 0 || len(r.Blobs) == 0, nil
	}
	versions, err := e.d.Catalog.Versions(ctx, every, k.ID, 0)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(versions, func(h catalog.Hit) bool {
		return version(h.Ver, h.State&catalog.Tombstone != 0) == want && (h.State&catalog.Incomplete == 0 || len(r.Blobs) == 0)
	}), nil
}

// every is what the engine itself may look up: it shows nothing to anybody.
var every = record.Scope{All: true, Kinds: record.Kinds, Class: record.Secret, Private: true, Realms: record.AllRealms}

func (e *Engine) mergeSome(ctx context.Context, from *archive.Archive, batch []lacking, own map[record.Ref]bool, try bool, m *Merged) error {
	w, again := &work{}, &work{}
	for _, l := range batch {
		r, err := from.Read(ctx, l.loc)
		if errors.Is(err, archive.ErrCorrupt) {
			m.Damaged++
			continue
		} else if err != nil {
			return err
		}
		m.Bytes += int64(len(r.Raw))
		missing := false
		var blobs []record.Blob
		for _, b := range r.Blobs {
			if !try {
				if b, err = e.carry(ctx, from, b); errors.Is(err, archive.ErrCorrupt) || errors.Is(err, archive.ErrNotFound) {
					m.Damaged++
					missing = true // the record goes without it, as one whose file could not be fetched
					continue
				} else if err != nil {
					return err
				}
			}
			m.Bytes += b.Size
			blobs = append(blobs, b)
		}
		r.Blobs = blobs
		switch {
		case l.held == 0:
			m.Added++
		case own[r.Ref]:
			m.Older++
			if !slices.ContainsFunc(again.recs, func(x record.Record) bool { return x.Ref == r.Ref }) && !try {
				cur, err := e.current(ctx, r.Ref)
				if err != nil {
					return err
				}
				again.recs = append(again.recs, cur)
			}
		default:
			m.Newer++
		}
		w.recs, w.missing = append(w.recs, r), append(w.missing, missing)
	}
	if try {
		return nil
	}
	again.missing = make([]bool, len(again.recs))
	for _, x := range []*work{w, again} {
		if err := e.submit(ctx, x); err != nil {
			return err
		}
	}
	return nil
}

// current reads the version of an item that is current here.
func (e *Engine) current(ctx context.Context, ref record.Ref) (record.Record, error) {
	h, err := e.d.Catalog.ByRef(ctx, every, ref)
	if err != nil {
		return record.Record{}, err
	}
	return e.d.Archive.Read(ctx, h.Loc)
}

// carry brings an attachment into this archive.
func (e *Engine) carry(ctx context.Context, from *archive.Archive, b record.Blob) (record.Blob, error) {
	r, err := from.OpenBlob(ctx, b)
	if err != nil {
		return b, fmt.Errorf("open an attachment: %w", err)
	}
	got, err := e.d.Archive.PutBlob(ctx, b.Name, b.Size, r)
	if err = errors.Join(err, r.Close()); err != nil {
		return b, fmt.Errorf("carry an attachment over: %w", err)
	}
	if got.SHA256 != b.SHA256 {
		return b, fmt.Errorf("an attachment differs from its hash: %w", archive.ErrCorrupt)
	}
	got.MIME = b.MIME
	return got, nil
}
