package replica

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"farol/internal/audit"
	"farol/internal/record"
)

// second is a witness beside a pair's node: a real node of its own.
type second struct {
	*pair
	w     *Witness
	there *Node
	home  string // of that node
	addr2 string
	stop2 func()
}

func withWitness(t *testing.T) *second {
	t.Helper()
	s := &second{pair: newPair(t), home: filepath.Join(t.TempDir(), "witness")}
	s.open()
	s.enrol()
	return s
}

// open runs the witness's node, as its folder is.
func (s *second) open() {
	s.t.Helper()
	var err error
	if s.there, err = OpenNode(s.home, nil, nil); err != nil {
		s.t.Fatal(err)
	}
	s.addr2, s.stop2 = serve(s.t, s.there)
}

func (s *second) enrol() {
	s.t.Helper()
	peer, _, err := Enrol(s.t.Context(), s.addr2, s.there.NewCode(), Enrolment{Archive: s.a.ID(), LogKey: s.logKey, Other: s.node.id.Cert})
	if err != nil {
		s.t.Fatal(err)
	}
	c, err := NewClient(peer)
	if err != nil {
		s.t.Fatal(err)
	}
	s.w = NewWitness(c, nil, nil)
	s.w.retry = 20 * time.Millisecond
}

func (s *second) bear(l *audit.Log) (stop func()) {
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan struct{})
	w := s.w
	go func() { defer close(done); w.Run(ctx, l) }()
	stop = func() { cancel(); <-done }
	s.t.Cleanup(stop)
	return stop
}

// witnessed waits for what holds of the witness's status.
func (s *second) witnessed(what string, ok func(Status) bool) {
	s.t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(s.w.Status()); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("%s: not after 20 s: %+v", what, s.w.Status())
		}
	}
}

// whole holds once the witness has signed all there is.
func (s *second) whole(st Status) bool { return st.Connected && st.Checkpoint == s.log.Size() }

func (s *second) append(n int) {
	s.t.Helper()
	for range n {
		if _, err := s.log.Append(s.t.Context(), someEvent); err != nil {
			s.t.Fatal(err)
		}
	}
}

// bytesAt is how many bytes lie below a folder of the witness's vault.
func (s *second) bytesAt(sub string) (n int64) {
	s.t.Helper()
	err := filepath.WalkDir(filepath.Join(s.home, "vaults", s.a.ID(), sub), func(_ string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		n += info.Size()
		return err
	})
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		s.t.Fatal(err)
	}
	return n
}

// TestASecondWitnessSignsTheSameGrowthAndHoldsNothingOfTheArchive ships to both,
// and looks at what each holds.
func TestASecondWitnessSignsTheSameGrowthAndHoldsNothingOfTheArchive(t *testing.T) {
	s := withWitness(t)
	s.run()
	s.bear(s.log)
	for range 3 {
		s.say("a message", 20_000)
		if _, err := s.a.Fold(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.append(4)
		s.until("the node has it", 20*time.Second, func(st Status) bool { return caughtUp(st) && st.Checkpoint == s.log.Size() })
		s.witnessed("the witness has signed", s.whole)
	}
	s.sameBytes()
	v, err := note.NewVerifier(s.logKey)
	if err != nil {
		t.Fatal(err)
	}
	now, err := audit.OpenCheckpoint(s.log.Checkpoint(), v)
	if err != nil {
		t.Fatal(err)
	}
	for w, key := range map[audit.Witness]string{audit.NodeWitness: s.node.key, audit.SecondWitness: s.there.key} {
		tree, err := audit.CosignedTree(s.logDir, w, v)
		if err != nil || tree != now {
			t.Errorf("the %s signed %+v, the log is %+v, %v", w, tree, now, err)
		}
		b, err := os.ReadFile(filepath.Join(s.logDir, w.File()))
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := note.NewVerifier(key)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := note.Open(b, note.VerifierList(theirs)); err != nil || len(n.Sigs) != 1 {
			t.Errorf("what is kept of the %s is not signed by its key: %v", w, err)
		}
	}
	if n := s.bytesAt("journal") + s.bytesAt("blobs"); n != 0 {
		t.Errorf("the witness holds %d bytes of the archive", n)
	}
	here, err := os.ReadFile(filepath.Join(s.dir, "vaults", s.a.ID(), "log", "entries.log"))
	if err != nil {
		t.Fatal(err)
	}
	if there, err := os.ReadFile(filepath.Join(s.home, "vaults", s.a.ID(), "log", "entries.log")); err != nil || string(here) != string(there) || len(here) == 0 {
		t.Errorf("of the log the witness holds %d bytes, the node %d, %v", len(there), len(here), err)
	}
	if rest := s.bytesAt("") - s.bytesAt("log"); rest > 4096 {
		t.Errorf("beside the log the witness holds %d bytes", rest)
	}
}

// TestEitherWitnessAloneRefusesAnotherHistory: the operator of one node forgets all
// it held, so that it takes what it is shown; the other still says no.
func TestEitherWitnessAloneRefusesAnotherHistory(t *testing.T) {
	for name, c := range map[string]struct {
		forgets audit.Witness
		more    int // entries of another history after the point it was set back to
	}{
		"set back, the node has forgotten":    {audit.NodeWitness, 0},
		"set back, the witness has forgotten": {audit.SecondWitness, 0},
		"forked, the node has forgotten":      {audit.NodeWitness, 9},
		"forked, the witness has forgotten":   {audit.SecondWitness, 9},
	} {
		t.Run(name, func(t *testing.T) {
			s := withWitness(t)
			s.sender.retry = 20 * time.Millisecond
			s.append(3)
			older := t.TempDir()
			if err := os.CopyFS(older, os.DirFS(s.logDir)); err != nil {
				t.Fatal(err)
			}
			s.append(3)
			stop, stop2 := s.run(), s.bear(s.log)
			s.until("the node signs", 20*time.Second, func(st Status) bool { return caughtUp(st) && st.Checkpoint == 6 })
			s.witnessed("the witness signs", s.whole)
			stop()
			stop2()
			v, err := note.NewVerifier(s.logKey)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.log.Close(); err != nil {
				t.Fatal(err)
			}
			if s.log, err = audit.Open(older, audit.Options{Box: plainBox{}, Signer: s.signer, Verify: v}); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.log.Close() })
			s.append(c.more)
			if c.forgets == audit.NodeWitness {
				s.stopNode()
				s.dir = filepath.Join(t.TempDir(), "anew")
				if s.node, err = OpenNode(s.dir, nil, nil); err != nil {
					t.Fatal(err)
				}
				s.addr, s.stopNode = serve(t, s.node)
				peer, _, err := Enrol(t.Context(), s.addr, s.node.NewCode(), Enrolment{Archive: s.a.ID(), LogKey: s.logKey})
				if err != nil {
					t.Fatal(err)
				}
				client, err := NewClient(peer)
				if err != nil {
					t.Fatal(err)
				}
				s.sender = NewSender(client, nil, nil)
			} else {
				s.stop2()
				s.home = filepath.Join(t.TempDir(), "anew")
				s.open()
				s.enrol()
			}
			said := make(chan audit.Witness, 100)
			for w, on := range map[audit.Witness]func(func(context.Context, error)){audit.NodeWitness: s.sender.OnRefused, audit.SecondWitness: s.w.OnRefused} {
				on(func(_ context.Context, err error) {
					if errors.Is(err, ErrRolledBack) {
						select {
						case said <- w:
						default:
						}
					}
				})
			}
			s.run()
			s.bear(s.log)
			var got audit.Witness
			select {
			case got = <-said:
			case <-time.After(20 * time.Second):
				t.Fatal("nobody refused another history")
			}
			if got == c.forgets {
				t.Fatalf("the %s, which knows nothing of it, refused the history", got)
			}
			signed := func(st Status) bool { return st.Checkpoint == s.log.Size() }
			if c.forgets == audit.NodeWitness {
				s.until("who has forgotten signs it", 20*time.Second, signed)
				// between two refusals it tries again, and looks well for a moment
				s.witnessed("the witness refuses it", func(st Status) bool { return st.Checkpoint == 6 && errors.Is(st.Err, ErrRolledBack) })
			} else {
				s.witnessed("who has forgotten signs it", signed)
				if st := s.sender.Status(); st.Checkpoint != 6 {
					t.Errorf("the node: %+v", st)
				}
			}
		})
	}
}

// TestAWitnessThatIsAwayHoldsUpNothing: neither waits for the other, and both catch
// up.
func TestAWitnessThatIsAwayHoldsUpNothing(t *testing.T) {
	s := withWitness(t)
	first, then := newGate(t, strings.TrimPrefix(s.addr, "https://")), newGate(t, strings.TrimPrefix(s.addr2, "https://"))
	s.sender.client.base, s.w.client.base = "https://"+first.ln.Addr().String(), "https://"+then.ln.Addr().String()
	s.sender.retry = 20 * time.Millisecond
	node := func(st Status) bool { return caughtUp(st) && st.Checkpoint == s.log.Size() }
	then.shut.Store(true)
	s.run()
	s.bear(s.log)
	s.append(2)
	s.say("while the witness is away", 5000)
	s.until("the copy and its signature", 20*time.Second, node)
	s.witnessed("it is said to be away", func(st Status) bool { return !st.Connected && st.Err != nil && st.Checkpoint == 0 })
	then.shut.Store(false)
	s.witnessed("the witness catches up", s.whole)
	first.shut.Store(true)
	first.cut()
	s.append(2)
	s.witnessed("the witness signs while the node is away", s.whole)
	if st := s.sender.Status(); st.Checkpoint == s.log.Size() {
		t.Fatalf("a node that is away: %+v", st)
	}
	first.shut.Store(false)
	s.until("the node catches up", 20*time.Second, node)
	s.sameBytes()
}

// TestAWitnessThatIsAddedAgainGoesOnWhereItStood at the same node, and what was
// enrolled before is told that it no longer is, without ending anything.
func TestAWitnessThatIsAddedAgainGoesOnWhereItStood(t *testing.T) {
	s := withWitness(t)
	s.append(3)
	stop := s.bear(s.log)
	s.witnessed("it signs", s.whole)
	stop()
	before := s.w
	s.append(2) // while nobody is enrolled
	s.enrol()
	s.bear(s.log)
	s.witnessed("it signs again", s.whole)
	if kept, err := filepath.Glob(filepath.Join(s.home, "vaults", s.a.ID(), "log.kept-*")); err != nil || len(kept) != 0 {
		t.Errorf("the same log was begun anew: %v, %v", kept, err)
	}
	refused := make(chan error, 1)
	before.OnRefused(func(_ context.Context, err error) {
		select {
		case refused <- err:
		default:
		}
	})
	s.w = before
	s.bear(s.log)
	select {
	case err := <-refused:
		if !errors.Is(err, ErrSuperseded) {
			t.Errorf("the enrolment of before: %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("the enrolment of before is told nothing")
	}
}

// TestNothingGoesToAWitnessAbroadWithoutItsPapers: what it gets is sealed, and leaves
// Macau all the same.
func TestNothingGoesToAWitnessAbroadWithoutItsPapers(t *testing.T) {
	s := withWitness(t)
	s.append(3)
	s.w.SetTransfer(lapsed)
	var asked atomic.Int64 // the time, by each try
	s.w.now = func() time.Time { asked.Add(1); return time.Now() }
	s.bear(s.log)
	s.witnessed("the way is closed", func(st Status) bool { return errors.Is(st.Err, ErrGate) })
	if n := s.bytesAt("log"); n != 0 {
		t.Fatalf("%d bytes left for a witness without papers", n)
	}
	papers := record.Transfer{Country: "HK", Basis: "authorisation", Filing: "F-7", Filed: "2020-01-01", Until: "2099-12-31", Reviewer: "lei"}
	s.w.SetTransfer(papers)
	s.witnessed("the log", s.whole)
	s.w.SetTransfer(lapsed)
	s.witnessed("the way closed again", func(st Status) bool { return errors.Is(st.Err, ErrGate) })
	held := s.bytesAt("log")
	s.append(2)
	before := asked.Load()
	s.witnessed("it tried", func(st Status) bool { return asked.Load() > before+4 })
	if n := s.bytesAt("log"); n != held {
		t.Fatalf("%d bytes left after its papers had lapsed", n-held)
	}
	s.w.SetTransfer(papers)
	s.witnessed("the rest", s.whole)
}

// TestTheNodeOfTheCopyIsNoSecondWitness: it keeps one writer for an archive, and
// would end the copy's enrolment.
func TestTheNodeOfTheCopyIsNoSecondWitness(t *testing.T) {
	p := newPair(t)
	code := p.node.NewCode()
	if _, _, err := Enrol(t.Context(), p.addr, code, Enrolment{Archive: p.a.ID(), LogKey: p.logKey, Other: p.node.id.Cert}); !errors.Is(err, ErrSameNode) {
		t.Fatalf("the same node: %v", err)
	}
	p.run()
	p.say("afterwards", 100)
	p.until("the copy goes on", 20*time.Second, caughtUp)
}
