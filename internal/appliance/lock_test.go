package appliance

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"farol/internal/i18n"
)

// TestMain is also the tools of the manual's readers, and the second appliance of the tests below: it opens the
// configuration it is told, says so and waits to be killed.
func TestMain(m *testing.M) {
	if code, ok := manualTool(); ok {
		os.Exit(code)
	}
	path := os.Getenv("FAROL_APPLIANCE_CHILD")
	if path == "" {
		os.Exit(m.Run())
	}
	cfg, err := LoadConfig(path)
	var a *Appliance
	if err == nil {
		a, err = Open(context.Background(), cfg, Logger("error"))
	}
	fmt.Println("opened", err)
	for {
		time.Sleep(time.Hour)
		runtime.KeepAlive(a) // a lock whose file nobody holds any more is closed by the collector
	}
}

func childConfig(t *testing.T, cfg Config) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "farol.yaml")
	text := fmt.Sprintf("state_dir: %q\narchive_dir: %q\nhost_key: %q\nrun_dir: %q\nlisten: 127.0.0.1:0\nreserve_bytes: 0\n", cfg.StateDir, cfg.ArchiveDir, cfg.HostKey, cfg.RunDir)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestASecondApplianceIsRefusedAndAKilledOneFreesEverything(t *testing.T) {
	t.Parallel()
	cfg, _, seq := lived(t)
	logSize := func() int64 {
		fi, err := os.Stat(filepath.Join(cfg.StateDir, "log", "entries.log"))
		if err != nil {
			t.Fatal(err)
		}
		return fi.Size()
	}
	for round := range 2 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "FAROL_APPLIANCE_CHILD="+childConfig(t, cfg))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer cmd.Process.Kill()
		said, err := bufio.NewReader(out).ReadString('\n')
		if err != nil || said != "opened <nil>\n" {
			t.Fatalf("the first appliance, round %d: %s %v", round, said, err)
		}
		size := logSize()
		link := filepath.Join(t.TempDir(), "link")
		if err := os.Symlink(cfg.StateDir, link); err != nil {
			t.Fatal(err)
		}
		elsewhere := cfg
		elsewhere.StateDir, elsewhere.ArchiveDir = link, filepath.Join(link, "archive")
		for what, c := range map[string]Config{"the same folders": cfg, "another path": elsewhere} {
			refuses(t, c, ErrInUse, c.StateDir, fmt.Sprint("process ", cmd.Process.Pid))
			if _, err := RebuildCatalog(t.Context(), c, Logger("error"), nil); !errors.Is(err, ErrRunning) {
				t.Errorf("%s: a rebuild beside it: %v", what, err)
			}
		}
		// A state folder of its own, copied with its key, over the same archive.
		other := cfg
		other.StateDir = filepath.Join(t.TempDir(), "state")
		if err := os.MkdirAll(other.StateDir, 0o700); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"root-key.sealed", "control.db"} {
			b, err := os.ReadFile(filepath.Join(cfg.StateDir, name))
			if err == nil {
				err = os.WriteFile(filepath.Join(other.StateDir, name), b, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		refuses(t, other, ErrInUse, cfg.ArchiveDir)
		if got := logSize(); got != size {
			t.Errorf("a refused appliance touched the log: %d bytes, were %d", got, size)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
	}
	// What a killed process or a machine that was switched off leaves says nothing.
	if err := os.WriteFile(filepath.Join(cfg.StateDir, "lock"), []byte("process 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := Open(t.Context(), cfg, Logger("error"))
	if err != nil {
		t.Fatal(err)
	}
	if got := a.archive.LastSeq(); got != seq {
		t.Errorf("the archive ends at %d, it was %d", got, seq)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if text := Words(&i18n.Error{ID: "start.inuse", Args: []any{"dir", "/d", "who", "process 7"}, Err: ErrInUse}); !strings.Contains(text, "/d") || !strings.Contains(text, "process 7") {
		t.Errorf("the command line says %q", text)
	}
}

// TestAFolderThatTheUnitClosesSaysHowToOpenIt: root asked for it, and only the
// service's unit stands in the way.
func TestAFolderThatTheUnitClosesSaysHowToOpenIt(t *testing.T) {
	for _, errno := range []error{syscall.EROFS, syscall.EACCES} {
		err := fmt.Errorf("write the export: %w", &os.PathError{Op: "mkdir", Path: "/mnt/usb/x", Err: errno})
		if words := Words(err) + wayOut(err); !strings.Contains(words, "/mnt/usb/x") || !strings.Contains(words, "ReadWritePaths=") {
			t.Errorf("%v: %s", errno, words)
		}
	}
	for _, err := range []error{syscall.ENOSPC, ErrInUse, &i18n.Error{ID: "merge.denied", Err: syscall.EACCES}} {
		if words := wayOut(err); words != "" {
			t.Errorf("%v: %s", err, words)
		}
	}
}
