package backup

import (
	"testing"
	"time"

	"farol/internal/db"
	"farol/internal/dingtalk/simulator"
)

// TestAWrongClockNeitherStopsNorFloodsTheSchedule runs a full backup under a
// clock that is a year ahead, then puts it right: one run makes up for it, and
// the next keeps its day.
func TestAWrongClockNeitherStopsNorFloodsTheSchedule(t *testing.T) {
	b := newBench(t, simulator.Options{Seed: 3, People: 12, Messages: 40})
	b.run(t, Full)
	ahead := time.Now().AddDate(1, 0, 0).UnixMilli()
	err := b.d.Control.Update(t.Context(), func(tx *db.Tx) error {
		_, err := tx.Exec("UPDATE run SET started=?, ended=?", ahead, ahead+1000)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	count := func() int {
		rs, err := b.Runs(t.Context(), 100)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, r := range rs {
			if r.What == string(Full) { // an incremental may come when the event stream was away
				n++
			}
		}
		return n
	}
	was := count()
	for range 5 {
		if err := b.due(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.idle(t)
	}
	if got := count(); got != was+1 {
		t.Errorf("%d full runs began after the clock was put right, want one", got-was)
	}
}
