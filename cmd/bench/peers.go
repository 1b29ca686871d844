package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// peer is a program that does similar work.
type peer struct {
	path string
	why  string // it is absent
	said string // its version
}

func (p peer) String() string {
	if p.path == "" {
		return "absent: " + p.why
	}
	return p.said
}

func findRestic(ctx context.Context, dir string) peer {
	return find(ctx, dir, "RESTIC", "restic", "github.com/restic/restic", "v0.18.0", "./cmd/restic", "version")
}

func findKopia(ctx context.Context, dir string) peer {
	return find(ctx, dir, "KOPIA", "kopia", "github.com/kopia/kopia", "v0.22.3", ".", "--version")
}

func find(ctx context.Context, dir, env, name, module, version, pkg, ask string) peer {
	path := os.Getenv(env)
	if path == "" {
		path, _ = exec.LookPath(name)
	}
	if path == "" {
		var err error
		if path, err = buildPeer(ctx, dir, name, module, version, pkg); err != nil {
			return peer{why: err.Error()}
		}
	}
	out, err := exec.CommandContext(ctx, path, ask).Output()
	if err != nil {
		return peer{why: fmt.Sprintf("%s %s: %v", name, ask, err)}
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return peer{path: path, said: name + " " + strings.TrimPrefix(line, name+" ")}
}

// buildPeer builds a program out of the module cache, downloading it first
// where it is not there, and keeps it in the user's cache.
func buildPeer(ctx context.Context, dir, name, module, version, pkg string) (string, error) {
	keep, err := os.UserCacheDir()
	if err != nil {
		keep = dir
	}
	bin := filepath.Join(keep, "farol-bench", name+"-"+version)
	if _, err := os.Stat(bin); err == nil {
		return bin, nil
	}
	src := filepath.Join(dir, "src-"+name)
	if err := os.MkdirAll(src, 0o700); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(src, "go.mod"), []byte("module peer\n"), 0o600); err != nil {
		return "", err
	}
	get := exec.CommandContext(ctx, "go", "mod", "download", module+"@"+version)
	get.Dir = src
	if out, err := get.CombinedOutput(); err != nil {
		return "", fmt.Errorf("download %s: %s", module, firstLine(out, err))
	}
	where := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", module+"@"+version)
	where.Dir = src
	out, err := where.Output()
	if err != nil {
		return "", fmt.Errorf("find %s: %w", module, err)
	}
	tree := filepath.Join(src, "tree")
	if err := copyDir(strings.TrimSpace(string(out)), tree); err != nil {
		return "", err
	}
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", bin, pkg)
	build.Dir, build.Env = tree, append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %s", module, firstLine(out, err))
	}
	return bin, os.RemoveAll(src)
}

func firstLine(out []byte, err error) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if last := lines[len(lines)-1]; last != "" {
		return last
	}
	return err.Error()
}

func copyDir(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), b, 0o600)
	})
}

// took is what a child process used.
type took struct {
	time time.Duration
	rss  int64 // peak, bytes
	out  []byte
}

// measure runs a command to its end. Peak memory is read from the process
// itself, because the figure wait gives contains the parent's.
func measure(ctx context.Context, env []string, args ...string) (t took, err error) {
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return t, err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			t.time, t.out = time.Since(start), out.Bytes()
			if err != nil {
				return t, fmt.Errorf("%s: %w: %s", filepath.Base(args[0]), err, firstLine(errs.Bytes(), errors.New("said nothing")))
			}
			return t, nil
		case <-tick.C:
			if n := peak(cmd.Process.Pid); n > t.rss {
				t.rss = n
			}
		}
	}
}

// peak is VmHWM of a process.
func peak(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	var kb int64
	for line := range strings.Lines(string(b)) {
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kb); n == 1 {
			return kb << 10
		}
	}
	return 0
}

// store is a place where a program keeps its copy.
type store struct {
	dir string
	env []string
}

func (b *bench) newRestic(ctx context.Context, dir string) (store, error) {
	s := store{dir, []string{"RESTIC_REPOSITORY=" + filepath.Join(dir, "repo"), "RESTIC_PASSWORD=bench", "RESTIC_CACHE_DIR=" + filepath.Join(dir, "cache")}}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return s, err
	}
	_, err := measure(ctx, s.env, b.restic.path, "init", "-q")
	return s, err
}

func (b *bench) resticBackup(ctx context.Context, s store, src string) (took, error) {
	return measure(ctx, s.env, b.restic.path, "backup", "-q", src)
}

func (b *bench) resticRestore(ctx context.Context, s store, to string) (took, error) {
	return measure(ctx, s.env, b.restic.path, "restore", "-q", "latest", "--target", to)
}

// newKopia makes a repository that compresses as ours does; by default it
// would not compress at all.
func (b *bench) newKopia(ctx context.Context, dir string) (store, error) {
	s := store{dir, []string{"KOPIA_PASSWORD=bench", "KOPIA_CONFIG_PATH=" + filepath.Join(dir, "config"), "KOPIA_CHECK_FOR_UPDATES=false",
		"KOPIA_LOG_DIR=" + filepath.Join(dir, "log"), "KOPIA_CACHE_DIRECTORY=" + filepath.Join(dir, "cache")}}
	if err := os.MkdirAll(filepath.Join(dir, "repo"), 0o700); err != nil {
		return s, err
	}
	for _, args := range [][]string{
		{"repository", "create", "filesystem", "--path", filepath.Join(dir, "repo")},
		{"policy", "set", "--global", "--compression=zstd-fastest", "--metadata-compression=zstd-fastest"},
	} {
		if _, err := measure(ctx, s.env, append([]string{b.kopia.path}, args...)...); err != nil {
			return s, err
		}
	}
	return s, nil
}

func (b *bench) kopiaBackup(ctx context.Context, s store, src string) (took, error) {
	return measure(ctx, s.env, b.kopia.path, "snapshot", "create", src, "--no-progress")
}

func (b *bench) kopiaRestore(ctx context.Context, s store, src, to string) (took, error) {
	return measure(ctx, s.env, b.kopia.path, "snapshot", "restore", src, to, "--no-progress", "--snapshot-time=latest")
}
