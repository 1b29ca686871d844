package appliance

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestALineOfTheJournalSaysHowGraveItIs: under systemd a warning has priority 4,
// whatever was added to the logger; elsewhere lines are as they were.
func TestALineOfTheJournalSaysHowGraveItIs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "stderr")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	st := fi.Sys().(*syscall.Stat_t)
	t.Setenv("JOURNAL_STREAM", fmt.Sprintf("%d:%d", st.Dev, st.Ino))
	l := logger("debug", f)
	l.Error("the disk is gone", "err", "io")
	l.With("place", "x").Warn("it waits")
	l.WithGroup("g").Info("ready", "time", "kept")
	l.Debug("a detail")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := "<3>level=ERROR msg=\"the disk is gone\" err=io\n<4>level=WARN msg=\"it waits\" place=x\n<6>level=INFO msg=ready g.time=kept\n<7>level=DEBUG msg=\"a detail\"\n"
	if string(b) != want {
		t.Errorf("the journal gets\n%swant\n%s", b, want)
	}
	if err := f.Truncate(0); err != nil {
		t.Fatal(err)
	}
	if l := logger("warn", f); l.Enabled(t.Context(), -4) || l.Enabled(t.Context(), 0) || !l.Enabled(t.Context(), 4) {
		t.Error("the configured level does not hold")
	}
	t.Setenv("JOURNAL_STREAM", "8:1") // of another stream: somebody redirected stderr
	logger("info", f).Warn("it waits")
	if b, err = os.ReadFile(path); err != nil || len(b) < 20 || string(b[len(b)-26:]) != "level=WARN msg=\"it waits\"\n" || b[len(b)-27] == '>' {
		t.Errorf("elsewhere: %q %v", b, err)
	}
}
