package replica

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"farol/internal/archive"
	"farol/internal/audit"
	"farol/internal/record"
)

var partName = regexp.MustCompile(`^journal/([^/]+)/(\d{12})$`)

var logName = regexp.MustCompile(`^log/(\d{12})-(\d{12})$`)

// look asks the place what it holds.
func (p *Place) look(ctx context.Context) error {
	if p.listed {
		return nil
	}
	p.held, p.ends, p.locks, p.log0, p.pos = map[string]int64{}, map[string]int64{}, map[string]time.Time{}, 0, 0
	type piece struct{ from, to int64 }
	parts := map[string][]piece{}
	var logs []piece
	var bytes int64
	err := p.t.list(ctx, "", func(name string, size int64) error {
		bytes += size
		p.locks[name] = time.Time{}
		if strings.HasPrefix(name, "archive/") || strings.HasPrefix(name, "versions/") || name == checkpointName {
			p.held[name] = size
		} else if m := partName.FindStringSubmatch(name); m != nil {
			from, _ := strconv.ParseInt(m[2], 10, 64)
			parts[m[1]] = append(parts[m[1]], piece{from, from + size})
		} else if m := logName.FindStringSubmatch(name); m != nil {
			from, _ := strconv.ParseInt(m[1], 10, 64)
			to, _ := strconv.ParseInt(m[2], 10, 64)
			logs = append(logs, piece{from, to})
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("list the place: %w", err)
	}
	end := func(ps []piece) (n int64) {
		slices.SortFunc(ps, func(a, b piece) int { return int(a.from - b.from) })
		for _, q := range ps {
			if q.from > n {
				break // a part is missing: what follows is sent again
			}
			n = max(n, q.to)
		}
		return n
	}
	for name, ps := range parts {
		p.ends[name] = end(ps)
	}
	p.log0 = end(logs)
	p.listed = true
	p.set(func(s *PlaceStatus) { s.Done = bytes })
	return nil
}

// Sync copies what the place does not hold yet, in the order in which every
// prefix is whole: repository, journal, log. Everything is read back.
//
// It returns [ErrGone] when the place is not there, or another one is.
func (p *Place) Sync(ctx context.Context, a *archive.Archive, l *audit.Log) error {
	p.work.Lock()
	defer p.work.Unlock()
	err := p.sync(ctx, a, l)
	p.set(func(s *PlaceStatus) {
		s.Err = err
		switch {
		case err == nil:
			s.State, s.LastOK = "current", p.now()
		case errors.Is(err, ErrRetired):
			s.State = "retired"
		default:
			s.State = "waiting"
		}
	})
	if err != nil {
		p.listed = false
		if errors.Is(err, ErrGone) || errors.Is(err, ErrRetired) {
			p.shut()
		}
		return fmt.Errorf("copy to %s: %w", p.cfg.Kind, err)
	}
	return nil
}

func (p *Place) sync(ctx context.Context, a *archive.Archive, l *audit.Log) error {
	if err := p.gate(); err != nil {
		return err
	}
	if err := p.open(ctx); err != nil {
		return err
	}
	if err := p.begin(ctx, a, l); err != nil {
		return err
	}
	if err := p.look(ctx); err != nil {
		return err
	}
	st, now := a.Status(), p.now()
	p.set(func(s *PlaceStatus) {
		s.Total, s.Answer = st.Repository+st.JournalBytes, now
		if s.State != "current" || s.Done < s.Total {
			s.State = "filling"
		}
	})
	was := a.JournalFiles()
	if err := p.blobs(ctx, a); err != nil {
		return err
	}
	p.prune(ctx, was)
	if err := p.journal(ctx, a); err != nil {
		return err
	}
	if l != nil {
		if err := p.entries(ctx, l); err != nil {
			return err
		}
	}
	free, size := p.t.space()
	p.set(func(s *PlaceStatus) { s.Free, s.Size = free, size })
	p.sweep(ctx)
	return p.relock(ctx) // last: a file that somebody hid must not keep new ones from being copied
}

// put writes a file and reads it back.
func (p *Place) put(ctx context.Context, name string, b []byte, mtime time.Time) error {
	if err := p.t.put(ctx, name, b, mtime); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	back, _, err := p.t.get(ctx, name)
	if err != nil {
		return fmt.Errorf("read %s back: %w", name, err)
	}
	if !bytes.Equal(back, b) {
		return fmt.Errorf("read %s back: %w", name, ErrDamaged)
	}
	if p.listed {
		p.locks[name] = time.Time{} // asked of the place
	}
	p.set(func(s *PlaceStatus) { s.Done += int64(len(b)) - p.held[name] })
	if _, ok := p.held[name]; ok || !strings.HasPrefix(name, "journal/") && !logName.MatchString(name) {
		p.held[name] = int64(len(b))
	}
	return nil
}

func (p *Place) blobs(ctx context.Context, a *archive.Archive) error {
	done := map[string]bool{} // overwritten names: the present bytes go once a pass
	for e, err := range a.PutLog(p.pos) {
		if err != nil {
			return fmt.Errorf("read the put log: %w", err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		size, ok := p.held["archive/"+e.Name]
		if !e.Deleted && !done[e.Name] && (!ok || size != e.Size || mutable(e.Name)) {
			done[e.Name] = mutable(e.Name)
			if err := p.blob(ctx, a, e, ok); err != nil {
				return err
			}
		}
		p.pos = e.Pos
	}
	return nil
}

func (p *Place) blob(ctx context.Context, a *archive.Archive, e archive.PutEntry, held bool) error {
	b, err := a.ReadBlobFile(e.Name)
	if errors.Is(err, archive.ErrNotFound) {
		return nil // compacted away since: what replaced it stands further on
	} else if err != nil {
		return fmt.Errorf("read a file of the repository: %w", err)
	}
	if sum := record.HashOf(b); mutable(e.Name) {
		if old, mtime, err := p.t.get(ctx, "archive/"+e.Name); err == nil {
			if bytes.Equal(old, b) {
				return nil
			}
			if err := p.put(ctx, "versions/"+e.Name+"@"+record.HashOf(old).String()[:16], old, mtime); err != nil {
				return err
			}
		} else if !errors.Is(err, ErrUnknown) {
			return err
		}
	} else if sum != e.SHA256 {
		return fmt.Errorf("%s differs from its hash on the local disk and is not copied: %w", e.Name, archive.ErrCorrupt)
	} else if held {
		p.log.WarnContext(ctx, "a copied file has another length and is written again", "name", e.Name)
	}
	return p.put(ctx, "archive/"+e.Name, b, e.Time)
}

// prune removes the parts of journal files that the archive had given up
// before the last pass over the repository began: their fold is at the place
// now. A place that refuses keeps them.
func (p *Place) prune(ctx context.Context, was []archive.JournalFile) {
	for name, end := range p.ends {
		if slices.ContainsFunc(was, func(f archive.JournalFile) bool { return f.Name == name }) {
			continue
		}
		var parts []string
		err := p.t.list(ctx, "journal/"+name+"/", func(part string, _ int64) error { parts = append(parts, part); return nil })
		slices.Sort(parts)
		slices.Reverse(parts) // what a crash leaves begins at the beginning
		for _, part := range parts {
			if err == nil {
				err = p.t.remove(ctx, part)
				delete(p.locks, part)
			}
		}
		if err != nil {
			p.log.WarnContext(ctx, "folded journal parts stay at a storage place", "place", p.cfg.ID, "err", err)
			continue
		}
		delete(p.ends, name)
		p.set(func(s *PlaceStatus) { s.Done -= end })
	}
}

func (p *Place) journal(ctx context.Context, a *archive.Archive) error {
	files := a.JournalFiles()
	sort.Slice(files, func(i, j int) bool { return files[i].Name < files[j].Name })
	for _, f := range files {
		for off := p.ends[f.Name]; off < f.Size; {
			b, err := a.ReadJournal(f.Name, off, int(min(chunk, f.Size-off)))
			if errors.Is(err, archive.ErrNotFound) {
				break // folded and removed meanwhile; its fold is copied next time
			} else if err != nil {
				return fmt.Errorf("read the journal: %w", err)
			}
			if err := p.put(ctx, fmt.Sprintf("journal/%s/%012d", f.Name, off), b, p.now()); err != nil {
				return err
			}
			off += int64(len(b))
			p.ends[f.Name] = off
		}
	}
	return nil
}

func (p *Place) entries(ctx context.Context, l *audit.Log) error {
	cp, size, _, err := l.Since(0)
	if err != nil {
		return err
	}
	if p.log0 >= size {
		return nil
	}
	for p.log0 < size {
		to := min(p.log0+500, size)
		es, err := l.Raw(p.log0, to)
		if err != nil {
			return err
		}
		var buf []byte
		for _, e := range es {
			buf = append(binary.BigEndian.AppendUint32(buf, uint32(len(e))), e...)
		}
		if err := p.put(ctx, fmt.Sprintf("log/%012d-%012d", p.log0, to), buf, p.now()); err != nil {
			return err
		}
		p.log0 = to
	}
	return p.put(ctx, checkpointName, cp, p.now())
}

// Run copies until ctx ends, at most once in every so often: an object store
// charges for each put.
func (p *Place) Run(ctx context.Context, a *archive.Archive, l *audit.Log, every time.Duration) error {
	defer p.Close()
	wait := time.Second
	for ctx.Err() == nil {
		err := p.Sync(ctx, a, l)
		pause := every
		if err != nil && ctx.Err() == nil {
			p.log.WarnContext(ctx, "a storage place waits", "place", p.cfg.ID, "err", err, "again_in", wait)
			pause, wait = wait, min(wait*2, 5*time.Minute)
		} else {
			wait = time.Second
		}
		if errors.Is(err, ErrRetired) {
			return nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		if err == nil {
			select {
			case <-ctx.Done():
			case <-p.wake:
			case <-time.After(time.Minute): // does it still stand?
			}
		}
	}
	return ctx.Err()
}
