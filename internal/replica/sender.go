package replica

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sort"
	"strings"
	"sync"
	"time"

	"farol/internal/archive"
	"farol/internal/audit"
	"farol/internal/record"
)

// Sender ships archive and audit log to the node, in the order in which every
// prefix is whole: blobs, then the journal that names them, then the log and
// its checkpoint. It catches up after any outage from what the node says it
// holds. Make it before the archive opens: [Sender.Appended] is the archive's
// OnAppend.
type Sender struct {
	nodeLink
	many int64 // from how many bytes behind the node is asked for the names it holds, before anything is sent

	branched func(context.Context, int) // called when the node was told of a branch
	healed   func(context.Context, int) // called when files were sent that the node's disk had damaged
	unmended map[string]bool            // files of the node's that this archive cannot mend; of Run alone

	queue []unsent // journal bytes the node does not have, oldest first; guarded by the link's lock

	shipping sync.Mutex // guards a session's State while a journal overtakes a blob
}

type unsent struct {
	file  string
	begin int64
	end   int64
	at    time.Time
}

// Status is how the off-site copy stands.
type Status struct {
	Connected     bool
	Lag           time.Duration // age of the oldest journal byte that is not off-site; 0 = none
	Behind        int64         // journal and repository bytes still to be sent, as far as known
	LastAck       time.Time     // when the node last acknowledged everything there was
	Checkpoint    int64         // size of the log it last cosigned
	Entries       int64
	DiskFree      int64
	DiskSize      int64
	Verified      time.Time // when the node last read back everything it holds; zero: not yet, or an older node
	VerifiedFiles int64
	Damaged       int           // files that it asks for
	Err           error         // why it is not connected, or what the node refused
	Worst         time.Duration // longest lag seen since the start
	SlowKbit      int64         // the limit that holds it back now, 0 = none does
	SlowUntil     time.Time     // when that ends
}

// NewSender returns a sender to a peer's node. It starts nothing.
func NewSender(c *Client, logger *slog.Logger, now func() time.Time) *Sender {
	s := &Sender{many: 64 << 20}
	s.init(c, audit.NodeWitness, logger, now)
	return s
}

// OnSuperseded sets what is done when the node says that another appliance has
// taken over. Call it before Run; fn may be called again and again.
func (s *Sender) OnSuperseded(fn func(context.Context)) { s.superseded = fn }

// Appended tells of journal bytes that are on the local disk.
func (s *Sender) Appended(file string, off int64, b []byte) {
	s.mu.Lock()
	s.queue = append(s.queue, unsent{file, off, off + int64(len(b)), s.now()})
	s.status.Behind += int64(len(b))
	s.mu.Unlock()
	s.Wake()
}

// File gives one file of the node's copy, for healing: a name of the put log,
// or "journal/" and a journal file's name.
func (s *Sender) File(ctx context.Context, name string) ([]byte, error) {
	what, file := "blobs", flat(name)
	if rest, ok := strings.CutPrefix(name, "journal/"); ok {
		what, file = "journal", rest
	}
	var b bytes.Buffer
	err := s.client.Get(ctx, what, file, &b)
	return b.Bytes(), err
}

// Status is how the copy stands now.
func (s *Sender) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.status
	if len(s.queue) > 0 {
		st.Lag = s.now().Sub(s.queue[0].at)
	}
	if st.Lag > 0 || st.Behind > 0 {
		st.SlowKbit, st.SlowUntil = s.client.pace.slow()
	}
	return st
}

// Run ships until ctx ends.
func (s *Sender) Run(ctx context.Context, a *archive.Archive, l *audit.Log) error {
	s.unmended = map[string]bool{}
	return s.run(ctx, func(ctx context.Context) error { return s.session(ctx, a, l) })
}

// session ships from what the node holds until something fails.
func (s *Sender) session(ctx context.Context, a *archive.Archive, l *audit.Log) error {
	st, err := s.client.State(ctx)
	if err != nil {
		return err
	}
	if st.Fence > a.Epoch() {
		return fmt.Errorf("epoch %d has taken over from %d: %w", st.Fence, a.Epoch(), ErrSuperseded)
	}
	s.met(st)
	if err := s.setBack(ctx, a, l, &st); err != nil {
		return err
	}
	if err := s.branch(ctx, a, &st); err != nil {
		return err
	}
	s.owed(a, &st)
	same, damaged := false, st.Damaged
	for {
		if err := s.gate(); err != nil {
			return err
		}
		logged := l.Changed()
		if err := s.blobs(ctx, a, &st); err != nil {
			return err
		}
		whole, err := s.journal(ctx, a, &st, st.PutPos)
		if err != nil {
			return err
		}
		if !same { // after the archive: its copy goes on whatever became of the log
			if err := s.sameLog(ctx, l, &st); err != nil {
				return err
			}
			same = true
		}
		if err := s.log(ctx, l, &st); err != nil {
			return err
		}
		if whole {
			s.set(func(x *Status) { x.LastAck = s.now() })
			if !s.urgent() {
				s.set(func(x *Status) { x.Behind = 0 })
			}
		}
		if err := s.mend(ctx, a, damaged); err != nil { // what is new goes before
			return err
		}
		if damaged, err = s.idle(ctx, logged); err != nil {
			return err
		}
	}
}

// chunk is how many journal bytes travel in one request.
const chunk = 4 << 20

// owed puts what the node lacks from before this process began first in the
// queue, so that it counts as behind.
func (s *Sender) owed(a *archive.Archive, st *State) {
	files := a.JournalFiles() // before the lock: Appended is called with the journal's held
	s.mu.Lock()
	defer s.mu.Unlock()
	var old []unsent
	for _, f := range files {
		if len(s.queue) > 0 && (f.Name > s.queue[0].file || f.Name == s.queue[0].file && st.Journal[f.Name] >= s.queue[0].begin) {
			break
		}
		if st.Journal[f.Name] < f.Size {
			old = append(old, unsent{f.Name, 0, f.Size, f.Time})
		}
	}
	s.queue = append(old, s.queue...)
}

// journal ships the journal as far as the blobs that it names are held, which
// they are up to put of the put log, and tells whether that was all.
func (s *Sender) journal(ctx context.Context, a *archive.Archive, st *State, put int64) (whole bool, err error) {
	s.shipping.Lock()
	defer s.shipping.Unlock()
	files := a.JournalFiles()
	at := archive.Position{PutLog: st.PutPos}
	sort.Slice(files, func(i, j int) bool { return files[i].Name < files[j].Name })
	for _, f := range files {
		end := min(f.Size, a.Sendable(f.Name, put))
		for off := st.Journal[f.Name]; off < end; {
			b, err := a.ReadJournal(f.Name, off, int(min(chunk, end-off)))
			if err != nil {
				return false, fmt.Errorf("read the journal: %w", err)
			}
			if err := s.client.journal(ctx, f.Name, off, b); err != nil {
				return false, err
			}
			off += int64(len(b))
			st.Journal[f.Name] = off
			s.acked(f.Name, off)
			s.sent(len(b))
		}
		at.File, at.Off = f.Name, st.Journal[f.Name]
		if end < f.Size {
			a.Shipped(at)
			return false, nil // no later file goes before this one's end
		}
	}
	a.Shipped(at)
	return true, nil
}

// behind counts what is still to be sent.
func (s *Sender) behind(a *archive.Archive, st *State) error {
	var n int64
	for e, err := range a.PutLog(st.PutPos) {
		if err != nil {
			return fmt.Errorf("read the put log: %w", err)
		}
		if !e.Deleted {
			n += e.Size
		}
	}
	s.shipping.Lock()
	defer s.shipping.Unlock()
	for _, f := range a.JournalFiles() {
		n += max(f.Size-st.Journal[f.Name], 0)
	}
	s.set(func(x *Status) { x.Behind = n })
	return nil
}

// sent takes n bytes off what is still to be sent.
func (s *Sender) sent(n int) {
	s.set(func(x *Status) { x.Behind = max(x.Behind-int64(n), 0) })
}

// urgent reports whether journal bytes wait.
func (s *Sender) urgent() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.queue) > 0
}

// acked removes from the queue what the node now holds.
func (s *Sender) acked(file string, end int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	for len(s.queue) > 0 && (s.queue[0].file < file || s.queue[0].file == file && s.queue[0].end <= end) {
		s.status.Worst = max(s.status.Worst, now.Sub(s.queue[0].at))
		s.queue = s.queue[1:]
	}
}

func (s *Sender) blobs(ctx context.Context, a *archive.Archive, st *State) error {
	if st.PutEpoch != a.Epoch() {
		st.PutEpoch, st.PutPos = a.Epoch(), 0
	}
	if err := s.behind(a, st); err != nil {
		return err
	}
	n, pos := 0, st.PutPos
	var held map[string]int64
	if st.Blobs > 0 && (pos == 0 || s.Status().Behind > s.many) { // after a recovery, or a seed on a drive: most may be there already
		var err error
		if held, err = s.client.List(ctx, "blobs"); err != nil {
			return err
		}
		st.Blobs = 0
	}
	gone := false
	overtake := func(pos int64) func() error {
		if gone { // what replaced it stands further on: nothing may name it before
			return nil
		}
		return s.overtake(ctx, a, st, pos)
	}
	flush := func() error {
		if pos == st.PutPos {
			return nil
		}
		if err := s.client.putPos(ctx, a.Epoch(), pos); err != nil {
			return err
		}
		s.shipping.Lock()
		defer s.shipping.Unlock()
		st.PutPos = pos
		return nil
	}
	for e, err := range a.PutLog(st.PutPos) {
		if err != nil {
			return fmt.Errorf("read the put log: %w", err)
		}
		if size, ok := held[flat(e.Name)]; ok && size == e.Size && !mutable(e.Name) {
			e.Deleted = true // nothing to send
		}
		if !e.Deleted {
			b, err := a.ReadBlobFile(e.Name)
			switch {
			case errors.Is(err, archive.ErrNotFound):
				gone = true // compacted away since
			case err != nil:
				return fmt.Errorf("read a blob: %w", err)
			default:
				if err := s.sendBlob(ctx, putAt{a.Epoch(), e.Pos}, e, b, overtake(pos)); err != nil {
					return err
				}
			}
		}
		pos = e.Pos
		if n++; n%50 == 0 || s.urgent() && !e.Deleted {
			if err := flush(); err != nil {
				return err
			}
			if !gone {
				if _, err := s.journal(ctx, a, st, pos); err != nil {
					return err
				}
			}
		}
	}
	return flush()
}

// overtake is called while a blob is sent: journal bytes that name no blob
// still to come do not wait for it. The blobs up to put are held.
func (s *Sender) overtake(ctx context.Context, a *archive.Archive, st *State, put int64) func() error {
	looked := time.Now()
	return func() error {
		now := time.Now()
		if now.Sub(looked) < 100*time.Millisecond || !s.urgent() {
			return nil
		}
		looked = now
		_, err := s.journal(ctx, a, st, put)
		return err
	}
}

func (s *Sender) sendBlob(ctx context.Context, at putAt, e archive.PutEntry, b []byte, overtake func() error) error {
	sum := e.SHA256
	if mutable(e.Name) {
		sum = record.HashOf(b) // kopia has written it again since
	}
	if s.client.Protocol() < 2 { // an older node takes nothing else meanwhile
		overtake = nil
	}
	if err := s.client.blob(ctx, e.Name, sum, b, at, overtake); err != nil {
		return err
	}
	s.sent(len(b))
	return nil
}
