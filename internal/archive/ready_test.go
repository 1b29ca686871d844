package archive

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestReadySaysWhatACommitWouldMeet: each reason for which a commit is refused
// is said before one comes, and goes by itself.
func TestReadySaysWhatACommitWouldMeet(t *testing.T) {
	bad := map[string]bool{}
	a, _ := newArchive(t, Options{Fault: func(op string) error {
		if bad[op] {
			return errFault
		}
		return nil
	}})
	if err := a.Ready(); err != nil {
		t.Fatalf("of a whole archive: %v", err)
	}
	bad["journal.write"], bad["journal.undo"] = true, true
	if _, err := a.Commit(context.Background(), Batch{Records: messages("c", 0, 1)}); err == nil {
		t.Fatal("a commit went through a journal that fails")
	}
	if err := a.Ready(); !errors.Is(err, ErrHalted) {
		t.Errorf("while a failed append lies there: %v", err)
	}
	clear(bad)
	commit(t, a, messages("c", 0, 1)...)
	if err := a.Ready(); err != nil {
		t.Errorf("after it was taken back: %v", err)
	}
	a.opt.Reserve = 1 << 62
	if err := a.Ready(); !errors.Is(err, ErrFull) {
		t.Errorf("below the reserve: %v", err)
	}
	a.opt.Reserve = 0
	mark := filepath.Join(a.dir, markerName)
	if err := os.Rename(mark, mark+".away"); err != nil {
		t.Fatal(err)
	}
	if err := a.Ready(); !errors.Is(err, ErrMissing) {
		t.Errorf("when the folder is another: %v", err)
	}
	if err := os.Rename(mark+".away", mark); err != nil {
		t.Fatal(err)
	}
	a.Freeze()
	if err := a.Ready(); !errors.Is(err, ErrSuperseded) {
		t.Errorf("when another has taken over: %v", err)
	}
}
