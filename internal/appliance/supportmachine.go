package appliance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// What a bundle says of the machine around the daemon. Farol runs no command:
// what systemctl and journalctl say is handed to it.

type supportAbout struct {
	Version   string                 `json:"version"`
	Go        string                 `json:"go"`
	Arch      string                 `json:"arch"`
	OS        string                 `json:"os,omitempty"`
	Kernel    string                 `json:"kernel,omitempty"`
	CPUs      int                    `json:"cpus"`
	MemoryMB  int64                  `json:"memory_mb,omitempty"`
	FreeMB    int64                  `json:"free_memory_mb,omitempty"`
	UpSeconds int64                  `json:"up_seconds,omitempty"`
	Load      float64                `json:"load_1m"`
	Disks     map[string]supportDisk `json:"disks"`
}

type supportDisk struct {
	Type   string `json:"type"` // of the file system, as statfs says it
	Size   int64  `json:"size"`
	Free   int64  `json:"free"`
	Inodes uint64 `json:"free_inodes"`
	Locked bool   `json:"read_only"`
}

func (b *bundle) about() supportAbout {
	a := supportAbout{Version: Version, Go: runtime.Version(), Arch: runtime.GOARCH, CPUs: runtime.NumCPU(), Disks: map[string]supportDisk{}}
	if text, err := os.ReadFile("/etc/os-release"); err == nil {
		if m := regexp.MustCompile(`(?m)^PRETTY_NAME="?([A-Za-z0-9 ./()_-]{1,60})"?$`).FindSubmatch(text); m != nil {
			a.OS = string(m[1])
		}
	}
	if text, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		a.Kernel = strings.TrimSpace(string(text))
	}
	var info syscall.Sysinfo_t
	if err := syscall.Sysinfo(&info); err == nil {
		unit := int64(info.Unit)
		a.MemoryMB, a.FreeMB, a.UpSeconds, a.Load = int64(info.Totalram)*unit>>20, int64(info.Freeram)*unit>>20, int64(info.Uptime), float64(info.Loads[0])/65536
	}
	for key, dir := range map[string]string{"state_dir": b.cfg.StateDir, "archive_dir": b.cfg.ArchiveDir} {
		var st syscall.Statfs_t
		if err := syscall.Statfs(dir, &st); err == nil {
			a.Disks[key] = supportDisk{fmt.Sprintf("%#x", st.Type), int64(st.Blocks) * st.Bsize, int64(st.Bavail) * st.Bsize, st.Ffree, st.Flags&syscall.MS_RDONLY != 0}
		}
	}
	return a
}

// unitFacts are the properties of a unit that name nothing.
var unitFacts = []string{"LoadState", "ActiveState", "SubState", "Result", "UnitFileState", "NeedDaemonReload", "NRestarts", "ExecMainStartTimestamp", "ExecMainExitTimestamp", "ExecMainCode", "ExecMainStatus", "MemoryCurrent", "MemoryPeak", "MemoryMax", "CPUUsageNSec", "TasksCurrent", "WatchdogUSec"}

func (b *bundle) unit() {
	if b.show == nil {
		b.add("unit.txt", []byte("not given: farol support bundle --unit <(systemctl show farol)\n"))
		return
	}
	var text strings.Builder
	for line := range strings.Lines(string(b.show)) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			for _, known := range unitFacts {
				if k == known {
					text.WriteString(k + "=" + cleanText(v) + "\n")
				}
			}
		}
	}
	b.add("unit.txt", []byte(text.String()))
}

// journalLast is how many lines of the journal a bundle has.
const journalLast = 2000

// bySystemd are what systemd itself says of the unit: sentences of its own.
var bySystemd = regexp.MustCompile(`^farol\.service: [\x20-\x7e]*$|^(Starting|Started|Stopping|Stopped|Failed to start|Reloading) farol\.service`)

func (b *bundle) journal() {
	if b.lines == nil {
		b.add("journal.txt", []byte("not given: farol support bundle --journal <(journalctl -u farol -n 2000 -o json)\n"))
		return
	}
	var text []string
	for dec := json.NewDecoder(bytes.NewReader(b.lines)); ; {
		var e struct {
			Time     string `json:"__REALTIME_TIMESTAMP"`
			Priority string `json:"PRIORITY"`
			By       string `json:"SYSLOG_IDENTIFIER"`
			Message  any    `json:"MESSAGE"` // a list of bytes where it is no text
		}
		if err := dec.Decode(&e); err != nil {
			break // the end, or what is no journal
		}
		at := "?"
		if us, err := time.ParseDuration(e.Time + "us"); err == nil {
			at = time.UnixMicro(us.Microseconds()).UTC().Format("2006-01-02T15:04:05.000Z")
		}
		line, _ := e.Message.(string)
		switch {
		case e.By == "systemd" && bySystemd.MatchString(line):
			line = "systemd: " + cleanText(line)
		default:
			line = cleanLine(line)
		}
		text = append(text, fmt.Sprintf("%s <%s> %s\n", at, cleanText(e.Priority), line))
	}
	b.add("journal.txt", []byte(strings.Join(text[max(0, len(text)-journalLast):], "")))
}

// supportSize is how much there is of one kind of file.
type supportSize struct {
	Files int64 `json:"files"`
	Bytes int64 `json:"bytes"`
}

// ours are the kinds of files that we make; of every other only the sum is told.
var ours = []struct {
	kind string
	name *regexp.Regexp
}{
	{"control.db", regexp.MustCompile(`^control\.db$`)}, {"control.db-wal", regexp.MustCompile(`^control\.db-(wal|shm)$`)},
	{"catalog.db", regexp.MustCompile(`^catalog\.db$`)}, {"catalog.db-wal", regexp.MustCompile(`^catalog\.db-(wal|shm)$`)},
	{"log/entries.log", regexp.MustCompile(`^log/entries\.log$`)}, {"log, the rest", regexp.MustCompile(`^log/[a-z.]+(-wal|-shm)?$`)},
	{"root-key.sealed", regexp.MustCompile(`^root-key\.sealed$`)},
	{"journal", regexp.MustCompile(`(^|/)journal/[0-9-]+\.fj$`)}, {"repository, packs", regexp.MustCompile(`(^|/)p[0-9a-f]{0,3}/[^/]*(/[^/]*)*\.f$`)}, {"repository, indexes", regexp.MustCompile(`(^|/)[qx][^/]*/[^/]*(/[^/]*)*\.f$`)},
	{"archive marker", regexp.MustCompile(`(^|/)farol\.archive$`)},
}

// mostFiles bounds how many files are looked at.
const mostFiles = 500_000

func (b *bundle) sizes() map[string]map[string]*supportSize {
	out := map[string]map[string]*supportSize{}
	for key, dir := range map[string]string{"state_dir": b.cfg.StateDir, "archive_dir": b.cfg.ArchiveDir} {
		kinds, n := map[string]*supportSize{}, 0
		_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error { // what cannot be read is not counted
			if err != nil || n >= mostFiles {
				return nil
			}
			if d.IsDir() {
				if key == "state_dir" && path == b.cfg.ArchiveDir {
					return fs.SkipDir
				}
				return nil
			}
			n++
			info, err := d.Info()
			rel, rerr := filepath.Rel(dir, path)
			if err != nil || rerr != nil {
				return nil
			}
			kind := "other"
			for _, o := range ours {
				if o.name.MatchString(rel) {
					kind = o.kind
					break
				}
			}
			if kinds[kind] == nil {
				kinds[kind] = &supportSize{}
			}
			kinds[kind].Files++
			kinds[kind].Bytes += info.Size()
			return nil
		})
		if n >= mostFiles {
			kinds["not all were counted"] = &supportSize{}
		}
		out[key] = kinds
	}
	return out
}
