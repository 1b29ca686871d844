package backup

import (
	"testing"
	"time"

	"farol/internal/record"
)

func raced(id, raw string, asked time.Time, missing bool) *work {
	return &work{origin: origin{asked: asked}, missing: []bool{missing},
		recs: []record.Record{{Ref: record.Ref{Kind: record.Chat, Container: "c", ID: id}, Raw: []byte(raw)}}}
}

func tombstone(id, raw string, asked time.Time) *work {
	w := raced(id, raw, asked, false)
	w.recs[0].Deleted = true
	return w
}

func TestWhatTwoLanesReadAtTheSameTimeIsCommittedOnce(t *testing.T) {
	t0 := time.Unix(1000, 0)
	var r recent
	for i, step := range []struct {
		what string
		w    *work
		kept int
	}{
		{"the first reading", raced("m", "old", t0.Add(1), false), 1},
		{"the same by another lane, later", raced("m", "old", t0.Add(2), false), 0},
		{"the same by another lane, earlier", raced("m", "old", t0, false), 0},
		{"an edit read later", raced("m", "new", t0.Add(3), false), 1},
		{"what was read before the edit", raced("m", "old", t0.Add(2), false), 0},
		{"back to the first text, read later", raced("m", "old", t0.Add(5), false), 1},
		{"another item without its attachment", raced("n", "x", t0, true), 1},
		{"and with it", raced("n", "x", t0.Add(1), false), 1},
		{"and once more", raced("n", "x", t0.Add(2), false), 0},
		{"a tombstone", tombstone("m", "old", t0.Add(7)), 1},
		{"what was listed before it went", raced("m", "newest", t0.Add(6), false), 0},
		{"what was brought back after it went", raced("m", "old", t0.Add(8), false), 1},
		{"a tombstone, which nobody asked for", tombstone("m", "old", time.Time{}), 1},
	} {
		r.drop([]*work{step.w})
		if len(step.w.recs) != step.kept || len(step.w.missing) != step.kept || step.w.dropped != int64(1-step.kept) {
			t.Errorf("%d, %s: %d kept, %d dropped", i, step.what, len(step.w.recs), step.w.dropped)
		}
	}
	w := raced("z", "x", t0, false)
	r.drop([]*work{w})
	r.forget([]*work{w}) // its commit failed
	again := raced("z", "x", t0, false)
	if r.drop([]*work{again}); len(again.recs) != 1 {
		t.Error("what was never committed is dropped when it is tried again")
	}
	for i := range 3 * manyRecent {
		r.note(record.Ref{ID: time.Unix(int64(i), 0).String()}, 1, t0, false)
	}
	if n := len(r.now) + len(r.before); n > 2*manyRecent {
		t.Errorf("%d are remembered", n)
	}
}
