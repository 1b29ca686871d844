package archive

import (
	"context"
	"fmt"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/kopia/kopia/snapshot"

	"farol/internal/record"
)

// opened is a segment's wanted records, and what could not be read of it.
type opened struct {
	oid  string
	recs []openedLine
	bad  []error
}

type openedLine struct {
	entry
	off, len int64
}

// walkTree calls fn for every record of a point, in order and one at a time;
// as many segments as there are cores are read and parsed before their turn.
func (a *Archive) walkTree(ctx context.Context, p *Point, want func(record.Ref) bool, fn WalkFunc) ([]error, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	cores := runtime.GOMAXPROCS(0)
	turns := make(chan chan opened, cores)
	var readers errgroup.Group
	readers.SetLimit(cores)
	var bad []error // of the directories
	var ended error
	go func() {
		defer close(turns)
		bad, ended = a.eachSegment(ctx, p, func(e *snapshot.DirEntry) error {
			oid, turn := e.ObjectID.String(), make(chan opened, 1)
			readers.Go(func() error {
				turn <- a.openSegment(ctx, oid, want)
				return nil
			})
			select {
			case turns <- turn:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	var damaged []error
	var err error
	for turn := range turns { // to the end, so that nothing reads on after the walk
		seg := <-turn
		if err != nil {
			continue
		}
		damaged = append(damaged, seg.bad...)
		for i := range seg.recs {
			l := &seg.recs[i]
			if err = fn(l.rec, record.Loc{Seg: seg.oid, Off: l.off, Len: l.len}, l.commit, l.index); err != nil {
				stop()
				break
			}
		}
	}
	_ = readers.Wait() // one that was not waited for in its turn
	if err == nil {
		err = ended
	}
	return append(bad, damaged...), err
}

// openSegment reads a segment. What of it is damaged is said and left out.
func (a *Archive) openSegment(ctx context.Context, oid string, want func(record.Ref) bool) opened {
	s := opened{oid: oid}
	plain, err := a.readObject(ctx, oid)
	if err != nil {
		s.bad = append(s.bad, fmt.Errorf("segment: %w", err))
		return s
	}
	err = eachLine(plain, 0, func(line []byte, off int64) error {
		e, ok, err := parseWanted(line, want)
		if err != nil {
			s.bad = append(s.bad, fmt.Errorf("segment %s at %d: %w", oid, off, err))
		} else if ok {
			s.recs = append(s.recs, openedLine{e, off, int64(len(line))})
		}
		return nil
	})
	if err != nil {
		s.bad = append(s.bad, fmt.Errorf("segment %s: %w", oid, err))
	}
	return s
}
