package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"farol/internal/archive"
	"farol/internal/audit"
	"farol/internal/catalog"
	"farol/internal/record"
	"farol/internal/watch"
)

// batch is how many versions are looked up and read at a time.
const batch = 500

// saveEvery bounds how much reading a crash repeats.
const saveEvery = time.Minute

// stretch is one piece of a run between its begin and its stop.
type stretch struct {
	v     *Verifier
	r     *Run
	began time.Time
	took  time.Duration // of the stretches before
	until time.Time     // zero: no end
	found []watch.Finding
	seen  map[string]bool // attached files read in this stretch
}

// tick brings the time at work up to date.
func (s *stretch) tick() { s.r.Took = s.took + s.v.d.Now().Sub(s.began) }

func (s *stretch) over() bool { return !s.until.IsZero() && !s.v.d.Now().Before(s.until) }

// yield waits while a full backup runs; the time is not counted.
func (s *stretch) yield(ctx context.Context) error {
	for s.v.d.Busy() {
		began := s.v.d.Now()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Second):
		}
		if !s.until.IsZero() {
			s.until = s.until.Add(s.v.d.Now().Sub(began))
		}
	}
	return ctx.Err()
}

// read reads versions back in their order and adds them to their parts.
func (s *stretch) read(ctx context.Context, hits []catalog.Hit, each func(h *catalog.Hit, rec *record.Record) error) error {
	recs := make([]*record.Record, len(hits))
	locs := make([]record.Loc, len(hits))
	for i := range hits {
		locs[i] = hits[i].Loc
	}
	err := s.v.d.Archive.ReadMany(ctx, locs, func(i int, r record.Record) error { recs[i] = &r; return nil })
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	for i := range hits {
		h := &hits[i]
		p := s.r.cursor.part(h.Kind, h.Dept)
		rec := recs[i]
		if rec == nil { // its segment could not be read whole, or a fold has moved it
			one, err := s.one(ctx, h)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				s.bad(p, h)
				continue
			}
			rec = &one
		}
		if catalog.Ver(record.HashOf(rec.Raw)) != h.Ver {
			s.bad(p, h) // a sound record, but not the one that was captured here
			continue
		}
		p.Records++
		p.Bytes += int64(len(rec.Raw))
		p.Tree.Add(record.LeafHash(rec.Leaf()))
		s.r.Records++
		s.r.Bytes += int64(len(rec.Raw))
		for _, b := range rec.Blobs {
			if err := s.file(ctx, p, h, b); err != nil {
				return err
			}
		}
		if each != nil {
			if err := each(h, rec); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *stretch) one(ctx context.Context, h *catalog.Hit) (record.Record, error) {
	rec, err := s.v.d.Archive.Read(ctx, h.Loc)
	if !errors.Is(err, archive.ErrNotFound) {
		return rec, err
	}
	loc, err := s.v.d.Catalog.Where(ctx, h.ID)
	if err != nil {
		return rec, err
	}
	return s.v.d.Archive.Read(ctx, loc)
}

// file reads an attached file, once in a stretch however many versions name it.
func (s *stretch) file(ctx context.Context, p *part, h *catalog.Hit, b record.Blob) error {
	key := b.Object + b.SHA256.String()
	if b.Object == "" || s.seen[key] {
		return nil
	}
	if len(s.seen) < 1<<20 {
		s.seen[key] = true
	}
	sum, err := func() (sum record.Hash, err error) {
		r, err := s.v.d.Archive.OpenBlob(ctx, b)
		if err != nil {
			return sum, err
		}
		defer r.Close()
		return record.HashReader(readerOf(ctx, r))
	}()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil || sum != b.SHA256 {
		s.bad(p, h)
		return nil
	}
	p.Files++
	p.Bytes += b.Size
	s.r.Files++
	s.r.Bytes += b.Size
	return nil
}

// readerOf ends with ctx, so that a large file does not hold up the end.
func readerOf(ctx context.Context, r io.Reader) io.Reader { return &ending{ctx, r} }

type ending struct {
	ctx context.Context
	r   io.Reader
}

func (e *ending) Read(p []byte) (int, error) {
	if err := e.ctx.Err(); err != nil {
		return 0, err
	}
	return e.r.Read(p)
}

// bad counts a version that could not be read as it was captured.
func (s *stretch) bad(p *part, h *catalog.Hit) {
	p.Bad++
	s.r.Bad++
	for i := range s.found {
		if f := &s.found[i]; f.Cause == watch.Damage && f.Kind == h.Kind && f.Container == h.Container {
			f.Seen++
			f.Held++
			return
		}
	}
	s.found = append(s.found, watch.Finding{Cause: watch.Damage, Kind: h.Kind, Dept: h.Dept, Container: h.Container, Seen: 1, Held: 1})
}

// all reads everything on from where the run stands, for at most budget (0: to
// the end).
func (v *Verifier) all(ctx context.Context, r Run, budget time.Duration) (Run, error) {
	s := v.stretch(&r, budget)
	return r, v.finish(ctx, s, v.readAll(ctx, s))
}

func (v *Verifier) stretch(r *Run, budget time.Duration) *stretch {
	s := &stretch{v: v, r: r, seen: map[string]bool{}, began: v.d.Now(), took: r.Took}
	if budget > 0 {
		s.until = s.began.Add(budget)
	}
	return s
}

func (v *Verifier) readAll(ctx context.Context, s *stretch) error {
	saved := s.began
	s.r.State = Running
	cur := &s.r.cursor
	if !cur.FilesDone {
		if err := v.files(ctx, s); err != nil || !cur.FilesDone {
			return err
		}
	}
	total, err := v.d.Catalog.Rows(ctx)
	if err != nil {
		return err
	}
	for {
		if err := s.yield(ctx); err != nil {
			return err
		}
		hits, err := v.d.Catalog.Every(ctx, cur.Container, cur.Row, batch)
		if err != nil {
			return err
		}
		if len(hits) == 0 {
			s.r.State = Done
			return nil
		}
		if err := s.read(ctx, hits, nil); err != nil {
			return err
		}
		last := hits[len(hits)-1]
		cur.Container, cur.Row = last.Container, last.ID
		cur.Rows += int64(len(hits))
		v.progress(cur.Rows, max(total, cur.Rows))
		if s.over() { // not before: a stretch always comes further
			s.r.State = Waiting
			return nil
		}
		if now := v.d.Now(); now.Sub(saved) >= saveEvery {
			saved = now
			s.tick()
			if err := v.save(ctx, s.r); err != nil {
				return err
			}
		}
	}
}

// files compares the archive's own files, which heals them from their parity or
// an off-site copy, with one entry for each.
func (v *Verifier) files(ctx context.Context, s *stretch) error {
	cur := &s.r.cursor
	if cur.File == "" && cur.Rows == 0 {
		cur.Container, cur.Row = -1<<63, 0
	}
	for !cur.FilesDone {
		if err := s.yield(ctx); err != nil {
			return err
		}
		pause := v.d.Now().Add(saveEvery)
		rep, next, err := v.d.Archive.CheckSome(ctx, cur.File, func() bool { return s.over() || v.d.Busy() || !v.d.Now().Before(pause) }, v.progress)
		if err != nil {
			return err
		}
		cur.File, cur.FilesDone = next, next == ""
		if err := v.heard(ctx, s, rep.Damage); err != nil {
			return err
		}
		if !cur.FilesDone && s.over() {
			s.r.State = Waiting
			return nil
		}
	}
	return nil
}

// heard notes damage of files.
func (v *Verifier) heard(ctx context.Context, s *stretch, damage []archive.Damage) error {
	for _, d := range damage {
		f := watch.Finding{Cause: watch.Damage, Seen: 1, Held: 1}
		if len(s.found) > 0 && s.found[0].Kind == "" {
			s.found[0].Seen++
			s.found[0].Held++
		} else {
			s.found = append([]watch.Finding{f}, s.found...)
		}
		if !d.Healed {
			s.r.Bad++
			continue
		}
		s.r.Healed++
		if _, err := v.d.Audit.Append(ctx, audit.Event{Actor: "system", Operation: "integrity.heal", Object: "archive/" + d.Where, Outcome: "ok", Detail: map[string]string{"what": d.What, "by": d.By}}); err != nil {
			return fmt.Errorf("write the entry of a healing: %w", err)
		}
	}
	return nil
}

// finish keeps the run, raises what was found and writes the entry. A stretch
// that the end of the process cut short stays to be gone on with.
func (v *Verifier) finish(ctx context.Context, s *stretch, err error) error {
	s.tick()
	s.r.Ended = v.d.Now()
	cut := ctx.Err() != nil
	ctx = context.WithoutCancel(ctx)
	if err != nil && !cut {
		s.r.State = Failed
	}
	errs := []error{err}
	if s.r.State == Done {
		if n, lerr := v.d.Audit.Verify(); lerr != nil {
			errs = append(errs, lerr)
			s.r.Bad++
			v.d.Log.ErrorContext(ctx, "the audit log does not verify", "entries", n, "err", lerr)
		}
	}
	errs = append(errs, v.save(ctx, s.r))
	if len(s.found) > 0 {
		errs = append(errs, v.d.Alarms.Raise(ctx, s.found...))
	}
	if s.r.State == Done || s.r.State == Failed {
		errs = append(errs, v.entry(ctx, s.r))
	}
	return errors.Join(errs...)
}

func (v *Verifier) entry(ctx context.Context, r *Run) error {
	n := func(x int64) string { return strconv.FormatInt(x, 10) }
	ev := audit.Event{Actor: r.By, Operation: "integrity.verify", Object: "archive", Outcome: "ok",
		Detail: map[string]string{"what": r.What, "records": n(r.Records), "files": n(r.Files), "bytes": n(r.Bytes), "damage": n(r.Bad), "healed": n(r.Healed), "listed": n(r.Listed), "missing": n(r.Missing)}}
	if r.State == Failed || r.Bad > 0 || r.Missing > 0 {
		ev.Operation, ev.Outcome = "integrity.fail", "failed"
	}
	if _, err := v.d.Audit.Append(ctx, ev); err != nil {
		return fmt.Errorf("write the entry of a verification: %w", err)
	}
	return nil
}
