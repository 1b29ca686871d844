package restore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"farol/internal/catalog"
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
	Record     int64         `json:",omitempty"` // one record, by its catalog id; 0: all of the above
}

// detail is what the log says of a selection.
func (s Selection) detail(more map[string]string) map[string]string {
	out := map[string]string{"kinds": fmt.Sprint(s.Kinds), "depts": fmt.Sprint(s.Depts), "containers": strconv.Itoa(len(s.Containers))}
	if s.Record != 0 {
		out["record"] = strconv.FormatInt(s.Record, 36)
	}
	maps.Copy(out, more)
	return out
}

// each hands out what a selection chooses inside a scope that [Door.narrow] made.
func (d *Door) each(ctx context.Context, scope record.Scope, sel Selection, n int, fn func([]catalog.Hit) error) error {
	if sel.Record == 0 {
		return d.d.Catalog.Select(ctx, scope, sel.AsOf, sel.From, sel.To, n, fn)
	}
	hit, err := d.d.Catalog.Get(ctx, scope, sel.Record, sel.AsOf)
	if err != nil {
		return err
	}
	return fn([]catalog.Hit{hit})
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
		scope = only(scope, sel.Kinds...)
	}
	if len(sel.Depts) > 0 {
		below := d.expand(ctx, sel.Depts)
		scope = scope.Each(func(o *record.Scope) {
			if o.All {
				o.All, o.Depts = false, below
				return
			}
			var both []int64
			for _, x := range o.Depts {
				if slices.Contains(below, x) {
					both = append(both, x)
				}
			}
			o.Depts = both
		})
	}
	if len(sel.Containers) > 0 {
		var chosen []string
		for _, id := range sel.Containers {
			info, err := d.d.Catalog.Container(ctx, scope, id, sel.AsOf)
			if err != nil {
				return scope, err
			}
			chosen = append(chosen, info.ID)
		}
		scope = scope.Each(func(o *record.Scope) { o.Containers = chosen })
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
	detail, err := d.agreed(ctx, rq, policy.Export, sel)
	if err != nil {
		return Summary{}, err
	}
	scope, err := d.enterAt(ctx, rq, policy.Export, "export.run", "export", sel.AsOf, sel.detail(detail))
	if err != nil {
		return Summary{}, err
	}
	if scope, err = d.narrow(ctx, scope, sel); err != nil {
		return Summary{}, d.missed(ctx, rq, "export", err)
	}
	x := &exporter{d: d, ctx: ctx, sink: sink, lang: lang, scope: scope, asOf: sel.AsOf, began: time.Now(), progress: progress,
		names: map[string]bool{}, commits: map[uint64]bool{}, spaces: map[string]string{}}
	err = d.each(ctx, scope, sel, 2000, x.batch)
	if err == nil {
		err = x.finish(sel)
	}
	x.sum.Took = time.Since(x.began)
	outcome := map[bool]string{true: "ok", false: "failed"}[err == nil]
	if err == nil && x.sum.Damaged > 0 {
		outcome = "partial"
	}
	seq, aerr := d.note(ctx, rq, "export.run", "export/done", outcome, x.sum.Manifest, map[string]string{"items": strconv.FormatInt(x.sum.Items, 10), "files": strconv.FormatInt(x.sum.Files, 10)}, &x.touched)
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
	touched  touched
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
