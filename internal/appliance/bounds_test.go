package appliance

import (
	"bytes"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"testing/fstest"
)

// restored puts the process's own bounds back after a test.
func restored(t *testing.T) {
	limit, cores := debug.SetMemoryLimit(-1), runtime.GOMAXPROCS(0)
	t.Cleanup(func() { debug.SetMemoryLimit(limit); runtime.GOMAXPROCS(cores) })
}

func TestTheConfiguredBoundsHoldTheProcess(t *testing.T) {
	restored(t)
	path := filepath.Join(t.TempDir(), "farol.yaml")
	if err := os.WriteFile(path, []byte("memory_mb: 200\ncpus: 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := LoadConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Bounds().Apply(slog.New(slog.DiscardHandler))
	if m := memoryNow(os.DirFS("/")); m.Limit != 200<<20 || m.CPUs != 3 {
		t.Errorf("limit %d, cores %d", m.Limit, m.CPUs)
	}
}

func TestWithoutBoundsMemoryIsChosenAndTheEnvironmentHolds(t *testing.T) {
	restored(t)
	debug.SetMemoryLimit(777 << 20)
	t.Setenv("GOMEMLIMIT", "777MiB")
	Bounds{}.Apply(slog.New(slog.DiscardHandler))
	if n := debug.SetMemoryLimit(-1); n != 777<<20 {
		t.Errorf("the environment's limit became %d", n)
	}
	t.Setenv("GOMEMLIMIT", "")
	cores := runtime.GOMAXPROCS(0)
	Bounds{}.Apply(slog.New(slog.DiscardHandler))
	if n := debug.SetMemoryLimit(-1); n < leastMemory<<20 || n > mostByItself<<20 {
		t.Errorf("%d was chosen", n)
	}
	if runtime.GOMAXPROCS(0) != cores {
		t.Error("the cores changed unasked")
	}
}

func TestMoreMemoryThanTheMachineHasIsSaid(t *testing.T) {
	restored(t)
	var b bytes.Buffer
	Bounds{MemoryMB: 1 << 30}.Apply(slog.New(slog.NewTextHandler(&b, nil)))
	if !strings.Contains(b.String(), "more than the machine has") {
		t.Error(b.String())
	}
}

func TestASmallMachineGivesAQuarterAndALargeOneNoMoreThanThePromise(t *testing.T) {
	for has, want := range map[int64]int64{0: 256, 256: 128, 1024: 256, 2048: 320, 1 << 20: 320} {
		if got := chosenMemory(has << 20); got != want<<20 {
			t.Errorf("%d MiB: %d, want %d", has, got>>20, want)
		}
	}
}

func TestAContainersMemoryIsTheNarrowestAboveIt(t *testing.T) {
	const mib = 1 << 20
	for name, fsys := range map[string]fs.FS{
		"version 2": fstest.MapFS{"proc/self/cgroup": {Data: []byte("0::/system.slice/farol.service\n")},
			"sys/fs/cgroup/system.slice/farol.service/memory.max": {Data: []byte("max\n")},
			"sys/fs/cgroup/system.slice/memory.high":              {Data: []byte("67108864\n")},
			"sys/fs/cgroup/system.slice/memory.max":               {Data: []byte("134217728\n")}},
		"version 1": fstest.MapFS{"proc/self/cgroup": {Data: []byte("5:cpu:/a\n4:memory:/a/b\n")},
			"sys/fs/cgroup/memory/a/memory.limit_in_bytes": {Data: []byte("67108864")},
			"sys/fs/cgroup/memory.max":                     {Data: []byte("1")}},
	} {
		if got := machineMemory(fsys); got != 64*mib {
			t.Errorf("%s: %d", name, got)
		}
	}
	if got := machineMemory(fstest.MapFS{}); got <= 64*mib {
		t.Errorf("without a container the machine's own memory counts, got %d", got)
	}
}

func TestStatusTellsTheMemoryNowAndAtItsPeak(t *testing.T) {
	m := memoryNow(fstest.MapFS{"proc/self/status": {Data: []byte("Name:\tfarol\nVmHWM:\t  300000 kB\nVmRSS:\t  200000 kB\nThreads:\t9\n")}})
	if m.RSS != 200000<<10 || m.Peak != 300000<<10 {
		t.Errorf("%+v", m)
	}
	if m := memoryNow(os.DirFS("/")); m.RSS <= 0 || m.Peak < m.RSS {
		t.Errorf("of this process: %+v", m)
	}
}
