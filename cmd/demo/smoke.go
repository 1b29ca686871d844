package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// smoke checks the main job and prints each figure on a line. It goes on after
// a failed check and returns all that failed.
func (w *world) smoke(ctx context.Context, p *person, began time.Time) error {
	say("ready and first backup", "%s", time.Since(began).Round(100*time.Millisecond))
	var failed []error
	check := func(name string, fn func() error) {
		start := time.Now()
		if err := fn(); err != nil {
			say(name, "FAILED after %s: %v", time.Since(start).Round(time.Millisecond), err)
			failed = append(failed, fmt.Errorf("%s: %w", name, err))
		}
	}
	check("first full backup peak", func() error { return w.sayPeak("first full backup", firstBackupLimit, "") })
	var before *copied
	check("captured, compared with DingTalk", func() (err error) { before, err = w.compare(ctx, "captured"); return err })
	if before != nil {
		w.samples = before.texts
	}
	check("integrity", func() error { return w.verify(ctx) })
	check("continuous lane peak", func() error { return w.continuous(ctx) })
	if w.o.kills > 0 {
		check("kill -9 during live traffic", func() error { return w.killLive(ctx) })
	}
	check("search", func() error { return w.search(ctx) })
	check("proof", func() error { return w.proof(ctx, p) })
	check("delete and restore", func() error { return w.disaster(ctx, p) })
	check("kill -9 and restart", func() error { return w.restart(ctx) })
	check("audit log", func() error { return w.logVerify(ctx) })
	check("fold", func() error {
		after, err := w.fold(ctx)
		if after != nil {
			before = after // DingTalk has changed since: this is what a recovery must give
		}
		return err
	})
	check("stock kopia", func() error { return w.stock(ctx, p) })
	check("lost disk", func() error { return w.recover(ctx, p, before) })
	check("no plaintext at rest", func() error { return w.grep(ctx, p) })
	check("contract with DingTalk", func() error {
		var v struct{ Violations []json.RawMessage }
		if err := w.ask(ctx, "GET", "/_sim/violations", nil, &v); err != nil {
			return err
		}
		if n := len(v.Violations); n > 0 {
			return fmt.Errorf("broken %d times, first: %.200s", n, v.Violations[0])
		}
		say("contract with DingTalk", "kept, 0 violations")
		return nil
	})
	if err := errors.Join(failed...); err != nil {
		return fmt.Errorf("%d of the checks failed", len(failed))
	}
	say("smoke", "passed in %s", time.Since(began).Round(time.Second))
	return nil
}

// line is one record of an export.
type line struct {
	Kind, Container, ID string
	Deleted             bool
	SHA256              string
	Blobs               []struct{ SHA256 string }
	raw                 [32]byte
}

// copied is what an export holds, by kind, container and id.
type copied struct {
	records map[string]line
	blobs   map[string]bool // hashes of every attachment
	twice   int
	texts   [][]byte // some message texts and titles, for looking for at rest
}

func newCopied() *copied { return &copied{records: map[string]line{}, blobs: map[string]bool{}} }

// textOf is the longest text of an item as it would lie in a file.
func textOf(raw []byte) []byte {
	var m struct{ Content, Title, Name string }
	if json.Unmarshal(raw, &m) != nil {
		return nil
	}
	for _, s := range []string{m.Content, m.Title, m.Name} {
		if len(s) >= 24 {
			return []byte(s)
		}
	}
	return nil
}

// export writes the whole archive to a folder through the one door and reads
// it back.
func (w *world) export(ctx context.Context, name string) (*copied, error) {
	dir := filepath.Join(w.o.dir, "exports", name)
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	var sum struct {
		Items, Files, Damaged int64
		Took                  time.Duration
	}
	if err := w.farol(ctx, &sum, "export", dir, "--purpose", "verification", "--lang", "en"); err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	say("export, "+name, "%d items, %d files in %s", sum.Items, sum.Files, sum.Took.Round(time.Millisecond))
	if sum.Damaged > 0 {
		return nil, fmt.Errorf("%d items of the export are damaged", sum.Damaged)
	}
	c := newCopied()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.Name() != "records.ndjson" {
			return err
		}
		return c.read(path)
	})
	if err != nil {
		return nil, err
	}
	text, err := w.farolText(ctx, "proof", "verify", dir)
	if err != nil {
		return nil, fmt.Errorf("verify the export offline: %w", err)
	}
	say("export verified offline", "%s", oneLine(strings.SplitN(text, "\n", 2)[0]))
	return c, os.RemoveAll(dir)
}

func (c *copied) read(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for rd := bufio.NewReaderSize(f, 1<<20); ; {
		b, err := rd.ReadBytes('\n')
		if len(b) == 0 {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the export: %w", err)
		}
		b = bytes.TrimSuffix(b, []byte("\n"))
		var l line
		if err := json.Unmarshal(b, &l); err != nil {
			return fmt.Errorf("read the export: %w", err)
		}
		i := bytes.Index(b, []byte(`,"raw":`))
		if i < 0 {
			return errors.New("a line of the export has no raw bytes")
		}
		l.raw = sha256.Sum256(b[i+7 : len(b)-1])
		if t := textOf(b[i+7 : len(b)-1]); len(t) >= 24 && len(c.texts) < 400 && len(c.records)%7 == 0 {
			c.texts = append(c.texts, t)
		}
		key := l.Kind + "/" + l.Container + "/" + l.ID
		if _, ok := c.records[key]; ok {
			c.twice++
		}
		c.records[key] = l
		for _, b := range l.Blobs {
			c.blobs[b.SHA256] = true
		}
	}
}

// compare exports everything and holds every item that DingTalk lists now
// against it, byte for byte.
func (w *world) compare(ctx context.Context, name string) (*copied, error) {
	c, err := w.export(ctx, name)
	if err != nil {
		return nil, err
	}
	var all []error
	for _, k := range []struct{ kind, typ string }{{"chat", "message"}, {"files", "file"}, {"approvals", "instance"}} {
		rows, err := w.expected(ctx, k.kind)
		if err != nil {
			return nil, err
		}
		var n, missing, mismatched, bytesCompared int
		for _, t := range rows {
			if t.Type == "media" || t.Type == "attachment" { // the bytes behind a message or an approval
				bytesCompared++
				if !c.blobs[t.ContentSHA256] {
					missing++
				}
				continue
			}
			if t.Type != k.typ {
				continue
			}
			n++
			l, ok := c.records[k.kind+"/"+t.Container+"/"+t.ID]
			switch {
			case !ok:
				missing++
			case hex.EncodeToString(l.raw[:]) != t.SHA256:
				mismatched++
			case t.ContentSHA256 != "" && len(l.Blobs) > 0:
				bytesCompared++
				if l.Blobs[0].SHA256 != t.ContentSHA256 {
					mismatched++
				}
			}
		}
		say(k.kind+" compared with DingTalk", "%d of %d, missing %d, mismatched %d, contents compared %d", n-missing-mismatched, n, missing, mismatched, bytesCompared)
		if missing+mismatched > 0 {
			all = append(all, fmt.Errorf("%s: missing %d, mismatched %d", k.kind, missing, mismatched))
		}
	}
	say("held twice", "%d", c.twice)
	if c.twice > 0 {
		all = append(all, fmt.Errorf("%d items are held twice", c.twice))
	}
	s, err := w.status(ctx)
	if err != nil {
		return nil, err
	}
	for kind, sum := range s.complete() {
		say("completeness "+kind, "%d of %d listed", sum[1], sum[0])
	}
	say("named gaps", "%d", s.Gaps)
	return c, errors.Join(all...)
}

func (s *status) complete() map[string][2]int64 {
	out := map[string][2]int64{}
	for _, c := range s.Completeness {
		v := out[c.Kind]
		v[0] += c.Listed
		v[1] += c.Archived
		out[c.Kind] = v
	}
	return out
}

// backupNow runs a backup to its end, after the one that may be running: the
// appliance catches up by itself when its event streams open.
func (w *world) backupNow(ctx context.Context, out any, flags ...string) error {
	for end := time.Now().Add(15 * time.Minute); ; {
		err := w.farol(ctx, out, append([]string{"backup", "now", "--wait"}, flags...)...)
		if err == nil || !strings.Contains(err.Error(), "running already") || time.Now().After(end) {
			return err
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// verify reads everything again, then compares with a fresh listing.
func (w *world) verify(ctx context.Context) error {
	start := time.Now()
	text, err := w.farolText(ctx, "verify", "--config", w.config())
	if err != nil {
		return err
	}
	sums, _, _ := strings.Cut(text, "\n")
	say("integrity", "%s, %s in all", sums, time.Since(start).Round(time.Millisecond))
	start = time.Now()
	var r struct {
		State string
		Kinds []struct {
			Kind                               string
			Listed, Same, Added, Changed, Gaps int64
		}
	}
	if err := w.backupNow(ctx, &r, "--full"); err != nil {
		return err
	}
	var listed, same, added, changed, gaps int64
	for _, k := range r.Kinds {
		listed, same, added, changed, gaps = listed+k.Listed, same+k.Same, added+k.Added, changed+k.Changed, gaps+k.Gaps
	}
	say("fresh listing", "%d listed, %d equal, %d new, %d changed, %d named gaps in %s", listed, same, added, changed, gaps, time.Since(start).Round(time.Millisecond))
	if added+changed > 0 {
		return fmt.Errorf("a fresh listing found %d new and %d changed in a tenant at rest", added, changed)
	}
	return nil
}

// search asks the real index and wants a hit that contains the word.
func (w *world) search(ctx context.Context) error {
	rows, err := w.expected(ctx, "chat")
	if err != nil || len(rows) == 0 {
		return errors.Join(err, errors.New("the tenant has no chat"))
	}
	words := []string{"報價", "付款", "order", "shipment", "reunião", "ok"}
	if w.o.chats != "" {
		words = []string{"ubuntu", "install", "餐馆", "酒店", "thanks", "地址"}
	}
	found := 0
	var worst time.Duration
	for _, q := range words {
		var r struct {
			Count int
			Took  time.Duration
			Rows  []struct{ Text string }
		}
		if err := w.farol(ctx, &r, "search", q); err != nil {
			return fmt.Errorf("search: %w", err)
		}
		if len(r.Rows) > 0 {
			found++
		}
		worst = max(worst, r.Took)
	}
	say("search", "%d of %d words found, slowest %s", found, len(words), worst.Round(100*time.Microsecond))
	if found == 0 {
		return errors.New("nothing was found")
	}
	return nil
}

// proof takes the proof of one message from the console and verifies it
// offline; a changed byte must not verify.
func (w *world) proof(ctx context.Context, p *person) error {
	var r struct{ Rows []struct{ ID int64 } }
	for _, q := range []string{"order", "ubuntu", "酒店", "報價"} {
		if err := w.farol(ctx, &r, "search", q); err != nil {
			return err
		}
		if len(r.Rows) > 0 {
			break
		}
	}
	if len(r.Rows) == 0 {
		return errors.New("no message to prove")
	}
	if err := w.purpose(ctx, p, "dispute"); err != nil {
		return err
	}
	if err := p.stepUp(ctx); err != nil {
		return err
	}
	pg, err := p.get(ctx, "/record/"+strconv.FormatInt(r.Rows[0].ID, 10)+"/proof.json")
	if err != nil {
		return err
	}
	if pg.code != 200 {
		return fmt.Errorf("the proof page answered %d: %.200s", pg.code, pg.text())
	}
	file := filepath.Join(w.o.dir, "proof.json")
	if err := os.WriteFile(file, []byte(pg.body), 0o600); err != nil {
		return err
	}
	defer os.Remove(file)
	text, err := w.farolText(ctx, "proof", "verify", file)
	if err != nil {
		return err
	}
	var changed map[string]any
	if err := json.Unmarshal([]byte(pg.body), &changed); err != nil {
		return err
	}
	changed["raw"] = []byte(`{"content":"something else"}`)
	bad, err := json.Marshal(changed)
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, bad, 0o600); err != nil {
		return err
	}
	_, err = w.farolText(ctx, "proof", "verify", file)
	var ee *exitError
	if !errors.As(err, &ee) || ee.code != 3 {
		return fmt.Errorf("a changed proof was not refused with code 3: %v", err)
	}
	say("proof offline", "%s; a changed one is refused", oneLine(strings.SplitN(text, "\n", 2)[0]))
	return nil
}

func (w *world) logVerify(ctx context.Context) error {
	text, err := w.farolText(ctx, "log", "verify", "--config", w.config())
	if err != nil {
		return err
	}
	say("audit log", "%s", oneLine(text))
	return nil
}

func (w *world) fold(ctx context.Context) (*copied, error) {
	start := time.Now()
	var pt struct{ ID string }
	if err := w.farol(ctx, &pt, "fold"); err != nil {
		return nil, err
	}
	say("fold", "%s", time.Since(start).Round(time.Millisecond))
	// what the restore put into DingTalk is new there
	if err := w.backupNow(ctx, nil); err != nil {
		return nil, err
	}
	return w.compare(ctx, "after the fold")
}
