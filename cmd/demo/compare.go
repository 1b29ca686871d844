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
	"strings"
	"time"
)

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
