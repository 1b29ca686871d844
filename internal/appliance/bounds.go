package appliance

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
)

// Bounds is how much of the machine a daemon takes. The zero value chooses from
// what the machine, or the container it runs in, has.
type Bounds struct {
	MemoryMB int // soft limit of memory
	CPUs     int // cores
}

// What is chosen and accepted, in MiB. The most that is chosen keeps the
// promise of 400 MiB in a first full backup; SQLite's pages and the program
// itself come on top of what the limit counts.
const (
	leastMemory  = 128
	usualMemory  = 256 // where the machine does not say what it has
	mostByItself = 320
	mostCPUs     = 1024
)

// Bounds are the configuration's.
func (c *Config) Bounds() Bounds { return Bounds{MemoryMB: c.MemoryMB, CPUs: c.CPUs} }

// Validate joins what is wrong with the bounds.
func (b Bounds) Validate() error {
	var errs []error
	if b.MemoryMB != 0 && (b.MemoryMB < leastMemory || b.MemoryMB > math.MaxInt32) {
		errs = append(errs, fmt.Errorf("memory_mb must be 0, which chooses from the machine's memory, or at least %d", leastMemory))
	}
	if b.CPUs < 0 || b.CPUs > mostCPUs {
		errs = append(errs, fmt.Errorf("cpus must be 0, which takes all cores, or a number of cores up to %d", mostCPUs))
	}
	return errors.Join(errs...)
}

// Apply holds the process to the bounds. Near the memory limit the program
// works harder to stay below; it never dies of it. What the environment says
// (GOMEMLIMIT, GOMAXPROCS) holds where the bounds say nothing. The cores also
// decide how many containers a backup reads, and how many workers the archive
// has, at the same time.
func (b Bounds) Apply(log *slog.Logger) {
	has := machineMemory(os.DirFS("/"))
	switch {
	case b.MemoryMB != 0:
		debug.SetMemoryLimit(int64(b.MemoryMB) << 20)
		if has > 0 && int64(b.MemoryMB) > has>>20 {
			log.Warn("memory_mb is more than the machine has", "memory_mb", b.MemoryMB, "machine_mb", has>>20)
		}
	case os.Getenv("GOMEMLIMIT") == "":
		debug.SetMemoryLimit(chosenMemory(has))
	}
	if b.CPUs != 0 {
		runtime.GOMAXPROCS(b.CPUs)
	}
	log.Info("bounds", "memory_mb", debug.SetMemoryLimit(-1)>>20, "cpus", runtime.GOMAXPROCS(0))
}

// chosenMemory is the soft limit on a machine with so much memory: a quarter of
// it, because a NAS has other work too.
func chosenMemory(has int64) int64 {
	if has <= 0 {
		return usualMemory << 20
	}
	return min(max(has/4, leastMemory<<20), mostByItself<<20)
}

// machineMemory is what the machine has, or its container may use, 0 when
// neither says.
func machineMemory(root fs.FS) int64 {
	least := int64(0)
	take := func(n int64) {
		if n > 0 && (least == 0 || n < least) {
			least = n
		}
	}
	var info syscall.Sysinfo_t
	if err := syscall.Sysinfo(&info); err == nil {
		take(int64(info.Totalram) * int64(info.Unit))
	}
	b, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return least
	}
	for line := range strings.Lines(string(b)) {
		part := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(part) != 3 {
			continue
		}
		dir, files := "sys/fs/cgroup", []string{"memory.max", "memory.high"}
		if part[1] == "memory" { // version 1
			dir, files = "sys/fs/cgroup/memory", []string{"memory.limit_in_bytes"}
		} else if part[1] != "" {
			continue
		}
		for at := path.Clean("/" + part[2]); ; at = path.Dir(at) { // a slice above may be narrower
			for _, f := range files {
				take(number(root, path.Join(dir, at, f)))
			}
			if at == "/" {
				break
			}
		}
	}
	return least
}

// number is the limit in a file, 0 for none.
func number(root fs.FS, name string) int64 {
	b, err := fs.ReadFile(root, name)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	if err != nil { // "max"
		return 0
	}
	return n
}

// Memory is what the process takes, in bytes.
type Memory struct {
	RSS   int64 `json:"rss"`   // in memory now
	Peak  int64 `json:"peak"`  // the most since the start
	Limit int64 `json:"limit"` // the soft limit
	CPUs  int   `json:"cpus"`
}

// memoryNow reads what the process takes. Where the system does not tell, the
// figures are 0.
func memoryNow(root fs.FS) Memory {
	m := Memory{Limit: debug.SetMemoryLimit(-1), CPUs: runtime.GOMAXPROCS(0)}
	b, err := fs.ReadFile(root, "proc/self/status")
	if err != nil {
		return m
	}
	for line := range strings.Lines(string(b)) {
		name, rest, _ := strings.Cut(line, ":")
		kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
		if err != nil {
			continue
		}
		switch name {
		case "VmRSS":
			m.RSS = kib << 10
		case "VmHWM":
			m.Peak = kib << 10
		}
	}
	return m
}
