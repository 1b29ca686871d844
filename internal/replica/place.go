package replica

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"farol/internal/archive"
	"farol/internal/audit"
	"farol/internal/record"
)

// PlaceConfig says where a further copy lies. It holds secrets: it is kept
// sealed.
type PlaceConfig struct {
	ID      string    `json:"id"`      // given by AddPlace
	Archive string    `json:"archive"` // likewise: whose copy it is
	Name    string    `json:"name"`    // what people call it
	Kind    string    `json:"kind"`    // dir, s3 or sftp
	Path    string    `json:"path"`    // folder, or prefix inside the bucket
	Host    string    `json:"host,omitempty"`
	Bucket  string    `json:"bucket,omitempty"`
	Region  string    `json:"region,omitempty"`
	User    string    `json:"user,omitempty"`     // or access key
	Secret  string    `json:"secret,omitempty"`   // password, private key in PEM, or secret key
	HostKey string    `json:"host_key,omitempty"` // sftp: as in known_hosts, without the host
	CA      string    `json:"ca,omitempty"`       // s3: certificate of a private server, PEM
	Plain   bool      `json:"plain,omitempty"`    // s3: without TLS, on a trusted wire only
	Mounted bool      `json:"mounted,omitempty"`  // dir: it was a disk of its own when it was added
	Retired bool      `json:"retired,omitempty"`
	Ended   time.Time `json:"ended,omitzero"`   // when it was retired
	Erased  bool      `json:"erased,omitempty"` // and its files removed
	Country string    `json:"country"`          // where the bytes lie: MO, or a law of its own applies
	Filing  string    `json:"filing,omitempty"` // the approval that lets them leave Macau
}

// placeMark is the marker file: without it the place is not there.
type placeMark struct {
	Place   string    `json:"place"`
	Archive string    `json:"archive"`
	Made    time.Time `json:"made"`
	Retired time.Time `json:"retired,omitzero"`
}

const (
	markName       = "farol.place"
	checkpointName = "log/checkpoint"
)

func openTarget(cfg PlaceConfig) (target, error) {
	switch cfg.Kind {
	case "dir":
		return openDir(cfg.Path)
	case "s3":
		return openS3(cfg)
	case "sftp":
		return openSFTP(cfg)
	}
	return nil, fmt.Errorf("no storage place of kind %q", cfg.Kind)
}

// Abroad reports a place whose bytes would leave Macau without an approval.
func (c PlaceConfig) Abroad() bool { return c.Country != "MO" && c.Filing == "" }

// Place is one further copy of an archive and its audit log: every file of the
// repository under its own name, the journal and the log in parts. Nothing in
// it is ever changed but the three files kopia itself overwrites, whose older
// versions stay beside, and nothing goes but journal that was folded. What it holds is asked of the place itself, so no
// state of ours can be wrong about it. It is safe for concurrent use.
type Place struct {
	cfg  PlaceConfig
	t    target
	log  *slog.Logger
	now  func() time.Time
	wake chan struct{}

	work   sync.Mutex       // held by whoever writes to the place
	listed bool             // what follows is what the place holds; guarded by work
	held   map[string]int64 // whole files, with their sizes
	ends   map[string]int64 // journal file → how much of it
	log0   int64            // entries of the log
	pos    int64            // in the put log

	mu     sync.Mutex // guards below
	status PlaceStatus
}

// PlaceStatus is how a further copy stands.
type PlaceStatus struct {
	State  string // new, filling, current, waiting, retired
	Done   int64  // bytes held
	Total  int64  // bytes there are to hold
	Free   int64  // of the disk, 0 where nobody says
	Size   int64
	LastOK time.Time // when it last held everything
	Answer time.Time // when it last answered
	Err    error     // why it waits
}

// AddPlace makes a place for the archive, with a marker. A place that was made
// for the same archive before is taken up again. It returns [ErrForeign] when
// something else lies there.
func AddPlace(ctx context.Context, cfg PlaceConfig, archiveID string) (PlaceConfig, error) {
	fail := func(err error) (PlaceConfig, error) { return cfg, fmt.Errorf("add a storage place: %w", err) }
	if cfg.Kind == "dir" && !filepath.IsAbs(cfg.Path) || cfg.Kind == "sftp" && !strings.HasPrefix(cfg.Path, "/") {
		return fail(errors.New("its path must be absolute"))
	}
	t, err := openTarget(cfg)
	if err != nil {
		return fail(err)
	}
	defer t.close()
	if err := t.check(ctx); err != nil {
		return fail(err)
	}
	if d, ok := t.(*dirTarget); ok {
		cfg.Mounted = d.mounted()
	}
	m, err := readMark(ctx, t)
	switch {
	case err == nil && m.Archive == archiveID:
		cfg.ID, cfg.Retired, cfg.Ended, cfg.Erased = m.Place, false, time.Time{}, false
	case err == nil:
		return fail(ErrForeign)
	case errors.Is(err, ErrUnknown):
		if err := empty(ctx, t); err != nil {
			return fail(err)
		}
		cfg.ID = strings.ToLower(rand.Text())
		m = placeMark{Place: cfg.ID, Archive: archiveID, Made: time.Now().UTC()}
	default:
		return fail(err)
	}
	cfg.Archive, m.Retired = archiveID, time.Time{}
	if err := writeMark(ctx, t, m); err != nil {
		return fail(err)
	}
	return cfg, nil
}

func empty(ctx context.Context, t target) error {
	err := t.list(ctx, "", func(name string, _ int64) error {
		if strings.HasPrefix(name, "lost+found") {
			return nil
		}
		return ErrForeign
	})
	return err
}

func readMark(ctx context.Context, t target) (m placeMark, err error) {
	b, _, err := t.get(ctx, markName)
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return m, fmt.Errorf("read the marker: %w", ErrDamaged)
	}
	return m, nil
}

func writeMark(ctx context.Context, t target, m placeMark) error {
	b, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return err
	}
	return t.put(ctx, markName, append(b, '\n'), time.Now())
}

// NewPlace returns the copy of the archive at a place that was added. It
// touches nothing yet: a place that is not there now may come back.
func NewPlace(cfg PlaceConfig, log *slog.Logger, now func() time.Time) *Place {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if now == nil {
		now = time.Now
	}
	p := &Place{cfg: cfg, log: log, now: now, wake: make(chan struct{}, 1)}
	p.status.State = "new"
	return p
}

// Config is how the place was set up.
func (p *Place) Config() PlaceConfig { return p.cfg }

// Status is how the copy stands now.
func (p *Place) Status() PlaceStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.status
}

func (p *Place) set(fn func(*PlaceStatus)) {
	p.mu.Lock()
	fn(&p.status)
	p.mu.Unlock()
}

// Wake makes Run look for something to copy now.
func (p *Place) Wake() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// open makes sure that this is the place that was added. p.work is held.
func (p *Place) open(ctx context.Context) error {
	if p.t == nil {
		t, err := openTarget(p.cfg)
		if err != nil {
			return err
		}
		if d, ok := t.(*dirTarget); ok && p.cfg.Mounted && !d.mounted() {
			return errors.Join(ErrGone, t.close())
		}
		p.t, p.listed = t, false
	}
	err := p.t.check(ctx)
	var m placeMark
	if err == nil {
		m, err = readMark(ctx, p.t)
	}
	switch {
	case errors.Is(err, ErrUnknown), err == nil && m.Place != p.cfg.ID:
		err = ErrGone
	case err == nil && m.Archive != p.cfg.Archive:
		err = ErrForeign
	case err == nil && !m.Retired.IsZero():
		return ErrRetired // the connection stays: it may be asked to erase
	}
	if err != nil {
		p.shut()
	}
	return err
}

func (p *Place) shut() {
	if p.t != nil {
		if err := p.t.close(); err != nil {
			p.log.Debug("close a storage place", "err", err)
		}
	}
	p.t, p.listed = nil, false
}

// Close lets go of the place.
func (p *Place) Close() {
	p.work.Lock()
	defer p.work.Unlock()
	p.shut()
}

var partName = regexp.MustCompile(`^journal/([^/]+)/(\d{12})$`)
var logName = regexp.MustCompile(`^log/(\d{12})-(\d{12})$`)

// look asks the place what it holds.
func (p *Place) look(ctx context.Context) error {
	if p.listed {
		return nil
	}
	p.held, p.ends, p.log0, p.pos = map[string]int64{}, map[string]int64{}, 0, 0
	type piece struct{ from, to int64 }
	parts := map[string][]piece{}
	var logs []piece
	var bytes int64
	err := p.t.list(ctx, "", func(name string, size int64) error {
		bytes += size
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
	if err := p.open(ctx); err != nil {
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
	return nil
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

// PlaceReport is what reading a place again found.
type PlaceReport struct {
	Files   int64
	Bytes   int64
	Damaged []string // names that were missing or differed, all written again
}

// Verify reads every file of the repository at the place and compares it with
// the hash taken when it was first written; what differs is written again from
// the local disk.
func (p *Place) Verify(ctx context.Context, a *archive.Archive, progress func(done, total int64)) (r PlaceReport, err error) {
	p.work.Lock()
	defer p.work.Unlock()
	fail := func(err error) (PlaceReport, error) { return r, fmt.Errorf("verify the copy: %w", err) }
	if err := p.open(ctx); err != nil {
		return fail(err)
	}
	live := map[string]archive.PutEntry{}
	var total int64
	for e, err := range a.PutLog(0) {
		if err != nil {
			return fail(err)
		}
		if e.Deleted || mutable(e.Name) {
			delete(live, e.Name)
			continue
		}
		live[e.Name] = e
	}
	for _, e := range live {
		total += e.Size
	}
	for name, e := range live {
		if err := ctx.Err(); err != nil {
			return fail(err)
		}
		b, _, err := p.t.get(ctx, "archive/"+name)
		if err != nil && !errors.Is(err, ErrUnknown) {
			return fail(err)
		}
		if err != nil || record.HashOf(b) != e.SHA256 {
			good, err := a.ReadBlobFile(name)
			if errors.Is(err, archive.ErrNotFound) {
				continue
			} else if err == nil && record.HashOf(good) != e.SHA256 {
				err = archive.ErrCorrupt
			}
			if err != nil {
				return fail(err)
			}
			if err := p.put(ctx, "archive/"+name, good, e.Time); err != nil {
				return fail(err)
			}
			r.Damaged = append(r.Damaged, name)
		}
		r.Files++
		r.Bytes += e.Size
		if progress != nil {
			progress(r.Bytes, total)
		}
	}
	slices.Sort(r.Damaged)
	return r, nil
}

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
// goes on where the first broke off.
func FetchPlace(ctx context.Context, cfg PlaceConfig, dir, logDir string, progress func(done, total int64)) error {
	t, err := openTarget(cfg)
	if err != nil {
		return fmt.Errorf("fetch the copy: %w", err)
	}
	defer t.close()
	if err := t.check(ctx); err != nil {
		return fmt.Errorf("fetch the copy: %w", err)
	}
	if _, err = readMark(ctx, t); errors.Is(err, ErrUnknown) {
		err = ErrGone
	}
	if err != nil {
		return fmt.Errorf("fetch the copy: %w", err)
	}
	p := &Place{cfg: cfg, t: t, log: slog.New(slog.DiscardHandler), now: time.Now}
	if err := p.fetch(ctx, dir, logDir, progress); err != nil {
		return fmt.Errorf("fetch the copy: %w", err)
	}
	return nil
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

// Retire ends the use of a place. Before, it must hold everything, unless it
// is gone for ever; erase removes the copy as well, with progress, and leaves
// the marker for last.
func (p *Place) Retire(ctx context.Context, erase bool, progress func(done, total int64)) error {
	p.work.Lock()
	defer p.work.Unlock()
	if err := p.open(ctx); err != nil && !errors.Is(err, ErrRetired) {
		return fmt.Errorf("retire the place: %w", err)
	}
	defer p.shut()
	m, err := readMark(ctx, p.t)
	if err == nil {
		m.Retired = p.now().UTC()
		err = writeMark(ctx, p.t, m)
	}
	if err != nil {
		return fmt.Errorf("retire the place: %w", err)
	}
	p.set(func(s *PlaceStatus) { s.State, s.Err = "retired", nil })
	if !erase {
		return nil
	}
	var names []string
	err = p.t.list(ctx, "", func(name string, _ int64) error {
		if name != markName {
			names = append(names, name)
		}
		return nil
	})
	for i, name := range names {
		if err == nil {
			err = p.t.remove(ctx, name)
		}
		if err == nil && progress != nil {
			progress(int64(i+1), int64(len(names)))
		}
	}
	if err == nil {
		err = p.t.remove(ctx, markName)
	}
	if err != nil {
		return fmt.Errorf("erase the retired place: %w", err)
	}
	return nil
}
