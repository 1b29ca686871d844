package appliance

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"farol/internal/audit"
	"farol/internal/record"
	"farol/internal/replica"
	"farol/internal/restore"
)

// ErrNotRunning means that no appliance answers on the control socket.
var ErrNotRunning = errors.New("no appliance is running here: start it with `systemctl start farol` or `farol serve`")

// ErrNotVerified means that something did not verify; the message says what.
var ErrNotVerified = errors.New("not verified")

// Control asks the running appliance over its socket and decodes the answer.
func Control(ctx context.Context, cfg Config, verb string, in, out any) error {
	hc := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", filepath.Join(cfg.RunDir, "farol.sock"))
	}}}
	b, err := json.Marshal(in)
	if err != nil {
		return err
	}
	rq, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://farol/"+verb, bytes.NewReader(b))
	if err != nil {
		return err
	}
	resp, err := hc.Do(rq)
	if err != nil {
		var oe *net.OpError
		if errors.As(err, &oe) && oe.Op == "dial" {
			return ErrNotRunning
		}
		return fmt.Errorf("ask the appliance: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("ask the appliance: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		var e struct{ Error string }
		if json.Unmarshal(body, &e) != nil || e.Error == "" {
			e.Error = "the appliance answered " + resp.Status
		}
		return errors.New(e.Error)
	}
	return json.Unmarshal(body, out)
}

// Serve opens the appliance and runs it until ctx ends. It prints the set-up
// code while nobody owns the appliance.
func Serve(ctx context.Context, cfg Config, out io.Writer) error {
	log := Logger(cfg.LogLevel)
	cfg.Bounds().Apply(log)
	a, err := Open(ctx, cfg, log)
	if err != nil {
		return err
	}
	go func() { // ends with the print
		select {
		case <-a.ready:
		case <-ctx.Done():
			return
		}
		if n, err := a.accounts.Count(ctx); err == nil && n == 0 {
			fmt.Fprintf(out, "set-up code: %s\ncertificate: %s\n", a.claim.Code(), a.Fingerprint())
		}
	}()
	return errors.Join(a.Run(ctx), a.Close())
}

// ServeNode runs an off-site node until ctx ends. It prints an enrolment code
// at start and whenever a line is read from in.
func ServeNode(ctx context.Context, dir, listen string, quota int64, silent time.Duration, b Bounds, log *slog.Logger, in io.Reader, out io.Writer) error {
	b.Apply(log)
	release, err := lockNode(dir)
	if err != nil {
		return err
	}
	defer release() //nolint:errcheck // the lock ends with the process anyway
	n, err := replica.OpenNode(dir, log, nil)
	if err != nil {
		return err
	}
	n.Bound(quota, silent)
	n.Page(nodePage(n, dir, log))
	ln, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	show := func() { fmt.Fprintf(out, "enrolment code: %s\n", n.NewCode()) }
	fmt.Fprintf(out, "node https://%s\ncertificate: %s\nwitness key: %s\nfor people: the same address in a browser, with the code of farol node --page-code\n", ln.Addr(), n.Fingerprint(), n.WitnessKey())
	show()
	if _, err := daemon.SdNotify(false, daemon.SdNotifyReady); err != nil {
		log.WarnContext(ctx, "tell the service manager", "err", err)
	}
	if in != nil {
		go func() { // ends with in
			for sc := bufio.NewScanner(in); sc.Scan(); {
				show()
			}
		}()
	}
	err = n.Serve(ctx, ln)
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// ErrNodeAlarm is that somebody should look at an appliance of a node.
var ErrNodeAlarm = errors.New("an appliance is silent, was refused, or does what one that is well does not")

// NodeStatus prints how each archive on a node stands, and returns
// [ErrNodeAlarm] when somebody should look.
func NodeStatus(dir string, silent time.Duration, asJSON bool, out io.Writer) error {
	list, err := replica.NodeStatus(dir, silent, time.Now())
	if err != nil {
		return err
	}
	alarm := slices.ContainsFunc(list, replica.Held.Alarm)
	if asJSON {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		if err := enc.Encode(list); err != nil {
			return err
		}
		list = nil
	}
	for _, h := range list {
		word := "ok"
		switch {
		case h.Refused > 0:
			word = fmt.Sprintf("REFUSED: %d checkpoints did not extend the log, last %s", h.Refused, h.LastRefused.UTC().Format(time.RFC3339))
		case h.Conflicts > 0:
			word = fmt.Sprintf("CONFLICT: other bytes were sent for what is held, which is kept, %d times, last %s", h.Conflicts, h.LastConflict.UTC().Format(time.RFC3339))
		case h.Damaged > 0:
			word = fmt.Sprintf("DAMAGED: %d files are not as they came, or gone: look at this disk; the appliance is asked for them", h.Damaged)
		case h.Replaced:
			word = fmt.Sprintf("REPLACED: the archive's lock came anew, or its settings far too often, last %s; every version is kept; right when the root key was changed then", h.LastReplaced.UTC().Format(time.RFC3339))
		case h.Full:
			word = fmt.Sprintf("FULL: something found no room, last %s", h.LastFull.UTC().Format(time.RFC3339))
		case h.Nearly:
			word = "NEARLY FULL: nine tenths of the quota are used"
		case h.Silent:
			word = "SILENT"
		}
		heard := "never"
		if !h.Heard.IsZero() {
			heard = h.Heard.UTC().Format(time.RFC3339)
		}
		read := "not read back yet"
		if !h.Verified.IsZero() {
			read = fmt.Sprintf("%d files read back %s, %d mended since ever", h.VerifiedFiles, h.Verified.UTC().Format(time.RFC3339), h.Healed)
		}
		fmt.Fprintf(out, "%s  %s\n  heard %s, %d bytes, quota %d, log witnessed to %d\n  %s\n", h.Archive, word, heard, h.Used, h.Quota, h.Witnessed, read)
	}
	if alarm {
		return ErrNodeAlarm
	}
	return nil
}

// VerifyProof checks a proof file, or a whole export folder, offline. key is
// the log's public key that the reader trusts, "" for the one inside.
func VerifyProof(path, key string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("open the proof: %w", err)
	}
	if info.IsDir() {
		return verifyExport(path, key)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("open the proof: %w", err)
	}
	var p audit.Proof
	if err := json.Unmarshal(b, &p); err != nil {
		return "", fmt.Errorf("%w: %s is not a Farol proof", ErrNotVerified, filepath.Base(path))
	}
	e, err := audit.VerifyProof(&p, key)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrNotVerified, err)
	}
	text := fmt.Sprintf("verified: %s record of %s, sha256 %s\ncaptured %s, log entry %d\n", p.Kind, p.Time.UTC().Format("2006-01-02 15:04:05Z"), p.SHA256, e.Time.Format("2006-01-02 15:04:05Z"), e.Seq)
	if key == "" {
		text += "signed by " + p.Key + "\ncompare this key with the one you were given by another way, or pass it with --key\n"
	}
	return text, nil
}

// verifyExport checks an export: the manifest, and every line of every
// records.ndjson against the commitments and the signed log.
func verifyExport(dir, key string) (string, error) {
	files, err := checkManifest(dir)
	if err != nil {
		return "", err
	}
	inside, err := os.ReadFile(filepath.Join(dir, "proofs", "log-key.txt"))
	if err != nil {
		return "", fmt.Errorf("open the export: %w", err)
	}
	if key == "" {
		key = strings.TrimSpace(string(inside))
	}
	commits, err := checkCommitments(filepath.Join(dir, "proofs", "commits.ndjson"), key)
	if err != nil {
		return "", err
	}
	lines := 0
	for _, f := range files {
		if filepath.Base(f) != "records.ndjson" {
			continue
		}
		n, err := checkLines(filepath.Join(dir, f), commits)
		lines += n
		if err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("verified: %d files by the manifest, %d records by %d commits of the signed log\nsigned by %s\n", len(files), lines, len(commits), key), nil
}

func checkManifest(dir string) ([]string, error) {
	f, err := os.Open(filepath.Join(dir, "manifest-sha256.txt"))
	if err != nil {
		return nil, fmt.Errorf("open the export: %w", err)
	}
	defer f.Close()
	var files []string
	sc := bufio.NewScanner(f)
	for sc.Scan() {
		sum, name, ok := strings.Cut(sc.Text(), "  ")
		if !ok || !filepath.IsLocal(name) {
			return nil, fmt.Errorf("%w: the manifest has a malformed line %d", ErrNotVerified, len(files)+1)
		}
		h, err := hashFile(filepath.Join(dir, name))
		if err != nil {
			return nil, fmt.Errorf("%w: file %d of the manifest: %w", ErrNotVerified, len(files)+1, err)
		}
		if h != sum {
			return nil, fmt.Errorf("%w: %s is not as it was exported", ErrNotVerified, name)
		}
		files = append(files, name)
	}
	return files, sc.Err()
}

func hashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h, err := record.HashReader(f)
	return hex.EncodeToString(h[:]), err
}

func checkCommitments(path, key string) (map[uint64]*restore.Commitment, error) {
	v, err := note.NewVerifier(key)
	if err != nil {
		return nil, fmt.Errorf("%w: the key is malformed: %w", ErrNotVerified, err)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the export: %w", err)
	}
	defer f.Close()
	out := map[uint64]*restore.Commitment{}
	trees := map[string]tlog.Tree{} // checkpoints seen: most commits share one
	for dec := json.NewDecoder(f); ; {
		var c restore.Commitment
		if err := dec.Decode(&c); errors.Is(err, io.EOF) {
			return out, nil
		} else if err != nil {
			return nil, fmt.Errorf("%w: commitment %d is malformed", ErrNotVerified, len(out)+1)
		}
		if err := c.Verify(v, trees); err != nil {
			return nil, fmt.Errorf("%w: commit %d: %w", ErrNotVerified, c.Seq, err)
		}
		out[c.Seq] = &c
	}
}

func checkLines(path string, commits map[uint64]*restore.Commitment) (int, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, fmt.Errorf("open the export: %w", err)
	}
	defer f.Close()
	n := 0
	for rd := bufio.NewReaderSize(f, 1<<20); ; n++ {
		b, err := rd.ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(b) == 0 {
			return n, nil
		}
		if err != nil {
			return n, fmt.Errorf("%w: line %d breaks off", ErrNotVerified, n+1)
		}
		l, err := restore.ParseLine(bytes.TrimSuffix(b, []byte("\n")))
		if err != nil {
			return n, fmt.Errorf("%w: line %d: %w", ErrNotVerified, n+1, err)
		}
		c := commits[l.Commit]
		if c == nil {
			return n, fmt.Errorf("%w: line %d names commit %d, which is not among the proofs", ErrNotVerified, n+1, l.Commit)
		}
		if err := l.Verify(c); err != nil {
			return n, fmt.Errorf("%w: line %d: %w", ErrNotVerified, n+1, err)
		}
	}
}
