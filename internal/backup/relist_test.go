package backup

import (
	"fmt"
	"testing"
	"time"

	"farol/internal/db"
	"farol/internal/record"
	"farol/internal/settings"
)

func TestAFreshListingFindsWhatIsNotHeldAndTakesIt(t *testing.T) {
	b := newBench(t, small())
	b.run(t, Full)
	b.idle(t)
	sums := func() (listed, missing int64, kinds map[record.Kind]int64) {
		t.Helper()
		found, err := b.Relist(t.Context(), 1000, 100000)
		if err != nil {
			t.Fatal(err)
		}
		kinds = map[record.Kind]int64{}
		for _, c := range found {
			listed, missing = listed+c.Listed, missing+c.Missing
			kinds[c.Kind] += c.Listed
		}
		return listed, missing, kinds
	}
	listed, missing, kinds := sums()
	if missing != 0 || listed < 500 {
		t.Fatalf("%d listed, %d missing of a whole backup", listed, missing)
	}
	for _, k := range record.Kinds {
		if kinds[k] == 0 {
			t.Errorf("nothing of %s was listed afresh", k)
		}
	}
	if err := b.d.Settings.Set(t.Context(), map[string]string{settings.BackupPaused: "yes"}); err != nil {
		t.Fatal(err)
	}
	b.idle(t)          // the streams' opening may have begun a run before the pause
	for i := range 3 { // nobody listens
		b.ask(t, "/_sim/upload", fmt.Sprintf(`{"name":"unheard-%d.txt","base64":"5paH5Lu2"}`, i))
	}
	if _, missing, _ := sums(); missing != 0 {
		t.Errorf("%d items newer than the last walk count as missing", missing)
	}
	err := b.d.Control.Update(t.Context(), func(tx *db.Tx) error {
		_, err := tx.ExecContext(t.Context(), "UPDATE completeness SET at=?", time.Now().Add(2*settle).UnixMilli())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, missing, _ := sums(); missing != 3 {
		t.Errorf("%d items are missing, want 3", missing)
	}
	if _, missing, _ := sums(); missing != 0 {
		t.Errorf("%d items are missing still", missing)
	}
}
