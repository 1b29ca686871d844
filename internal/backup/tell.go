package backup

import (
	"context"

	"farol/internal/connector"
	"farol/internal/record"
	"farol/internal/watch"
)

// fact is what a commit of rec does, for the watch. edited says that it takes
// the place of a version which upstream showed.
func (e *Engine) fact(rec *record.Record, edited bool, signs watch.Signs) watch.Fact {
	f := watch.Fact{Kind: rec.Kind, Dept: rec.Dept, Held: edited, Deleted: rec.Deleted, Signs: signs}
	if connector.IsDescribing(rec.Ref) {
		return watch.Fact{Kind: rec.Kind} // a renamed group destroys nothing
	}
	f.Container = e.d.Catalog.ContainerID(rec.Kind, rec.Container)
	e.mu.Lock()
	f.First = !e.whole[string(rec.Kind)+"/"+rec.Container]
	e.mu.Unlock()
	if edited && rec.Kind == record.Chat && !rec.Deleted {
		doc, err := e.kinds[rec.Kind].Document(rec)
		f.Deleted = err == nil && doc.State.Recalled // the words are gone upstream
	}
	return f
}

// suspect says what the name and the bytes of a fetched file tell. The version
// before is read only when this one is suspicious.
func (e *Engine) suspect(ctx context.Context, f *taken, name string, look *watch.Look) watch.Signs {
	if e.d.Watch == nil || watch.Suspect(name, look, "", nil) == 0 && !look.Odd() {
		return 0
	}
	if !f.edited {
		return watch.Suspect(name, look, "", nil)
	}
	was, wasName, err := e.lookBefore(ctx, f)
	if err != nil {
		e.d.Log.WarnContext(ctx, "the version before was not looked at", "kind", f.it.Rec.Kind, "err", err)
	}
	return watch.Suspect(name, look, wasName, was)
}

// lookBefore is how the held version of an item looks, nil when it has no file.
func (e *Engine) lookBefore(ctx context.Context, f *taken) (*watch.Look, string, error) {
	loc, err := e.d.Catalog.Where(ctx, f.id)
	if err != nil {
		return nil, "", err
	}
	rec, err := e.read(ctx, f.id, loc)
	if err != nil || len(rec.Blobs) == 0 {
		return nil, "", err
	}
	r, err := e.d.Archive.OpenBlob(ctx, rec.Blobs[0])
	if err != nil {
		return nil, "", err
	}
	defer r.Close()
	look, err := watch.LookAt(r)
	return look, rec.Blobs[0].Name, err
}

func (e *Engine) tellCommitted(ctx context.Context, seq uint64, batch []*work) {
	if e.d.Watch == nil {
		return
	}
	var facts []watch.Fact
	for _, w := range batch {
		facts = append(facts, w.facts...)
	}
	if err := e.d.Watch.Committed(ctx, seq, facts); err != nil {
		e.d.Log.ErrorContext(ctx, "a commit was not judged", "seq", seq, "err", err)
	}
}

// tellEnded hands over what a run listed.
func (e *Engine) tellEnded(ctx context.Context, r *run, state string, kinds []KindProgress) {
	if e.d.Watch == nil || state != Done && state != Partial {
		return
	}
	rep := watch.Report{Whole: r.mode == Full && !r.resumed, Kinds: map[record.Kind]watch.Listing{}}
	chosen, err := e.d.Settings.Chosen(ctx, nil)
	if err == nil {
		rep.Scope = chosen.Mark()
		for _, k := range kinds {
			if k.State == Done {
				rep.Kinds[k.Kind] = watch.Listing{Listed: k.Listed, Held: k.Listed - k.Gaps}
			}
		}
		err = e.d.Watch.Ended(ctx, rep)
	}
	if err != nil {
		e.d.Log.ErrorContext(ctx, "a run was not judged", "run", r.id, "err", err)
	}
}

// loadWhole remembers which containers were walked from beginning to end.
func (e *Engine) loadWhole(ctx context.Context) error {
	at, err := e.walkedAt(ctx)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for key := range at {
		e.whole[key] = true
	}
	return nil
}
