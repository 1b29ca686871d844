package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

var snapshotID = regexp.MustCompile(`"id":"([0-9a-f]{32})","source"`)

// stock lets the stock kopia program, given the recovery kit, list the
// snapshots and restore the newest: what comes out must be readable and hold
// every record. FAROL_KOPIA names the program.
func (w *world) stock(ctx context.Context, p *person) error {
	bin := os.Getenv("FAROL_KOPIA")
	if bin == "" {
		say("stock kopia", "not checked: FAROL_KOPIA does not name the program")
		return nil
	}
	if err := w.farol(ctx, nil, "fold"); err != nil {
		return err
	}
	s, err := w.status(ctx)
	if err != nil {
		return err
	}
	shares, err := w.sharesFile(p.Shares[0], p.Shares[1])
	if err != nil {
		return err
	}
	defer os.Remove(shares)
	password, err := w.farolText(ctx, "archive", "password", "--shares", shares)
	if err != nil {
		return err
	}
	dir := filepath.Join(w.o.dir, "kopia")
	defer os.RemoveAll(dir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	kopia := func(args ...string) (string, error) {
		c := exec.CommandContext(ctx, bin, append(args, "--config-file", filepath.Join(dir, "config"), "--log-dir", filepath.Join(dir, "log"))...)
		c.Env = append(os.Environ(), "KOPIA_PASSWORD="+strings.TrimSpace(password), "KOPIA_CHECK_FOR_UPDATES=false", "HOME="+dir)
		var out, errs bytes.Buffer
		c.Stdout, c.Stderr = &out, &errs
		if err := c.Run(); err != nil {
			return "", fmt.Errorf("kopia %s: %w: %s", args[0], err, oneLine(errs.String()))
		}
		return out.String(), nil
	}
	if _, err := kopia("repository", "connect", "filesystem", "--path", filepath.Join(w.o.dir, "appliance", "archive", "archive"), "--readonly", "--cache-directory", filepath.Join(dir, "cache")); err != nil {
		return err
	}
	list, err := kopia("snapshot", "list", "--all", "--json")
	if err != nil {
		return err
	}
	ids := snapshotID.FindAllStringSubmatch(list, -1)
	if len(ids) == 0 {
		return errors.New("stock kopia lists no snapshot")
	}
	start := time.Now()
	out := filepath.Join(dir, "restored")
	if _, err := kopia("snapshot", "restore", ids[len(ids)-1][1], out); err != nil {
		return err
	}
	lines, files := 0, 0
	err = filepath.WalkDir(out, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		if strings.HasSuffix(path, ".ndjson") && !strings.Contains(path, "/farol/") {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			lines += bytes.Count(b, []byte("\n"))
		}
		return nil
	})
	if err != nil {
		return err
	}
	say("stock kopia", "%d snapshots listed, newest restored in %s: %d readable records in %d files, the archive holds %d", len(ids), time.Since(start).Round(time.Millisecond), lines, files, s.Archive.LastFold.Records)
	if lines == 0 || int64(lines) != s.Archive.LastFold.Records {
		return fmt.Errorf("stock kopia restored %d records of %d", lines, s.Archive.LastFold.Records)
	}
	return nil
}
