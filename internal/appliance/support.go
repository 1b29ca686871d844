package appliance

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"farol/internal/dingtalk"
)

// supportReadme stands first in a bundle, so that whoever sends it knows what
// he sends.
const supportReadme = `Farol support bundle

What is in it, and nothing else:
  README.txt      this text
  about.json      version, operating system, processors, memory, disks
  config.json     the keys of the configuration that are numbers or words; of the others only whether they are set
  doctor.json     what farol doctor found; folders by their key, no address
  status.json     counts, sizes, times and states of the parts, when the daemon answered
  metrics.txt     what /metrics says, when the daemon answered
  goroutines.txt  which functions of the program wait where, without what they were given, when the daemon answered
  unit.txt        state of farol.service, where it was handed over
  journal.txt     its last lines, where they were handed over: our own words and counts; quotations, addresses, paths and long words are left out
  files.json      how many files of each of our kinds there are, and how large

What is never in it: messages, files, approvals, contacts or anything else that was captured; names of people, accounts, departments,
conversations and files; passwords, keys, shares, tokens, codes; addresses of people, of the off-site node and of storage places.

Read it before you send it: it is a .tar.gz of plain text.
`

// bundle gathers what a supporter may see.
type bundle struct {
	cfg   Config
	lines []byte // of the journal, as journalctl -o json prints them; nil: none were given
	show  []byte // the unit, as systemctl show prints it
	api   string // of DingTalk, for the doctor
	now   time.Time
	files []bundled
}

type bundled struct {
	Name string
	Size int
	data []byte
}

// Support says where a bundle goes and what is handed to it.
type Support struct {
	Path    string // must not exist; "" makes a name in this folder
	Journal string // file with what journalctl -u farol -o json printed, "" for none
	Unit    string // file with what systemctl show farol printed, "" for none
}

// SupportBundle writes a bundle. It works while the daemon is down, and says so
// inside.
func SupportBundle(ctx context.Context, cfg Config, s Support, out io.Writer) error {
	b := &bundle{cfg: cfg, api: dingtalk.China.API, now: time.Now()}
	for from, to := range map[string]*[]byte{s.Journal: &b.lines, s.Unit: &b.show} {
		if from == "" {
			continue
		}
		text, err := os.ReadFile(from)
		if err != nil {
			return fmt.Errorf("read what is handed to the bundle: %w", err)
		}
		*to = text
	}
	path := s.Path
	if path == "" {
		path = "farol-support-" + b.now.UTC().Format("20060102T150405Z") + ".tar.gz"
	}
	if err := b.gather(ctx); err != nil {
		return err
	}
	if err := b.write(path); err != nil {
		return err
	}
	for _, f := range b.files {
		if _, err := fmt.Fprintf(out, "%9d  %s\n", f.Size, f.Name); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(out, "\n%s\nRead it before you send it: tar -xzf it in an empty folder. README.txt says what is never in it.\n", path)
	return err
}

func (b *bundle) add(name string, data []byte) {
	b.files = append(b.files, bundled{name, len(data), data})
}

func (b *bundle) addJSON(name string, v any) error {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("write %s of the bundle: %w", name, err)
	}
	b.add(name, buf.Bytes())
	return nil
}

func (b *bundle) gather(ctx context.Context) error {
	var a supportAnswer
	actx, cancel := context.WithTimeout(ctx, time.Minute)
	down := Control(actx, b.cfg, "support", nil, &a)
	cancel()
	text := supportReadme
	if down != nil {
		text += "\nThe daemon did not answer: " + b.clean(down.Error()) + "\nSo there is no status, no metrics, no goroutines, and no entry in the audit log.\n"
	} else {
		text += fmt.Sprintf("\nThat it was made is entry %d of the audit log.\n", a.Entry)
	}
	text += "Made " + b.now.UTC().Format(time.RFC3339) + "\n"
	b.add("README.txt", []byte(text))
	if err := b.addJSON("about.json", b.about()); err != nil {
		return err
	}
	if err := b.addJSON("config.json", b.config()); err != nil {
		return err
	}
	if err := b.addJSON("doctor.json", b.doctor(ctx)); err != nil {
		return err
	}
	if down == nil {
		if err := b.addJSON("status.json", a.Status); err != nil {
			return err
		}
		b.add("metrics.txt", []byte(a.Metrics))
		b.add("goroutines.txt", []byte(a.Goroutines))
	}
	b.unit()
	b.journal()
	return b.addJSON("files.json", b.sizes())
}

// folders names the folders and the address of the configuration by their key.
func (b *bundle) folders(s string) string {
	pairs := []string{b.cfg.Listen, "<listen>"}
	if host, _, err := net.SplitHostPort(b.cfg.Listen); err == nil && host != "" {
		pairs = append(pairs, host, "<listen>")
	}
	for _, k := range []struct{ path, key string }{{b.cfg.ArchiveDir, "archive_dir"}, {b.cfg.RunDir, "run_dir"}, {b.cfg.HostKey, "host_key"}, {b.cfg.StateDir, "state_dir"}} {
		if k.path != "" {
			pairs = append(pairs, k.path, "<"+k.key+">")
		}
	}
	return strings.NewReplacer(pairs...).Replace(s)
}

func (b *bundle) clean(s string) string { return cleanText(b.folders(s)) }

// doctor is what farol doctor finds, without what names this house.
func (b *bundle) doctor(ctx context.Context) []Finding {
	d := &doctor{cfg: b.cfg, api: b.api, now: time.Now}
	d.look(ctx)
	for i := range d.list {
		d.list[i].Said = b.clean(d.list[i].Said)
		d.list[i].Then = b.folders(d.list[i].Then) // commands of ours
	}
	return d.list
}

// config says the values of what cannot name anything, and of the rest whether
// it is set.
func (b *bundle) config() map[string]any {
	d := DefaultConfig()
	if err := d.Validate(); err != nil { // fills in what follows from the rest
		return nil
	}
	is := func(v, usual string) string {
		switch v {
		case "":
			return "not set"
		case usual:
			return "default"
		}
		return "set"
	}
	c := b.cfg
	return map[string]any{"state_dir": is(c.StateDir, d.StateDir), "archive_dir": is(c.ArchiveDir, d.ArchiveDir), "host_key": is(c.HostKey, d.HostKey), "run_dir": is(c.RunDir, d.RunDir),
		"listen": is(c.Listen, d.Listen), "tls_cert": is(c.TLSCert, ""), "tls_key": is(c.TLSKey, ""), "metrics_token_file": is(c.Metrics, ""),
		"reserve_bytes": c.Reserve, "log_level": c.LogLevel, "memory_mb": c.MemoryMB, "cpus": c.CPUs, "parity": c.Parity}
}

// write packs the bundle for its owner alone.
func (b *bundle) write(path string) (err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("make the bundle: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(path))
		}
	}()
	z := gzip.NewWriter(f)
	t := tar.NewWriter(z)
	dir := strings.TrimSuffix(filepath.Base(path), ".tar.gz")
	for _, x := range b.files {
		if err = t.WriteHeader(&tar.Header{Name: dir + "/" + x.Name, Mode: 0o600, Size: int64(x.Size), ModTime: b.now}); err == nil {
			_, err = t.Write(x.data)
		}
		if err != nil {
			return errors.Join(fmt.Errorf("write the bundle: %w", err), f.Close())
		}
	}
	if err = errors.Join(t.Close(), z.Close(), f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write the bundle: %w", err)
	}
	return nil
}
