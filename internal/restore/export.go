package restore

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"sort"
	"strconv"
	"strings"
	"time"

	"farol/internal/catalog"
	"farol/internal/connector"
	"farol/internal/i18n"
	"farol/internal/policy"
	"farol/internal/record"
)

// Selection is what to export or restore.
type Selection struct {
	Kinds      []record.Kind // empty: all
	Depts      []int64       // with all below; empty: all
	Containers []int64       // catalog ids; empty: all
	From, To   time.Time     // item time; zero = open
	AsOf       uint64        // commit, 0 = now
}

// Summary is what an export or restore came to.
type Summary struct {
	Items     int64
	Files     int64
	Bytes     int64
	Damaged   int64
	Missing   int64 // attachments that were never had
	Manifest  record.Hash
	AuditSeq  int64
	Took      time.Duration
	Contained int // containers
}

// Sink takes the files of an export: a folder or a zip. A file is complete
// when its writer is closed.
type Sink interface {
	Create(name string, modified time.Time) (io.WriteCloser, error)
}

// narrow applies a selection to what the reader may see.
func (d *Door) narrow(ctx context.Context, scope record.Scope, sel Selection) (record.Scope, error) {
	if len(sel.Kinds) > 0 {
		var kinds []record.Kind
		for _, k := range sel.Kinds {
			kinds = append(kinds, only(scope, k).Kinds...)
		}
		scope.Kinds = kinds
	}
	if len(sel.Depts) > 0 {
		below := d.expand(ctx, sel.Depts)
		if scope.All {
			scope.All, scope.Depts = false, below
		} else {
			in := map[int64]bool{}
			for _, x := range below {
				in[x] = true
			}
			var both []int64
			for _, x := range scope.Depts {
				if in[x] {
					both = append(both, x)
				}
			}
			scope.Depts = both
		}
	}
	for _, id := range sel.Containers {
		info, err := d.d.Catalog.Container(ctx, scope, id, sel.AsOf)
		if err != nil {
			return scope, err
		}
		scope.Containers = append(scope.Containers, info.ID)
	}
	if scope.Nothing() {
		return scope, ErrEmpty
	}
	return scope, nil
}

// Export writes a selection to a sink: a readable transcript and NDJSON per
// container, the attached files, a SHA-256 manifest over everything, and what
// is needed to verify every line offline. progress may be nil.
func (d *Door) Export(ctx context.Context, rq Request, sel Selection, lang i18n.Lang, sink Sink, progress func(items int64)) (Summary, error) {
	scope, err := d.enterAt(ctx, rq, policy.Export, "export.run", "export", sel.AsOf, map[string]string{"kinds": fmt.Sprint(sel.Kinds), "depts": fmt.Sprint(sel.Depts), "containers": strconv.Itoa(len(sel.Containers))})
	if err != nil {
		return Summary{}, err
	}
	if scope, err = d.narrow(ctx, scope, sel); err != nil {
		return Summary{}, err
	}
	x := &exporter{d: d, ctx: ctx, sink: sink, lang: lang, scope: scope, asOf: sel.AsOf, began: time.Now(), progress: progress,
		names: map[string]bool{}, commits: map[uint64]bool{}, spaces: map[string]string{}}
	err = d.d.Catalog.Select(ctx, scope, sel.AsOf, sel.From, sel.To, 2000, x.batch)
	if err == nil {
		err = x.finish(sel)
	}
	x.sum.Took = time.Since(x.began)
	outcome := map[bool]string{true: "ok", false: "failed"}[err == nil]
	if err == nil && x.sum.Damaged > 0 {
		outcome = "partial"
	}
	seq, aerr := d.note(ctx, rq, "export.run", "export/done", outcome, x.sum.Manifest, map[string]string{"items": strconv.FormatInt(x.sum.Items, 10), "files": strconv.FormatInt(x.sum.Files, 10)})
	x.sum.AuditSeq = seq
	return x.sum, errors.Join(err, aerr)
}

type exporter struct {
	d        *Door
	ctx      context.Context
	sink     Sink
	lang     i18n.Lang
	scope    record.Scope
	asOf     uint64
	began    time.Time
	progress func(int64)

	sum      Summary
	manifest strings.Builder
	names    map[string]bool // lower-cased paths in use
	commits  map[uint64]bool
	damaged  []string
	spaces   map[string]string
	cur      *exportedContainer
}

// exportedContainer is the container being written: its NDJSON and transcript
// grow while the records come by.
type exportedContainer struct {
	id     int64
	info   catalog.ContainerInfo
	dir    string
	ndjson *file
	html   *file
	items  int64
	last   string // day of the last message, for the transcript's headings
}

// file is one file of the export; its hash is taken while it is written.
type file struct {
	*bufio.Writer
	w    io.WriteCloser
	sum  io.Writer
	hash func() record.Hash
	name string
	n    int64
}

func (x *exporter) create(name string, at time.Time) (*file, error) {
	w, err := x.sink.Create(name, at)
	if err != nil {
		return nil, fmt.Errorf("create a file of the export: %w", err)
	}
	h := sha256.New()
	f := &file{w: w, sum: h, name: name, hash: func() (out record.Hash) { h.Sum(out[:0]); return out }}
	f.Writer = bufio.NewWriterSize(io.MultiWriter(w, h, (*counter)(&f.n)), 64<<10)
	return f, nil
}

type counter int64

func (c *counter) Write(b []byte) (int, error) { *c += counter(len(b)); return len(b), nil }

func (x *exporter) close(f *file) error {
	if err := errors.Join(f.Flush(), f.w.Close()); err != nil {
		return fmt.Errorf("write a file of the export: %w", err)
	}
	h := f.hash()
	fmt.Fprintf(&x.manifest, "%s  %s\n", hex.EncodeToString(h[:]), f.name)
	x.sum.Files++
	x.sum.Bytes += f.n
	return nil
}

func (x *exporter) batch(hits []catalog.Hit) error {
	items, err := x.d.open(x.ctx, hits)
	if err != nil {
		return err
	}
	for i := range items {
		if err := x.item(&items[i]); err != nil {
			return err
		}
	}
	if x.progress != nil {
		x.progress(x.sum.Items)
	}
	return x.ctx.Err()
}

func (x *exporter) item(it *Item) error {
	if x.cur == nil || x.cur.id != it.Container {
		if err := x.next(it); err != nil {
			return err
		}
	}
	x.commits[it.Seq] = true
	if it.Damage != nil {
		x.sum.Damaged++
		x.damaged = append(x.damaged, fmt.Sprintf("%s\tcommit %d\tindex %d\t%v", it.Kind, it.Seq, it.Index, it.Damage))
		return x.transcriptDamaged()
	}
	if err := x.line(it); err != nil {
		return err
	}
	if it.State&catalog.Describes != 0 {
		return nil
	}
	x.sum.Items++
	x.cur.items++
	names, err := x.blobs(it)
	if err != nil {
		return err
	}
	return x.transcript(it, names)
}

// next closes one container and opens the following.
func (x *exporter) next(it *Item) error {
	if err := x.closeContainer(); err != nil {
		return err
	}
	info, err := x.d.container(x.ctx, x.scope, it.Container, x.asOf)
	if err != nil {
		return err
	}
	title := info.Title
	if title == "" {
		title = string(info.Kind)
	}
	dir := x.free(path.Join(string(it.Kind), safeName(title)))
	c := &exportedContainer{id: it.Container, info: info, dir: dir}
	if c.ndjson, err = x.create(dir+"/records.ndjson", x.began); err != nil {
		return err
	}
	if c.html, err = x.create(dir+"/transcript.html", x.began); err != nil {
		return err
	}
	x.cur = c
	x.sum.Contained++
	return transcriptHead(c.html, x.lang, info)
}

func (x *exporter) closeContainer() error {
	if x.cur == nil {
		return nil
	}
	c := x.cur
	x.cur = nil
	if _, err := c.html.WriteString("</main></body></html>\n"); err != nil {
		return err
	}
	return errors.Join(x.close(c.html), x.close(c.ndjson))
}

// Line is one record of records.ndjson. raw stands last and holds the bytes as
// DingTalk sent them, so that its hash can be taken again.
type Line struct {
	Kind      record.Kind   `json:"kind"`
	Container string        `json:"container"`
	ID        string        `json:"id"`
	Time      time.Time     `json:"time"`
	Author    string        `json:"author,omitempty"`
	Deleted   bool          `json:"deleted,omitempty"`
	SHA256    record.Hash   `json:"sha256"`
	Commit    uint64        `json:"commit"`
	Index     int           `json:"index"`
	Blobs     []record.Blob `json:"blobs,omitempty"`
	Raw       []byte        `json:"-"`
}

func (x *exporter) line(it *Item) error {
	r := &it.Record
	head, err := json.Marshal(Line{Kind: r.Kind, Container: r.Container, ID: r.ID, Time: r.Time, Author: r.Author, Deleted: r.Deleted, SHA256: r.Hash(), Commit: it.Seq, Index: it.Index, Blobs: r.Blobs})
	if err != nil {
		return err
	}
	w := x.cur.ndjson
	w.Write(head[:len(head)-1]) // bufio keeps the first error for Flush
	if json.Valid(r.Raw) && !strings.ContainsAny(string(r.Raw), "\n\r") {
		w.WriteString(`,"raw":`)
		w.Write(r.Raw)
	} else {
		b, err := json.Marshal(r.Raw)
		if err != nil {
			return err
		}
		w.WriteString(`,"raw_base64":`)
		w.Write(b)
	}
	_, err = w.WriteString("}\n")
	return err
}

// blobs writes the attached bytes and returns the names they got, relative to
// the container.
func (x *exporter) blobs(it *Item) ([]string, error) {
	var names []string
	for i, b := range it.Record.Blobs {
		name := b.Name
		if it.Kind == record.Files {
			name = pathOf(&it.Doc)
		} else {
			name = "attachments/" + it.Record.Time.UTC().Format("20060102-150405") + "-" + safeName(name)
		}
		full := x.free(x.cur.dir + "/" + name)
		rd, err := x.d.d.Archive.OpenBlob(x.ctx, b)
		if err == nil {
			err = x.copy(full, it.Record.Time, rd, b)
		}
		if err != nil {
			if x.ctx.Err() != nil || !errors.Is(err, ErrDamaged) {
				return nil, err
			}
			x.sum.Damaged++
			x.damaged = append(x.damaged, fmt.Sprintf("%s\tcommit %d\tindex %d\tattachment %d\t%v", it.Kind, it.Seq, it.Index, i, err))
			continue
		}
		names = append(names, strings.TrimPrefix(full, x.cur.dir+"/"))
	}
	x.sum.Missing += int64(max(0, len(it.Doc.Files)-len(it.Record.Blobs)))
	return names, nil
}

func pathOf(doc *connector.Document) string {
	for _, f := range doc.Fields {
		if f.Label == "field.path" && f.Value != "" {
			return "files/" + safePath(f.Value)
		}
	}
	return "files/" + safeName(doc.Title)
}

func (x *exporter) copy(name string, at time.Time, rd io.ReadCloser, b record.Blob) error {
	defer rd.Close()
	f, err := x.create(name, at)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, rd); err != nil {
		return errors.Join(fmt.Errorf("copy an attachment: %w", err), f.w.Close())
	}
	if err := x.close(f); err != nil {
		return err
	}
	if f.hash() != b.SHA256 {
		return fmt.Errorf("an attachment does not have the hash taken at capture: %w", ErrDamaged)
	}
	return nil
}

// finish writes the commitments, the list of damage, the description, and the
// manifest last.
func (x *exporter) finish(sel Selection) error {
	if err := x.closeContainer(); err != nil {
		return err
	}
	if x.sum.Items == 0 && x.sum.Damaged == 0 {
		return ErrEmpty
	}
	seqs := make([]uint64, 0, len(x.commits))
	for s := range x.commits {
		seqs = append(seqs, s)
	}
	sort.Slice(seqs, func(i, j int) bool { return seqs[i] < seqs[j] })
	f, err := x.create("proofs/commits.ndjson", x.began)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(f)
	for _, s := range seqs {
		c, err := x.d.commitment(x.ctx, s)
		if err != nil {
			return err
		}
		if err := enc.Encode(c); err != nil {
			return err
		}
	}
	if err := x.close(f); err != nil {
		return err
	}
	texts := map[string]string{"proofs/log-key.txt": x.d.d.LogKey + "\n"}
	if len(x.damaged) > 0 {
		texts["damaged.txt"] = strings.Join(x.damaged, "\n") + "\n"
	}
	about, err := json.MarshalIndent(map[string]any{"format": "farol-export/1", "made": x.began.UTC(), "as_of_commit": sel.AsOf, "items": x.sum.Items,
		"containers": x.sum.Contained, "damaged": x.sum.Damaged, "attachments_missing": x.sum.Missing, "verify": "farol proof verify <this folder>"}, "", "  ")
	if err != nil {
		return err
	}
	texts["export.json"] = string(about) + "\n"
	for _, name := range []string{"proofs/log-key.txt", "damaged.txt", "export.json"} {
		if err := x.text(name, texts[name]); err != nil {
			return err
		}
	}
	manifest := x.manifest.String()
	x.sum.Manifest = record.HashOf([]byte(manifest))
	return x.text("manifest-sha256.txt", manifest)
}

func (x *exporter) text(name, s string) error {
	if s == "" {
		return nil
	}
	f, err := x.create(name, x.began)
	if err != nil {
		return err
	}
	if _, err := f.WriteString(s); err != nil {
		return err
	}
	return x.close(f)
}
