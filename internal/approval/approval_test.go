package approval

import (
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"farol/internal/db"
)

// plain stands in for the sealing, which keys tests: it binds the text to its
// place.
type plain struct{}

func (plain) Seal(p, aad []byte) []byte { return append(append([]byte{}, p...), aad...) }
func (plain) Open(s, aad []byte) ([]byte, error) {
	if t, ok := strings.CutSuffix(string(s), string(aad)); ok {
		return []byte(t), nil
	}
	return nil, errors.New("moved")
}

type clock struct{ add atomic.Int64 }

func (c *clock) now() time.Time       { return time.Now().Add(time.Duration(c.add.Load())) }
func (c *clock) pass(d time.Duration) { c.add.Add(int64(d)) }

func book(t *testing.T) (*Book, *clock) {
	c := &clock{}
	d, err := db.Open(t.Context(), filepath.Join(t.TempDir(), "control.db"), db.Control, c.now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return New(d, plain{}), c
}

func ask(t *testing.T, b *Book, need int) Request {
	t.Helper()
	r, err := b.Ask(t.Context(), Request{What: Export, By: "maria", Purpose: "dispute", Need: need, Reason: "訴訟需要的紀錄", Payload: []byte(`{"dept":7}`)})
	if err != nil || r.State != Waiting {
		t.Fatal(r, err)
	}
	return r
}

func TestNobodyDecidesOnHisOwnRequestNorTwice(t *testing.T) {
	b, _ := book(t)
	r := ask(t, b, 2)
	for _, me := range []string{"maria", "MARIA"} {
		if _, err := b.Decide(t.Context(), r.ID, me, true, ""); !errors.Is(err, ErrOwn) {
			t.Errorf("%s: %v", me, err)
		}
	}
	got, err := b.Decide(t.Context(), r.ID, "chan", true, "同意")
	if err != nil || got.State != Waiting || got.Left() != 1 {
		t.Fatal(got, err)
	}
	for _, again := range []string{"chan", "Chan"} {
		if _, err := b.Decide(t.Context(), r.ID, again, true, ""); !errors.Is(err, ErrTwice) {
			t.Errorf("%s: %v", again, err)
		}
	}
	if err := b.Use(t.Context(), r.ID, "maria", Export, 1, r.Payload); !errors.Is(err, ErrWaiting) {
		t.Error(err)
	}
	if got, err = b.Decide(t.Context(), r.ID, "wong", true, ""); err != nil || got.State != Agreed || len(got.Decisions) != 2 || got.Decisions[0].Note != "同意" {
		t.Fatal(got, err)
	}
	if _, err := b.Decide(t.Context(), r.ID, "lei", false, ""); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

func TestWhatWasAgreedToIsCarriedOutOnceAndUnchanged(t *testing.T) {
	b, _ := book(t)
	r := ask(t, b, 1)
	if _, err := b.Decide(t.Context(), r.ID, "chan", true, ""); err != nil {
		t.Fatal(err)
	}
	for _, try := range []struct {
		who     string
		what    What
		payload string
	}{{"chan", Export, `{"dept":7}`}, {"maria", Restore, `{"dept":7}`}, {"maria", Export, `{"dept":8}`}} {
		if err := b.Use(t.Context(), r.ID, try.who, try.what, 1, []byte(try.payload)); !errors.Is(err, ErrOther) {
			t.Errorf("%+v: %v", try, err)
		}
	}
	if err := b.Use(t.Context(), r.ID, "maria", Export, 2, r.Payload); !errors.Is(err, ErrOther) {
		t.Errorf("one agreed where two have to by now: %v", err)
	}
	if p, err := b.Pending(t.Context()); err != nil || len(p) != 1 {
		t.Error(p, err)
	}
	var used atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := b.Use(t.Context(), r.ID, "maria", Export, 1, []byte(`{"dept":7}`)); err == nil {
				used.Add(1)
			} else if !errors.Is(err, ErrClosed) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if p, err := b.Pending(t.Context()); err != nil || len(p) != 0 {
		t.Error(p, err)
	}
	if used.Load() != 1 {
		t.Errorf("used %d times", used.Load())
	}
}

func TestARequestEndsByRefusalWithdrawalAndTime(t *testing.T) {
	b, c := book(t)
	no := ask(t, b, 2)
	if got, err := b.Decide(t.Context(), no.ID, "chan", false, "太廣"); err != nil || got.State != Refused {
		t.Fatal(got, err)
	}
	back := ask(t, b, 1)
	if err := b.Withdraw(t.Context(), back.ID, "chan"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if err := b.Withdraw(t.Context(), back.ID, "maria"); err != nil {
		t.Fatal(err)
	}
	late := ask(t, b, 1)
	agreed := ask(t, b, 1)
	if _, err := b.Decide(t.Context(), agreed.ID, "chan", true, ""); err != nil {
		t.Fatal(err)
	}
	c.pass(Waits)
	if err := b.Use(t.Context(), agreed.ID, "maria", Export, 1, agreed.Payload); !errors.Is(err, ErrClosed) {
		t.Error("agreed to, and used too late:", err)
	}
	c.pass(Deciding)
	for id, want := range map[string]State{no.ID: Refused, back.ID: Withdrawn, late.ID: Expired, agreed.ID: Expired} {
		r, err := b.Get(t.Context(), id)
		if err != nil || r.State != want {
			t.Errorf("%s, want %s: %v", r.State, want, err)
		}
		if _, err := b.Decide(t.Context(), id, "wong", true, ""); !errors.Is(err, ErrClosed) {
			t.Errorf("%s was decided on: %v", want, err)
		}
	}
	if list, err := b.List(t.Context(), 3); err != nil || len(list) != 3 {
		t.Error(len(list), err)
	}
	for _, reason := range []string{"", "  ok ", strings.Repeat("長", 1001)} {
		if _, err := b.Ask(t.Context(), Request{What: Export, By: "maria", Reason: reason}); !errors.Is(err, ErrReason) {
			t.Errorf("reason %.10q: %v", reason, err)
		}
	}
}
