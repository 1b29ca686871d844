package replica

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"farol/internal/archive"
	"farol/internal/audit"
)

// A place may hold more than the archive that is copied to it: that was recovered
// as of an earlier moment, or from another copy, and goes on from there. What it
// does not go on from is put aside below formerDir, or who recovers from the place
// would get both histories. The marker says which epoch has done so; an appliance
// of an earlier one copies nothing there any more.

// formerDir is followed by the epoch that put the files aside.
const formerDir = "former-"

// begin takes the place up for the archive. p.work is held and p is open.
func (p *Place) begin(ctx context.Context, a *archive.Archive, l *audit.Log) error {
	switch {
	case p.mark.Epoch > a.Epoch():
		return fmt.Errorf("epoch %d copies here, this archive has %d: %w", p.mark.Epoch, a.Epoch(), ErrSuperseded)
	case p.mark.Epoch == a.Epoch():
		return nil
	}
	if base := a.Adopted(); base != nil {
		if err := p.branch(ctx, a, l, base); err != nil {
			return fmt.Errorf("put aside what is of another history: %w", err)
		}
	}
	m := p.mark
	m.Epoch = a.Epoch()
	if err := writeMark(ctx, p.t, m); err != nil {
		return err
	}
	p.mark, p.listed = m, false
	return nil
}

func (p *Place) branch(ctx context.Context, a *archive.Archive, l *audit.Log, base *archive.Adopted) error {
	if p.held == nil {
		p.held = map[string]int64{}
	}
	own := map[string]bool{}
	for e, err := range a.PutLog(0) {
		if err != nil {
			return fmt.Errorf("read the put log: %w", err)
		}
		own["archive/"+e.Name] = true
	}
	logged, err := p.sameLog(ctx, l)
	if err != nil {
		return err
	}
	type part struct {
		name, file string
		from, to   int64
	}
	var out []string
	var parts []part
	held := map[string]int64{} // journal file → bytes
	err = p.t.list(ctx, "", func(name string, size int64) error {
		if rest, ok := strings.CutPrefix(name, "archive/"); ok && !own[name] && !mutable(rest) {
			out = append(out, name)
		} else if m := partName.FindStringSubmatch(name); m != nil {
			from, _ := strconv.ParseInt(m[2], 10, 64)
			parts = append(parts, part{name, m[1], from, from + size})
			held[m[1]] = max(held[m[1]], from+size)
		} else if m := logName.FindStringSubmatch(name); m != nil {
			if to, _ := strconv.ParseInt(m[2], 10, 64); to > logged {
				out = append(out, name)
			}
		} else if name == checkpointName && logged == 0 {
			out = append(out, name)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("list the place: %w", err)
	}
	for _, q := range parts {
		if keep := base.Keeps(a.Epoch(), q.file, held[q.file]); q.to > keep {
			out = append(out, q.name) // what belongs of it is copied again
		}
	}
	slices.Sort(out)
	slices.Reverse(out) // of a journal file the end first: what a crash leaves begins at its beginning
	for _, name := range out {
		if err := p.aside(ctx, name, a.Epoch()); err != nil {
			return err
		}
	}
	if len(out) > 0 {
		p.log.WarnContext(ctx, "a storage place held files of a history that this appliance does not go on from: they were put aside there", "place", p.cfg.ID, "files", len(out), "folder", formerDir+strconv.Itoa(int(a.Epoch())))
	}
	return nil
}

// aside moves a file of the place.
func (p *Place) aside(ctx context.Context, name string, epoch uint32) error {
	b, mtime, err := p.t.get(ctx, name)
	if errors.Is(err, ErrUnknown) {
		return nil
	} else if err != nil {
		return err
	}
	if err := p.put(ctx, fmt.Sprintf("%s%d/%s", formerDir, epoch, name), b, mtime); err != nil {
		return err
	}
	return p.t.remove(ctx, name)
}

// sameLog is how many entries of the log that lies at the place are this log's, 0
// when it is another, or one that went on elsewhere. Without a log nothing of it
// is judged.
func (p *Place) sameLog(ctx context.Context, l *audit.Log) (int64, error) {
	if l == nil {
		return math.MaxInt64, nil
	}
	cp, _, err := p.t.get(ctx, checkpointName)
	if errors.Is(err, ErrUnknown) {
		return 0, nil
	} else if err != nil {
		return 0, err
	}
	lines := strings.SplitN(string(cp), "\n", 3) // origin, size, the rest
	if len(lines) < 3 {
		return 0, nil
	}
	n, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return 0, nil
	}
	own, err := l.CheckpointAt(n) // the bytes that this log signed then
	if errors.Is(err, audit.ErrNotFound) || err == nil && !bytes.Equal(own, cp) {
		return 0, nil
	}
	return n, err
}
