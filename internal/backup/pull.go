package backup

import (
	"context"
	"encoding/json"
	"maps"
	"slices"

	"farol/internal/connector"
	"farol/internal/record"
)

// Names of cursors in the archive: "c/" where the next incremental begins,
// "f/" how far the full run has come in a container.
func cursorKey(kind record.Kind, container string) string {
	return "c/" + string(kind) + "/" + container
}

func fullKey(kind record.Kind, container string) string { return "f/" + string(kind) + "/" + container }

// walk is how far a full run has come in one container.
type walk struct {
	Run    int64  `json:"run"`
	Listed int64  `json:"listed"`
	Gaps   int64  `json:"gaps"`
	Cursor string `json:"cursor"`
	Done   bool   `json:"done"`
}

func (e *Engine) walkOf(kind record.Kind, container string, runID int64) (w walk) {
	if json.Unmarshal([]byte(e.d.Archive.Cursor(fullKey(kind, container))), &w) != nil || w.Run != runID {
		return walk{Run: runID}
	}
	return w
}

// pull reads one container: from its cursor, or from the beginning in a full
// run, or from where an interrupted full run stood.
func (e *Engine) pull(ctx context.Context, r *run, env *connector.Env, c connector.Connector, src connector.Source, keep func(*connector.Item) bool) error {
	kind := c.Kind()
	defer e.lock(kind, src.ID)()
	had := e.d.Archive.Cursor(cursorKey(kind, src.ID))
	cursor := had
	w := walk{Run: r.id}
	whole := had == "" // this pull walks the container from beginning to end
	if r.mode == Full {
		w = e.walkOf(kind, src.ID, r.id)
		if w.Done {
			return nil
		}
		cursor, whole = w.Cursor, w.Cursor == ""
	}
	total := result{listed: w.Listed, gaps: w.Gaps}
	seen := map[int64]bool{}
	pending := map[string]string{}
	pages := 0
	part := 0.0
	err := c.Pull(ctx, env, src, cursor, func(p connector.Page) error {
		p.Items = slices.DeleteFunc(p.Items, func(it connector.Item) bool { return !keep(&it) })
		if _, ok := c.(connector.Confirmer); ok && whole {
			for i := range p.Items {
				seen[e.d.Catalog.ItemID(string(kind), src.ID, p.Items[i].Rec.ID)] = true
			}
		}
		if p.Cursor != "" {
			w.Cursor = p.Cursor
			if r.mode != Full || had == "" || p.Walked {
				pending[cursorKey(kind, src.ID)] = p.Cursor
			}
		}
		res, err := e.takeCounting(ctx, r, kind, src.ID, p, &w, &total, pending, pages)
		if err != nil {
			return err
		}
		pages++
		e.update(r, kind, func(k *KindProgress) {
			k.Listed += res.listed
			k.Same += res.same
			k.Added += res.added
			k.Changed += res.changed
			k.Gaps += res.gaps
			k.Bytes += res.bytes
			k.Part += p.Done - part
			part = p.Done
		})
		return nil
	})
	e.update(r, kind, func(k *KindProgress) { k.Part -= part })
	if err != nil {
		return err
	}
	if r.mode != Full && !whole {
		return e.grew(ctx, kind, src.ID, total)
	}
	if conf, ok := c.(connector.Confirmer); ok && whole {
		if err := e.tombstones(ctx, env, conf, kind, src.ID, seen); err != nil {
			return err
		}
	}
	return e.walked(ctx, kind, src.ID, src.Dept, total)
}

// takeCounting commits a page with the cursors that belong to it. A page that
// brought nothing new only moves the cursor now and then, so that a full walk
// over what is held already writes next to nothing.
func (e *Engine) takeCounting(ctx context.Context, r *run, kind record.Kind, container string, p connector.Page, w *walk, total *result, pending map[string]string, pages int) (result, error) {
	return e.take(ctx, p.Items, p.Lost, kind, container, func(res result) (map[string]string, error) {
		total.add(res)
		if r.mode == Full {
			w.Done, w.Listed, w.Gaps = p.Walked, total.listed, total.gaps
			b, err := json.Marshal(w)
			if err != nil {
				return nil, err
			}
			pending[fullKey(kind, container)] = string(b)
		}
		if !p.Walked && res.added+res.changed == 0 && pages%50 != 49 {
			return nil, nil
		}
		cursors := maps.Clone(pending)
		clear(pending)
		return cursors, nil
	}, origin{asked: p.Asked})
}
