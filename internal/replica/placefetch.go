package replica

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// File gives one file of the copy, for healing: a name of the put log, or
// "journal/" and a journal file's name. It returns [ErrUnknown] for others.
func (p *Place) File(ctx context.Context, name string) ([]byte, error) {
	q := NewPlace(p.cfg, p.log, p.now) // a connection of its own: a long copy must not hold up healing
	defer q.Close()
	if err := q.open(ctx); err != nil {
		return nil, err
	}
	if file, ok := strings.CutPrefix(name, "journal/"); ok {
		return q.join(ctx, "journal/"+file+"/")
	}
	b, _, err := q.t.get(ctx, "archive/"+name)
	return b, err
}

// join puts the parts below prefix together.
func (p *Place) join(ctx context.Context, prefix string) ([]byte, error) {
	var names []string
	err := p.t.list(ctx, prefix, func(name string, _ int64) error { names = append(names, name); return nil })
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	var out []byte
	for _, name := range names {
		m := partName.FindStringSubmatch(name)
		if m == nil {
			continue
		}
		off, _ := strconv.ParseInt(m[2], 10, 64)
		if off > int64(len(out)) {
			break
		}
		b, _, err := p.t.get(ctx, name)
		if err != nil {
			return nil, err
		}
		if off+int64(len(b)) > int64(len(out)) {
			out = append(out[:off], b...)
		}
	}
	if len(out) == 0 {
		return nil, ErrUnknown
	}
	return out, nil
}

// FetchPlace brings a copy home: into dir/archive and dir/journal, ready for
// [archive.Adopt], and the log into logDir as the node gives it. A second try
// goes on where the first broke off. With a time it brings what the place held
// then, or returns [ErrNoHistory]. epoch is that of the archive that copied there.
func FetchPlace(ctx context.Context, cfg PlaceConfig, at time.Time, dir, logDir string, progress func(done, total int64)) (epoch uint32, err error) {
	fail := func(err error) (uint32, error) { return 0, fmt.Errorf("fetch the copy: %w", err) }
	t, err := openThen(ctx, cfg, at)
	if err != nil {
		return fail(err)
	}
	defer t.close()
	if err := t.check(ctx); err != nil {
		return fail(err)
	}
	m, err := readMark(ctx, t)
	if errors.Is(err, ErrUnknown) {
		err = ErrGone
	}
	if err != nil {
		return fail(err)
	}
	p := &Place{cfg: cfg, t: t, log: slog.New(slog.DiscardHandler), now: time.Now}
	if err := p.fetch(ctx, dir, logDir, progress); err != nil {
		return fail(err)
	}
	return m.Epoch, nil
}

func openThen(ctx context.Context, cfg PlaceConfig, at time.Time) (target, error) {
	if at.IsZero() {
		return openTarget(cfg)
	}
	return openAt(ctx, cfg, at)
}

func (p *Place) fetch(ctx context.Context, dir, logDir string, progress func(done, total int64)) error {
	sizes := map[string]int64{}
	journals := map[string]bool{}
	var logs []string
	var done, total int64
	err := p.t.list(ctx, "", func(name string, size int64) error {
		if !filepath.IsLocal(name) {
			return fmt.Errorf("the place names a file outside: %w", ErrForeign)
		}
		total += size
		if strings.HasPrefix(name, "archive/") {
			sizes[name] = size
		} else if m := partName.FindStringSubmatch(name); m != nil {
			journals[m[1]] = true
		} else if logName.MatchString(name) {
			logs = append(logs, name)
		}
		return nil
	})
	if err != nil {
		return err
	}
	step := func(n int) {
		done += int64(n)
		if progress != nil {
			progress(done, total)
		}
	}
	for name, size := range sizes {
		to := filepath.Join(dir, name)
		if fi, err := os.Stat(to); err == nil && fi.Size() == size {
			step(int(size))
			continue
		}
		b, mtime, err := p.t.get(ctx, name)
		if err != nil {
			return err
		}
		if err := saveFile(to, b, mtime); err != nil {
			return err
		}
		step(len(b))
	}
	for name := range journals {
		b, err := p.join(ctx, "journal/"+name+"/")
		if err != nil {
			return err
		}
		if err := saveFile(filepath.Join(dir, "journal", name), b, time.Now()); err != nil {
			return err
		}
		step(len(b))
	}
	slices.Sort(logs)
	var log []byte
	var next int64
	for _, name := range logs {
		m := logName.FindStringSubmatch(name)
		from, _ := strconv.ParseInt(m[1], 10, 64)
		to, _ := strconv.ParseInt(m[2], 10, 64)
		if from != next { // an upload that was repeated after a crash begins where this one did
			continue
		}
		b, _, err := p.t.get(ctx, name)
		if err != nil {
			return err
		}
		log, next = append(log, b...), to
		step(len(b))
	}
	if next == 0 {
		return nil
	}
	cp, _, err := p.t.get(ctx, checkpointName)
	if err != nil && !errors.Is(err, ErrUnknown) {
		return err
	}
	if err == nil {
		if err := saveFile(filepath.Join(logDir, "checkpoint"), cp, time.Now()); err != nil {
			return err
		}
	}
	return saveFile(filepath.Join(logDir, "entries.log"), log, time.Now())
}

func saveFile(path string, b []byte, mtime time.Time) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if err := replaceFile(path, b); err != nil {
		return err
	}
	return os.Chtimes(path, mtime, mtime)
}
