package backup

import (
	"context"
	"slices"

	"farol/internal/catalog"
	"farol/internal/connector"
	"farol/internal/record"
	"farol/internal/settings"
)

// What a listing finds is remembered in memory for the lanes, and kept with the
// settings for the next start: a restart opens the members' event streams at
// once instead of after a listing, which takes minutes in a large tenant.

func (e *Engine) remember(srcs []connector.Source) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range srcs {
		e.sources[string(s.Kind)+"/"+s.ID] = s
	}
}

func (e *Engine) source(k record.Kind, id string) (connector.Source, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s, ok := e.sources[string(k)+"/"+id]
	return s, ok
}

// described remembers a conversation by the record that describes it, before
// what it holds is taken in: of one that is merged, or brought forward to, no
// listing has told yet whether it is private.
func (e *Engine) described(row *catalog.Row) {
	if row.Container == nil {
		return
	}
	src, _ := e.source(row.Container.Kind, row.Container.ID)
	src.Container = *row.Container
	e.remember([]connector.Source{src})
}

// listed keeps what a listing of a kind found. After a whole listing nobody
// reads any more what it did not find. That it could not be kept costs the next
// start its head start and nothing else.
func (e *Engine) listed(ctx context.Context, kind record.Kind, found []connector.Source, whole bool) {
	var keep []settings.Source
	seen := map[string]bool{}
	for _, s := range found {
		seen[s.ID] = true
		if len(s.Via) > 0 {
			keep = append(keep, settings.Source{ID: s.ID, Dept: s.Dept, Private: s.Private, Via: s.Via})
		}
	}
	if whole {
		e.mu.Lock()
		for key, s := range e.sources {
			if s.Kind == kind && !seen[s.ID] && len(s.Via) > 0 {
				s.Via = nil
				e.sources[key] = s
			}
		}
		e.mu.Unlock()
	}
	if err := e.d.Settings.KeepSources(ctx, kind, keep, whole); err != nil && ctx.Err() == nil {
		e.d.Log.WarnContext(ctx, "what a listing found was not kept", "kind", kind, "err", err)
	}
}

// loadSources remembers what the last listings found and who may still be read
// through. What the archive says about a container itself stays.
func (e *Engine) loadSources(ctx context.Context) error {
	kept, err := e.d.Settings.Sources(ctx)
	if err != nil {
		return err
	}
	for _, k := range kept {
		src, known := e.source(k.Kind, k.ID)
		if !known { // of a department that is not chosen: the archive holds nothing of it
			src.Container = record.Container{Kind: k.Kind, ID: k.ID, Dept: k.Dept, Private: k.Private}
		}
		src.Via = slices.Clone(k.Via)
		e.remember([]connector.Source{src})
	}
	return nil
}
