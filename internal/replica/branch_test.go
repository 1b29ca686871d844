package replica

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"
)

// left is a node with a day's history of epoch 1, after which an appliance of epoch 2
// was enrolled that goes on from half past four.
func left(t *testing.T) (l *lookedBack, rq branchRequest) {
	l = newLookedBack(t)
	l.day()
	_, vk := newLog(t, t.TempDir())
	addr, _ := serve(t, l.node)
	l.at(9, func(ctx context.Context) error {
		p, _, err := Enrol(ctx, addr, l.node.NewCode(), Enrolment{Archive: "a1", LogKey: vk, Epoch: 2})
		if err != nil {
			return err
		}
		l.c, err = NewClient(p)
		return err
	})
	return l, branchRequest{Epoch: 2, Blobs: []string{"p02"}, Journal: map[string]int64{"1-1.fj": 5, "1-2.fj": 0}}
}

// TestABranchIsLeftOnceAndCanBeHadAsOfBefore: from the moment it is said, who asks
// for what there is gets what the appliance goes on from; as of before, everything
// is there, also from a copy of the folder.
func TestABranchIsLeftOnceAndCanBeHadAsOfBefore(t *testing.T) {
	l, rq := left(t)
	st, err := l.c.State(t.Context())
	if err != nil || st.Branch != 2 || st.Epoch != 2 {
		t.Fatalf("%+v %v", st, err)
	}
	l.at(10, func(ctx context.Context) error { return l.c.branch(ctx, rq) })
	if err := l.c.branch(t.Context(), rq); !errors.Is(err, ErrConflict) {
		t.Errorf("said again: %v", err)
	}
	if st, err := l.c.State(t.Context()); err != nil || st.Branch != 0 {
		t.Errorf("the node still asks: %+v %v", st, err)
	}
	l.at(11, l.blob("p03", "the new one's"))
	listed, err := l.c.List(t.Context(), "blobs")
	if err != nil {
		t.Fatal(err)
	}
	check := func(name string, at time.Time, files []string, journal [2]int64) {
		t.Helper()
		far, err := l.c.Moment(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		near, err := Standby{Archive: "a1", dir: l.vault()}.moment(at)
		if err != nil {
			t.Fatal(err)
		}
		for where, m := range map[string]Moment{"over the wire": far, "on its machine": near} {
			got, _ := m.Versions(listed)
			if got := slices.Sorted(maps.Keys(got)); !slices.Equal(got, files) {
				t.Errorf("%s, %s: the files %v", name, where, got)
			}
			if got := [2]int64{m.Journal("1-1.fj", 11), m.Journal("1-2.fj", 3)}; got != journal {
				t.Errorf("%s, %s: the journal has %v", name, where, got)
			}
		}
	}
	before := time.Date(2026, 11, 29, 8, 9, 30, 0, time.UTC)
	check("as it is", time.Time{}, []string{"p01", "p03"}, [2]int64{5, 0})
	check("as of before it was said", before, []string{"p01", "p02"}, [2]int64{11, 3})
	check("as of after", before.Add(time.Hour), []string{"p01", "p03"}, [2]int64{5, 0})

	again, err := openVault(l.vault()) // a restart knows it, too
	if err != nil || !again.came.out["p02"] {
		t.Fatalf("%v %v", again.came.out, err)
	}
	l.at(12, l.blob("p02", "another pack")) // the very same comes from the new one
	check("once it came again", time.Time{}, []string{"p01", "p02", "p03"}, [2]int64{5, 0})
	check("as of before, still", before, []string{"p01", "p02"}, [2]int64{11, 3})
}

// TestNobodySetsHistoryAsideWhoWasNotJustEnrolled: with a certificate alone nothing
// that the node holds can be made to count no more.
func TestNobodySetsHistoryAsideWhoWasNotJustEnrolled(t *testing.T) {
	l := newLookedBack(t)
	l.day()
	first := branchRequest{Epoch: 1, Blobs: []string{"p01"}, Journal: map[string]int64{"1-1.fj": 0}}
	if err := l.c.branch(t.Context(), first); !errors.Is(err, ErrConflict) {
		t.Errorf("the appliance that there always was: %v", err)
	}
	former := l.c
	l2, rq := left(t)
	if err := former.branch(t.Context(), first); !errors.Is(err, ErrConflict) {
		t.Errorf("%v", err)
	}
	rq.Epoch = 1
	if err := l2.c.branch(t.Context(), rq); !errors.Is(err, ErrConflict) {
		t.Errorf("for another epoch: %v", err)
	}
	rq.Epoch = 3
	if err := l2.c.branch(t.Context(), rq); !errors.Is(err, ErrConflict) {
		t.Errorf("for an epoch that nobody has: %v", err)
	}
	m, err := l.c.Moment(t.Context(), time.Time{})
	if err != nil || len(m.out) > 0 || len(m.cut) > 0 {
		t.Errorf("something counts no more: %+v %v", m, err)
	}
	// names that are no files of the vault are passed over
	rq = branchRequest{Epoch: 2, Blobs: []string{"../../vault.json", "p99", "kopia.maintenance.f"}, Journal: map[string]int64{"../1-1.fj": 0, "1-1.fj": 99, "1-2.fj": -1}}
	if err := l2.c.branch(t.Context(), rq); err != nil {
		t.Fatal(err)
	}
	if m, err = l2.c.Moment(t.Context(), time.Time{}); err != nil || len(m.out) > 0 || len(m.cut) > 0 {
		t.Errorf("something counts no more: %+v %v", m, err)
	}
}

// TestAJournalFileOfAnEpochThatNobodyHasIsRefused: its name would have the next
// appliance count on from it.
func TestAJournalFileOfAnEpochThatNobodyHasIsRefused(t *testing.T) {
	l, _ := left(t)
	if err := l.c.journal(t.Context(), "4294967295-0000000001.fj", 0, []byte("x")); !errors.Is(err, ErrConflict) {
		t.Errorf("%v", err)
	}
	if err := l.c.journal(t.Context(), "000002-0000000001.fj", 0, []byte("x")); err != nil {
		t.Errorf("its own: %v", err)
	}
}
